//! Alerts at a receiver of the test's own: one message, one when it is over, none lost while the receiver is away.

use std::time::{Duration, Instant};

use onetribe_relay::{alerts::Watcher, app::Parts, clock::Timestamp, dispatch::Dispatch, http::Seen, retry::Standing};
use sandbox::{Action, Fault, Operation, SenderOptions, StoreConfig};
use secrecy::SecretString;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio_util::sync::CancellationToken;

use crate::receiver::Receiver;
use crate::world::{PATIENCE, World};

fn later(seconds: u64) -> Timestamp {
    Timestamp::now().after(Duration::from_secs(seconds))
}

async fn watcher(world: &World, receiver: &Receiver) -> (Parts, Watcher) {
    let parts = Parts::open(world.config()).await.unwrap();
    let url = SecretString::from(receiver.url.clone());
    let watcher = Watcher::new(&url, parts.connection.clone(), parts.inbox.clone(), parts.registrar.clone()).unwrap();
    (parts, watcher)
}

#[actix_web::test]
async fn a_running_relay_tells_of_failed_orders_once() {
    let receiver = Receiver::start();
    let mut world = World::start_with(&[("RETRY_MAX_AGE", "1s"), ("ALERT_URL", &receiver.url)]).await;
    for _ in 0..3 {
        let order = world.store.place_order_silently(None, 11);
        world.sink.fault_order(order, Action::Status(422));
        world.tell(order).await;
        world.settled(order, "failed").await;
    }
    let told = async {
        while receiver.texts().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    world.stop_relay().await;
    let texts = receiver.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].starts_with("Alert: onetribe-relay, store abcde: ") && texts[0].contains("could not be delivered")
    );
    assert!(!texts[0].contains("sandbox-"));

    // The next start knows what was told, and tells the end of it.
    let (parts, mut watcher) = watcher(&world, &receiver).await;
    watcher.look(later(0)).await;
    assert_eq!(receiver.texts().len(), 1);
    world.sink.clear_faults();
    world.start_relay().await;
    assert_eq!(world.post("/orders/resend?state=failed").await.0, 202);
    world.arrived(3).await;
    watcher.look(later(1)).await;
    assert_eq!(receiver.texts().len(), 1);
    watcher.look(later(90)).await;
    assert_eq!(receiver.texts()[1..], ["Over: onetribe-relay, store abcde: No failed orders are left."]);
    parts.inbox.close().await;
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn a_receiver_that_is_away_is_tried_again_without_a_flood() {
    let receiver = Receiver::start();
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(401)));
    let (parts, mut watcher) = watcher(&world, &receiver).await;
    assert!(parts.registrar.ensure().await.is_err());
    receiver.answer(500);
    // Ten minutes of looks, every five seconds.
    for look in 0..120 {
        watcher.look(later(look * 5)).await;
    }
    let tries = receiver.requests();
    assert!((3..=8).contains(&tries), "{tries} tries");
    receiver.answer(200);
    for look in 120..360 {
        watcher.look(later(look * 5)).await;
    }
    let texts = receiver.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains("BigCommerce refuses the relay's access token (HTTP 401)"), "{texts:?}");

    world.store.clear_faults();
    assert!(parts.registrar.ensure().await.is_ok());
    watcher.look(later(2000)).await;
    watcher.look(later(2061)).await;
    assert!(receiver.texts()[1].starts_with("Over: "));
    parts.inbox.close().await;
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn hooks_that_cannot_be_mended_and_orders_that_wait_are_told_when_it_lasts() {
    let receiver = Receiver::start();
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(422)));
    let (parts, mut watcher) = watcher(&world, &receiver).await;
    assert!(parts.registrar.ensure().await.is_err());
    parts.inbox.want(parts.connection.id, vec!["7".parse().unwrap()], true, later(0)).await.unwrap();
    watcher.look(later(200)).await;
    assert!(receiver.texts().is_empty());
    watcher.look(later(310)).await;
    watcher.look(later(890)).await;
    watcher.look(later(910)).await;
    let texts = receiver.texts();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("webhooks could not be put right for 5 minutes: BigCommerce: HTTP 422"), "{texts:?}");
    assert!(texts[1].contains("1 order is waiting, the oldest for 15 minutes"), "{texts:?}");
    parts.inbox.close().await;
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn a_restart_in_the_middle_of_a_trouble_neither_ends_it_nor_tells_it_again() {
    let receiver = Receiver::start();
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(422)));
    for since in [400, 0] {
        let (parts, mut watcher) = watcher(&world, &receiver).await;
        // This process has seen nothing yet.
        for seconds in [0, 100] {
            watcher.look(later(seconds)).await;
        }
        assert!(parts.registrar.ensure().await.is_err());
        let down = Instant::now() - Duration::from_secs(since);
        parts.connection.destination_breaker().failed(down, Seen::Status(503), None, 0.5);
        for seconds in [105, 130, 200, 310, 900] {
            watcher.look(later(seconds)).await;
        }
        parts.inbox.close().await;
    }
    let texts = receiver.texts();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(texts.iter().all(|text| text.starts_with("Alert: ")), "{texts:#?}");

    let (parts, mut watcher) = watcher(&world, &receiver).await;
    world.store.clear_faults();
    parts.registrar.ensure().await.unwrap();
    parts.connection.destination_breaker().succeeded();
    for seconds in [1000, 1061] {
        watcher.look(later(seconds)).await;
    }
    let texts = receiver.texts();
    assert!(texts.len() == 4 && texts[2..].iter().all(|text| text.starts_with("Over: ")), "{texts:#?}");
    parts.inbox.close().await;
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn what_was_told_is_kept_as_soon_as_the_database_takes_it_and_its_trouble_is_not_the_hooks() {
    let receiver = Receiver::start();
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    let (parts, mut told) = watcher(&world, &receiver).await;
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(401)).times(1));
    assert!(parts.registrar.ensure().await.is_err());
    let file = SqliteConnectOptions::new().filename(world.database());
    let mut lock = SqliteConnection::connect_with(&file).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    assert!(parts.registrar.ensure().await.is_err(), "a turn is kept in the database");
    told.look(later(0)).await;
    assert_eq!(receiver.texts().len(), 1);
    sqlx::query("COMMIT").execute(&mut lock).await.unwrap();
    lock.close().await.unwrap();
    told.look(later(600)).await;
    let (_, mut another) = watcher(&world, &receiver).await;
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(401)).times(1));
    assert!(parts.registrar.ensure().await.is_err());
    another.look(later(605)).await;
    told.look(later(610)).await;
    let texts = receiver.texts();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    parts.inbox.close().await;
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn a_click_that_fails_once_is_followed_up_and_no_alert() {
    let receiver = Receiver::start();
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[("HOOK_CHECK_INTERVAL", "0")]);
    let (parts, mut watcher) = watcher(&world, &receiver).await;
    let stop = CancellationToken::new();
    let run = actix_web::rt::spawn(parts.registrar.clone().run(stop.clone()));
    let well = async || {
        while parts.registrar.standing() != Standing::Well {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, well()).await.unwrap();
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(503)).times(1));
    assert!(parts.registrar.ensure().await.is_err());
    tokio::time::timeout(PATIENCE, well()).await.unwrap();
    watcher.look(later(310)).await;
    assert!(receiver.texts().is_empty());
    stop.cancel();
    run.await.unwrap();
    assert_eq!(parts.registrar.standing(), Standing::Unknown, "another may see more from now on");
    parts.inbox.close().await;
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn a_stop_in_the_middle_of_the_second_message_keeps_that_the_first_was_told() {
    let receiver = Receiver::start();
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    let (parts, watcher) = watcher(&world, &receiver).await;
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(401)));
    assert!(parts.registrar.ensure().await.is_err());
    let long_ago = Instant::now() - Duration::from_secs(400);
    parts.connection.destination_breaker().failed(long_ago, Seen::Status(503), None, 0.5);
    receiver.hold_from(2);
    let stop = CancellationToken::new();
    let run = actix_web::rt::spawn(watcher.run(stop.clone()));
    let second = async {
        while receiver.requests() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, second).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(8), run).await.unwrap().unwrap();
    let kept = parts.inbox.note(parts.connection.id, "alerts:told").await.unwrap();
    assert_eq!(kept.as_deref(), Some("credentials_refused"));
    parts.inbox.close().await;
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn an_outage_that_an_order_has_ended_is_over_also_where_no_other_comes() {
    let receiver = Receiver::start();
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    let (parts, mut watcher) = watcher(&world, &receiver).await;
    let down = Instant::now() - Duration::from_secs(400);
    parts.connection.destination_breaker().failed(down, Seen::Status(503), None, 0.5);
    watcher.look(later(0)).await;
    assert_eq!(receiver.texts().len(), 1);
    let order = world.store.place_order_silently(None, 11).to_string().parse().unwrap();
    parts.inbox.want(parts.connection.id, vec![order], false, Timestamp::now()).await.unwrap();
    let stop = CancellationToken::new();
    let dispatch = Dispatch::new(parts.connection.clone(), parts.inbox.clone(), parts.metrics.clone());
    let run = actix_web::rt::spawn(dispatch.run(stop.clone()));
    world.arrived(1).await;
    // It finds nothing more to do, more than once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for seconds in [10, 80] {
        watcher.look(later(seconds)).await;
    }
    let texts = receiver.texts();
    assert!(texts.len() == 2 && texts[1].contains("One Tribe takes orders again"), "{texts:#?}");
    stop.cancel();
    run.await.unwrap();
    parts.inbox.close().await;
    world.finish().await;
    receiver.server.stop(false).await;
}
