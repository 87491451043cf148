//! Stores and destinations that are down, slow, incomplete or wrong, and a full disk.

use std::time::{Duration, Instant};

use sandbox::{Action, Fault, Operation, QuotaRule, SenderOptions, StoreConfig};

use crate::relay::world::{PATIENCE, World};

#[actix_web::test]
async fn a_destination_that_is_down_is_probed_and_all_orders_go_out_oldest_first_when_it_is_back() {
    let world = World::start_with(&[("RETRY_MAX_AGE", "1s"), ("DELIVERY_CONCURRENCY", "1")]).await;
    world.sink.fault_all(Action::Status(503));
    let mut orders = Vec::new();
    for _ in 0..60 {
        orders.push(world.store.place_order_as(None, 11));
        // Each is acknowledged before the next is placed, so that their order is known.
        world.sender.idle(PATIENCE).await.unwrap();
    }
    world.sink.wait_for(|sink| sink.attempts() >= 3, PATIENCE).await.unwrap();
    // One probe at a time at growing intervals: far fewer requests than one per order.
    assert!(world.sink.attempts() < 20, "{} attempts", world.sink.attempts());
    assert_eq!(world.sink.max_open(), 1);
    // It lasts longer than a refused order is retried, but no order has failed by age, and no attempt was counted.
    let (_, failed) = world.get("/orders?state=failed").await;
    assert_eq!(failed["orders"], serde_json::json!([]));
    let (_, pending) = world.get("/orders?state=pending&limit=500").await;
    assert_eq!(pending["orders"].as_array().unwrap().len(), 60);
    assert!(pending["orders"].as_array().unwrap().iter().all(|row| row["attempts"] == 0), "{pending}");

    world.sink.clear_faults();
    world.arrived(60).await;
    // The probe may carry any of the orders; the others arrive in sequence.
    let arrived: Vec<i64> = world.sink.accepted().iter().skip(1).map(|one| one.order_id).collect();
    assert!(arrived.is_sorted(), "{arrived:?}");
    world.finish().await;
}

#[actix_web::test]
async fn a_thousand_waiting_orders_go_out_at_once_when_the_destination_is_back() {
    let world = World::start_with(&[("RECONCILE_INTERVAL", "0")]).await;
    world.sink.fault_all(Action::Status(503));
    for _ in 0..1000 {
        world.store.place_order_as(None, 11);
    }
    world.sender.idle(PATIENCE).await.unwrap();
    world.sink.wait_for(|sink| sink.attempts() >= 4, PATIENCE).await.unwrap();
    assert_eq!(world.sink.accepted_count(), 0);
    world.sink.clear_faults();
    world.arrived(1000).await;
    // In pages, within the quota of the smallest plan.
    assert_eq!(world.store.quota_refusals(), 0);
    assert!(world.store.call_count(Operation::OrderList) < 30, "{}", world.store.call_count(Operation::OrderList));
    world.finish().await;
}

#[actix_web::test]
async fn every_way_of_being_down_is_the_destinations_fault() {
    for action in [
        Action::Status(500),
        Action::Status(429),
        Action::Status(401),
        Action::Status(403),
        Action::Status(404),
        Action::Drop,
        Action::Redirect("http://127.0.0.1:9/".to_owned()),
        Action::Slow(Duration::from_secs(3)),
    ] {
        let world = World::start_with(&[("FORWARD_TIMEOUT", "1s"), ("RETRY_MAX_AGE", "1s")]).await;
        world.sink.fault(Fault::new(Operation::Delivery, action.clone()).times(2));
        let order = world.store.place_order_as(None, 11);
        let row = world.settled(order, "delivered").await;
        assert_eq!(row["attempts"], 1, "{action:?}");
        world.finish().await;
    }
}

#[actix_web::test]
async fn an_order_that_alone_meets_errors_holds_up_nobody() {
    let world = World::start().await;
    let poison = world.store.place_order_silently(None, 11);
    world.sink.fault_order(poison, Action::Status(500));
    world.tell(poison).await;
    for batch in 1..=5 {
        for _ in 0..10 {
            world.store.place_order_as(None, 11);
        }
        world.arrived(batch * 10).await;
    }
    world.sink.clear_faults();
    world.arrived(51).await;
    world.finish().await;
}

#[actix_web::test]
async fn every_way_of_the_store_being_down_costs_no_attempt_and_loses_nothing() {
    for action in [
        Action::Status(500),
        Action::Status(503),
        Action::Status(401),
        Action::Status(403),
        Action::Drop,
        Action::HalfAnswer,
        Action::Drip(Duration::from_secs(4)),
        Action::Slow(Duration::from_secs(4)),
    ] {
        let world = World::start_with(&[("FETCH_TIMEOUT", "1s"), ("RETRY_MAX_AGE", "1s")]).await;
        for operation in [Operation::OrderSingle, Operation::OrderList] {
            world.store.fault(Fault::new(operation, action.clone()).times(1));
        }
        let orders: Vec<i64> = (0..5).map(|_| world.store.place_order_as(None, 11)).collect();
        world.arrived(5).await;
        for order in orders {
            assert_eq!(world.settled(order, "delivered").await["attempts"], 1, "{action:?}");
        }
        world.finish().await;
    }
}

#[actix_web::test]
async fn retry_after_lengthens_the_pause() {
    let world = World::start().await;
    world.sink.fault(Fault::new(Operation::Delivery, Action::Status(503)).header("Retry-After", "3").times(1));
    let order = world.store.place_order_as(None, 11);
    world.arrived_at(order, 1).await;
    let received = world.sink.received();
    let apart = received[1].started - received[0].started;
    assert!(apart >= Duration::from_millis(2900), "{apart:?}");
    world.finish().await;
}

#[actix_web::test]
async fn a_database_that_cannot_be_written_is_said_and_nothing_is_acknowledged_until_it_can() {
    let world = World::start().await;
    // Another process holds the database lock for longer than a write waits.
    let other = rusqlite::Connection::open(world.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let order = world.store.place_order_silently(None, 11);
    let event = sandbox::Event::new(sandbox::Scope::Created, order);
    let (headers, body) = sandbox::signed_request(&world.store.config().client_secret, &event);
    let request = headers.into_iter().fold(
        world.client.post(world.url("/webhooks/bigcommerce")).timeout(Duration::from_secs(20)).body(body),
        |request, (name, value)| request.header(name, value),
    );
    let ready = world.client.get(world.url("/health/ready")).timeout(Duration::from_secs(20)).send();
    let (refused, ready) = tokio::join!(request.send(), ready);
    let refused = refused.unwrap();
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(ready.unwrap().status().as_u16(), 503);
    assert_eq!(world.client.get(world.url("/health/live")).send().await.unwrap().status().as_u16(), 200);

    other.execute_batch("ROLLBACK").unwrap();
    world.tell(order).await;
    world.arrived_at(order, 1).await;
    let ready = world.client.get(world.url("/health/ready")).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 200);
    world.finish().await;
}

#[actix_web::test]
async fn a_slow_destination_does_not_slow_the_acknowledgement() {
    let world = World::start().await;
    world.sink.fault_all(Action::Hold);
    for _ in 0..20 {
        let order = world.store.place_order_silently(None, 11);
        let began = Instant::now();
        world.tell(order).await;
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    world.sink.clear_faults();
    world.sink.release();
    world.arrived(20).await;
    world.finish().await;
}

#[actix_web::test]
async fn lists_that_are_too_slow_where_single_calls_are_not_do_not_hold_up_a_backlog() {
    let store = StoreConfig { quota: QuotaRule::unlimited(), ..StoreConfig::default() };
    let extra = [("RECONCILE_INTERVAL", "0"), ("FETCH_TIMEOUT", "1s")];
    let mut world = World::prepare(store, SenderOptions::default(), &extra);
    world.start_relay().await;
    world.hooked().await;
    world.sink.fault_all(Action::Status(503));
    for _ in 0..200 {
        world.store.place_order_as(None, 11);
    }
    world.sender.idle(PATIENCE).await.unwrap();
    world.store.fault(Fault::new(Operation::OrderList, Action::Slow(Duration::from_secs(2))));
    world.sink.clear_faults();
    world.sink.wait_for(|sink| sink.accepted_orders() == 200, Duration::from_secs(60)).await.unwrap();
    let lists = world.store.call_count(Operation::OrderList);
    assert!(lists < 100, "{lists} lists, each in vain");
    world.finish().await;
}

#[actix_web::test]
async fn a_store_that_judges_an_order_is_up() {
    let world = World::start_with(&[("RECONCILE_INTERVAL", "0")]).await;
    let deleted = world.store.place_order_silently(None, 11);
    world.store.delete_order(deleted);
    world.store.fault(Fault::new(Operation::OrderSingle, Action::Status(503)).times(1));
    world.tell(deleted).await;
    let parts = async {
        loop {
            let (_, rows) = world.get("/orders?state=pending").await;
            if rows["orders"][0]["last_error"] == "store: HTTP 404" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, parts).await.unwrap();
    let page = world.client.get(world.url("/integration")).bearer_auth(sandbox::relay::ADMIN_TOKEN);
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(!page.contains("BigCommerce has not been answering"), "{page}");
    world.finish().await;
}

/// So many orders wait while One Tribe is down; the relay then forwards two at a time, slowly.
async fn list_under_way(orders: usize) -> World {
    let world = World::start_with(&[("DELIVERY_CONCURRENCY", "2"), ("RECONCILE_INTERVAL", "0")]).await;
    world.sink.fault_all(Action::Status(503));
    for _ in 0..orders {
        world.store.place_order_as(None, 11);
    }
    world.sender.idle(PATIENCE).await.unwrap();
    world.sink.clear_faults();
    world.sink.fault_all(Action::Slow(Duration::from_millis(100)));
    world.sink.wait_for(|sink| sink.accepted_count() >= 5, PATIENCE).await.unwrap();
    world
}

#[actix_web::test]
async fn no_more_is_forwarded_than_can_be_settled() {
    let world = list_under_way(60).await;
    let database = rusqlite::Connection::open(world.database()).unwrap();
    let broken =
        "CREATE TRIGGER broken BEFORE UPDATE ON objects WHEN NEW.state = 1 BEGIN SELECT RAISE(ABORT, 'no'); END";
    world.sink.clear_faults();
    world.sink.fault_all(Action::Slow(Duration::from_secs(1)));
    database.execute_batch(broken).unwrap();
    let at_most = world.sink.attempts() + 6;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(world.sink.attempts() <= at_most, "{} more were forwarded", world.sink.attempts() - at_most);
    database.execute_batch("DROP TRIGGER broken").unwrap();
    world.sink.clear_faults();
    world.arrived(60).await;
    assert_eq!(world.sink.accepted_count(), 60, "each once");
    world.finish().await;
}

#[actix_web::test]
async fn orders_that_cannot_be_claimed_are_no_good_deliveries() {
    let world = World::start_with(&[("RECONCILE_INTERVAL", "0")]).await;
    let database = rusqlite::Connection::open(world.database()).unwrap();
    let broken = "CREATE TRIGGER broken BEFORE UPDATE OF lease_owner ON objects BEGIN SELECT RAISE(ABORT, 'no'); END";
    database.execute_batch(broken).unwrap();
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    let storage = async || {
        let (_, report) = world.get("/integration/check").await;
        report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "storage").unwrap()["status"].clone()
    };
    let began = Instant::now();
    while storage().await != "fail" {
        assert!(began.elapsed() < PATIENCE, "delivery stands still under a green check");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    database.execute_batch("DROP TRIGGER broken").unwrap();
    world.arrived_at(order, 1).await;
    assert_eq!(storage().await, "pass");
    world.finish().await;
}
