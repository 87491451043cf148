//! Hooks v2 and v3: shapes, rules, switches.

use reqwest::Method;
use sandbox::{HookRules, StoreSim};
use serde_json::{Value, json};

use crate::api::Api;

fn hook(scope: &str, n: u32) -> Value {
    json!({ "scope": scope, "destination": format!("https://relay.example/webhooks/{n}"), "is_active": true })
}

#[tokio::test]
async fn v2_shows_bare_objects_and_wants_full_ones() {
    let store = StoreSim::start().expect("a port");
    let api = Api::of(&store);
    let none = api.get("v2/hooks").await;
    assert_eq!((none.status, none.body.as_str()), (204, ""));
    store.set_hook_rules(HookRules { v2_empty_is_204: false, v2_created: 200, ..HookRules::default() });
    assert_eq!(api.get("v2/hooks").await.body, "[]");

    let made = api.send(Method::POST, "v2/hooks", hook("store/order/*", 1)).await;
    assert_eq!(made.status, 200);
    let id = made.json()["id"].as_i64().expect("an id");
    assert_eq!(made.json()["headers"], Value::Null);
    assert_eq!(made.json()["store_hash"], "abcde");
    assert_eq!(api.get("v2/hooks").await.ids(), [id]);
    assert_eq!(api.get(&format!("v2/hooks/{id}")).await.body, made.body);
    assert_eq!(api.send(Method::POST, "v2/hooks", hook("store/order/*", 1)).await.status, 422);

    store.set_hook_rules(HookRules { takes_duplicates: true, ..HookRules::default() });
    let second = api.send(Method::POST, "v2/hooks", hook("store/order/*", 1)).await;
    assert_eq!((second.status, store.hooks().len()), (201, 2));
    let second = format!("v2/hooks/{}", second.json()["id"]);
    assert_eq!(api.request(Method::DELETE, &second).send().await.expect("an answer").status(), 200);

    let path = format!("v2/hooks/{id}");
    assert_eq!(api.send(Method::PUT, &path, json!({ "is_active": false })).await.status, 400);
    let full = json!({ "scope": "store/order/*", "destination": "https://relay.example/b", "is_active": false,
        "headers": { "x-relay-token": "t" } });
    let changed = api.send(Method::PUT, &path, full).await;
    assert_eq!((changed.status, &changed.json()["headers"]["x-relay-token"]), (200, &json!("t")));
    assert!(store.hooks_for("store/order/created").is_empty(), "inactive");

    let gone = api.request(Method::DELETE, &path).send().await.expect("an answer");
    assert_eq!(gone.status(), 200);
    assert_eq!(api.get(&path).await.status, 404);
    store.set_hook_rules(HookRules { v2_gone: Some(410), ..HookRules::default() });
    assert_eq!(api.get("v2/hooks").await.status, 410);
    assert_eq!(api.get("v3/hooks").await.status, 200);
    store.stop().await;
}

#[tokio::test]
async fn v3_wraps_pages_and_filters() {
    let store = StoreSim::start().expect("a port");
    let api = Api::of(&store);
    let made = api.send(Method::POST, "v3/hooks", hook("store/order/created", 1)).await;
    let id = made.json()["data"]["id"].as_i64().expect("an id");
    assert_eq!(made.json()["meta"], json!({}));
    assert_eq!(api.send(Method::POST, "v3/hooks", hook("store/order/created", 1)).await.status, 409);
    for n in 2..=10 {
        assert_eq!(api.send(Method::POST, "v3/hooks", hook("store/order/created", n)).await.status, 200);
    }
    assert_eq!(api.send(Method::POST, "v3/hooks", hook("store/order/created", 11)).await.status, 422, "ten per scope");
    assert_eq!(api.send(Method::POST, "v3/hooks", hook("store/order/updated", 1)).await.status, 200);

    let path = format!("v3/hooks/{id}");
    let changed = api.send(Method::PUT, &path, json!({ "is_active": false })).await;
    assert_eq!(changed.json()["data"]["is_active"], false);
    assert_eq!(changed.json()["data"]["scope"], "store/order/created");

    let count = async |query: &str| {
        let got = api.get(&format!("v3/hooks?{query}")).await.json();
        got["data"].as_array().expect("a list").len()
    };
    assert_eq!(count("scope=store/order/created").await, 10);
    assert_eq!(count("is_active=false").await, 1);
    assert_eq!(count("destination=https://relay.example/webhooks/1").await, 2);
    assert_eq!(count("limit=4&page=3").await, 3);
    let page = api.get("v3/hooks?limit=4&page=2").await.json();
    assert_eq!(page["meta"]["pagination"]["total"], 11);
    assert_eq!(page["meta"]["pagination"]["total_pages"], 3);
    assert_eq!(page["meta"]["pagination"]["current_page"], 2);

    let bad = json!({ "scope": "store/order/created", "destination": "http://relay.example/x", "is_active": true });
    assert_eq!(api.send(Method::POST, "v3/hooks", bad).await.status, 400);
    let gone = api.request(Method::DELETE, &path).send().await.expect("an answer");
    assert_eq!(gone.status(), 200);
    assert_eq!(api.get(&path).await.status, 404);
    assert_eq!(api.get("v2/hooks").await.ids().len(), 10, "one set of hooks behind both versions");

    assert_eq!(api.send(Method::PUT, "v3/hooks/admin", json!({ "emails": ["a@example.com"] })).await.status, 204);
    store.block_domain("https://relay.example", std::time::Instant::now() + crate::SOON);
    let admin = api.get("v3/hooks/admin").await.json();
    assert_eq!(admin["data"]["emails"], json!(["a@example.com"]));
    assert_eq!(admin["data"]["blocked_domains"][0]["destination"], "https://relay.example");
    store.stop().await;
}
