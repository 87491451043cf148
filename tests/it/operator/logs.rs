//! The log, as a running relay writes it.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use sandbox::{Action, Event, Scope, SendOptions, SenderOptions, StoreConfig};
use serde_json::Value;

use crate::relay::world::{PATIENCE, World};

struct Logged {
    child: Child,
    path: std::path::PathBuf,
}

impl Logged {
    async fn start(world: &World, format: &str, filter: &str) -> Self {
        let path = world.folder.path().join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().envs(world.variables()).env("LOG_FORMAT", format).env("RUST_LOG", filter);
        command.current_dir(world.folder.path()).stdin(Stdio::null()).stdout(fs::File::create(&path).unwrap());
        let child = command.spawn().unwrap();
        world.hooked().await;
        Self { child, path }
    }

    async fn stop(mut self) -> String {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        actix_web::rt::task::spawn_blocking(move || assert!(self.child.wait().unwrap().success())).await.unwrap();
        let text = fs::read_to_string(self.path).unwrap();
        for secret in ["sandbox-access-token", "sandbox-client-secret", "sandbox-merchant-token", "sandbox-admin-token"]
        {
            assert!(!text.contains(secret), "{text}");
        }
        text
    }
}

async fn settle(world: &World) {
    while world.get("/orders?state=pending").await.1["orders"].as_array().unwrap().iter().len() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix_web::test]
async fn an_orders_way_and_a_requests_lines_can_be_found_in_json() {
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    let relay = Logged::start(&world, "json", "onetribe_relay=debug").await;
    let order = world.store.place_order_silently(None, 11);
    let event = Event::new(Scope::Updated, order);
    assert_eq!(world.send(&event, &SendOptions::default().header("x-request-id", "edge-7f.A_1")).await, 200);
    world.arrived(1).await;
    settle(&world).await;
    for (given, taken) in [("proxy-42", true), ("with space", false), (&"x".repeat(65), false)] {
        let request = world.client.get(world.url("/health/live")).header("x-request-id", given);
        let answer = request.send().await.unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(id == given, taken, "{given}: {id}");
        assert!(taken || id.len() == 16);
    }
    let lines: Vec<Value> = relay
        .stop()
        .await
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let number = order.to_string();
    let of_order: Vec<&Value> = lines.iter().filter(|line| line["order_id"] == *number).collect();
    for line in &of_order {
        assert!(line["message"].as_str().unwrap().contains(&format!("order {order}")), "{line}");
    }
    let kept = of_order.iter().find(|line| line["message"].as_str().unwrap().ends_with("webhook kept")).unwrap();
    assert_eq!(kept["span"]["request_id"], "edge-7f.A_1");
    let delivered = of_order.iter().find(|line| line["message"] == format!("order {order}: delivered")).unwrap();
    assert!(delivered["lag_ms"].is_u64() && delivered["level"] == "INFO", "{delivered}");
    let access = lines.iter().find(|line| line["path"] == "/webhooks/bigcommerce").unwrap();
    assert_eq!((&access["status"], &access["method"]), (&Value::from(200), &Value::from("POST")));
    assert_eq!(access["span"]["request_id"], "edge-7f.A_1");
    documented(&lines);
    world.finish().await;
}

/// Every field that a line has is in the document's table.
fn documented(lines: &[Value]) {
    let document = include_str!("../../../docs/logging.md");
    for line in lines {
        for field in line.as_object().unwrap().keys().filter(|field| *field != "span") {
            assert!(document.contains(&format!("`{field}`")), "{field} of {line} is not in docs/logging.md");
        }
    }
}

#[actix_web::test]
async fn a_busy_store_writes_one_line_an_order() {
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    let relay = Logged::start(&world, "pretty", "info").await;
    for _ in 0..100 {
        world.store.place_order_as(None, 11);
    }
    world.arrived(100).await;
    settle(&world).await;
    let text = relay.stop().await;
    let lines = text.lines().count();
    assert!((100..115).contains(&lines), "{lines} lines: {text}");
    assert!(!text.contains('\x1b'));
    world.finish().await;
}

#[actix_web::test]
async fn tables_that_are_there_already_are_no_news() {
    let Some(database) = crate::support::postgres::Database::fresh().await else { return };
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[("DATABASE_URL", &database.url())]);
    for _ in 0..2 {
        let relay = Logged::start(&world, "pretty", "info").await;
        let text = relay.stop().await;
        assert!(text.contains("onetribe-relay serves 1 connection") && !text.contains("already exists"), "{text}");
        // The next one is known to be up by its having mended this.
        world.store.deactivate_hook(world.store.hooks()[0].id);
    }
    world.finish().await;
}

/// A relay whose log goes into a pipe that this test reads, or does not.
fn piped(world: &World, filter: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().envs(world.variables()).env("RUST_LOG", filter).env("LOG_FORMAT", "json");
    command.current_dir(world.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[actix_web::test]
async fn whoever_stops_reading_the_log_holds_up_nothing_and_is_told_what_was_dropped() {
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    let mut relay = piped(&world, "trace,actix_http=trace,hyper=trace,hyper_util=trace");
    world.hooked().await;
    let order = world.store.place_order_silently(None, 11);
    // Far more than a pipe and the buffer hold.
    let events = async {
        for _ in 0..400 {
            world.tell(order).await;
            for _ in 0..5 {
                world.client.get(world.url("/health/ready")).send().await.unwrap();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(180), events).await.expect("nothing waits for the log");
    world.arrived(1).await;
    settle(&world).await;

    let mut lines = BufReader::new(relay.stdout.take().unwrap()).lines();
    let read = actix_web::rt::task::spawn_blocking(move || {
        let told = lines.by_ref().map(Result::unwrap).find(|line| line.contains("\"dropped_lines\":"));
        (told, lines)
    });
    // What comes now is written.
    let (told, lines) = loop {
        if read.is_finished() {
            break read.await.unwrap();
        }
        world.client.get(world.url("/health/live")).send().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let told: Value = serde_json::from_str(&told.expect("it is told")).unwrap();
    assert!(told["dropped_lines"].as_u64().unwrap() > 0 && told["level"] == "WARN", "{told}");
    signal(&relay, "-TERM");
    let is_last = |line: &String| line.contains("\"message\":\"stopped\"");
    let last = actix_web::rt::task::spawn_blocking(move || lines.map(Result::unwrap).filter(is_last).count());
    assert_eq!(last.await.unwrap(), 1, "the last lines are written");
    assert!(relay.wait().unwrap().success());
    world.finish().await;
}

#[actix_web::test]
async fn a_relay_whose_log_nobody_reads_still_ends() {
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    let mut relay = piped(&world, "trace,actix_http=trace,hyper=trace,hyper_util=trace");
    world.hooked().await;
    for _ in 0..2000 {
        world.client.get(world.url("/health/ready")).send().await.unwrap();
    }
    signal(&relay, "-TERM");
    let ended = actix_web::rt::task::spawn_blocking(move || relay.wait().unwrap());
    assert!(tokio::time::timeout(PATIENCE, ended).await.expect("it ends").unwrap().success());
    world.finish().await;
}

#[actix_web::test]
async fn a_signal_sent_twice_at_once_is_one_and_a_later_one_ends_at_once() {
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    world.sink.fault_all(Action::Slow(Duration::from_secs(8)));
    for (pause, code) in [(Duration::ZERO, 0), (Duration::from_millis(2500), 1)] {
        let mut relay = piped(&world, "info");
        world.hooked().await;
        let before = world.sink.attempts();
        let order = world.store.place_order_silently(None, 11);
        while world.sink.attempts() == before {
            // The hook may be there before the relay listens.
            let _ = world.client.get(world.url("/health/live")).send().await;
            if world.client.get(world.url("/health/live")).send().await.is_ok() {
                world.tell(order).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let twice = format!("kill $0; sleep {}; kill $0", pause.as_secs_f64());
        let sent = Command::new("sh").args(["-c", &twice, &relay.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let ended = actix_web::rt::task::spawn_blocking(move || relay.wait().unwrap()).await.unwrap();
        assert_eq!(ended.code(), Some(code), "after {pause:?}");
    }
    world.sink.clear_faults();
    let relay = Logged::start(&world, "pretty", "info").await;
    world.arrived(2).await;
    relay.stop().await;
    world.finish().await;
}
