//! No personal data and no secrets in the database, in logs, on pages or in metrics.

use std::process::{Command, Stdio};

use sandbox::{Action, Fault, Operation, SenderOptions, StoreConfig, relay::ADMIN_TOKEN};

use crate::relay::world::{PATIENCE, World};

/// Personal data of the buyer in the fixture's order.
const PERSONAL: [&str; 6] = ["Jane", "555 East", "janedoe@", "78108", "1234567890", "backyard"];

#[actix_web::test]
async fn database_logs_pages_and_metrics_hold_nothing_personal_and_no_secret() {
    let metrics = sandbox::relay::free_port().unwrap();
    let world = World::prepare(
        StoreConfig::default(),
        SenderOptions::default(),
        &[("METRICS_PORT", &metrics.to_string()), ("RETRY_MAX_AGE", "1s"), ("FORWARD_TIMEOUT", "1s")],
    );
    let log = world.folder.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"))
        .env_clear()
        .envs(world.variables())
        .envs([("RUST_LOG", "debug"), ("LOG_FORMAT", "json")])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    world.hooked().await;

    // Everything that can succeed or fail, once each.
    let delivered = world.store.place_order_as(None, 11);
    world.arrived_at(delivered, 1).await;
    let failed = world.store.place_order_silently(None, 11);
    world.sink.fault_order(failed, Action::Status(422));
    world.tell(failed).await;
    world.settled(failed, "failed").await;
    for action in
        [Action::Status(503), Action::Drop, Action::LoseAnswer, Action::Redirect("http://127.0.0.1:9/x".into())]
    {
        world.sink.fault(Fault::new(Operation::Delivery, action).times(1));
        let order = world.store.place_order_as(None, 11);
        world.settled(order, "delivered").await;
    }
    for action in [Action::NotJson, Action::AnotherOrder, Action::HalfAnswer, Action::Status(401)] {
        let order = world.store.place_order_silently(None, 11);
        world.store.fault(Fault::new(Operation::OrderSingle, action).order(order).times(1));
        world.tell(order).await;
        world.settled(order, "delivered").await;
    }
    let mut seen = Vec::new();
    for path in
        ["/orders", "/integration", "/integration/check", "/health/ready", "/integration/echo?nonce=1", "/nothing"]
    {
        let page = world.client.get(world.url(path)).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
        seen.push((path.to_owned(), page.bytes().await.unwrap().to_vec()));
    }
    let numbers = world.client.get(format!("http://127.0.0.1:{metrics}/metrics")).send().await.unwrap();
    assert_eq!(numbers.status().as_u16(), 200);
    seen.push(("/metrics".to_owned(), numbers.bytes().await.unwrap().to_vec()));
    let files = || {
        std::fs::read_dir(world.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
            .collect::<Vec<_>>()
    };
    // Once with the write-ahead log, and once without it after an orderly stop.
    seen.extend(files());
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(process.wait().unwrap().success());
    seen.extend(files());

    let sink = world.sink.url();
    let secrets = [
        world.store.config().token.as_str(),
        world.store.config().client_secret.as_str(),
        sink.rsplit('/').next().unwrap(),
        ADMIN_TOKEN,
        world.store.hooks()[0].headers["x-relay-token"].as_str().unwrap(),
    ]
    .map(str::to_owned);
    for needle in PERSONAL.iter().map(|text| (*text).to_owned()).chain(secrets) {
        for (place, bytes) in &seen {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found, "`{needle}` stands in {place}");
        }
    }
    // Proof that the search can find something: the order's number is there.
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(&format!("order {delivered}: delivered")), "{log}");
    world.sink.wait_for(|sink| sink.open() == 0, PATIENCE).await.unwrap();
}
