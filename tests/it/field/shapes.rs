//! Orders in undocumented forms.

use std::time::Duration;

use sandbox::{Operation, QuotaRule, SenderOptions, StoreConfig, store::Clock};

use super::{arrived_within, polling};
use crate::relay::world::World;

#[actix_web::test]
async fn a_status_in_a_text_is_skipped_or_forwarded_by_what_it_means() {
    let world = polling(&[("SKIP_ORDER_STATUSES", "0")]).await;
    let (skipped, forwarded) = (world.store.place_order_silently(None, 0), world.store.place_order_silently(None, 11));
    world.store.alter_order(skipped, "\"status_id\": 0", "\"status_id\": \"0\"");
    world.store.alter_order(forwarded, "\"status_id\": 11", "\"status_id\": \"11\"");
    for order in [skipped, forwarded] {
        world.tell(order).await;
    }
    world.arrived_at(forwarded, 1).await;
    world.settled(skipped, "skipped").await;
    // The same orders when polling finds them.
    let (missed, skipped) = (world.store.place_order_silently(None, 11), world.store.place_order_silently(None, 0));
    world.store.alter_order(missed, "\"status_id\": 11", "\"status_id\": \"11\"");
    world.store.alter_order(skipped, "\"status_id\": 0", "\"status_id\": \" 0 \"");
    world.arrived_at(missed, 1).await;
    assert_eq!(world.sink.newest(skipped), None);
    world.finish().await;
}

#[actix_web::test]
async fn an_order_that_says_it_is_deleted_is_forwarded_as_the_store_shows_it() {
    let world = polling(&[]).await;
    let (told, missed) = (world.store.place_order_silently(None, 5), world.store.place_order_silently(None, 5));
    for order in [told, missed] {
        world.store.alter_order(order, "\"is_deleted\": false", "\"is_deleted\": true");
    }
    world.tell(told).await;
    for order in [told, missed] {
        world.arrived_at(order, 1).await;
        let received = world.sink.accepted().into_iter().find(|one| one.order_id == order).unwrap();
        assert_eq!(received.body, world.store.order_bytes(order));
        assert!(String::from_utf8_lossy(received.body.as_deref().unwrap()).contains("\"is_deleted\": true"));
    }
    world.finish().await;
}

/// A store whose orders show odd dates, by which its list is sorted.
async fn with_odd_dates(alter: impl Fn(&World, &[i64])) {
    let world = polling(&[]).await;
    let orders: Vec<i64> = (0..10).map(|_| world.store.place_order_silently(None, 11)).collect();
    alter(&world, &orders);
    arrived_within(&world, 10, Duration::from_secs(30)).await;
    // Later orders are found as well: the odd date has not moved the watermark past them.
    let late: Vec<i64> = (0..3).map(|_| world.store.place_order_silently(None, 11)).collect();
    for order in late {
        world.arrived_at(order, 1).await;
    }
    world.finish().await;
}

fn date_of(world: &World, order: i64) -> String {
    let modified = world.store.order(order).unwrap().modified;
    format!("\"date_modified\": \"{}\"", sandbox::order::rfc2822(modified))
}

#[actix_web::test]
async fn an_order_without_a_date_hides_no_other() {
    for missing in ["\"date_modified\": \"\"", "\"date_modified\": null", "\"x\": 1"] {
        for at in [0, 5, 9] {
            with_odd_dates(|world, orders| {
                world.store.alter_order(orders[at], &date_of(world, orders[at]), missing);
            })
            .await;
        }
    }
}

#[actix_web::test]
async fn an_order_dated_in_the_future_hides_no_other() {
    // The store's clock was ahead when one order was placed, so that order stays last in its list for years.
    let ahead = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = {
        let ahead = ahead.clone();
        Clock::new(move || sandbox::clock::system_clock() + ahead.load(std::sync::atomic::Ordering::Relaxed))
    };
    let store = StoreConfig { quota: QuotaRule::unlimited(), clock, ..StoreConfig::default() };
    let mut world = World::prepare(store, SenderOptions::default(), &[("RECONCILE_INTERVAL", "1s")]);
    world.start_relay().await;
    world.hooked().await;
    ahead.store(5 * 365 * 86_400, std::sync::atomic::Ordering::Relaxed);
    let future = world.store.place_order_silently(None, 11);
    ahead.store(0, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..3 {
        let orders: Vec<i64> = (0..5).map(|_| world.store.place_order_silently(None, 11)).collect();
        for order in orders {
            world.arrived_at(order, 1).await;
        }
    }
    world.arrived_at(future, 1).await;
    let calls = world.store.call_count(Operation::OrderList);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let spent = world.store.call_count(Operation::OrderList) - calls;
    assert!(spent <= 14, "{spent} lists in five polls: the one order is walked to each time");
    world.finish().await;
}

#[actix_web::test]
async fn more_than_two_pages_of_rows_of_one_second_are_all_found() {
    let now = sandbox::clock::system_clock();
    let store = StoreConfig {
        quota: QuotaRule::unlimited(),
        max_page_size: 50,
        clock: Clock::new(move || now),
        ..StoreConfig::default()
    };
    let mut world = World::prepare(store, SenderOptions::default(), &[("RECONCILE_INTERVAL", "1s")]);
    world.start_relay().await;
    world.hooked().await;
    for _ in 0..170 {
        world.store.place_order_silently(None, 11);
    }
    arrived_within(&world, 170, Duration::from_secs(60)).await;
    world.finish().await;
}
