//! Callbacks that refuse notifications.

use std::time::Duration;

use reqwest::Method;
use sandbox::{Action, CallbackSim, Fault, Operation};
use serde_json::json;

use super::world::{Instance, PATIENCE, World, another_second, words};

async fn attempts(world: &World, count: usize) {
    let reached = |callback: &CallbackSim| callback.received().len() >= count;
    world.callback.wait_for(reached, PATIENCE).await.unwrap();
}

fn first_refused(world: &World, status: u16) {
    world.callback.fault(Fault::new(Operation::Delivery, Action::Status(status)).times(1));
}

const RELEASE: &str =
    "/elements/api-v2/notifications/subscriptions/deliveries?where=channel%3D'webhook'%20and%20status%3D'queued'";

#[tokio::test]
async fn a_notification_is_tried_again_under_its_id_and_later_events_wait_behind() {
    let world = World::start().await;
    let instance = world.instance().await;
    first_refused(&world, 500);
    let one = world.store.place_order_silently(None, 7);
    attempts(&world, 1).await;
    let two = world.store.place_order_silently(None, 7);
    another_second().await;
    world.store.change_order_silently(one, 11);
    let outstanding = world.get(&format!("/instances/{}/events", instance.id)).await;
    assert_eq!(outstanding.body[0]["status"], "DISPATCHED");
    let events = world.told(2).await;
    assert_eq!(words(&events), [format!("orders {one} CREATED"), format!("orders {two} CREATED")]);
    let received = world.callback.received();
    assert_eq!(received[0].webhook_id, received[1].webhook_id);
    assert_eq!(received[0].body["message"]["eventId"], received[1].body["message"]["eventId"]);
    let waited = received[1].at - received[0].at;
    assert!(waited > Duration::from_millis(3_800) && waited < Duration::from_secs(15), "{waited:?}");
    assert_eq!(received[1].body["message"]["raw"]["orders"][0]["status_id"], 11, "its row is fetched afresh");
    let last = world.get(&format!("/instances/{}/events/{}", instance.id, received[0].webhook_id)).await;
    assert_eq!(last.body["status"], "NOTIFIED");
    // The retry carried the newest state of the first order, so no further notification of it follows.
    world.polled(2).await;
    assert_eq!(world.callback.events().len(), 2);
    world.finish().await;
}

async fn gone(world: &World, instance: &Instance) -> i64 {
    world.callback.fault_all(Action::Status(410));
    let order = world.store.place_order_silently(None, 7);
    attempts(world, 1).await;
    let events = format!("/instances/{}/events", instance.id);
    world.becomes(&events, |answer| answer.body[0]["status"] == "RECEIVED").await;
    order
}

#[tokio::test]
async fn a_callback_that_is_gone_pauses_its_connection_until_the_queue_is_released() {
    let world = World::start().await;
    let instance = world.instance().await;
    let one = gone(&world, &instance).await;
    world.callback.clear_faults();
    let two = world.store.place_order_silently(None, 7);
    world.polled(3).await;
    let received = world.callback.received();
    assert_eq!(received.len(), 1, "nothing goes out meanwhile: {received:#?}");
    assert_eq!(world.get(&format!("/instances/{}", instance.id)).await.body["disabled"], false);
    assert_eq!(world.get_by(&instance, "/hubs/ecommerce/orders").await.status, 200, "it can still fetch");
    let other = RELEASE.replace("queued'", "queued'%20and%20config.url%3D'https://elsewhere.example'");
    assert_eq!(world.ask(Method::PUT, &other, None).await.body, json!([]));
    let released = world.ask(Method::PUT, RELEASE, None).await;
    assert_eq!((released.status, released.body.as_array().unwrap().len()), (200, 1), "{:?}", released.body);
    let events = world.told(2).await;
    assert_eq!(words(&events), [format!("orders {one} CREATED"), format!("orders {two} CREATED")]);
    let received = world.callback.received();
    assert_eq!(received[0].webhook_id, received[1].webhook_id, "the same notification");
    world.finish().await;
}

#[tokio::test]
async fn a_queue_outlasts_the_relay_and_is_released_by_its_own_instance_only() {
    let mut world = World::start().await;
    let instance = world.instance().await;
    let mut body = world.body(&json!({}));
    body["configuration"] = world.credentials();
    let stranger = world.create(&body).await;
    let order = gone(&world, &instance).await;
    world.stop_relay().await;
    world.callback.clear_faults();
    world.start_relay().await;
    assert_eq!(world.ask_by(&stranger, Method::PUT, RELEASE, None).await.body, json!([]));
    assert_eq!(world.ask_by(&instance, Method::PUT, RELEASE, None).await.body.as_array().unwrap().len(), 1);
    assert_eq!(words(&world.told(1).await), [format!("orders {order} CREATED")]);
    world.finish().await;
}

#[tokio::test]
async fn a_restart_loses_nothing_and_doubles_nothing() {
    let mut world = World::start().await;
    world.instance().await;
    first_refused(&world, 503);
    let one = world.store.place_order_silently(None, 7);
    attempts(&world, 1).await;
    world.stop_relay().await;
    another_second().await;
    let two = world.store.place_order_silently(None, 7);
    world.start_relay().await;
    let events = world.told(2).await;
    assert_eq!(words(&events), [format!("orders {one} CREATED"), format!("orders {two} CREATED")]);
    let received = world.callback.received();
    assert_eq!(received[0].webhook_id, received[1].webhook_id);
    world.polled(3).await;
    assert_eq!(world.callback.events().len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_costs_a_repetition_under_the_same_id() {
    let world = World::start().await;
    world.instance().await;
    world.callback.fault(Fault::new(Operation::Delivery, Action::LoseAnswer).times(1));
    let order = world.store.place_order_silently(None, 7);
    let events = world.told(2).await;
    assert_eq!(words(&events), [format!("orders {order} CREATED"), format!("orders {order} CREATED")]);
    let received = world.callback.received();
    assert_eq!(received[0].webhook_id, received[1].webhook_id);
    world.finish().await;
}

#[tokio::test]
async fn a_mended_callback_url_is_tried_at_once() {
    let world = World::start().await;
    let mut body = world.body(&json!({}));
    body["configuration"]["event.notification.callback.url"] = json!("http://127.0.0.1:9/nobody");
    let instance = world.create(&body).await;
    let order = world.store.place_order_silently(None, 7);
    let events = format!("/instances/{}/events", instance.id);
    world.becomes(&events, |answer| answer.body[0]["status"] == "DISPATCHED").await;
    let patch = json!({ "configuration": { "event.notification.callback.url": world.callback.url() } });
    assert_eq!(world.ask_by(&instance, Method::PATCH, "/instances", Some(&patch)).await.status, 200);
    assert_eq!(words(&world.told(1).await), [format!("orders {order} CREATED")]);
    world.finish().await;
}

#[tokio::test]
async fn a_store_that_is_down_delays_a_retry_and_loses_nothing() {
    let world = World::start().await;
    world.instance().await;
    first_refused(&world, 500);
    let order = world.store.place_order_silently(None, 7);
    attempts(&world, 1).await;
    world.store.fault(Fault::new(Operation::Any, Action::Status(503)));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.callback.received().len(), 1, "there is no row to send");
    world.store.clear_faults();
    assert_eq!(words(&world.told(1).await), [format!("orders {order} CREATED")]);
    let received = world.callback.received();
    assert_eq!(received[0].webhook_id, received[1].webhook_id);
    world.finish().await;
}
