//! Alerts at a receiver of the test's own: one message, one when it is over, none lost while the receiver is away.

use std::time::Duration;

use onetribe_relay::{alerts::Watcher, app::Parts, clock::Timestamp};
use sandbox::{Action, Fault, Operation, SenderOptions, StoreConfig};
use secrecy::SecretString;

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
