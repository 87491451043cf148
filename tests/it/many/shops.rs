//! WooCommerce shops beside BigCommerce stores.

use std::time::Duration;

use reqwest::Method;
use sandbox::{ShopConfig, ShopSim};
use serde_json::json;

use super::world::{PATIENCE, World};

fn shop() -> ShopSim {
    let config = ShopConfig { is_ssl: false, queue_delay: Some(Duration::ZERO), ..ShopConfig::default() };
    ShopSim::start_with(config).unwrap()
}

async fn hooked(shop: &ShopSim) {
    shop.wait_for(|shop| shop.hooks().len() == 4, PATIENCE).await.unwrap();
}

#[actix_web::test]
async fn a_shops_orders_arrive_byte_for_byte_and_drafts_do_not() {
    let world = World::start(1).await;
    let shop = shop();
    let id = world.connect(&world.shop_request(&shop)).await;
    hooked(&shop).await;
    let (draft, order) = (shop.place_draft(), shop.place_order());
    world.arrived_at(order, 1).await;
    let received = world.sink.accepted().into_iter().find(|one| one.order_id == order).unwrap();
    assert_eq!(received.body.as_deref(), shop.order_bytes(order).as_deref());
    assert!(shop.change_order(draft, "processing"));
    world.arrived_at(draft, 2).await;
    assert!(world.sink.accepted().iter().all(|one| one.order_id != draft || one.revision == 2), "as a cart");
    // The trash is a state like any other; a deleted order is gone.
    assert!(shop.trash_order(order));
    let revision = shop.revision(order).unwrap();
    world.arrived_at(order, revision).await;
    let trashed = world.sink.accepted().into_iter().rfind(|one| one.order_id == order).unwrap();
    assert!(String::from_utf8_lossy(trashed.body.as_deref().unwrap()).contains(r#""status":"trash""#));
    let (status, report) = world.get(&format!("/connections/{id}/integration/check")).await;
    assert_eq!(status, 200, "{report}");
    world.finish().await;
}

#[actix_web::test]
async fn webhooks_are_believed_only_with_their_signature() {
    let world = World::start(1).await;
    let shop = shop();
    world.connect(&world.shop_request(&shop)).await;
    hooked(&shop).await;
    let hook = shop.hooks().into_iter().find(|hook| hook.topic == "order.updated").unwrap();
    let order = shop.place_order_silently(None, "processing");
    let body = shop.order_bytes(order).unwrap();
    let post = |body: Vec<u8>, signature: Option<String>, source: &str| {
        let mut request = world.client.post(&hook.delivery_url).header("x-wc-webhook-topic", "order.updated");
        request = request.header("x-wc-webhook-source", source.to_owned());
        if let Some(signature) = signature {
            request = request.header("x-wc-webhook-signature", signature);
        }
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    };
    let sign = |body: &[u8]| Some(sandbox::woocommerce::signature(&hook.secret, body));
    let own = shop.url();
    assert_eq!(post(b"webhook_id=7".to_vec(), None, &own).await, 200, "the ping");
    assert_eq!(post(body.to_vec(), None, &own).await, 401);
    assert_eq!(post(body.to_vec(), Some("bm9uc2Vuc2U=".to_owned()), &own).await, 401);
    assert_eq!(post(body.to_vec(), sign(&body), "https://staging.example").await, 200, "dropped");
    let error = br#"{"code":"woocommerce_rest_cannot_view","message":"no","data":{"status":401}}"#;
    assert_eq!(post(error.to_vec(), sign(error), &own).await, 200, "dropped");
    assert_eq!(post(vec![b'{'; 8 * 1024 * 1024 + 1], None, &own).await, 413);
    assert_eq!(world.sink.attempts(), 0);
    assert_eq!(post(body.to_vec(), sign(&body), &own).await, 200);
    world.arrived_at(order, 1).await;
    world.finish().await;
}

#[actix_web::test]
async fn what_webhooks_missed_is_found_by_polling() {
    let world = World::start_with(1, &[("RECONCILE_INTERVAL", "1s")]).await;
    let shop = shop();
    let id = world.connect(&world.shop_request(&shop)).await;
    hooked(&shop).await;
    let order = shop.place_order_silently(None, "processing");
    world.arrived_at(order, 1).await;
    shop.change_order_silently(order, "completed");
    world.arrived_at(order, 2).await;
    world.settled(id, order, "delivered").await;
    world.finish().await;
}

#[actix_web::test]
async fn one_click_takes_keys_only_for_a_request_that_waits_and_only_if_they_work() {
    // WooCommerce posts keys only to `https`. Here the test stands in for the shop's server.
    let world = World::start_with(1, &[("PUBLIC_URL", "https://127.0.0.1:1")]).await;
    let shop = shop();
    let connect = |name: &'static str| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("shop", &shop.url())
            .append_pair("name", name)
            .append_pair("destination", &world.sink.url())
            .finish();
        let request = world.client.post(world.url("/woocommerce/connect")).bearer_auth(sandbox::relay::ADMIN_TOKEN);
        request.header("content-type", "application/x-www-form-urlencoded").body(form).send()
    };
    let answer = connect("By one click").await.unwrap();
    assert_eq!(answer.status().as_u16(), 303);
    let location = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    assert_eq!(location.path(), "/wc-auth/v1/authorize");
    let user_id = location.query_pairs().find(|(name, _)| name == "user_id").unwrap().1.into_owned();
    let keys = |user_id: &str, secret: &str| {
        let body = json!({
            "key_id": 1, "user_id": user_id, "consumer_key": shop.config().consumer_key,
            "consumer_secret": secret, "key_permissions": "read_write",
        });
        let request = world.client.post(world.url("/woocommerce/keys")).header("content-type", "application/json");
        async move { request.body(body.to_string()).send().await.unwrap().status().as_u16() }
    };
    let right = shop.config().consumer_secret.clone();
    assert_eq!(keys("somebody", &right).await, 403, "nobody asked");
    assert_eq!(keys(&user_id, &format!("cs_{}", "0".repeat(40))).await, 403, "they do not work");
    let (_, list) = world.get("/connections").await;
    assert_eq!(list["connections"], json!([]));
    let back = |success: &str| {
        let url = world.url(&format!("/woocommerce/connected?success={success}&user_id={user_id}"));
        async { world.client.get(url).send().await.unwrap().text().await.unwrap() }
    };
    assert!(back("1").await.contains("Not connected"));
    assert_eq!(keys(&user_id, &right).await, 200);
    assert_eq!(keys(&user_id, &right).await, 403, "for one use");
    assert!(back("1").await.contains("Connected"));
    let (_, list) = world.get("/connections").await;
    assert_eq!(list["connections"][0]["name"], "By one click");
    // With plain permalinks there is no such page.
    shop.configure(|config| config.permalinks = sandbox::ShopPermalinks::Plain);
    assert_eq!(connect("Plain").await.unwrap().status().as_u16(), 422);
    assert_eq!(world.ask(Method::POST, "/woocommerce/connect", Some(&json!({}))).await.0, 400);
    world.finish().await;
}

#[actix_web::test]
async fn a_request_for_keys_outlasts_the_relay_that_took_the_form() {
    let mut world = World::start_with(1, &[("PUBLIC_URL", "https://127.0.0.1:1")]).await;
    let shop = shop();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("shop", &shop.url())
        .append_pair("name", "By one click")
        .append_pair("destination", &world.sink.url())
        .finish();
    let request = world.client.post(world.url("/woocommerce/connect")).bearer_auth(sandbox::relay::ADMIN_TOKEN);
    let asked = request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
    let location = url::Url::parse(asked.headers()["location"].to_str().unwrap()).unwrap();
    let user_id = location.query_pairs().find(|(name, _)| name == "user_id").unwrap().1.into_owned();
    world.stop_relay().await;
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let kept = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [user_id.as_str(), &world.sink.url()] {
            assert!(
                !kept.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()),
                "{secret} is kept in the open"
            );
        }
    }
    world.start_relay().await;
    let body = json!({
        "key_id": 1, "user_id": user_id, "consumer_key": shop.config().consumer_key,
        "consumer_secret": shop.config().consumer_secret, "key_permissions": "read_write",
    });
    let request = world.client.post(world.url("/woocommerce/keys")).header("content-type", "application/json");
    assert_eq!(request.body(body.to_string()).send().await.unwrap().status().as_u16(), 200);
    let (_, list) = world.get("/connections").await;
    assert_eq!(list["connections"][0]["name"], "By one click");
    world.finish().await;
}
