//! Each connection's orders go only to its own destination, whatever it shares with others.

use reqwest::Method;
use sandbox::{Event, OneTribeConfig, OneTribeSim, QuotaRule, Scope, SendOptions, Sender, SenderOptions, send_once};
use serde_json::json;

use super::world::{PATIENCE, World};

fn merchant(number: usize) -> OneTribeSim {
    let config = OneTribeConfig { token: format!("merchant-{number}"), ..OneTribeConfig::default() };
    OneTribeSim::start_with(config).unwrap()
}

async fn arrived(sink: &OneTribeSim, order: i64) {
    sink.wait_for(|sink| sink.newest(order).is_some(), PATIENCE).await.unwrap();
}

#[actix_web::test]
async fn every_order_arrives_at_its_own_merchants_destination_and_nowhere_else() {
    let world = World::start(3).await;
    let stores = world.farm.stores();
    let sinks: Vec<OneTribeSim> = (0..3).map(merchant).collect();
    for (store, sink) in stores.iter().zip(&sinks) {
        let mut request = world.store_request(store);
        request["destination"]["url"] = json!(sink.url());
        world.connect(&request).await;
        store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
    }
    let sender = Sender::start_for(&stores, SenderOptions::default());
    let placed: Vec<Vec<i64>> =
        stores.iter().map(|store| (0..20).map(|_| store.place_order_as(None, 11)).collect()).collect();
    for (sink, orders) in sinks.iter().zip(&placed) {
        for order in orders {
            arrived(sink, *order).await;
        }
        assert!(sink.received().iter().all(|one| orders.contains(&one.order_id)), "another merchant's order");
        assert_eq!(sink.accepted_count(), 20);
    }
    assert_eq!(world.sink.attempts(), 0);
    sender.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn two_connections_of_one_store_get_the_same_orders_and_share_one_quota() {
    let world = World::start_with(1, &[("RECONCILE_INTERVAL", "0")]).await;
    let store = world.farm.stores().remove(0);
    let other = merchant(1);
    let mut second = world.store_request(&store);
    second["destination"]["url"] = json!(other.url());
    second["name"] = json!("The other merchant");
    let ids = [world.connect(&world.store_request(&store)).await, world.connect(&second).await];
    assert_ne!(ids[0], ids[1]);
    store.wait_for(|store| store.hooks().len() == 2, PATIENCE).await.unwrap();
    let hooks = store.hooks();
    assert_ne!(hooks[0].destination, hooks[1].destination);
    assert_ne!(hooks[0].headers, hooks[1].headers, "a token of one opens no other");
    // A small window that both connections share; each of them alone would consider all of it its own.
    store.set_quota(QuotaRule { requests: 60, window: std::time::Duration::from_secs(10), headers_on_429: true });
    let sender = Sender::start(&store, SenderOptions::default());
    let orders: Vec<i64> = (0..40).map(|_| store.place_order_as(None, 11)).collect();
    for order in orders {
        world.arrived_at(order, 1).await;
        arrived(&other, order).await;
    }
    assert_eq!(store.quota_refusals(), 0, "the quota was overrun");
    // One of the connections ends: its hook is removed, the other's stays.
    assert_eq!(world.ask(Method::DELETE, &format!("/connections/{}", ids[1]), None).await.0, 200);
    assert_eq!(store.hooks().len(), 1);
    let late = store.place_order_as(None, 11);
    world.arrived_at(late, 1).await;
    assert_eq!(other.newest(late), None);
    sender.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn a_changed_destination_gets_what_waits_and_what_comes() {
    let world = World::start(1).await;
    let store = world.farm.stores().remove(0);
    let next = merchant(2);
    let id = world.connect(&world.store_request(&store)).await;
    store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
    let sender = Sender::start(&store, SenderOptions::default());
    let before = store.place_order_as(None, 11);
    world.arrived_at(before, 1).await;
    world.sink.fault_all(sandbox::Action::Status(503));
    let waiting = store.place_order_as(None, 11);
    world.sink.wait_for(|sink| sink.attempts() > 1, PATIENCE).await.unwrap();
    let path = format!("/connections/{id}");
    let change = json!({"destination": {"kind": "one_tribe", "url": next.url()}});
    let (status, changed) = world.ask(Method::PATCH, &path, Some(&change)).await;
    assert_eq!((status, &changed["id"]), (200, &json!(id)), "{changed}");
    assert!(!changed.to_string().contains("merchant-2"), "{changed}");
    arrived(&next, waiting).await;
    let after = store.place_order_as(None, 11);
    arrived(&next, after).await;
    assert_eq!((world.sink.newest(waiting), world.sink.newest(after)), (None, None));
    assert_eq!(next.newest(before), None, "what the former destination has is not sent again");
    sender.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn an_ended_connections_address_takes_anything_and_does_nothing_also_after_a_restart() {
    let mut world = World::start(1).await;
    let store = world.farm.stores().remove(0);
    let id = world.connect(&world.store_request(&store)).await;
    store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
    let address = store.hooks()[0].destination.clone();
    assert_eq!(world.ask(Method::DELETE, &format!("/connections/{id}"), None).await.0, 200);
    for restarted in [false, true] {
        if restarted {
            world.stop_relay().await;
            world.start_relay().await;
        }
        let order = store.place_order_silently(None, 11);
        let event = Event::new(Scope::Created, order).of_store(&store.config().hash);
        let secret = &store.config().client_secret;
        let signed = send_once(&world.client, &address, secret, &event, &SendOptions::default()).await.unwrap();
        let unsigned = send_once(&world.client, &address, secret, &event, &SendOptions::unsigned()).await.unwrap();
        let nonsense = world.client.post(&address).body("nonsense").send().await.unwrap().status().as_u16();
        assert_eq!((signed, unsigned, nonsense), (200, 200, 200));
        let (status, orders) = world.get(&format!("/connections/{id}/orders")).await;
        assert_eq!((status, &orders["orders"]), (200, &json!([])), "{orders}");
        let (_, shown) = world.get(&format!("/connections/{id}")).await;
        assert_eq!((&shown["state"], &shown["waiting"]), (&json!("disconnected"), &json!(0)), "{shown}");
    }
    // No credentials are left, not even sealed, and no payload URL.
    let database = rusqlite::Connection::open(world.folder.path().join("relay.db")).unwrap();
    let sealed: Option<Vec<u8>> =
        database.query_row("SELECT sealed FROM connections WHERE id = ?1", [id], |row| row.get(0)).unwrap();
    assert_eq!(sealed, None);
    assert_eq!(world.sink.attempts(), 0);
    world.finish().await;
}
