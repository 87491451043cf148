//! Alerts at a receiver of the test's own: one message for each trouble, none lost while the receiver is away, none
//! told twice by the next start. When one is over, and what is one trouble, the ledger's own tests say.

use std::time::Duration;

use sandbox::Action;

use crate::{
    relay::world::{PATIENCE, World},
    support::receiver::Receiver,
};

async fn told(receiver: &Receiver, count: usize) -> Vec<String> {
    let waited = async {
        while receiver.texts().len() < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
    receiver.texts()
}

async fn refused(world: &World) -> i64 {
    let order = world.store.place_order_silently(None, 11);
    world.sink.fault_order(order, Action::Status(422));
    world.tell(order).await;
    world.settled(order, "failed").await;
    order
}

#[actix_web::test]
async fn failed_orders_are_told_once_with_their_numbers_also_over_a_restart() {
    let receiver = Receiver::start();
    let mut world = World::start_with(&[("RETRY_MAX_AGE", "1s"), ("ALERT_URL", &receiver.url)]).await;
    let first = refused(&world).await;
    let texts = told(&receiver, 1).await;
    assert!(texts[0].starts_with("Alert: onetribe-relay, store Sandbox Store (abcde): "), "{texts:?}");
    assert!(texts[0].contains(&first.to_string()) && texts[0].contains("/integration"), "{texts:?}");
    assert!(!texts[0].contains("sandbox-") && !texts[0].contains("secret-of-the-receiver"), "{texts:?}");
    refused(&world).await;
    world.stop_relay().await;
    world.start_relay().await;
    refused(&world).await;
    // Two looks and more.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(receiver.texts().len(), 1, "{:?}", receiver.texts());
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn a_receiver_that_is_away_is_tried_again_and_told() {
    let receiver = Receiver::start();
    receiver.answer(500);
    let world = World::start_with(&[("RETRY_MAX_AGE", "1s"), ("ALERT_URL", &receiver.url)]).await;
    refused(&world).await;
    let tried = async {
        while receiver.requests() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.unwrap();
    receiver.answer(200);
    assert_eq!(told(&receiver, 1).await.len(), 1);
    assert!(receiver.requests() <= 3, "{} tries", receiver.requests());
    world.finish().await;
    receiver.server.stop(false).await;
}

/// A relay that is restarted again and again during an outage would otherwise never tell of it.
#[actix_web::test]
async fn an_outage_goes_on_over_a_restart_and_is_told_when_it_has_lasted_long_enough() {
    let receiver = Receiver::start();
    let mut world = World::start_with(&[("ALERT_URL", &receiver.url), ("RECONCILE_INTERVAL", "0")]).await;
    world.sink.fault_all(Action::Status(503));
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.sink.wait_for(|sink| sink.attempts() >= 2, PATIENCE).await.unwrap();
    world.stop_relay().await;
    let database = rusqlite::Connection::open(world.database()).unwrap();
    let sql = "UPDATE outages SET since = since - 1200000 WHERE side = 'destination'";
    assert_eq!(database.execute(sql, []).unwrap(), 1, "the outage was kept");
    world.start_relay().await;
    let texts = told(&receiver, 1).await;
    assert!(texts[0].contains("One Tribe has not been taking orders for 20 minutes"), "{texts:?}");
    world.sink.clear_faults();
    world.arrived_at(order, 1).await;
    world.finish().await;
    receiver.server.stop(false).await;
}
