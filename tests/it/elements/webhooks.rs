//! The store's webhooks in addition to polling.

use std::time::Duration;

use reqwest::Method;
use sandbox::{Event, Scope, Sender, SenderOptions, relay::ADMIN_TOKEN};
use serde_json::json;

use super::world::{KEY, PATIENCE, World, set, words};

#[tokio::test]
async fn webhooks_tell_sooner_what_polling_would_find() {
    let world = World::start().await;
    let sender = Sender::start(&world.store, SenderOptions::default());
    let poller =
        json!({ "sales": super::world::orders(), "products": { "url": "/hubs/ecommerce/products", "idField": "id" } });
    let extra = json!({
        "event.vendor.type": "webhook", "event.poller.refresh_interval": 600, "event.poller.configuration": poller
    });
    let instance = world.create(&world.body(&extra)).await;
    let hooked = |store: &sandbox::StoreSim| store.hooks().len() == 2;
    world.store.wait_for(hooked, PATIENCE).await.unwrap();
    let scopes: std::collections::BTreeSet<String> = world.store.hooks().into_iter().map(|hook| hook.scope).collect();
    assert_eq!(scopes, ["store/order/*", "store/product/*"].map(str::to_owned).into());
    let order = world.store.place_order_as(None, 7);
    assert_eq!(words(&world.told(1).await), [format!("sales {order} CREATED")]);
    world.store.put_row("v2/products", json!({ "id": 205, "name": "a product" }));
    let updated =
        |n: u32| Event::other("store/product/updated", 0, r#"{"type":"product","id":205}"#).with_hash(&n.to_string());
    world.store.tell(updated(1));
    assert_eq!(words(&world.told(2).await)[1], "products 205 UPDATED");
    world.store.put_row("v2/products", json!({ "id": 205, "is_deleted": true }));
    world.store.tell(updated(2));
    assert_eq!(words(&world.told(3).await)[2], "products 205 DELETED", "by its row");
    world.store.remove_row("v2/products", 205);
    world.store.tell(Event::other("store/product/deleted", 0, r#"{"type":"product","id":205}"#));
    assert_eq!(words(&world.told(4).await)[3], "products 205 DELETED");
    // A further event without a change causes no notification; a change does.
    world.store.tell(Event::new(Scope::Updated, order));
    sender.idle(PATIENCE).await.unwrap();
    world.store.change_order(order, 11);
    assert_eq!(words(&world.told(5).await)[4], format!("sales {order} UPDATED"));

    let polling = json!({ "configuration": { "event.vendor.type": "polling" } });
    assert_eq!(world.ask_by(&instance, Method::PATCH, "/instances", Some(&polling)).await.status, 200);
    assert_eq!(world.store.hooks().len(), 0, "its hooks are gone");
    sender.stop().await;
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_that_the_store_denies_is_not_told() {
    let world = World::start().await;
    let sender = Sender::start(&world.store, SenderOptions::default());
    let poller = json!({ "products": { "url": "/hubs/ecommerce/products", "idField": "id" } });
    let extra = json!({
        "event.vendor.type": "webhooks", "event.poller.refresh_interval": 600, "event.poller.configuration": poller
    });
    world.create(&world.body(&extra)).await;
    world.store.wait_for(|store| !store.hooks().is_empty(), PATIENCE).await.unwrap();
    world.store.put_row("v2/products", json!({ "id": 205, "name": "a product" }));
    world.store.tell(Event::other("store/product/deleted", 0, r#"{"type":"product","id":205}"#));
    sender.idle(PATIENCE).await.unwrap();
    world.store.tell(Event::other("store/product/deleted", 0, r#"{"type":"product","id":9}"#));
    let events = world.told(1).await;
    assert_eq!(set(&events), ["products 9 DELETED".to_owned()].into(), "a GET bears this one out");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.callback.events().len(), 1);
    sender.stop().await;
    world.finish().await;
}

#[tokio::test]
async fn a_connection_that_the_operator_makes_notifies_as_well() {
    let world = World::start().await;
    let sender = Sender::start(&world.store, SenderOptions::default());
    let config = world.store.config();
    let body = json!({
        "name": "By hand",
        "source": {
            "kind": "bigcommerce", "store_hash": config.hash,
            "access_token": config.token, "client_secret": config.client_secret
        },
        "destination": { "kind": "cloud_elements", "callback_url": world.callback.url(), "signature_key": KEY },
        "skip_order_statuses": [0]
    });
    let request = world.client.post(world.url("/connections")).bearer_auth(ADMIN_TOKEN).body(body.to_string());
    let made = request.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(made.status(), 201);
    world.store.wait_for(|store| !store.hooks().is_empty(), PATIENCE).await.unwrap();
    world.store.place_order_as(None, 0);
    let order = world.store.place_order_as(None, 11);
    assert_eq!(words(&world.told(1).await), [format!("orders {order} CREATED")]);
    let message = &world.callback.taken()[0].body["message"];
    assert_eq!((&message["instanceName"], &message["elementKey"]), (&json!("By hand"), &json!("bigcommerce")));
    sender.stop().await;
    world.finish().await;
}
