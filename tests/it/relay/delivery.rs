//! From the inbox to the destination: the bytes, the key, possible duplicates, refusals, one request per order at a
//! time.

use std::time::Duration;

use reqwest::Method;
use sandbox::{Action, Event, Fault, Operation, Scope, SendOptions, clock::system_clock};

use crate::relay::world::{PATIENCE, World};

#[actix_web::test]
async fn an_order_arrives_byte_for_byte_with_its_headers() {
    let world = World::start().await;
    let order = world.store.place_order_as(None, 11);
    world.arrived(1).await;
    let received = world.sink.accepted().remove(0);
    assert_eq!(received.body, world.store.order_bytes(order));
    assert_eq!(received.content_type.as_deref(), Some("application/json"));
    assert_eq!(received.user_agent.as_deref(), Some(concat!("onetribe-relay/", env!("CARGO_PKG_VERSION"))));
    assert!(received.idempotency_key.is_some_and(|key| !key.is_empty()));
    let row = world.settled(order, "delivered").await;
    assert_eq!(row["attempts"], 1);
    assert_eq!(row["last_error"], serde_json::Value::Null);
    world.finish().await;
}

#[actix_web::test]
async fn the_same_snapshot_has_the_same_key_and_another_another() {
    let world = World::start().await;
    let order = world.store.place_order_as(None, 11);
    world.arrived_at(order, 1).await;
    world.settled(order, "delivered").await;
    assert_eq!(world.post(&format!("/orders/{order}/resend")).await.0, 202);
    world.sink.wait_for(|sink| sink.accepted_count() == 2, PATIENCE).await.unwrap();
    world.store.change_order_silently(order, 2);
    world.tell(order).await;
    world.arrived_at(order, 2).await;
    let keys: Vec<_> = world.sink.accepted().into_iter().map(|one| one.idempotency_key).collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2]);
    world.finish().await;
}

#[actix_web::test]
async fn an_exact_duplicate_long_after_is_not_forwarded_again() {
    let world = World::start().await;
    let order = world.store.place_order_silently(None, 11);
    let long_ago = system_clock() - 3600;
    let event = Event::new(Scope::Created, order).at(Some(long_ago)).with_webhook_id("first");
    assert_eq!(world.send(&event, &SendOptions::default()).await, 200);
    world.settled(order, "delivered").await;
    let calls = world.store.call_count(Operation::OrderSingle);
    for _ in 0..3 {
        assert_eq!(world.send(&event, &SendOptions::default()).await, 200);
    }
    // From another hook: another id, the same hash and second.
    let twin = event.clone().with_webhook_id("second");
    assert_eq!(world.send(&twin, &SendOptions::default()).await, 200);
    // A new order goes all the way through, so the duplicates have had time to arrive.
    let other = world.store.place_order_as(None, 11);
    world.arrived_at(other, 1).await;
    assert_eq!(world.sink.accepted_count(), 2);
    assert_eq!(world.store.call_count(Operation::OrderSingle), calls + 1);
    world.finish().await;
}

#[actix_web::test]
async fn a_second_change_within_the_same_second_under_the_same_hash_still_arrives() {
    let world = World::start().await;
    let order = world.store.place_order_silently(None, 11);
    let now = Some(system_clock());
    let hash = "3f9ea420af83450d7ef9f78b08c8af25b2213637";
    let first = Event::new(Scope::Updated, order).with_hash(hash).at(now).with_webhook_id("a");
    assert_eq!(world.send(&first, &SendOptions::default()).await, 200);
    world.settled(order, "delivered").await;
    world.store.change_order_silently(order, 2);
    let second = Event::new(Scope::Updated, order).with_hash(hash).at(now).with_webhook_id("b");
    assert_eq!(world.send(&second, &SendOptions::default()).await, 200);
    world.arrived_at(order, 2).await;
    // The same event again, without a change: the order is fetched, but not forwarded.
    world.settled(order, "delivered").await;
    let looks = world.store.call_count(Operation::OrderSingle);
    assert_eq!(world.send(&second, &SendOptions::default()).await, 200);
    world.store.wait_for(|store| store.call_count(Operation::OrderSingle) > looks, PATIENCE).await.unwrap();
    world.settled(order, "delivered").await;
    assert_eq!(world.sink.accepted_count(), 2);
    world.finish().await;
}

#[actix_web::test]
async fn a_first_time_event_of_an_unchanged_order_is_looked_at_and_not_forwarded_again() {
    let world = World::start().await;
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.settled(order, "delivered").await;
    let looks = world.store.call_count(Operation::OrderSingle);
    assert_eq!(world.send(&Event::new(Scope::MessageCreated, order), &SendOptions::default()).await, 200);
    world.store.wait_for(|store| store.call_count(Operation::OrderSingle) > looks, PATIENCE).await.unwrap();
    world.settled(order, "delivered").await;
    assert_eq!(world.sink.accepted_count(), 1, "each sending may be counted as a donation");
    // An operator may have it sent again.
    assert_eq!(world.post(&format!("/orders/{order}/resend")).await.0, 202);
    world.sink.wait_for(|sink| sink.accepted_count() == 2, PATIENCE).await.unwrap();
    world.finish().await;
}

#[actix_web::test]
async fn a_change_that_comes_while_its_order_is_under_way_arrives_too_and_never_side_by_side() {
    let world = World::start().await;
    world.sink.fault(Fault::new(Operation::Delivery, Action::Hold).times(1));
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.sink.wait_for(|sink| sink.held() == 1, PATIENCE).await.unwrap();
    for status in [2, 3, 10] {
        world.store.change_order_silently(order, status);
        world.tell(order).await;
    }
    // Another order overtakes the held one.
    let other = world.store.place_order_as(None, 11);
    world.arrived_at(other, 1).await;
    assert_eq!(world.sink.max_open_of(order), 1);
    world.sink.release();
    world.arrived_at(order, 4).await;
    assert_eq!(world.sink.max_open_of(order), 1);
    // The three events that came meanwhile cost one more fetch and one more forward.
    let of_order = world.sink.accepted().into_iter().filter(|one| one.order_id == order).count();
    assert_eq!(of_order, 2);
    world.finish().await;
}

#[actix_web::test]
async fn one_refused_order_holds_up_nobody_and_fails_in_the_end() {
    let world = World::start_with(&[("RETRY_MAX_AGE", "1s")]).await;
    let refused = world.store.place_order_silently(None, 11);
    world.sink.fault_order(refused, Action::Status(422));
    world.tell(refused).await;
    for _ in 0..20 {
        world.store.place_order_as(None, 11);
    }
    world.arrived(20).await;
    let row = world.settled(refused, "failed").await;
    assert_eq!(row["last_error"], "destination: HTTP 422");
    assert!(row["attempts"].as_u64().unwrap() >= 2, "{row}");
    // Sent again once the reason is gone.
    world.sink.clear_faults();
    let (status, answer) = world.post("/orders/resend?state=failed").await;
    assert_eq!((status, &answer), (202, &serde_json::json!({ "resent": 1 })));
    world.settled(refused, "delivered").await;
    let (status, answer) = world.post("/orders/999999/resend").await;
    let note = "The relay has not seen order 999999 before: it is fetched, and sent if the store has it.";
    assert_eq!((status, &answer), (202, &serde_json::json!({ "resent": 1, "note": note })));
    world.finish().await;
}

#[actix_web::test]
async fn unusable_answers_are_the_orders_own_trouble() {
    let world = World::start_with(&[("RETRY_MAX_AGE", "1s")]).await;
    for (action, said) in [
        (Action::AnotherOrder, "store: the answer is another object"),
        (Action::Oversized { announced: true }, "store: the answer is too large"),
        (Action::Oversized { announced: false }, "store: the answer is too large"),
    ] {
        let order = world.store.place_order_silently(None, 11);
        world.store.fault(Fault::new(Operation::OrderSingle, action).order(order));
        world.tell(order).await;
        assert_eq!(world.settled(order, "failed").await["last_error"], said);
        world.store.clear_faults();
        assert_eq!(world.post(&format!("/orders/{order}/resend")).await.0, 202);
        world.arrived_at(order, 1).await;
    }
    world.finish().await;
}

#[actix_web::test]
async fn an_order_that_shows_up_late_is_looked_for_again() {
    let world = World::start().await;
    world.tell(7000).await;
    world.store.wait_for(|store| store.call_count(Operation::OrderSingle) == 1, PATIENCE).await.unwrap();
    world.store.place_order_silently(Some(7000), 11);
    world.arrived_at(7000, 1).await;
    world.finish().await;
}

#[actix_web::test]
async fn orders_of_skipped_statuses_are_not_forwarded_until_they_change() {
    let world = World::start_with(&[("SKIP_ORDER_STATUSES", "0,5")]).await;
    let order = world.store.place_order_as(None, 0);
    world.settled(order, "skipped").await;
    assert_eq!(world.sink.attempts(), 0);
    world.store.change_order(order, 11);
    world.arrived_at(order, 2).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_redirect_is_not_followed_and_not_a_success() {
    let world = World::start().await;
    let elsewhere = sandbox::OneTribeSim::start().unwrap();
    world.sink.fault(Fault::new(Operation::Delivery, Action::Redirect(elsewhere.url())).times(2));
    let order = world.store.place_order_as(None, 11);
    world.arrived_at(order, 1).await;
    assert_eq!(elsewhere.attempts(), 0);
    world.finish().await;
}

#[actix_web::test]
async fn an_answer_lost_after_the_order_was_taken_is_sent_again_under_the_same_key() {
    let world = World::start().await;
    world.sink.fault(Fault::new(Operation::Delivery, Action::LoseAnswer).times(1));
    let order = world.store.place_order_as(None, 11);
    world.settled(order, "delivered").await;
    let keys: Vec<_> = world.sink.accepted().into_iter().map(|one| one.idempotency_key).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    world.finish().await;
}

#[actix_web::test]
async fn no_more_orders_are_under_way_than_allowed() {
    let world = World::start_with(&[("DELIVERY_CONCURRENCY", "3")]).await;
    world.sink.fault_all(Action::Slow(Duration::from_millis(30)));
    for _ in 0..30 {
        world.store.place_order_as(None, 11);
    }
    world.arrived(30).await;
    assert!((2..=3).contains(&world.sink.max_open()), "{}", world.sink.max_open());
    world.finish().await;
}

#[actix_web::test]
async fn an_unknown_order_can_be_asked_for_by_resend() {
    let world = World::start().await;
    let order = world.store.place_order_silently(None, 11);
    assert_eq!(world.admin(Method::POST, &format!("/orders/{order}/resend")).await.0, 202);
    world.arrived_at(order, 1).await;
    world.finish().await;
}
