//! Backfill of past orders in the app: counted without sending anything, then forwarded once.

use std::{collections::HashSet, time::Duration};

use sandbox::{Action, Fault, Operation, User};

use super::world::{Answer, PAID, PATIENCE, World};

fn today() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

#[actix_web::test]
async fn past_orders_are_counted_first_and_then_forwarded_once() {
    let world = World::start_with(1, &[("RECONCILE_INTERVAL", "0")]).await;
    let store = world.store(1).unwrap();
    let past: Vec<_> = (0..30).map(|_| store.place_order_silently(None, PAID)).collect();
    let token = world.install(&store).await.token();
    let since = today();
    // Without a payload URL there is nowhere to send them.
    let page = world.post("backfill", &[("token", &token), ("since", &since), ("step", "start")]).await;
    assert_eq!(page.status, 200);
    world.post("destination", &[("token", &token), ("destination", &world.sink.url())]).await;
    for wrong in ["", "yesterday", "2999-01-01", "1999-01-01"] {
        let page = world.post("backfill", &[("token", &token), ("since", wrong), ("step", "count")]).await;
        assert_eq!(page.status, 422, "{wrong}");
        assert!(page.text.contains("Give a date in the past"), "{}", page.text);
    }
    let page = world.post("backfill", &[("token", &token), ("since", &since), ("step", "count")]).await;
    assert!(page.text.contains("30 orders"), "{}", page.text);
    assert_eq!(world.sink.attempts(), 0);
    // The form is submitted twice.
    let fields = [("token", token.as_str()), ("since", &since), ("step", "start")];
    let (one, two) = tokio::join!(world.post("backfill", &fields), world.post("backfill", &fields));
    assert!(one.text.contains("on their way") && two.text.contains("on their way"));
    world.sink.wait_for(|sink| sink.accepted_orders() == past.len(), PATIENCE).await.unwrap();
    let page = world.post("backfill", &[("token", &token), ("since", &since), ("step", "count")]).await;
    assert!(!offers(&page), "{}", page.text);
    assert_eq!(world.sink.accepted_count(), 30);
    world.stop().await;
}

fn offers(page: &Answer) -> bool {
    page.text.contains("app/backfill")
}

#[actix_web::test]
async fn past_orders_are_offered_once_whether_they_are_wanted_or_not() {
    let mut world = World::start_with(2, &[("RECONCILE_INTERVAL", "0")]).await;
    let (wanted, declined) = (world.store(1).unwrap(), world.store(2).unwrap());
    assert!(!offers(&world.install(&wanted).await), "there is nowhere to send them yet");
    let page = world.connect(&wanted).await;
    assert!(offers(&page));
    let token = page.token();
    // Counting does not dismiss the offer.
    assert!(offers(&world.post("backfill", &[("token", &token), ("since", &today()), ("step", "count")]).await));
    assert!(offers(&world.open(&wanted, &User::default()).await));
    world.post("backfill", &[("token", &token), ("since", &today()), ("step", "start")]).await;
    let page = world.connect(&declined).await;
    assert!(offers(&page));
    let page = world.post("backfill", &[("token", &page.token()), ("since", ""), ("step", "decline")]).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Past orders are left alone") && !offers(&page), "{}", page.text);
    let token = page.token();
    world.restart_relay().await;
    for store in [&wanted, &declined] {
        assert!(!offers(&world.open(store, &User::default()).await));
    }
    // A form from a page opened before the choice was made has no effect.
    let past = declined.place_order_silently(None, PAID);
    world.post("backfill", &[("token", &token), ("since", &today()), ("step", "start")]).await;
    // Nor is the offer made again after the next installation.
    world.panel.uninstall(&declined).await.unwrap();
    assert!(!offers(&world.connect(&declined).await));
    let order = declined.place_order_as(None, PAID);
    world.arrived(&declined, order).await;
    assert!(world.sink.newest(past).is_none());
    world.stop().await;
}

#[actix_web::test]
async fn what_was_asked_for_goes_on_by_itself_after_an_outage_and_a_restart() {
    let mut world = World::start_with(1, &[("RECONCILE_INTERVAL", "0")]).await;
    let store = world.store(1).unwrap();
    let past: Vec<_> = (0..20).map(|_| store.place_order_silently(None, PAID)).collect();
    let token = world.connect(&store).await.token();
    store.fault(Fault::new(Operation::OrderList, Action::Status(503)));
    let page = world.post("backfill", &[("token", &token), ("since", &today()), ("step", "count")]).await;
    assert_eq!(page.status, 422);
    assert!(page.text.contains("could not be read"), "{}", page.text);
    world.post("backfill", &[("token", &token), ("since", &today()), ("step", "start")]).await;
    let page = world.open(&store, &User::default()).await;
    assert!(page.text.contains("Past orders are being looked for"), "{}", page.text);
    world.restart_relay().await;
    store.clear_faults();
    world.restart_relay().await;
    world.sink.wait_for(|sink| sink.accepted_orders() == past.len(), PATIENCE).await.unwrap();
    assert_eq!(world.sink.accepted_count(), 20);
    world.stop().await;
}

#[actix_web::test]
async fn killed_again_and_again_it_goes_on_where_it_was_and_nothing_is_doubled() {
    let mut world = World::start_with(1, &[]).await;
    let store = world.store(1).unwrap();
    // The orders spread over many seconds, so that the backfill can be interrupted in many places.
    let past: Vec<_> = (0..600)
        .map(|place| {
            store.set_clock_skew(place - 100_000);
            store.place_order_silently(None, PAID)
        })
        .collect();
    store.set_clock_skew(0);
    let token = world.connect(&store).await.token();
    let since = "2020-01-01";
    let quiet = [("RECONCILE_INTERVAL", "0"), ("FETCH_TIMEOUT", "2s"), ("FORWARD_TIMEOUT", "2s"), ("RUST_LOG", "warn")];
    let mut process = world.start_process(&quiet).await;
    store.fault(Fault::new(Operation::OrderList, Action::Slow(Duration::from_millis(100))));
    world.post("backfill", &[("token", &token), ("since", since), ("step", "start")]).await;
    for seen in [1, 120, 300] {
        world.sink.wait_for(|sink| sink.accepted_orders() >= seen, PATIENCE).await.unwrap();
        process.kill();
        process = world.start_process(&quiet).await;
    }
    world.sink.wait_for(|sink| sink.accepted_orders() == past.len(), PATIENCE).await.unwrap();
    // Only what was under way at the kill may be sent twice, and then with the same key.
    let keys: HashSet<_> = world.sink.accepted().into_iter().map(|received| received.idempotency_key).collect();
    assert_eq!(keys.len(), past.len(), "an order was sent again under another key");
    let began = std::time::Instant::now();
    while world.open(&store, &User::default()).await.text.contains("Past orders are being") {
        assert!(began.elapsed() < PATIENCE, "it does not come to its end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Groups of orders that were being sent at a kill come to their end when their leases do.
    while world.connection().await["waiting"] != 0 {
        assert!(began.elapsed() < 2 * PATIENCE, "orders are left behind");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Checks read one order, too.
    let walked = || {
        let lists = store.calls().into_iter().filter(|call| call.operation == Operation::OrderList);
        lists.filter(|call| !call.path_and_query.ends_with("?limit=1")).count()
    };
    let calls = walked();
    process.kill();
    let process = world.start_process(&quiet).await;
    let page = world.open(&store, &User::default()).await;
    assert!(!page.text.contains("Past orders are being"), "{}", page.text);
    assert_eq!(walked(), calls, "it has come to its end");
    drop(process);
    world.stop().await;
}
