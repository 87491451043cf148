//! `POST /webhooks/bigcommerce` in detail.

use sandbox::{Event, Scope, SendOptions, clock::system_clock};

use crate::relay::world::World;

async fn raw(world: &World, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let mut request = world.client.post(world.url("/webhooks/bigcommerce")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
}

/// Posts any body with a valid signature; returns the status.
async fn signed(world: &World, body: impl AsRef<[u8]>) -> u16 {
    let (now, body) = (system_clock(), body.as_ref());
    let signature = onetribe_relay::signature::sign(&world.store.config().client_secret, "id-1", now, body);
    let now = now.to_string();
    let headers = [("webhook-id", "id-1"), ("webhook-timestamp", &now), ("webhook-signature", &signature)];
    raw(world, body.to_vec(), &headers).await.0
}

fn token(world: &World) -> String {
    world.store.hooks()[0].headers["x-relay-token"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn every_order_scope_is_kept_and_its_order_forwarded() {
    let world = World::start().await;
    for (at, scope) in Scope::ALL.into_iter().enumerate() {
        let order = world.store.place_order_silently(None, 11);
        assert_eq!(world.send(&Event::new(scope, order), &SendOptions::default()).await, 200, "{scope:?}");
        world.arrived(at + 1).await;
        assert_eq!(world.sink.newest(order), Some(1), "{scope:?}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_taken_event_is_answered_with_an_empty_200() {
    let world = World::start().await;
    let order = world.store.place_order_silently(None, 11);
    let (headers, body) =
        sandbox::signed_request(&world.store.config().client_secret, &Event::new(Scope::Created, order));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(raw(&world, body, &headers).await, (200, Vec::new()));
    world.arrived(1).await;
    world.finish().await;
}

#[actix_web::test]
async fn what_is_not_proven_is_refused_before_it_is_read() {
    let world = World::start().await;
    let event = Event::new(Scope::Created, 1);
    let now = system_clock();
    for (refused, options) in [
        ("no proof", SendOptions::unsigned()),
        ("another secret", SendOptions::wrongly_signed()),
        ("too old", SendOptions::default().timestamp(now - 50 * 3600 - 60)),
        ("too far ahead", SendOptions::default().timestamp(now + 6 * 60)),
        ("right signature, wrong token", SendOptions::default().header("x-relay-token", "wrong")),
        ("right token, wrong signature", SendOptions::wrongly_signed().header("x-relay-token", &token(&world))),
        ("only a wrong token", SendOptions::unsigned().header("x-relay-token", "wrong")),
        ("an empty token", SendOptions::default().header("x-relay-token", "")),
    ] {
        assert_eq!(world.send(&event, &options).await, 401, "{refused}");
    }
    // Not even JSON, and still 401: nothing is parsed before it is verified.
    assert_eq!(raw(&world, "{", &[]).await.0, 401);
    assert_eq!(world.row(1).await, serde_json::Value::Null);
    world.finish().await;
}

#[actix_web::test]
async fn each_proof_alone_is_enough() {
    let world = World::start().await;
    let now = system_clock();
    for (taken, options) in [
        ("signature", SendOptions::default()),
        ("signature of 49 hours ago", SendOptions::default().timestamp(now - 49 * 3600)),
        ("signature four minutes ahead", SendOptions::default().timestamp(now + 4 * 60)),
        ("token", SendOptions::unsigned().header("x-relay-token", &token(&world))),
        ("both", SendOptions::default().header("X-Relay-Token", &token(&world))),
    ] {
        let order = world.store.place_order_silently(None, 11);
        assert_eq!(world.send(&Event::new(Scope::Created, order), &options).await, 200, "{taken}");
    }
    world.arrived(5).await;
    world.finish().await;
}

#[actix_web::test]
async fn what_cannot_be_used_is_a_400_and_another_stores_is_dropped() {
    let world = World::start().await;
    let ours = r#""producer":"stores/abcde""#;
    for body in [
        "",
        "nonsense",
        "[]",
        "7",
        &format!("{{{ours}}}"),
        r#"{"scope":"store/order/created","data":{"id":1}}"#,
        &format!(r#"{{"scope":"store/order/created",{ours}}}"#),
        &format!(r#"{{"scope":"store/order/created",{ours},"data":{{"id":0}}}}"#),
        &format!(r#"{{"scope":"store/order/created",{ours},"data":{{"id":-4}}}}"#),
        &format!(r#"{{"scope":"store/order/created",{ours},"data":{{"id":1.5}}}}"#),
        &format!(r#"{{"scope":"store/order/created",{ours},"data":{{"id":9223372036854775808}}}}"#),
        &format!(r#"{{"scope":"store/order/created",{ours},"data":{{"id":"abc"}}}}"#),
        &format!(r#"{{"scope":"store/order/transaction/created",{ours},"data":{{"id":5}}}}"#),
    ] {
        assert_eq!(signed(&world, body).await, 400, "{body}");
    }
    let event = |odd: &str| format!(r#"{{"scope":"store/order/created",{ours},"data":{{"id":1,"odd":{odd}}}}}"#);
    let not_utf_8: Vec<u8> = event("\"?\"").bytes().map(|b| if b == b'?' { 0xff } else { b }).collect();
    assert_eq!(signed(&world, not_utf_8).await, 400);
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for odd in ["1e999", r#""\ud800""#, &deep] {
        assert_eq!(signed(&world, event(odd)).await, 200, "{odd}");
    }
    let other = r#"{"scope":"store/order/created","producer":"stores/other","data":{"id":1}}"#;
    // Any other status than 200 would count towards the blocklist.
    assert_eq!(signed(&world, other).await, 200);
    world.finish().await;
}

#[actix_web::test]
async fn genuine_events_that_are_not_for_us_are_answered_200_and_counted() {
    let world = World::start_with(&[("METRICS_PORT", "0")]).await;
    let ours = r#""producer":"stores/abcde""#;
    assert_eq!(signed(&world, &format!(r#"{{"scope":"store/product/updated",{ours},"data":{{"id":1}}}}"#)).await, 200);
    assert_eq!(signed(&world, &format!(r#"{{"scope":"store/order/weird",{ours},"data":{{"x":1}}}}"#)).await, 200);
    let order = world.store.place_order_silently(None, 11);
    let unknown =
        format!(r#"{{"scope":"store/order/new/thing",{ours},"data":{{"type":"thing","id":9,"order_id":"{order}"}}}}"#);
    assert_eq!(signed(&world, &unknown).await, 200);
    world.arrived(1).await;
    let metrics = world.metrics().await;
    assert!(metrics.contains(r#"onetribe_relay_webhooks_total{result="ignored"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"onetribe_relay_webhooks_total{result="unreadable"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"onetribe_relay_webhooks_total{result="accepted"} 1"#), "{metrics}");
    world.finish().await;
}

#[actix_web::test]
async fn a_body_over_64_kib_is_a_413_announced_or_not() {
    let world = World::start().await;
    assert_eq!(raw(&world, vec![b' '; 64 * 1024 + 1], &[]).await.0, 413);
    assert_eq!(raw(&world, vec![b' '; 64 * 1024], &[]).await.0, 401);
    world.finish().await;
}

#[actix_web::test]
async fn several_secrets_are_taken_while_one_is_rotated() {
    let world =
        World::start_with(&[("BIGCOMMERCE_CLIENT_SECRET", "the-new-client-secret, sandbox-client-secret")]).await;
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.arrived(1).await;
    world.finish().await;
}
