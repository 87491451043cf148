//! Delivery to hooks: signatures, headers, retries, deactivation, single callbacks.

use std::time::{Duration, SystemTime};

use onetribe_relay::signature::{SignatureError, SignatureHeaders, verify};
use reqwest::Method;
use sandbox::sender::RETRY_AFTER;
use sandbox::{Event, Scope, SendOptions, Sender, SenderOptions, StoreSim, send_once, signed_request};
use serde_json::{Value, json};

use crate::SOON;
use crate::api::Api;
use crate::receiver::{Callback, Receiver};

/// A retry due after a minute is made after 60 µs.
const FAST: f64 = 0.000_001;

fn check(callback: &Callback, secret: &str) -> Result<(), SignatureError> {
    let headers = SignatureHeaders {
        id: callback.header("webhook-id"),
        timestamp: callback.header("webhook-timestamp"),
        signature: callback.header("webhook-signature").expect("a signature"),
    };
    verify(&[secret.to_owned().into()], headers, &callback.body, SystemTime::now(), Duration::from_secs(60))
}

fn scopes(callbacks: &[Callback]) -> Vec<String> {
    let scope = |body: &[u8]| serde_json::from_slice::<Value>(body).expect("JSON")["scope"].as_str().map(str::to_owned);
    let mut scopes: Vec<String> = callbacks.iter().filter_map(|one| scope(&one.body)).collect();
    scopes.sort();
    scopes
}

#[tokio::test]
async fn events_reach_the_hooks_that_want_them() {
    let (store, all, created) = (StoreSim::start().expect("a port"), Receiver::start(&[]), Receiver::start(&[]));
    let wildcard =
        json!({ "scope": "store/order/*", "destination": all.url, "headers": { "x-relay-token": "secret" } });
    assert_eq!(Api::of(&store).send(Method::POST, "v3/hooks", wildcard).await.status, 200);
    store.add_hook("store/order/created", &created.url).expect("a hook");
    let sender = Sender::start(&store, SenderOptions::default());

    let id = store.place_order();
    sender.idle(SOON).await.expect("delivered");
    assert!(store.change_order(id, 11));
    store.change_order_silently(id, 2);
    sender.idle(SOON).await.expect("delivered");
    assert!(store.archive_order(id));
    sender.idle(SOON).await.expect("delivered");

    assert_eq!(scopes(&created.callbacks()), ["store/order/created"]);
    let told = all.callbacks();
    let names = ["archived", "created", "statusUpdated", "updated"].map(|name| format!("store/order/{name}"));
    assert_eq!(scopes(&told), names);
    for callback in &told {
        assert_eq!(check(callback, &store.config().client_secret), Ok(()));
        assert_eq!(check(callback, "another secret"), Err(SignatureError::Mismatch));
        assert_eq!(callback.header("x-relay-token"), Some("secret"));
        assert_eq!(callback.header("content-type"), Some("application/json"));
        let payload: Value = serde_json::from_slice(&callback.body).expect("JSON");
        assert_eq!((&payload["producer"], &payload["data"]["id"]), (&json!("stores/abcde"), &json!(id)));
    }
    let first = |receiver: &Receiver| receiver.callbacks()[0].clone();
    assert_eq!(first(&all).body, first(&created).body, "two hooks, one event, one hash");
    assert_ne!(first(&all).header("webhook-id"), first(&created).header("webhook-id"));
    let revisions: Vec<u64> = sender.acknowledged().iter().map(|event| event.revision).collect();
    assert_eq!(revisions[..2], [1, 1]);
    assert_eq!(revisions[4], 3);
    sender.stop().await;
    store.stop().await;
}

#[tokio::test]
async fn failures_are_retried_under_one_id() {
    let (store, receiver) = (StoreSim::start().expect("a port"), Receiver::start(&[503, 500, 401]));
    store.add_hook("store/order/*", &receiver.url).expect("a hook");
    let options = SenderOptions { time_factor: FAST, copies: 2, ..SenderOptions::default() };
    let sender = Sender::start(&store, options);
    store.place_order();
    sender.idle(SOON).await.expect("delivered");
    let callbacks = receiver.callbacks();
    assert_eq!(callbacks.len(), 5, "three failures, a success and its duplicate");
    assert_eq!((sender.attempts(), sender.acknowledged_count(), sender.abandoned()), (5, 1, 0));
    assert!(callbacks.iter().all(|one| one.header("webhook-id") == callbacks[0].header("webhook-id")));
    assert!(callbacks.iter().all(|one| check(one, &store.config().client_secret) == Ok(())));
    sender.stop().await;
    store.stop().await;
}

#[tokio::test]
async fn after_the_last_retry_the_hook_is_deactivated() {
    let failures = vec![500; RETRY_AFTER.len() + 1];
    let (store, receiver) = (StoreSim::start().expect("a port"), Receiver::start(&failures));
    let hook = store.add_hook("store/order/*", &receiver.url).expect("a hook");
    let sender = Sender::start(&store, SenderOptions { time_factor: FAST, ..SenderOptions::default() });
    store.place_order();
    sender.idle(SOON).await.expect("given up");
    assert_eq!((receiver.callbacks().len(), sender.abandoned()), (12, 1));
    assert!(!store.hook(hook).expect("the hook").is_active);
    store.place_order();
    sender.idle(SOON).await.expect("nothing to do");
    assert_eq!(receiver.callbacks().len(), 12, "an inactive hook is told nothing");
    sender.stop().await;
    store.stop().await;
}

#[tokio::test]
async fn a_domain_that_fails_is_blocked_for_a_while() {
    let (store, receiver) = (StoreSim::start().expect("a port"), Receiver::start(&[500; 100]));
    store.add_hook("store/order/*", &receiver.url).expect("a hook");
    // Two minutes last one here: long enough for a hundred requests.
    let options = SenderOptions { time_factor: 0.5, ..SenderOptions::default() };
    let sender = Sender::start(&store, options);
    for _ in 0..100 {
        store.place_order();
    }
    store.wait_for(|store| !store.blocked_domains().is_empty(), SOON).await.expect("the domain is blocked");
    assert!(receiver.url.starts_with(&store.blocked_domains()[0]));
    sender.wait_for(|sender| sender.attempts() == 100, SOON).await.expect("a hundred requests");
    let before = sender.attempts();
    store.place_order();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(sender.attempts(), before, "a blocked domain gets nothing");
    sender.stop().await;
    store.stop().await;
}

#[tokio::test]
async fn single_callbacks_can_be_wrong_on_purpose() {
    let receiver = Receiver::start(&[]);
    let client = sandbox::http::client();
    let event = Event::new(Scope::Updated, 5).with_webhook_id("msg_1");
    let old = SendOptions::default().timestamp(1_000);
    let token = SendOptions::unsigned().header("x-relay-token", "t");
    for options in [SendOptions::default(), SendOptions::wrongly_signed(), token, old] {
        let status = send_once(&client, &receiver.url, "key", &event, &options).await;
        assert_eq!(status.expect("an answer"), 200);
    }
    let got = receiver.callbacks();
    assert_eq!(check(&got[0], "key"), Ok(()));
    assert_eq!(check(&got[1], "key"), Err(SignatureError::Mismatch));
    assert_eq!((got[2].header("webhook-signature"), got[2].header("x-relay-token")), (None, Some("t")));
    assert_eq!(check(&got[3], "key"), Err(SignatureError::TooOld));
    assert_eq!((got[0].header("webhook-id"), &got[0].body), (Some("msg_1"), &got[3].body));
    let (headers, body) = signed_request("key", &event);
    assert_eq!(body, got[0].body);
    assert_eq!(headers.len(), 4);
}
