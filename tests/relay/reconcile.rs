//! What webhooks missed is found by polling, at the cost of one call when nothing was.

use std::time::Duration;

use sandbox::{Action, Fault, Operation, QuotaRule, SenderOptions, StoreConfig};

use crate::world::{PATIENCE, World};

fn polling(store: StoreConfig) -> World {
    World::prepare(store, SenderOptions::default(), &[("RECONCILE_INTERVAL", "1s")])
}

async fn polls(world: &World, more: u64) {
    let before = world.store.call_count(Operation::OrderList);
    world.store.wait_for(|store| store.call_count(Operation::OrderList) >= before + more, PATIENCE).await.unwrap();
}

#[actix_web::test]
async fn missed_orders_and_missed_changes_are_found_and_nothing_is_sent_twice() {
    let mut world = polling(StoreConfig::default());
    world.start_relay().await;
    world.hooked().await;
    let told = world.store.place_order_as(None, 11);
    let missed: Vec<i64> = (0..5).map(|_| world.store.place_order_silently(None, 11)).collect();
    world.arrived(6).await;
    world.store.change_order_silently(missed[0], 2);
    world.store.change_order_silently(told, 2);
    world.arrived_at(missed[0], 2).await;
    world.arrived_at(told, 2).await;
    polls(&world, 5).await;
    assert_eq!(world.sink.accepted_count(), 8);
    assert!(world.audit().doubled.is_empty());
    world.finish().await;
}

#[actix_web::test]
async fn a_poll_that_finds_nothing_costs_one_call() {
    let mut world = polling(StoreConfig::default());
    world.start_relay().await;
    world.hooked().await;
    world.store.place_order_as(None, 11);
    world.arrived(1).await;
    polls(&world, 8).await;
    let calls: Vec<_> = world.store.calls().into_iter().filter(|call| call.operation == Operation::OrderList).collect();
    // The last ones lie a whole interval apart: each poll was one call.
    let last: Vec<_> = calls.windows(2).rev().take(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(last.iter().all(|apart| *apart > Duration::from_millis(700)), "{last:?} {calls:?}");
    world.finish().await;
}

#[actix_web::test]
async fn orders_older_than_the_first_start_are_left_alone() {
    let old = sandbox::store::system_clock() - 7200;
    let times = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(old));
    let clock = times.clone();
    let store = StoreConfig {
        clock: sandbox::store::Clock::new(move || clock.load(std::sync::atomic::Ordering::Relaxed)),
        ..StoreConfig::default()
    };
    let mut world = polling(store);
    for _ in 0..10 {
        world.store.place_order_silently(None, 10);
    }
    times.store(sandbox::store::system_clock() + 1, std::sync::atomic::Ordering::Relaxed);
    world.start_relay().await;
    world.hooked().await;
    let new = world.store.place_order_silently(None, 11);
    world.arrived_at(new, 1).await;
    polls(&world, 3).await;
    assert_eq!(world.sink.accepted_orders(), 1);
    world.finish().await;
}

#[actix_web::test]
async fn a_long_downtime_is_made_up_for_whatever_the_page_size() {
    for (max_page_size, exclusive_dates) in [(250, false), (20, false), (20, true)] {
        let store =
            StoreConfig { max_page_size, exclusive_dates, quota: QuotaRule::unlimited(), ..StoreConfig::default() };
        let mut world = polling(store);
        world.start_relay().await;
        world.hooked().await;
        let first = world.store.place_order_as(None, 11);
        world.arrived_at(first, 1).await;
        world.stop_relay().await;
        // All in one second, more than a page holds.
        for _ in 0..130 {
            world.store.place_order_silently(None, 11);
        }
        world.start_relay().await;
        world.arrived(131).await;
        world.finish().await;
    }
}

#[actix_web::test]
async fn a_store_that_fails_in_the_middle_is_polled_again() {
    let mut world = polling(StoreConfig::default());
    world.store.fault(Fault::new(Operation::OrderList, Action::Status(500)).times(2));
    world.start_relay().await;
    let order = world.store.place_order_silently(None, 11);
    world.arrived_at(order, 1).await;
    world.finish().await;
}

#[actix_web::test]
async fn skipped_statuses_are_not_fetched_for_every_poll() {
    let mut world = World::prepare(
        StoreConfig::default(),
        SenderOptions::default(),
        &[("RECONCILE_INTERVAL", "1s"), ("SKIP_ORDER_STATUSES", "0")],
    );
    world.start_relay().await;
    world.hooked().await;
    world.store.place_order_silently(None, 0);
    polls(&world, 4).await;
    assert_eq!(world.store.call_count(Operation::OrderSingle), 0);
    assert_eq!(world.sink.attempts(), 0);
    world.finish().await;
}
