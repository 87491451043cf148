//! The real process: killed at any moment, stopped in order, misconfigured, and run as a command.

use std::{
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rand::RngExt;
use sandbox::{Action, Fault, Operation, SenderOptions, StoreConfig, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::relay::world::{PATIENCE, World};

/// A relay in a process of its own. Killed when dropped.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn command(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().envs(world.variables()).current_dir(world.folder.path());
    command
}

impl Process {
    /// Starts it and waits until it answers.
    pub async fn start(world: &World) -> Self {
        Self::of(command(world), world).await
    }

    /// Starts a prepared command with the environment of `world`, and waits until it answers.
    pub async fn of(mut command: Command, world: &World) -> Self {
        command.env("RUST_LOG", "warn").env("FETCH_TIMEOUT", "5s").env("FORWARD_TIMEOUT", "5s");
        Self::as_prepared(command, &world.url("/health/live")).await
    }

    /// Starts a prepared command as it is, and waits until the URL `live` answers.
    pub async fn as_prepared(mut command: Command, live: &str) -> Self {
        let process = Self(command.stdin(Stdio::null()).spawn().unwrap());
        let client = http::client();
        let began = Instant::now();
        while client.get(live).send().await.is_err() {
            assert!(began.elapsed() < PATIENCE, "the relay does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub async fn ended(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the relay does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub fn prepared() -> World {
    // BigCommerce's retries in milliseconds; they go on for so long that the restarts do not use them up.
    let sender = SenderOptions { time_factor: 0.002, ..SenderOptions::default() };
    World::prepare(StoreConfig { quota: sandbox::QuotaRule::unlimited(), ..StoreConfig::default() }, sender, &[])
}

#[actix_web::test]
async fn killed_two_dozen_times_under_load_nothing_acknowledged_is_lost_stale_or_side_by_side() {
    let world = prepared();
    world.sink.fault_all(Action::Slow(Duration::from_millis(3)));
    let mut orders = Vec::new();
    let mut process = Process::start(&world).await;
    world.hooked().await;
    for round in 0..24 {
        let until = Instant::now() + Duration::from_millis(rand::rng().random_range(20..300));
        while Instant::now() < until {
            if orders.len() < 400 && rand::rng().random_bool(0.5) {
                orders.push(world.store.place_order_as(None, 11));
            } else if let Some(order) = orders.get(rand::rng().random_range(0..orders.len().max(1))) {
                world.store.change_order(*order, (round % 15) as u8);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        process.kill();
        process = Process::start(&world).await;
    }
    // Claims of a killed relay wait until their leases end; BigCommerce may have deactivated the hook.
    let settled = |world: &World| {
        let report = world.audit();
        report.missing.is_empty() && report.stale.is_empty()
    };
    let began = Instant::now();
    while !(world.sender.pending() == 0 && settled(&world)) {
        assert!(began.elapsed() < PATIENCE, "{} ({} pending)", world.audit(), world.sender.pending());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(world.sender.acknowledged_count() > 100, "{} acknowledged", world.sender.acknowledged_count());
    process.signal("TERM");
    assert!(process.ended().await.success());
    world.finish().await;
}

#[actix_web::test]
async fn killed_between_any_two_steps_the_order_arrives_and_never_two_at_once() {
    let world = prepared();
    let mut process = Process::start(&world).await;
    world.hooked().await;
    type Hold = fn(&World, i64);
    let steps: [(&str, Hold); 4] = [
        ("after the claim", |world, order| {
            world.store.fault(Fault::new(Operation::OrderSingle, Action::Hold).order(order).times(1));
        }),
        ("after the fetch", |world, order| {
            world.store.fault(Fault::new(Operation::OrderSingle, Action::HoldAnswer).order(order).times(1));
        }),
        ("while it is forwarded", |world, order| {
            world.sink.fault(Fault::new(Operation::Delivery, Action::Hold).order(order).times(1));
        }),
        ("after it was taken, before it is settled", |world, order| {
            world.sink.fault(Fault::new(Operation::Delivery, Action::HoldAnswer).order(order).times(1));
        }),
    ];
    for (step, hold) in steps {
        let order = world.store.place_order_silently(None, 11);
        hold(&world, order);
        world.tell(order).await;
        let began = Instant::now();
        while world.store.held() + world.sink.held() == 0 {
            assert!(began.elapsed() < PATIENCE, "{step}: nothing was held");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.kill();
        // The order changes before it is fetched again.
        world.store.change_order_silently(order, 2);
        process = Process::start(&world).await;
        world.arrived_at(order, 2).await;
        world.store.release();
        world.sink.release();
        world.settled(order, "delivered").await;
        assert_eq!(world.sink.max_open_of(order), 1, "{step}");
    }
    process.signal("TERM");
    assert!(process.ended().await.success());
    world.finish().await;
}

#[actix_web::test]
async fn both_signals_finish_what_is_under_way_and_begin_nothing_new() {
    for signal in ["TERM", "INT"] {
        let world = prepared();
        let process = Process::start(&world).await;
        world.hooked().await;
        world.sink.fault(Fault::new(Operation::Delivery, Action::Hold).times(1));
        let order = world.store.place_order_as(None, 11);
        world.sink.wait_for(|sink| sink.held() == 1, PATIENCE).await.unwrap();
        process.signal(signal);
        let began = Instant::now();
        while http::client().get(world.url("/health/live")).send().await.is_ok() {
            assert!(began.elapsed() < PATIENCE, "it still takes connections");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.sink.release();
        assert!(process.ended().await.success(), "{signal}");
        assert_eq!(world.sink.newest(order), Some(1));
        // It was settled, so the next start has nothing to do.
        let process = Process::start(&world).await;
        assert_eq!(world.row(order).await["state"], "delivered");
        drop(process);
        world.finish().await;
    }
}

#[actix_web::test]
async fn a_second_signal_ends_it_at_once() {
    let world = prepared();
    let mut prepared = command(&world);
    prepared.env("RUST_LOG", "warn").env("FORWARD_TIMEOUT", "60s");
    let process = Process::as_prepared(prepared, &world.url("/health/live")).await;
    world.hooked().await;
    world.sink.fault(Fault::new(Operation::Delivery, Action::Hold).times(1));
    world.store.place_order_as(None, 11);
    world.sink.wait_for(|sink| sink.held() == 1, PATIENCE).await.unwrap();
    process.signal("TERM");
    while http::client().get(world.url("/health/live")).send().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Two signals within a second count as one, since supervisors signal a process and its group.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    process.signal("INT");
    assert_eq!(process.ended().await.code(), Some(1));
    world.sink.release();
}

#[actix_web::test]
async fn a_burst_of_connections_is_taken_in_before_the_relay_can_look() {
    let world = prepared();
    let process = Process::start(&world).await;
    process.signal("STOP");
    let address = world.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut open = Vec::new();
    for number in 0..800 {
        // A client whose connection the system drops tries again after a second, and then after longer and longer
        // waits.
        let connect = tokio::net::TcpStream::connect(&address);
        let connected = tokio::time::timeout(Duration::from_millis(900), connect).await;
        open.push(connected.unwrap_or_else(|_| panic!("connection {number} has to wait")).unwrap());
    }
    process.signal("CONT");
    let mut last = open.pop().unwrap();
    last.write_all(b"GET /health/live HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(open);
    process.signal("TERM");
    assert!(process.ended().await.success());
}

#[actix_web::test]
async fn a_second_relay_on_the_same_file_does_not_start() {
    let world = prepared();
    let _process = Process::start(&world).await;
    let second = output(command(&world).env("PORT", "0"));
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains("another relay is serving the database"), "{}", text(&second));
}

#[actix_web::test]
async fn a_damaged_database_is_said_and_left_alone() {
    let world = prepared();
    let rubbish = b"this is no database ".repeat(500);
    std::fs::write(world.database(), &rubbish).unwrap();
    let ended = output(&mut command(&world));
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended).contains("damaged"), "{}", text(&ended));
    assert_eq!(std::fs::read(world.database()).unwrap(), rubbish);
}

#[test]
fn every_fault_of_the_configuration_is_named_at_once_and_no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().current_dir(folder.path());
    let ended = output(command.envs([
        ("BIGCOMMERCE_ACCESS_TOKEN", "secret with spaces"),
        ("ONE_TRIBE_DESTINATION", "http://example.com/secret-path"),
        ("PORT", "eighty"),
        ("FETCH_TIMEOUT", "10"),
        ("ADMIN_TOKEN", "secret"),
    ]));
    assert_eq!(ended.status.code(), Some(2));
    let said = text(&ended);
    for name in [
        "BIGCOMMERCE_STORE_HASH",
        "BIGCOMMERCE_ACCESS_TOKEN",
        "BIGCOMMERCE_CLIENT_SECRET",
        "ONE_TRIBE_DESTINATION",
        "PORT",
        "FETCH_TIMEOUT",
        "ADMIN_TOKEN",
    ] {
        assert!(said.contains(&format!("{name}: ")), "{name} is not in: {said}");
    }
    assert!(!said.contains("secret with") && !said.contains("secret-path"), "{said}");
}

#[actix_web::test]
async fn a_dotenv_file_is_read_and_real_variables_win() {
    let world = prepared();
    let lines: Vec<String> = world.variables().iter().map(|(name, value)| format!("{name}={value}")).collect();
    std::fs::write(world.folder.path().join(".env"), lines.join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().current_dir(world.folder.path()).arg("healthcheck");
    assert_eq!(output(&mut command).status.code(), Some(1), "no relay is there yet");
    let _process = Process::start(&world).await;
    assert!(output(&mut command).status.success());
    assert_eq!(output(command.env("PORT", "1")).status.code(), Some(1), "the real variable wins");
}

#[actix_web::test]
async fn the_commands_do_what_they_say() {
    let world = prepared();
    let process = Process::start(&world).await;
    world.hooked().await;
    let run = |args: &str| {
        let ended = output(command(&world).args(args.split(' ')));
        (ended.status.code().unwrap(), String::from_utf8(ended.stdout.clone()).unwrap(), text(&ended))
    };
    let order = world.store.place_order_as(None, 11);
    world.settled(order, "delivered").await;

    let (code, said, all) = run("check");
    assert_eq!(code, 0, "{all}");
    assert_eq!(said.lines().filter(|line| line.starts_with("pass  ")).count(), 7, "{said}");
    let (_, said, _) = run("check --json");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["status"], "pass");

    let (code, said, _) = run("orders list");
    assert_eq!(code, 0);
    let row: Vec<&str> = said.lines().nth(1).unwrap().split_whitespace().take(3).collect();
    assert_eq!(row, [&*order.to_string(), "delivered", "1"], "{said}");
    let (_, said, _) = run("orders list --json --state failed");
    assert_eq!(said.trim(), "[]");
    let (code, ..) = run(&format!("orders resend {order}"));
    assert_eq!(code, 0);
    world.sink.wait_for(|sink| sink.accepted_count() == 2, PATIENCE).await.unwrap();

    let (code, said, _) = run("hooks list");
    assert_eq!(code, 0);
    assert!(said.contains("active  the relay's  store/order/*"), "{said}");
    let (code, said, _) = run("hooks update");
    assert_eq!((code, said.contains("kept")), (0, true), "{said}");
    let (code, _, said) = run("hooks remove");
    assert!(code == 1 && said.contains("stop it first"), "{said}");
    process.signal("TERM");
    assert!(process.ended().await.success());
    let (code, said, _) = run("hooks remove");
    assert_eq!((code, said.trim()), (0, "removed 1 webhook"));
    assert!(world.store.hooks().is_empty());
    let (code, _, said) = run("check");
    assert_eq!(code, 0, "polling finds the orders meanwhile: {said}");
    assert!(said.contains("\nwarn    BigCommerce: notices of orders (webhooks)"), "{said}");

    for wrong in ["orders resend", "orders list --state wrong", "nonsense", "orders resend --state delivered"] {
        assert_eq!(run(wrong).0, 2, "{wrong}");
    }
    for help in ["--help", "check --help", "hooks --help", "orders resend --help", "healthcheck --help", "serve --help"]
    {
        assert_eq!(run(help).0, 0, "{help}");
    }
    assert!(run("--version").1.starts_with("onetribe-relay "));
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[actix_web::test]
async fn a_full_disk_acknowledges_nothing_that_it_does_not_keep_and_all_goes_on_when_there_is_room() {
    let mut world = prepared();
    // A small file system in memory that can be filled; only root may mount one. SQLite's log alone takes 16 MiB before
    // its pages are used again.
    let disk = world.folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(&disk).output();
    if !mount.is_ok_and(|done| done.status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no file system could be mounted (run as root)");
        eprintln!("skipped: no file system could be mounted to be filled (needs root)");
        return;
    }
    world.set("DATABASE_URL", &format!("sqlite://{}/relay.db", disk.display()));
    let process = Process::start(&world).await;
    world.hooked().await;
    let first = world.store.place_order_as(None, 11);
    world.arrived_at(first, 1).await;

    let ballast = disk.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    let chunk = [0u8; 4096];
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    let mut kept = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        let order = world.store.place_order_silently(None, 11);
        match world.send(&sandbox::Event::new(sandbox::Scope::Created, order), &sandbox::SendOptions::default()).await {
            200 => kept.push(order),
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0, "the disk was never full");
    let ready = world.client.get(world.url("/health/ready")).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 503);
    assert!(ready.headers().contains_key("retry-after"));

    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    let after = world.store.place_order_silently(None, 11);
    world.tell(after).await;
    world.arrived_at(after, 1).await;
    for order in kept {
        world.arrived_at(order, 1).await;
    }
    let ready = world.client.get(world.url("/health/ready")).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 200);
    process.signal("TERM");
    assert!(process.ended().await.success());
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    world.finish().await;
}

#[actix_web::test]
async fn logs_that_cannot_be_written_cost_no_order() {
    let world = prepared();
    let mut silent = command(&world);
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    silent.stdout(full()).stderr(full());
    let process = Process::of(silent, &world).await;
    let order = world.store.place_order_silently(None, 11);
    world.sink.fault(Fault::new(Operation::Delivery, Action::Status(422)).times(1));
    world.tell(order).await;
    world.arrived_at(order, 1).await;
    world.hooked().await;
    world.store.change_order(order, 2);
    world.arrived_at(order, 2).await;
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(0));
    world.finish().await;
}
