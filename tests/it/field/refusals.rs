//! What counts towards giving up: real attempts, and time in which attempts were possible. And what proves that
//! credentials are refused.

use std::time::{Duration, Instant};

use sandbox::{Action, Fault, Operation};

use super::{page, polling};
use crate::relay::world::World;
use crate::support::receiver::Receiver;

async fn tried(world: &World, times: u64) {
    let attempts = |sink: &sandbox::OneTribeSim| sink.attempts() >= times;
    world.sink.wait_for(attempts, Duration::from_secs(30)).await.unwrap();
}

#[actix_web::test]
async fn an_outage_between_two_refusals_does_not_age_an_order() {
    let mut world = polling(&[("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "3s")]).await;
    let order = world.store.place_order_silently(None, 11);
    world.sink.fault(Fault::new(Operation::Delivery, Action::Status(422)).times(1));
    world.sink.fault(Fault::new(Operation::Delivery, Action::Status(503)).times(4));
    world.sink.fault(Fault::new(Operation::Delivery, Action::Status(422)).times(1));
    world.tell(order).await;
    tried(&world, 2).await;
    // The relay itself is down for longer than an order may be refused.
    world.stop_relay().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    world.start_relay().await;
    world.arrived_at(order, 1).await;
    let row = world.settled(order, "delivered").await;
    assert_eq!(row["attempts"], 3, "two refusals and a delivery: {row}");
    world.finish().await;
}

#[actix_web::test]
async fn a_refused_order_fails_only_after_three_real_tries() {
    let world = polling(&[("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "1s")]).await;
    let order = world.store.place_order_silently(None, 11);
    world.sink.fault_order(order, Action::Status(422));
    world.tell(order).await;
    let row = world.settled(order, "failed").await;
    assert!(world.sink.attempts() >= 3 && row["attempts"].as_i64().unwrap() >= 3, "{row}");
    world.finish().await;
}

#[actix_web::test]
async fn an_order_that_was_not_found_once_is_not_gone_for_an_outage_that_followed() {
    let world = polling(&[("RECONCILE_INTERVAL", "0")]).await;
    let order = world.store.place_order_silently(None, 11);
    for (status, times) in [(404, 1), (503, 4), (404, 1)] {
        world.store.fault(Fault::new(Operation::OrderSingle, Action::Status(status)).times(times));
    }
    world.tell(order).await;
    world.arrived_at(order, 1).await;
    let (_, gone) = world.get("/orders?state=gone").await;
    assert_eq!(gone["orders"], serde_json::json!([]));
    world.finish().await;
}

/// The alerts about credentials that the receiver has got.
fn of_credentials(receiver: &Receiver) -> Vec<String> {
    let about = |text: &String| text.contains("token") || text.contains("credentials");
    receiver.texts().into_iter().filter(about).collect()
}

#[actix_web::test]
async fn a_page_of_the_edge_says_nothing_about_the_token() {
    let receiver = Receiver::start();
    let world = polling(&[("ALERT_URL", &receiver.url)]).await;
    let challenge = Fault::new(Operation::Any, page(403)).header("cf-mitigated", "challenge");
    world.store.fault(challenge);
    for _ in 0..5 {
        world.store.place_order_as(None, 11);
    }
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(of_credentials(&receiver), [""; 0]);
    let (_, report) = world.get("/integration/check").await;
    let api = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "bigcommerce_api").unwrap();
    assert!(!api["detail"].as_str().unwrap().contains("refuses the access token"), "{api}");
    world.store.clear_faults();
    super::arrived_within(&world, 5, Duration::from_secs(60)).await;
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn three_401s_between_good_answers_prove_nothing() {
    let receiver = Receiver::start();
    let world = polling(&[("ALERT_URL", &receiver.url)]).await;
    for _ in 0..3 {
        world.store.fault(Fault::new(Operation::OrderSingle, Action::Status(401)).times(1));
        let order = world.store.place_order_as(None, 11);
        world.arrived_at(order, 1).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(of_credentials(&receiver), [""; 0]);
    world.finish().await;
    receiver.server.stop(false).await;
}

#[actix_web::test]
async fn a_token_that_is_really_refused_is_told_within_45_seconds() {
    let receiver = Receiver::start();
    let world = polling(&[("ALERT_URL", &receiver.url)]).await;
    let began = Instant::now();
    world.store.fault(Fault::new(Operation::Any, Action::Status(401)));
    world.store.place_order_as(None, 11);
    while of_credentials(&receiver).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(45), "{:?}", receiver.texts());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("told after {:?}", began.elapsed());
    world.store.clear_faults();
    super::arrived_within(&world, 1, Duration::from_secs(90)).await;
    world.finish().await;
    receiver.server.stop(false).await;
}
