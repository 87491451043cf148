//! Instances of WooCommerce shops.

use std::{collections::BTreeSet, time::Duration};

use reqwest::Method;
use sandbox::{Operation, ShopConfig, ShopSim};
use serde_json::{Value, json};

use super::world::{Instance, KEY, PATIENCE, World, set, words};

pub fn shop() -> ShopSim {
    let config = ShopConfig { is_ssl: false, queue_delay: Some(Duration::ZERO), ..ShopConfig::default() };
    ShopSim::start_with(config).unwrap()
}

/// An instance of the shop that is told of changes by `webhook` or by `polling`.
async fn instance(world: &World, shop: &ShopSim, by: &str) -> Instance {
    let keys = shop.config();
    let body = json!({
        "element": { "key": "woocommercerest" },
        "configuration": {
            "store.url": shop.url(),
            "oauth.api.key": keys.consumer_key,
            "oauth.api.secret": keys.consumer_secret,
            "event.notification.enabled": true,
            "event.vendor.type": by,
            "event.notification.callback.url": world.callback.url(),
            "event.notification.signature.key": KEY,
            "event.poller.refresh_interval": if by == "polling" { "0.02" } else { "600" },
        },
        "tags": ["Docs"],
        "name": "A shop",
    });
    world.create(&body).await
}

fn topics(shop: &ShopSim) -> BTreeSet<String> {
    shop.hooks().into_iter().map(|hook| hook.topic).collect()
}

#[tokio::test]
async fn webhooks_are_made_for_every_resource_and_each_is_told_of_once() {
    let (world, shop) = (World::start().await, shop());
    let instance = instance(&world, &shop, "webhook").await;
    let expected: BTreeSet<String> = ["order", "product", "customer", "coupon"]
        .iter()
        .flat_map(|object| ["created", "updated", "deleted"].map(|change| format!("{object}.{change}")))
        .collect();
    let wired = |shop: &ShopSim| topics(shop).is_superset(&expected);
    if shop.wait_for(wired, PATIENCE).await.is_err() {
        panic!("{:?} lack some of {expected:?}", topics(&shop));
    }
    assert_eq!(shop.hooks().len(), topics(&shop).len(), "one for each topic");
    let order = shop.place_order();
    let product = shop.add_object("products", json!({ "name": "A product", "status": "publish" }));
    let customer = shop.add_object("customers", json!({ "email": "somebody@example.com" }));
    let coupon = shop.add_object("coupons", json!({ "code": "ten", "status": "publish" }));
    let told = world.told(4).await;
    let creations = [
        format!("orders {order} CREATED"),
        format!("products {product} CREATED"),
        format!("customers {customer} CREATED"),
        format!("discounts {coupon} CREATED"),
    ];
    assert_eq!(set(&told), creations.clone().into());
    shop.change_order(order, "completed");
    assert!(set(&world.told(5).await).contains(&format!("orders {order} UPDATED")));
    shop.trash_order(order);
    let last = world.told(6).await.pop().unwrap();
    assert_eq!((last.id.as_str(), last.change.as_str()), (order.to_string().as_str(), "DELETED"));
    let ended = world.ask(Method::DELETE, &format!("/instances/{}", instance.id), None).await;
    assert_eq!((ended.status, shop.hooks().len()), (200, 0));
    world.finish().await;
    shop.stop().await;
}

/// WooCommerce sends `product.deleted` and `coupon.deleted` for other things too, with their ids.
#[tokio::test]
async fn deletions_of_foreign_things_are_not_told() {
    let (world, shop) = (World::start().await, shop());
    instance(&world, &shop, "webhook").await;
    let wired =
        |shop: &ShopSim| ["product.deleted", "coupon.deleted"].iter().all(|topic| topics(shop).contains(*topic));
    shop.wait_for(wired, PATIENCE).await.unwrap();
    let order = shop.place_order();
    let product = shop.add_object("products", json!({ "name": "A product", "status": "publish" }));
    world.told(2).await;
    let asked = |path: String| {
        move |shop: &ShopSim| {
            shop.calls().iter().any(|call| call.path_and_query.contains(&path) && call.status.is_some())
        }
    };
    for (topic, resource, id) in [("product.deleted", "products", order), ("coupon.deleted", "coupons", product)] {
        shop.tell(topic, id);
        shop.wait_for(asked(format!("{resource}/{id}?")), PATIENCE).await.unwrap();
    }
    // It is read, and says that it is not deleted.
    shop.tell("product.deleted", product);
    shop.trash_order(order);
    let told = words(&world.told(3).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.told(3).await.len(), 3, "{:?}", world.callback.events());
    assert_eq!(told[2], format!("orders {order} DELETED"));
    world.finish().await;
    shop.stop().await;
}

/// Lists of a shop's orders leave out the trash.
#[tokio::test]
async fn polling_finds_what_went_to_the_trash() {
    let (world, shop) = (World::start().await, shop());
    let before = shop.place_order();
    shop.trash_order(before);
    shop.set_modified(before, 1_600_000_000);
    instance(&world, &shop, "polling").await;
    let order = shop.place_order();
    world.told(1).await;
    shop.trash_order(order);
    let told = world.told(2).await;
    let polls = shop.call_count(Operation::OrderList);
    shop.wait_for(|shop| shop.call_count(Operation::OrderList) > polls + 8, PATIENCE).await.unwrap();
    assert_eq!(world.callback.events().len(), 2, "each once: {:?}", world.callback.events());
    let expected = [format!("orders {order} CREATED"), format!("orders {order} DELETED")];
    assert_eq!(words(&told), expected);
    world.finish().await;
    shop.stop().await;
}

#[tokio::test]
async fn keys_that_the_shop_refuses_make_no_instance() {
    let (world, shop) = (World::start().await, shop());
    let body = |change: &dyn Fn(&mut Value)| {
        let mut configuration = json!({
            "store.url": shop.url(),
            "oauth.api.key": shop.config().consumer_key,
            "oauth.api.secret": format!("cs_{}", "0".repeat(40)),
        });
        change(&mut configuration);
        json!({ "element": { "id": 2881 }, "configuration": configuration, "tags": ["a"], "name": "A shop" })
    };
    let refused = world.ask(Method::POST, "/instances", Some(&body(&|_| {}))).await;
    assert_eq!(refused.status, 401, "{:?}", refused.body);
    assert!(refused.body["providerMessage"].is_string(), "{:?}", refused.body);
    for key in ["store.url", "oauth.api.key", "oauth.api.secret"] {
        let without = body(&|configuration| {
            configuration.as_object_mut().unwrap().remove(key);
        });
        let answer = world.ask(Method::POST, "/instances", Some(&without)).await;
        assert_eq!(answer.status, 400, "{key}");
        assert!(answer.body["message"].as_str().unwrap().contains(key), "{:?}", answer.body);
    }
    let private = body(&|configuration| configuration["store.url"] = json!("http://10.0.0.1"));
    assert_eq!(world.ask(Method::POST, "/instances", Some(&private)).await.status, 400);
    assert_eq!(world.get("/instances").await.body, json!([]));
    world.finish().await;
    shop.stop().await;
}
