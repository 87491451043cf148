//! Invalid input, and who may call.

use reqwest::Method;
use sandbox::{Action, Fault, Operation};
use serde_json::{Value, json};

use super::world::{Answer, ORGANIZATION, USER, World};

fn is_refusal(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{words}: {:?}", answer.body);
    let body = answer.body.as_object().unwrap();
    let id = body["requestId"].as_str().unwrap();
    assert!(id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(answer.header("elements-request-id"), Some(id));
    let message = body["message"].as_str().unwrap();
    assert!(message.contains(words), "{message:?} does not say {words:?}");
    assert!(body.keys().all(|key| ["requestId", "message", "providerMessage"].contains(&key.as_str())), "{body:?}");
}

#[tokio::test]
async fn a_body_that_cannot_be_is_refused_by_its_key() {
    let world = World::start().await;
    let configured = |key: &str, value: Value| {
        let mut body = world.body(&json!({}));
        body["configuration"][key] = value;
        body
    };
    let polled = |poller: Value| configured("event.poller.configuration", poller);
    let with_format = |format: &str| {
        let dates = json!({ "updatedDateField": "x", "updatedDateFormat": format });
        polled(json!({ "orders": { "url": "/hubs/x/orders", "idField": "id", "datesConfiguration": dates } }))
    };
    let with_url = |url: &str| polled(json!({ "orders": { "url": url, "idField": "id" } }));
    let without = |key: &str| {
        let mut body = world.body(&json!({}));
        body["configuration"].as_object_mut().unwrap().remove(key);
        body
    };
    let element = |element: Value| {
        let mut body = world.body(&json!({}));
        body["element"] = element;
        body
    };
    for (body, status, words) in [
        (element(json!({ "key": "shopify" })), 404, "element"),
        (element(json!({ "id": 1 })), 404, "element"),
        (element(Value::Null), 400, "element.key"),
        (without("oauth.user.token"), 400, "oauth.user.token"),
        (without("store.hash"), 400, "store.hash"),
        (without("event.notification.callback.url"), 400, "event.notification.callback.url"),
        (configured("username", json!("me")), 400, "username"),
        (
            configured("event.notification.callback.url", json!("ftp://x.example")),
            400,
            "event.notification.callback.url",
        ),
        (
            configured("event.notification.callback.url", json!("http://10.0.0.1/x")),
            400,
            "event.notification.callback.url",
        ),
        (
            configured("event.notification.callback.url", json!("http://[::1]/x")),
            400,
            "event.notification.callback.url",
        ),
        (configured("event.poller.refresh_interval", json!("soon")), 400, "event.poller.refresh_interval"),
        (configured("event.poller.refresh_interval", json!(0.001)), 400, "event.poller.refresh_interval"),
        (configured("event.vendor.type", json!("carrier pigeon")), 400, "event.vendor.type"),
        (configured("oauth.user.token", json!("********")), 400, "oauth.user.token"),
        (polled(json!("{not json")), 400, "event.poller.configuration"),
        (polled(json!({ "orders": { "idField": "id" } })), 400, "event.poller.configuration.orders.url"),
        (with_url("https://evil.example/orders"), 400, "event.poller.configuration.orders.url"),
        (with_url("/hubs/x/../../admin"), 400, "event.poller.configuration.orders.url"),
        (with_url("/hubs/x/orders?where=nonsense"), 400, "event.poller.configuration.orders.url"),
        (with_format("YYYY-QQ"), 400, "updatedDateFormat"),
    ] {
        is_refusal(&world.ask(Method::POST, "/elements/api-v2/instances", Some(&body)).await, status, words);
    }
    let url = world.url("/instances");
    let sent = world.client.post(url).header("authorization", format!("User {USER}, Organization {ORGANIZATION}"));
    assert_eq!(sent.body("{").send().await.unwrap().status(), 400);
    let large = json!({ "name": "x".repeat(1024 * 1024 + 1) });
    is_refusal(&world.ask(Method::POST, "/instances", Some(&large)).await, 413, "1 MiB");
    assert_eq!(world.get("/instances").await.body, json!([]), "nothing was made");
    world.finish().await;
}

#[tokio::test]
async fn credentials_that_the_store_refuses_change_nothing() {
    let world = World::start().await;
    let mut body = world.body(&json!({}));
    body["configuration"]["oauth.user.token"] = json!("another-token");
    let refused = world.ask(Method::POST, "/instances", Some(&body)).await;
    is_refusal(&refused, 401, "refuses the credentials");
    assert_eq!(refused.body["providerMessage"], "HTTP 401");
    let instance = world.instance().await;
    let patch = json!({ "configuration": { "oauth.user.token": "another-token" }, "name": "Changed" });
    for method in [Method::PATCH, Method::PUT] {
        let refused = world.ask_by(&instance, method, "/instances", Some(&patch)).await;
        assert!(refused.status == 401 || refused.status == 400, "{:?}", refused.body);
    }
    let shown = world.get(&format!("/instances/{}", instance.id)).await;
    assert_eq!((&shown.body["name"], &shown.body["valid"]), (&json!("One"), &json!(true)));
    world.store.fault(Fault::new(Operation::Any, Action::Status(503)));
    body["configuration"]["oauth.user.token"] = json!(world.store.config().token);
    is_refusal(&world.ask(Method::POST, "/instances", Some(&body)).await, 502, "cannot be asked");
    world.finish().await;
}

#[tokio::test]
async fn only_who_knows_the_secrets_may_ask() {
    let world = World::start().await;
    let (one, two) = (world.instance().await, world.instance().await);
    let own = format!("/instances/{}", one.id);
    for authorization in [
        "".to_owned(),
        "Bearer x".to_owned(),
        format!("User {USER}"),
        format!("User {USER}, Organization another"),
        format!("User another, Organization {ORGANIZATION}"),
        format!("User {USER}, Element unknown"),
        format!("User {USER}, Organization {ORGANIZATION}, Element unknown"),
        format!("Element {}", one.token),
    ] {
        for path in ["/instances", own.as_str(), "/elements", "/ping"] {
            is_refusal(&world.ask_as(&authorization, Method::GET, path, None).await, 401, "Authorization");
        }
    }
    is_refusal(&world.get_by(&two, &own).await, 403, "another instance");
    is_refusal(&world.get("/hubs/ecommerce/orders").await, 401, "Element");
    for (path, status) in [
        ("/instances/9223372036854775808", 404),
        ("/instances/99999", 404),
        ("/instances/abc", 404),
        ("/elements/shopify", 404),
        ("/elements/api-v2/accounts", 404),
        ("/elements/api-v2/", 404),
        ("/formulas", 404),
        ("/instances/1/docs", 404),
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body["requestId"].is_string() && answer.body["message"].is_string(), "{path}");
    }
    is_refusal(&world.ask(Method::POST, "/elements/api-v2/hubs/ecommerce/orders", None).await, 404, "read only");
    is_refusal(&world.ask(Method::POST, &own, None).await, 405, "POST");
    let deliveries = "/notifications/subscriptions/deliveries?where=status='queued'";
    is_refusal(&world.ask(Method::GET, deliveries, None).await, 404, "not served");
    is_refusal(&world.ask(Method::GET, "/elements/bigcommerce/instances", None).await, 404, "not served");
    world.finish().await;
}

#[tokio::test]
async fn hub_reads_are_refused_by_what_is_wrong_with_them() {
    let world = World::start().await;
    let instance = world.instance().await;
    for (path, status, words) in [
        ("/hubs/ecommerce/orders?where=nonsense", 400, "where"),
        ("/hubs/ecommerce/orders?where=id%3D'1'%20or%20id%3D'2'", 400, "where"),
        ("/hubs/ecommerce/orders?pageSize=0", 400, "pageSize"),
        ("/hubs/ecommerce/orders?pageSize=100000", 400, "pageSize"),
        ("/hubs/ecommerce/orders?nextPage=zzz", 400, "nextPage"),
        ("/hubs/ecommerce/orders/999", 404, "no such resource"),
        ("/hubs/ecommerce/hooks", 404, "no such resource"),
        ("/hubs/ecommerce/..", 404, "no"),
    ] {
        let answer = world.get_by(&instance, path).await;
        is_refusal(&answer, status, words);
    }
    let release = "/notifications/subscriptions/deliveries";
    is_refusal(&world.ask(Method::PUT, release, None).await, 400, "where");
    is_refusal(&world.ask(Method::PUT, &format!("{release}?where=x"), None).await, 400, "where");
    is_refusal(&world.get(&format!("/instances/{}/events/none", instance.id)).await, 404, "none");
    world.store.fault(Fault::new(Operation::Any, Action::Status(503)));
    is_refusal(&world.get_by(&instance, "/hubs/ecommerce/orders").await, 502, "cannot be asked");
    world.finish().await;
}
