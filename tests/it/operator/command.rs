//! The command line, as the shell runs it.

use std::{
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use onetribe_relay::{
    clock::Timestamp,
    connection::environment::record_environment,
    inbox::{Inbox, sqlite::SqliteInbox},
};
use sandbox::{Action, Fault, Operation, QuotaRule, SenderOptions, StoreConfig, store::Clock};
use serde_json::Value;

use crate::relay::world::{PATIENCE, World};

const DAY: i64 = 86_400;

/// A store whose clock the test sets, and no relay.
pub fn past(extra: &[(&str, &str)]) -> (World, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(0));
    let shown = now.clone();
    let clock = Clock::new(move || shown.load(Ordering::Relaxed));
    let config = StoreConfig { clock, quota: QuotaRule::unlimited(), ..StoreConfig::default() };
    (World::prepare(config, SenderOptions::default(), extra), now)
}

fn seconds(date: &str) -> i64 {
    date.parse::<jiff::Timestamp>().unwrap().as_second()
}

pub fn command(world: &World, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().envs(world.variables()).current_dir(world.folder.path()).args(args).stdin(Stdio::null());
    command
}

/// Exit code, output and errors. Blocks nothing: the simulators run on other threads and on this one.
pub async fn run(world: &World, args: &[&str]) -> (i32, String, String) {
    let mut command = command(world, args);
    let Output { status, stdout, stderr } =
        actix_web::rt::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(stdout), text(stderr));
    for said in [&stdout, &stderr] {
        assert!(!said.contains("sandbox-") && !said.contains('\x1b'), "{said}");
    }
    (status.code().unwrap_or(-1), stdout, stderr)
}

#[actix_web::test]
async fn past_orders_are_relayed_once_and_the_counts_are_honest() {
    let (world, now) = past(&[("SKIP_ORDER_STATUSES", "0")]);
    // Many in one second, more than a page holds, a few out of the span, some left out by their status.
    for n in 0..620 {
        now.store(seconds("2024-03-05T10:00:00Z") + if n < 300 { 0 } else { n * 60 }, Ordering::Relaxed);
        world.store.place_order_silently(None, if n % 31 == 0 { 0 } else { 11 });
    }
    for outside in ["2024-03-04T23:59:59Z", "2024-03-08T00:00:00Z", "2024-03-08T12:00:00Z", "2024-06-01T00:00:00Z"] {
        now.store(seconds(outside), Ordering::Relaxed);
        world.store.place_order_silently(None, 11);
    }
    let span = ["backfill", "--since", "2024-03-05", "--until", "2024-03-07"];
    let (code, said, _) = run(&world, &[&span[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("620 orders changed from 2024-03-05T00:00:00.000Z to 2024-03-07T23:59:59.000Z"), "{said}");
    assert!(said.contains("      600  would be relayed\n"), "{said}");
    assert!(said.contains("       20  left out by SKIP_ORDER_STATUSES\n"), "{said}");
    let (code, said, _) = run(&world, &[&span[..], &["--dry-run", "--json"]].concat()).await;
    let counted: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &counted["seen"], &counted["to_relay"]), (0, &620.into(), &600.into()), "{said}");
    assert_eq!(world.sink.attempts(), 0);

    let (code, said, errors) = run(&world, &span).await;
    assert_eq!((code, world.sink.accepted_orders()), (0, 600), "{said}{errors}");
    assert!(said.contains("      600  put into the inbox") && said.ends_with("All delivered.\n"), "{said}");
    let (code, said, _) = run(&world, &span).await;
    assert_eq!((code, world.sink.accepted_count()), (0, 600), "{said}");
    assert!(said.contains("        0  put into the inbox") && said.contains("      600  relayed before"), "{said}");

    // What changed since is relayed once more, and nothing else.
    now.store(seconds("2024-03-06T11:00:00Z"), Ordering::Relaxed);
    let changed = world.store.orders()[1].id;
    world.store.change_order_silently(changed, 2);
    let (_, said, _) = run(&world, &span).await;
    assert!(said.contains("        1  put into the inbox"), "{said}");
    assert_eq!((world.sink.accepted_count(), world.sink.newest(changed)), (601, Some(2)));
    world.finish().await;
}

#[actix_web::test]
async fn broken_off_it_goes_on_where_it_was_and_sends_nothing_twice() {
    let (world, now) = past(&[]);
    for n in 0..900 {
        now.store(seconds("2024-03-05T10:00:00Z") + n * 60, Ordering::Relaxed);
        world.store.place_order_silently(None, 11);
    }
    world.sink.fault_all(Action::Slow(Duration::from_millis(150)));
    let span = ["backfill", "--since", "2024-03-05", "--until", "2024-03-09"];
    let child = command(&world, &span).stdout(Stdio::piped()).spawn().unwrap();
    world.sink.wait_for(|sink| sink.accepted_count() > 100, PATIENCE).await.unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = actix_web::rt::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.ends_with("Broken off. Run the same command again: it goes on from here.\n"), "{said}");
    let so_far = world.sink.accepted_count();
    assert!(so_far < 900);
    world.sink.clear_faults();
    let (code, said, errors) = run(&world, &span).await;
    assert_eq!((code, world.sink.accepted_orders(), world.sink.accepted_count()), (0, 900, 900), "{said}{errors}");
    assert!(errors.contains("Going on where it was broken off, at 2024-03-05T"), "{errors}");
    assert!(!said.starts_with("900 orders"), "{said}");
    world.finish().await;
}

#[actix_web::test]
async fn a_running_relay_delivers_them_and_the_quota_is_kept() {
    let (mut world, now) = past(&[]);
    world.store.set_quota(QuotaRule::default());
    for n in 0..40 {
        now.store(seconds("2024-03-05T10:00:00Z") + n, Ordering::Relaxed);
        world.store.place_order_silently(None, 11);
    }
    now.store(Timestamp::now().millis() / 1000, Ordering::Relaxed);
    world.start_relay().await;
    world.hooked().await;
    let (code, said, errors) = run(&world, &["backfill", "--since", "2024-03-01"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.ends_with("The running relay delivers them.\n"), "{said}");
    world.arrived(40).await;
    assert_eq!((world.sink.accepted_count(), world.store.quota_refusals()), (40, 0));
    world.finish().await;
}

#[actix_web::test]
async fn on_postgresql_whoever_has_the_lead_delivers() {
    let Some(database) = crate::support::postgres::Database::fresh().await else { return };
    let (mut world, now) = past(&[("DATABASE_URL", &database.url())]);
    now.store(seconds("2024-03-05T10:00:00Z"), Ordering::Relaxed);
    for _ in 0..5 {
        world.store.place_order_silently(None, 11);
    }
    let (code, said, errors) = run(&world, &["backfill", "--since", "2024-03-01"]).await;
    assert_eq!((code, world.sink.accepted_count()), (0, 5), "{said}{errors}");
    assert!(said.ends_with("All delivered.\n"), "{said}");

    now.store(Timestamp::now().millis() / 1000, Ordering::Relaxed);
    let changed = world.store.orders()[0].id;
    world.start_relay().await;
    world.hooked().await;
    world.store.change_order_silently(changed, 2);
    let (code, said, errors) = run(&world, &["backfill", "--since", "2024-03-01"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.ends_with("The running relay delivers them.\n"), "{said}");
    world.arrived_at(changed, 2).await;
    let (_, said, _) = run(&world, &["orders", "resend", &changed.to_string()]).await;
    assert!(said.ends_with("by the running relay\n"), "{said}");
    world.arrived(5).await;
    world.finish().await;
}

#[actix_web::test]
async fn what_was_cleared_out_since_counts_as_relayed_and_is_said_so() {
    let (world, now) = past(&[]);
    let today = Timestamp::now();
    let inbox = SqliteInbox::open(&world.database()).await.unwrap();
    let start = today.before(Duration::from_secs(60 * DAY as u64));
    record_environment(&inbox, world.config().environment.as_ref(), start).await.unwrap();
    inbox.close().await;
    let ids = [70, 30, 1].map(|days_ago| {
        now.store(today.millis() / 1000 - days_ago * DAY, Ordering::Relaxed);
        world.store.place_order_silently(None, 11)
    });
    now.store(today.millis() / 1000, Ordering::Relaxed);
    let (code, said, errors) = run(&world, &["backfill", "--since", "2020-01-01"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert!(
        said.contains("        1  changed after the connection was made and over 14 days ago: counted as relayed"),
        "{said}"
    );
    assert_eq!((world.sink.accepted_orders(), world.sink.newest(ids[1])), (2, None));
    world.finish().await;
}

#[actix_web::test]
async fn refused_orders_and_refused_calls_end_it_with_one() {
    let (world, now) = past(&[]);
    now.store(seconds("2024-03-05T10:00:00Z"), Ordering::Relaxed);
    let refused = world.store.place_order_silently(None, 11);
    world.store.place_order_silently(None, 11);
    world.sink.fault_order(refused, Action::Status(422));
    let (code, said, _) = run(&world, &["backfill", "--since", "2024-03-01"]).await;
    assert_eq!((code, world.sink.accepted_orders()), (1, 1), "{said}");
    assert!(said.contains("1 order refused so far"), "{said}");
    world.store.fault(Fault::new(Operation::OrderList, Action::Status(401)));
    let (code, said, errors) = run(&world, &["backfill", "--since", "2024-03-01"]).await;
    assert_eq!(code, 1);
    let store = format!("BigCommerce ({})", world.store.config().hash);
    let advised = errors
        .contains(&format!("error: {store}: HTTP 401. The access token is refused: set BIGCOMMERCE_ACCESS_TOKEN"));
    assert!(
        advised && errors.contains("Once that is mended, run the same command again: it goes on from here"),
        "{errors}"
    );
    assert_eq!(said, "", "nothing was looked at");
    let (_, _, errors) = run(&world, &["backfill", "--since", "2024-03-01", "--dry-run"]).await;
    assert!(errors.contains("command again: a dry run keeps nothing and counts from the beginning"), "{errors}");
    for (status, advice) in [(401, "set BIGCOMMERCE_ACCESS_TOKEN anew"), (403, "needs the scope Orders: read-only")] {
        world.store.fault(Fault::new(Operation::Hooks, Action::Status(status)));
        for what in ["list", "update", "remove"] {
            let (code, _, errors) = run(&world, &["hooks", what]).await;
            let said = errors.contains(&format!("error: {store}: HTTP {status}. ")) && errors.contains(advice);
            assert!(code == 1 && said, "{what}: {errors}");
        }
        world.store.clear_faults();
    }
    world.sink.clear_faults();
    world.store.clear_faults();
    world.finish().await;
}

#[actix_web::test]
async fn every_command_has_help_and_completions_need_no_configuration() {
    let (world, _) = past(&[]);
    for command in [
        "",
        "serve",
        "check",
        "backfill",
        "connections",
        "connections list",
        "connections add",
        "connections show",
        "connections pause",
        "connections resume",
        "connections remove",
        "connections rekey",
        "hooks",
        "hooks list",
        "hooks update",
        "hooks remove",
        "orders",
        "orders list",
        "orders resend",
        "alerts",
        "alerts test",
        "backup",
        "migrate",
        "healthcheck",
        "completions",
    ] {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let (code, said, _) = run(&world, &args).await;
        assert!(code == 0 && said.contains("Usage: onetribe-relay"), "{command}: {said}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_onetribe-relay")).env_clear().args(["completions", shell]).output();
        let output = output.unwrap();
        assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("backfill"), "{shell}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn lists_have_the_same_words_when_piped_and_are_json_when_asked_for() {
    let mut world = World::start_with(&[("RETRY_MAX_AGE", "1s")]).await;
    let (_, said, _) = run(&world, &["orders", "list"]).await;
    assert_eq!(said, "no orders yet\n");
    let order = world.store.place_order_silently(None, 11);
    world.sink.fault_order(order, Action::Status(422));
    world.tell(order).await;
    world.settled(order, "failed").await;

    let (code, said, _) = run(&world, &["check"]).await;
    assert_eq!(code, 0, "a warning is no failure: {said}");
    assert!(said.contains("\npass    Public address"), "{said}");
    assert!(said.contains("\nwarn    Deliveries") && said.contains(" → "), "{said}");
    let (_, said, _) = run(&world, &["check", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["status"], "warn");

    let (_, said, _) = run(&world, &["orders", "list", "--state", "failed"]).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("ORDER  STATE") && lines.len() == 2, "{said}");
    assert!(lines[1].starts_with(&format!("{order}  ")) && lines[1].contains("failed"), "{said}");
    assert!(lines[1].ends_with("destination: HTTP 422"), "{said}");
    let (_, said, _) = run(&world, &["orders", "list", "--state", "gone"]).await;
    assert_eq!(said, "no orders are gone\n");
    let (_, said, _) = run(&world, &["orders", "list", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()[0]["order_id"], order);
    let hook = world.store.hooks()[0].id;
    let (_, said, _) = run(&world, &["hooks", "list"]).await;
    let columns: Vec<&str> = said.lines().nth(1).unwrap().split("  ").filter(|cell| !cell.is_empty()).collect();
    assert_eq!(columns, [&hook.to_string(), "active", "the relay's", "store/order/*", "127.0.0.1"], "{said}");
    let (_, said, _) = run(&world, &["hooks", "update", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()[0]["done"], "kept");

    world.sink.clear_faults();
    let (_, said, _) = run(&world, &["orders", "resend", "--state", "failed"]).await;
    assert_eq!(said, "1 order will be sent again, by the running relay\n");
    world.arrived(1).await;
    world.stop_relay().await;
    let (_, said, _) = run(&world, &["orders", "resend", &order.to_string()]).await;
    assert_eq!(said, "1 order will be sent again, once a relay runs: none does now\n");
    world.store.deactivate_hook(hook);
    let (_, said, errors) = run(&world, &["check"]).await;
    assert!(said.contains("\nwarn    BigCommerce: notices of orders (webhooks)"), "{said}");
    assert_eq!(errors, "note: no relay is running on this database\n");
    let (_, said, _) = run(&world, &["hooks", "remove", "--dry-run"]).await;
    assert!(
        said.starts_with("1 webhook would be removed at BigCommerce (") && world.store.hooks().len() == 1,
        "{said}"
    );
    let (_, said, _) = run(&world, &["hooks", "remove", "--dry-run", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()[0]["id"], hook);
    let (_, said, _) = run(&world, &["hooks", "remove", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["removed"], 1);
    assert!(world.store.hooks().is_empty());
    world.finish().await;
}

#[actix_web::test]
async fn an_order_that_nobody_knows_is_not_sent_again_and_one_that_only_the_store_knows_is() {
    let mut world = World::start().await;
    let (code, said, errors) = run(&world, &["orders", "resend", "999999"]).await;
    assert_eq!((code, &*said), (1, ""), "{errors}");
    assert!(errors.starts_with("error: order 999999 is unknown: neither the relay nor BigCommerce ("), "{errors}");
    let missed = world.store.place_order_silently(None, 11);
    let (code, said, errors) = run(&world, &["orders", "resend", "999999", &missed.to_string()]).await;
    assert_eq!((code, &*said), (1, "1 order will be sent again, by the running relay\n"), "{errors}");
    world.arrived(1).await;
    assert_eq!(world.row(999_999).await, Value::Null);
    world.stop_relay().await;
    let (code, said, _) = run(&world, &["orders", "resend", "999999", "--json"]).await;
    let resent: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &resent["resent"], &resent["unknown"][0]), (1, &0.into(), &999_999.into()));
    world.store.fault(Fault::new(Operation::OrderSingle, Action::Status(503)));
    let (code, said, errors) = run(&world, &["orders", "resend", "999998"]).await;
    assert_eq!((code, &*said), (0, "1 order will be sent again, once a relay runs: none does now\n"), "{errors}");
    assert!(errors.contains(" could not be asked about order 999998 (HTTP 503): the relay looks for it"), "{errors}");
    world.store.clear_faults();
    world.finish().await;
}

#[actix_web::test]
async fn before_the_first_start_a_check_says_to_start_the_relay_and_does_not_fail() {
    let (world, _) = past(&[]);
    for _ in 0..2 {
        let (code, said, errors) = run(&world, &["check"]).await;
        assert_eq!(code, 0, "{said}{errors}");
        assert!(said.contains("start the relay first") && errors.contains("start the relay first"), "{said}{errors}");
        assert!(said.contains("\nskip    BigCommerce: notices of orders (webhooks)"), "{said}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_running_relays_webhooks_are_not_removed_under_it() {
    let mut world = World::start().await;
    let (code, said, errors) = run(&world, &["hooks", "remove"]).await;
    assert_eq!((code, &*said, world.store.hooks().len()), (1, "", 1));
    assert!(errors.contains("would make the webhooks anew: stop it first"), "{errors}");
    world.stop_relay().await;
    let (code, said, _) = run(&world, &["hooks", "remove"]).await;
    assert_eq!((code, &*said, world.store.hooks().len()), (0, "removed 1 webhook\n", 0));
    world.finish().await;
}

#[actix_web::test]
async fn what_a_dead_relay_noted_is_asked_again() {
    let mut world = World::start().await;
    world.sink.fault_all(Action::Status(503));
    super::put_off(&world).await;
    let noted = async {
        // A short outage is a warning, a longer one a failure.
        while run(&world, &["check"]).await.1.contains("\npass    One Tribe: destination") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noted).await.unwrap();
    world.stop_relay().await;
    world.sink.clear_faults();
    let (_, output, _) = run(&world, &["check"]).await;
    assert!(output.contains("\npass    One Tribe: destination"), "{output}");
    world.finish().await;
}

#[actix_web::test]
async fn everything_moves_to_another_database_and_the_relay_goes_on_there() {
    let Some(database) = crate::support::postgres::Database::fresh().await else { return };
    let mut world = World::start().await;
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.arrived(1).await;
    world.settled(order, "delivered").await;
    world.stop_relay().await;
    let mut migrate = command(&world, &["migrate"]);
    let output = actix_web::rt::task::spawn_blocking({
        let url = database.url();
        move || migrate.env("MIGRATE_TO", url).output().unwrap()
    });
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("objects: 1 row moved\n") && said.contains("connections: 1 row moved\n"), "{said}");
    world.set("DATABASE_URL", &database.url());
    let (_, said, _) = run(&world, &["orders", "list", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()[0]["order_id"], order);
    world.start_relay().await;
    let next = world.store.place_order_silently(None, 11);
    world.tell(next).await;
    world.arrived(2).await;
    world.finish().await;
}
