//! The life of an instance: created, notified, fetched, changed, disabled and enabled, deleted.

use reqwest::Method;
use sandbox::StoreConfig;
use serde_json::{Value, json};

use super::world::{KEY, ORGANIZATION, USER, World, another_second, set, words};

#[tokio::test]
async fn a_client_is_notified_and_fetches() {
    let world = World::start().await;
    let old = world.store.place_order_silently(None, 7);
    another_second().await;
    let extra = json!({
        "event.notification.callback.headers": { "x-tenant": "seven" },
        "event.notification.basic.username": "me",
        "event.notification.basic.password": "s3cret-password"
    });
    let instance = world.create(&world.body(&extra)).await;
    let new = world.store.place_order_silently(None, 7);
    world.told(1).await;
    another_second().await;
    world.store.change_order_silently(old, 11);
    world.told(2).await;
    another_second().await;
    world.store.change_order_silently(new, 11);
    let events = world.told(3).await;
    let expected = [format!("orders {new} CREATED"), format!("orders {old} UPDATED"), format!("orders {new} UPDATED")];
    assert_eq!(words(&events), expected);

    let first = &world.callback.taken()[0];
    assert_eq!(first.headers["x-tenant"], "seven");
    assert_eq!(first.headers["authorization"], "Basic bWU6czNjcmV0LXBhc3N3b3Jk");
    let message = &first.body["message"];
    assert_eq!(message["elementKey"], "bigcommerce");
    assert_eq!(message["instanceId"], instance.id);
    assert_eq!(message["instanceName"], "One");
    assert_eq!(message["instanceTags"], json!(["a"]));
    assert_eq!(message["raw"]["objectType"], "orders");
    assert_eq!(message["raw"]["instance_id"], instance.id);
    assert_eq!(message["raw"]["orders"][0]["id"], new);
    assert_eq!(message["raw"]["orders"].as_array().unwrap().len(), 1);

    let fetched = world.get_by(&instance, &format!("/elements/api-v2/hubs/ecommerce/orders/{new}")).await;
    assert_eq!((fetched.status, &fetched.body["status_id"]), (200, &json!(11)));
    assert_eq!(fetched.header("elements-element-instance-id"), Some(&*instance.id.to_string()));
    assert!(fetched.body.get("credit_card_type").is_none(), "nulls are left out");
    let page = world.get_by(&instance, "/hubs/crm/orders?pageSize=1&fields=id").await;
    assert_eq!(page.body, json!([{ "id": old }]));
    assert_eq!(page.header("elements-returned-count"), Some("1"));
    let token = page.header("elements-next-page-token").unwrap();
    let next = world.get_by(&instance, &format!("/hubs/crm/orders?fields=id&nextPage={token}")).await;
    assert_eq!(next.body, json!([{ "id": new }]));

    let events = format!("/instances/{}/events", instance.id);
    let listed = world.becomes(&events, |answer| answer.body[0]["status"] == "NOTIFIED").await;
    assert_eq!(listed.body.as_array().unwrap().len(), 3);
    let id = listed.body[0]["id"].as_str().unwrap();
    let event = world.get_by(&instance, &format!("/instances/events/{id}")).await;
    assert_eq!((event.status, &event.body["status"]), (200, &json!("NOTIFIED")));
    assert_eq!(event.body["notifiedData"][0]["objectId"], new.to_string());
    world.finish().await;
}

#[tokio::test]
async fn what_is_shown_can_be_sent_back() {
    let world = World::start().await;
    let instance = world.instance().await;
    let path = format!("/elements/api-v2/instances/{}", instance.id);
    let shown = world.get(&path).await;
    let (configuration, token) = (&shown.body["configuration"], &world.store.config().token);
    for key in ["oauth.user.token", "event.notification.signature.key"] {
        assert_eq!(configuration[key], "********", "{key}");
    }
    assert_eq!(shown.body["token"], "********");
    assert_eq!(configuration["store.hash"], "abcde");
    let put = world.ask(Method::PUT, &path, Some(&shown.body)).await;
    assert_eq!((put.status, &put.body["configuration"]), (200, configuration));
    let entries = world.get_by(&instance, "/instances/configuration").await;
    let entry = |key: &str| {
        let entries = entries.body.as_array().unwrap();
        entries.iter().find(|entry| entry["key"] == key).map(|entry| entry["propertyValue"].clone())
    };
    assert_eq!(entry("event.notification.enabled"), Some(json!("true")));
    assert_eq!(entry("oauth.user.token"), Some(json!("********")));
    for answer in [shown.body, put.body, entries.body] {
        let text = answer.to_string();
        assert!(!text.contains(token.as_str()) && !text.contains(KEY) && !text.contains(&instance.token), "{text}");
    }
    let new = world.store.place_order_silently(None, 7);
    assert_eq!(words(&world.told(1).await), [format!("orders {new} CREATED")]);
    world.finish().await;
}

#[tokio::test]
async fn single_keys_are_merged_and_instances_are_listed_by_tag() {
    let world = World::start().await;
    let one = world.instance().await;
    let mut body = world.body(&json!({}));
    (body["name"], body["tags"]) = (json!("Two <b>bold</b>"), json!(["b", "c"]));
    let two = world.create(&body).await;
    let patch =
        json!({ "configuration": { "event.notification.callback.url": format!("{}/other", world.callback.url()) } });
    let patched = world.ask_by(&one, Method::PATCH, "/instances", Some(&patch)).await;
    assert_eq!(patched.status, 200, "{:?}", patched.body);
    assert_eq!(patched.body["configuration"]["event.poller.refresh_interval"], "0.02", "the others stay");
    let ids = |answer: &Value| -> Vec<i64> {
        answer.as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
    };
    let all = world.get("/instances").await;
    assert_eq!(ids(&all.body), [one.id, two.id]);
    assert_eq!(all.header("elements-total-count"), Some("2"));
    assert_eq!(all.body[1]["name"], "Two bold");
    assert_eq!(ids(&world.get("/instances?tags[]=c&hydrate=false").await.body), [two.id]);
    let page = world.get("/instances?pageSize=1").await;
    let next = page.header("elements-next-page-token").unwrap();
    assert_eq!(ids(&world.get(&format!("/instances?pageSize=1&nextPage={next}")).await.body), [two.id]);
    world.finish().await;
}

#[tokio::test]
async fn a_disabled_instance_keeps_its_events() {
    let world = World::start().await;
    let instance = world.instance().await;
    let path = format!("/instances/{}", instance.id);
    let disabled = world.ask(Method::DELETE, &format!("{path}/enabled"), None).await;
    assert_eq!(disabled.status, 200);
    assert_eq!(world.get(&path).await.body["disabled"], true);
    let refused = world.get_by(&instance, "/hubs/ecommerce/orders").await;
    assert_eq!(refused.status, 403, "{:?}", refused.body);
    let order = world.store.place_order_silently(None, 7);
    world.polled(3).await;
    assert_eq!(world.callback.received().len(), 0);
    let enabled = world.ask_by(&instance, Method::PUT, "/instances/enabled", None).await;
    assert_eq!((enabled.status, &enabled.body["disabled"]), (200, &json!(false)));
    assert_eq!(words(&world.told(1).await), [format!("orders {order} CREATED")]);
    world.finish().await;
}

#[tokio::test]
async fn an_instance_that_has_ended_is_nobody_s() {
    let world = World::start().await;
    let (one, two) = (world.instance().await, world.instance().await);
    let ended = world.ask(Method::DELETE, &format!("/elements/api-v2/instances/{}", one.id), None).await;
    assert_eq!((ended.status, ended.body), (200, Value::Null));
    assert_eq!(world.get_by(&one, "/hubs/ecommerce/orders").await.status, 401);
    assert_eq!(world.get(&format!("/instances/{}", one.id)).await.status, 404);
    let order = world.store.place_order_silently(None, 7);
    assert_eq!(words(&world.told(1).await), [format!("orders {order} CREATED")]);
    assert_eq!(world.callback.taken()[0].body["message"]["instanceId"], two.id);
    world.polled(2).await;
    assert_eq!(world.callback.received().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn events_begin_when_they_are_asked_for() {
    let world = World::start().await;
    let mut body = world.body(&json!({}));
    body["configuration"] = world.credentials();
    let instance = world.create(&body).await;
    assert_eq!(world.get_by(&instance, "/instances").await.body[0]["eventsEnabled"], false);
    let before = world.store.place_order_silently(None, 7);
    another_second().await;
    let patch = json!({ "configuration": world.body(&json!({}))["configuration"] });
    let patched = world.ask_by(&instance, Method::PATCH, "/instances", Some(&patch)).await;
    assert_eq!((patched.status, &patched.body["eventsEnabled"]), (200, &json!(true)));
    let after = world.store.place_order_silently(None, 7);
    world.told(1).await;
    world.polled(2).await;
    assert_eq!(words(&world.callback.events()), [format!("orders {after} CREATED")], "not {before}");
    world.finish().await;
}

#[tokio::test]
async fn a_legacy_account_does_as_well() {
    let store = StoreConfig { legacy: Some(("user".to_owned(), "api-token".to_owned())), ..StoreConfig::default() };
    let world = World::start_with(store).await;
    let mut body = world.body(&json!({
        "username": "user", "password": "api-token", "store.url": format!("{}/api/v2", world.store.api_url())
    }));
    for key in ["oauth.user.token", "store.hash"] {
        body["configuration"].as_object_mut().unwrap().remove(key);
    }
    let instance = world.create(&body).await;
    let order = world.store.place_order_silently(None, 7);
    assert_eq!(set(&world.told(1).await), [format!("orders {order} CREATED")].into());
    assert_eq!(world.get_by(&instance, &format!("/hubs/ecommerce/orders/{order}")).await.status, 200);
    assert_eq!(world.get_by(&instance, "/hubs/ecommerce/v3/customers").await.status, 404, "it reaches v2 only");
    body["configuration"]["password"] = json!("another");
    let refused = world.ask(Method::POST, "/instances", Some(&body)).await;
    assert_eq!((refused.status, &refused.body["providerMessage"]), (401, &json!("HTTP 401")));
    world.finish().await;
}

#[tokio::test]
async fn elements_and_pings_answer() {
    let world = World::start().await;
    let instance = world.instance().await;
    let elements = world.get("/elements/api-v2/elements").await;
    let keys: Vec<&Value> = elements.body.as_array().unwrap().iter().map(|element| &element["key"]).collect();
    assert_eq!(keys, ["bigcommerce", "woocommercerest"]);
    let one = world.get("/elements/274").await;
    assert_eq!(one.body["metadata"]["events"]["methods"], json!(["polling", "webhook"]));
    assert_eq!(world.get_by(&instance, "/elements/api-v2/ping").await.body["endpoint"], "bigcommerce");
    assert_eq!(world.get("/ping").await.status, 200);
    let with_all = format!("Element {}, Organization {ORGANIZATION}, User {USER}", instance.token);
    assert_eq!(world.ask_as(&with_all, Method::GET, "/hubs/ecommerce/orders", None).await.status, 200);
    world.finish().await;
}
