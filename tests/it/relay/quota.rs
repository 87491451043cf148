//! The store's request quota, and lists for backlogs.

use std::time::Duration;

use sandbox::{Action, Event, Fault, Operation, QuotaRule, Scope, SenderOptions, StoreConfig};

use crate::relay::world::{PATIENCE, World};

fn narrow() -> World {
    World::prepare(StoreConfig::default(), SenderOptions::default(), &[("RECONCILE_INTERVAL", "0")])
}

/// The number of calls for orders, except those of checks, which ask for a list of one order.
fn order_calls(world: &World) -> usize {
    let is_for_orders = |call: &sandbox::Call| matches!(call.operation, Operation::OrderSingle | Operation::OrderList);
    let is_check = |call: &sandbox::Call| call.path_and_query.ends_with("/orders?limit=1");
    world.store.calls().iter().filter(|call| is_for_orders(call) && !is_check(call)).count()
}

#[actix_web::test]
async fn a_burst_of_3000_events_for_1000_neighbours_costs_at_most_60_calls_and_not_one_429() {
    let mut world = narrow();
    world.start_relay().await;
    world.hooked().await;
    // Nothing is sent before all orders wait, so that the number of calls does not depend on how fast they arrive.
    world.sink.fault_all(Action::Status(503));
    let orders: Vec<i64> = (0..1000).map(|_| world.store.place_order_as(None, 11)).collect();
    for order in &orders {
        world.store.change_order(*order, 2);
    }
    world.sender.idle(PATIENCE).await.unwrap();
    assert_eq!(world.sender.acknowledged_count(), 3000);
    world.sink.clear_faults();
    let settled = |sink: &sandbox::OneTribeSim| orders.iter().all(|order| sink.newest(*order) == Some(2));
    world.sink.wait_for(settled, PATIENCE).await.unwrap();
    // There was no waiting for another window of the quota: only the calls that were needed were made.
    assert!(order_calls(&world) <= 60, "{} calls", order_calls(&world));
    assert_eq!(world.store.quota_refusals(), 0);
    world.finish().await;
}

#[actix_web::test]
async fn sparse_orders_cost_one_call_each() {
    let mut world = narrow();
    world.store.set_quota(QuotaRule::unlimited());
    world.start_relay().await;
    world.hooked().await;
    for at in 1..=60 {
        world.store.place_order_as(Some(at * 1000), 11);
    }
    world.arrived(60).await;
    assert_eq!(world.store.call_count(Operation::OrderSingle), 60);
    assert_eq!(order_calls(&world), 60);
    world.finish().await;
}

#[actix_web::test]
async fn orders_that_a_list_lacks_are_fetched_singly() {
    let mut world = narrow();
    world.store.set_quota(QuotaRule::unlimited());
    world.start_relay().await;
    world.hooked().await;
    // Nothing is sent before all orders wait.
    world.sink.fault(Fault::new(Operation::Delivery, Action::Status(503)).header("Retry-After", "10").times(1));
    let first = world.store.place_order_as(None, 11);
    world.sink.wait_for(|sink| sink.attempts() == 1, PATIENCE).await.unwrap();
    let orders: Vec<i64> = (0..40).map(|_| world.store.place_order_silently(None, 11)).collect();
    for order in orders.iter().step_by(4) {
        world.store.archive_order_silently(*order);
    }
    for order in &orders {
        world.tell(*order).await;
    }
    world.arrived(41).await;
    assert!(world.store.call_count(Operation::OrderList) >= 1);
    assert!(world.store.call_count(Operation::OrderSingle) <= 14, "{}", world.store.call_count(Operation::OrderSingle));
    assert_eq!(world.sink.newest(first), Some(1));
    world.finish().await;
}

#[actix_web::test]
async fn a_store_with_smaller_pages_is_learned() {
    let store = StoreConfig { max_page_size: 50, ..StoreConfig::default() };
    let mut world = World::prepare(store, SenderOptions::default(), &[("RECONCILE_INTERVAL", "0")]);
    world.start_relay().await;
    world.hooked().await;
    // Nothing is sent before all orders wait, so that the number of calls does not depend on how fast they arrive.
    world.sink.fault_all(Action::Status(503));
    for _ in 0..500 {
        world.store.place_order_as(None, 11);
    }
    world.sender.idle(PATIENCE).await.unwrap();
    world.sink.clear_faults();
    world.arrived(500).await;
    assert!(order_calls(&world) <= 60, "{} calls", order_calls(&world));
    world.finish().await;
}

/// Wide lists are still under way when the size of the store's pages has been learned from others.
#[actix_web::test]
async fn lists_that_are_under_way_when_smaller_pages_are_learned_cost_no_call_an_order() {
    let store = StoreConfig { max_page_size: 50, quota: QuotaRule::unlimited(), ..StoreConfig::default() };
    let mut world = World::prepare(store, SenderOptions::default(), &[("RECONCILE_INTERVAL", "0")]);
    world.start_relay().await;
    world.hooked().await;
    world.sink.fault_all(Action::Status(503));
    for _ in 0..900 {
        world.store.place_order_as(None, 11);
    }
    world.sender.idle(PATIENCE).await.unwrap();
    world.store.fault(Fault::new(Operation::OrderList, Action::HoldAnswer).times(3));
    world.sink.clear_faults();
    world.store.wait_for(|store| store.held() == 3, PATIENCE).await.unwrap();
    world.store.release();
    world.arrived(900).await;
    assert!(order_calls(&world) <= 100, "{} calls", order_calls(&world));
    world.finish().await;
}

#[actix_web::test]
async fn a_429_pauses_as_long_as_it_says_and_uses_up_no_attempt() {
    for named in [true, false] {
        let mut world = narrow();
        world.store.set_quota(QuotaRule { requests: 150, window: Duration::from_secs(1), headers_on_429: named });
        world.start_relay().await;
        world.hooked().await;
        let order = world.store.place_order_silently(None, 11);
        let refusal = Fault::new(Operation::OrderSingle, Action::Status(429)).times(1);
        world.store.fault(if named { refusal.header("Retry-After", "2") } else { refusal.without_quota_headers() });
        world.tell(order).await;
        let row = world.settled(order, "delivered").await;
        assert_eq!(row["attempts"], 1);
        let calls: Vec<_> =
            world.store.calls().into_iter().filter(|call| call.operation == Operation::OrderSingle).collect();
        assert_eq!(calls.len(), 2);
        let pause = calls[1].at - calls[0].at;
        assert!(pause >= Duration::from_secs(2), "{pause:?}");
        world.finish().await;
    }
}

#[actix_web::test]
async fn what_other_apps_use_up_is_respected() {
    let mut world = narrow();
    world.store.set_quota(QuotaRule { requests: 100, window: Duration::from_secs(4), headers_on_429: true });
    world.start_relay().await;
    world.hooked().await;
    for at in 1..=150 {
        world.store.place_order_as(Some(at * 1000), 11);
        if at % 10 == 0 {
            world.store.other_app_uses(4);
        }
    }
    world.arrived(150).await;
    assert_eq!(world.store.quota_refusals(), 0);
    world.finish().await;
}

#[actix_web::test]
async fn events_that_come_while_an_order_waits_share_one_fetch() {
    let mut world = narrow();
    world.start_relay().await;
    world.hooked().await;
    world.store.fault(Fault::new(Operation::OrderSingle, Action::Hold).times(1));
    let order = world.store.place_order_as(None, 11);
    world.store.wait_for(|store| store.held() == 1, PATIENCE).await.unwrap();
    for _ in 0..20 {
        assert_eq!(world.send(&Event::new(Scope::Updated, order), &Default::default()).await, 200);
    }
    world.store.release();
    world.store.wait_for(|_| order_calls(&world) == 2, PATIENCE).await.unwrap();
    world.settled(order, "delivered").await;
    assert_eq!(order_calls(&world), 2);
    assert_eq!(world.sink.accepted_count(), 1, "it had not changed");
    world.finish().await;
}
