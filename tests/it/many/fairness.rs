//! Trouble in one connection delays only that connection.

use std::time::{Duration, Instant};

use sandbox::{Action, Fault, Operation, Sender, SenderOptions, StoreSim};

use super::world::{PATIENCE, World};

#[actix_web::test]
async fn a_store_that_hangs_and_one_that_refuses_hold_up_no_other() {
    let world = World::start_with(6, &[("MAX_CONCURRENCY", "16"), ("FETCH_TIMEOUT", "20s")]).await;
    world.connect_all().await;
    let stores = world.farm.stores();
    let sender = Sender::start_for(&stores, SenderOptions::default());
    for operation in [Operation::OrderSingle, Operation::OrderList] {
        stores[0].fault(Fault::new(operation, Action::Hold));
        stores[1].fault(Fault::new(operation, Action::Status(401)));
        stores[2].fault(Fault::new(operation, Action::Status(503)));
    }
    for store in &stores[..3] {
        for _ in 0..200 {
            store.place_order_as(None, 11);
        }
    }
    // All are told of now, so that everything that can be blocked is blocked soon.
    sender.idle(PATIENCE).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let orders: Vec<i64> =
        stores[3..].iter().flat_map(|store| (0..5).map(|_| store.place_order_as(None, 11))).collect();
    for order in orders {
        world.arrived_at(order, 1).await;
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Once the stores are back, none of their orders is lost.
    for store in &stores[..3] {
        store.clear_faults();
        store.release();
    }
    let all = stores[..3].iter().flat_map(|store| store.orders());
    for order in all {
        world.arrived_at(order.id, order.revision).await;
    }
    sender.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn a_webhook_address_takes_only_its_own_stores_callbacks() {
    use sandbox::{Event, Scope, SendOptions, send_once};
    let world = World::start(2).await;
    world.connect_all().await;
    let stores = world.farm.stores();
    let addresses: Vec<String> = stores.iter().map(|store| store.hooks()[0].destination.clone()).collect();
    assert_ne!(addresses[0], addresses[1]);
    let order = stores[0].place_order_silently(None, 11);
    let event = Event::new(Scope::Created, order).of_store(&stores[0].config().hash);
    let send = |address: &str, secret: &str| {
        let (client, address, secret, event) = (&world.client, address.to_owned(), secret.to_owned(), event.clone());
        async move { send_once(client, &address, &secret, &event, &SendOptions::default()).await.unwrap() }
    };
    let (one, other) = (&stores[0].config().client_secret, &stores[1].config().client_secret);
    // Signed with the secret of a foreign store for the other address: dropped. With a wrong signature: refused.
    assert_eq!(send(&addresses[1], one).await, 401);
    assert_eq!(send(&addresses[1], other).await, 200);
    assert_eq!(send(&addresses[0], other).await, 401);
    assert_eq!(send(&world.url("/webhooks/0123456789abcdef0123456789abcdef"), one).await, 404);
    assert_eq!(send(&world.url("/webhooks/bigcommerce"), one).await, 404);
    assert_eq!(world.sink.attempts(), 0);
    assert_eq!(send(&addresses[0], one).await, 200);
    world.arrived_at(order, 1).await;
    world.finish().await;
}

#[actix_web::test]
async fn stores_whose_quota_is_used_up_keep_no_other_from_being_polled() {
    let world = World::start_with(41, &[("RECONCILE_INTERVAL", "1s"), ("HOOK_CHECK_INTERVAL", "0")]).await;
    world.connect_all().await;
    let stores = world.farm.stores();
    let (free, starved) = stores.split_last().unwrap();
    for store in starved {
        store.set_quota(sandbox::QuotaRule {
            requests: 3,
            window: Duration::from_secs(3600),
            ..sandbox::QuotaRule::default()
        });
        store.other_app_uses(3);
    }
    // Each of them has been polled since, and knows that it must wait.
    for store in starved {
        store.wait_for(|store| store.quota_refusals() > 0, PATIENCE).await.unwrap();
    }
    let order = free.place_order_silently(None, 11);
    let began = std::time::Instant::now();
    world.arrived_at(order, 1).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    world.finish().await;
}

/// Deliveries, polls, hooks and checks together. On a machine so slow that a check waits for two seconds there may be
/// a few more.
#[actix_web::test]
async fn no_more_calls_are_under_way_than_allowed() {
    for most in [1_usize, 2, 5] {
        let text = most.to_string();
        // Few enough calls wait that no check, which goes first after two seconds, has to.
        let settings = [("MAX_CONCURRENCY", &*text), ("RECONCILE_INTERVAL", "1s"), ("DELIVERY_CONCURRENCY", "1")];
        let world = World::start_with(4, &settings).await;
        let slow = Action::Slow(Duration::from_millis(20));
        for store in world.farm.stores() {
            store.fault(Fault::new(Operation::Any, slow.clone()));
        }
        world.sink.fault_all(slow);
        let ids = world.connect_all().await;
        let check = async |id: i64| world.get(&format!("/connections/{id}/integration/check")).await.0;
        // Otherwise all new connections are checked together in the middle of this.
        for id in &ids {
            assert_eq!(check(*id).await, 200);
        }
        let under_way = |store: &StoreSim| store.calls().iter().filter(|call| call.status.is_none()).count();
        let open = || world.farm.stores().iter().map(under_way).sum::<usize>() + world.sink.open();
        let counted = async {
            let mut highest = 0;
            for round in 0..300 {
                if round % 20 == 0 {
                    for store in world.farm.stores() {
                        store.place_order_as(None, 11);
                    }
                }
                // A permit that moves on while one counts is counted twice, but not three times in a row.
                highest = highest.max([open(), open(), open()].into_iter().min().unwrap_or_default());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            highest
        };
        let checked = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            check(ids[0]).await
        };
        let (highest, checked) = tokio::join!(counted, checked);
        assert_eq!(checked, 200);
        assert!(highest > 0 && highest <= most + 1, "{highest} calls at once, not at most {most}");
        world.finish().await;
    }
}
