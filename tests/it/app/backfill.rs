//! Past orders: counted without sending anything, then forwarded once.

use sandbox::{Action, Fault, Operation, User};

use super::world::{PAID, PATIENCE, World};

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
    // Pressed twice.
    let fields = [("token", token.as_str()), ("since", &since), ("step", "start")];
    let (one, two) = tokio::join!(world.post("backfill", &fields), world.post("backfill", &fields));
    assert!(one.text.contains("on their way") && two.text.contains("on their way"));
    world.sink.wait_for(|sink| sink.accepted_orders() == past.len(), PATIENCE).await.unwrap();
    let page = world.post("backfill", &[("token", &token), ("since", &since), ("step", "count")]).await;
    assert!(page.text.contains("0 orders") || page.text.contains("No order"), "{}", page.text);
    assert_eq!(world.sink.accepted_count(), 30);
    world.stop().await;
}

#[actix_web::test]
async fn a_backfill_outlasts_an_outage_and_a_restart() {
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
    world.open(&store, &User::default()).await;
    world.post("backfill", &[("token", &token), ("since", &today()), ("step", "start")]).await;
    world.sink.wait_for(|sink| sink.accepted_orders() == past.len(), PATIENCE).await.unwrap();
    assert_eq!(world.sink.accepted_count(), 20);
    world.stop().await;
}
