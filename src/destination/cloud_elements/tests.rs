use std::{
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::Timestamp,
    http::{AddressPolicy, CallError, Failure, Http},
    inbox::{Notification, NotificationStatus, NotifiedObject},
    object::{ChangeKind, ConnectionId, ObjectId, ResourceName},
    spec::CallbackSpec,
};

/// 2016-06-01T04:09:10Z
const AT: Timestamp = Timestamp::from_seconds(1_464_754_150);

fn callback(url: &str) -> CallbackSpec {
    CallbackSpec {
        url: url.into(),
        signature_key: Some("a key".into()),
        headers: [("x-key".to_owned(), "k".into())].into(),
        basic: None,
        has_raw: true,
        drops_nulls: true,
    }
}

fn event(id: i64, row: Option<&'static str>) -> Event {
    Event {
        id: ObjectId::Number(id),
        change: ChangeKind::Created,
        at: AT,
        row: row.map(|row| Bytes::from_static(row.as_bytes())),
    }
}

fn body(callback: &CallbackSpec, resource: &str, events: &[Event]) -> String {
    let tags = ["Docs \"1\"".to_owned()];
    let envelope =
        Envelope { element_key: "bigcommerce", instance: ConnectionId(123), name: "API Instance", tags: &tags };
    let resource = ResourceName::new(resource).expect("a name");
    let body = envelope.body(callback, "ev1", &resource, events);
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

#[test]
fn the_documentation_s_signature_is_made() {
    let body = b"<INSERT_EVENT_NOTIFICATION_RESPONSE_BODY>";
    let signature = sign(&"MySecretEventSignatureKey".into(), body);
    assert_eq!(signature, "sha256=jHdbRx5EZAsOfTwAPJOGkNUzQMVVdu5VJlxcsk+G6jQ=");
}

#[test]
fn a_notification_is_the_documented_envelope() {
    let told =
        body(&callback("https://x.example"), "orders", &[event(250, Some(r#"{"id":250,"total":1.10,"note":null}"#))]);
    assert!(told.contains(r#""orders":[{"id":250,"total":1.10}]"#), "{told}");
    let expected = json!({ "message": {
        "elementKey": "bigcommerce", "eventId": "ev1", "instanceId": 123, "instanceName": "API Instance",
        "instanceTags": ["Docs \"1\""],
        "events": [{ "elementKey": "bigcommerce", "eventType": "CREATED", "objectType": "orders", "objectId": "250",
            "date": "2016-06-01T04:09:10Z" }],
        "raw": { "instance_id": 123, "objectType": "orders", "orders": [{ "id": 250, "total": 1.10 }] }
    } });
    assert_eq!(serde_json::from_str::<Value>(&told).expect("JSON"), expected);
    let plain = CallbackSpec { drops_nulls: false, ..callback("https://x.example") };
    let row = r#"{ "id": 250, "note": null }"#;
    assert!(body(&plain, "orders", &[event(250, Some(row))]).contains(row));
    let without_raw = CallbackSpec { has_raw: false, ..callback("https://x.example") };
    let told: Value = serde_json::from_str(&body(&without_raw, "or\"d", &[event(250, Some(row))])).expect("JSON");
    assert_eq!(told["message"].get("raw"), None);
    let gone: Value = serde_json::from_str(&body(&plain, "or\"d", &[event(250, None)])).expect("JSON");
    assert_eq!(gone["message"]["raw"]["or\"d"], json!([]));
}

#[test]
fn event_records_tell_no_rows() {
    let notification = Notification {
        id: "ev1".to_owned(),
        connection: ConnectionId(123),
        resource: ResourceName::orders(),
        objects: vec![NotifiedObject { id: ObjectId::Number(250), change: ChangeKind::Updated, at: AT.millis() }],
        status: NotificationStatus::Notified,
        attempts: 0,
        failed_at: None,
        retry_at: None,
        last_failure: None,
        created_at: AT,
        notified_at: Some(AT),
    };
    let record = event_record(&notification, "bigcommerce");
    assert_eq!(
        (&record["id"], &record["status"], &record["eventDate"]),
        (&json!("ev1"), &json!("NOTIFIED"), &json!("2016-06-01T04:09:10Z"))
    );
    assert!(record["providerData"].is_string());
    assert_eq!(record["notifiedData"][0]["objectId"], "250");
    let waiting = Notification { status: NotificationStatus::Retry, ..notification };
    assert_eq!(event_record(&waiting, "bigcommerce").get("notifiedData"), None);
}

#[test]
fn retries_follow_the_documented_schedule() {
    let failed = CallError::from(Failure::Status(500));
    let mut now = AT;
    for seconds in [4, 16, 64, 256, 1024, 4096, 16384, 65536, 262_144] {
        let retry = (1..=RETRIES).find(|retry| 4_u64.pow(*retry) == seconds).expect("a power of four");
        let at = AT.after(Duration::from_secs(seconds));
        assert_eq!(next_try(AT, retry, &failed, now), NextTry::At(at));
        now = at;
    }
    assert_eq!(next_try(AT, 10, &failed, now), NextTry::Exhausted);
    assert_eq!(next_try(AT, u32::MAX, &failed, now), NextTry::Exhausted);
    assert_eq!(next_try(AT, 1, &Failure::Status(410).into(), AT), NextTry::Gone);
    // The relay was down past the time of the next try: it is due at once.
    let late = AT.after(Duration::from_secs(1000));
    assert_eq!(next_try(AT, 2, &failed, late), NextTry::At(late));
    let asked = |seconds| CallError { failure: Failure::Status(429), retry_after: Some(Duration::from_secs(seconds)) };
    assert_eq!(next_try(AT, 1, &asked(60), AT), NextTry::At(AT.after(Duration::from_secs(60))));
    assert_eq!(next_try(AT, 3, &asked(1), AT), NextTry::At(AT.after(Duration::from_secs(64))));
}

/// Answers one request with `status` and returns the request.
fn receiver(status: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/events?key=1", listener.local_addr().expect("an address"));
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let length = stream.read(&mut buffer).expect("a request");
            received.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&received);
            if length == 0 || text.ends_with("{\"a\":1}") {
                break;
            }
        }
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").expect("an answer");
        String::from_utf8_lossy(&received).into_owned()
    });
    (url, thread)
}

async fn send(status: &'static str, change: impl FnOnce(&mut CallbackSpec)) -> (Result<(), CallError>, String) {
    let http = Http::new(AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("a network")])).expect("a client");
    let (url, thread) = receiver(status);
    let mut callback = callback(&url);
    change(&mut callback);
    let sent = deliver(&http, &callback, "ev1", Bytes::from_static(b"{\"a\":1}"), Duration::from_secs(5)).await;
    (sent, thread.join().expect("a request").to_ascii_lowercase())
}

#[tokio::test]
async fn notifications_are_signed_and_carry_the_headers() {
    let (sent, request) = send("204 No Content", |callback| {
        callback.basic = Some(("user".to_owned(), "pass".into()));
        callback.headers.insert("content-type".to_owned(), "text/plain".into());
    })
    .await;
    assert_eq!(sent, Ok(()));
    let signature = sign(&"a key".into(), b"{\"a\":1}").to_ascii_lowercase();
    for line in [
        "post /events?key=1 http/1.1",
        "content-type: application/json",
        "elements-webhook-id: ev1",
        &format!("elements-webhook-signature: {signature}"),
        "x-key: k",
        "authorization: basic dxnlcjpwyxnz",
    ] {
        assert!(request.lines().any(|found| found == line), "{line}: {request}");
    }
    let (sent, request) = send("200 OK", |callback| callback.signature_key = None).await;
    assert_eq!(sent, Ok(()));
    assert!(!request.contains("elements-webhook-signature"));
}

#[tokio::test]
async fn failures_are_values() {
    let (sent, _) = send("410 Gone", |_| {}).await;
    assert_eq!(sent.map_err(|error| error.failure), Err(Failure::Status(410)));
    let (sent, _) = send("302 Found", |_| {}).await;
    assert_eq!(sent.map_err(|error| error.failure), Err(Failure::Status(302)));
    let http = Http::new(AddressPolicy::default()).expect("a client");
    let body = Bytes::from_static(b"{}");
    let sent = deliver(&http, &callback("http://127.0.0.1:9/"), "ev1", body, Duration::from_secs(1)).await;
    assert_eq!(sent.map_err(|error| error.failure), Err(Failure::PrivateAddress));
}

proptest! {
    #[test]
    fn batches_lose_nothing_and_keep_the_order(items in prop::collection::vec(0_u8..3, 0..60), limit in 0_usize..25) {
        let numbered: Vec<(u8, usize)> = items.into_iter().zip(0..).collect();
        let names = ["orders", "products", "customers"].map(|name| ResourceName::new(name).expect("a name"));
        let name = |resource: u8| names[usize::from(resource)].clone();
        let parted = batches(numbered.clone(), |item| name(item.0), limit);
        for (resource, batch) in &parted {
            prop_assert!(!batch.is_empty() && batch.len() <= limit.max(1));
            prop_assert!(batch.iter().all(|item| name(item.0) == *resource));
        }
        for resource in 0..3 {
            let together: Vec<_> = parted.iter().flat_map(|(_, batch)| batch).copied().collect();
            let together: Vec<_> = together.into_iter().filter(|item| item.0 == resource).collect();
            let before: Vec<_> = numbered.iter().copied().filter(|item| item.0 == resource).collect();
            prop_assert_eq!(together, before);
        }
    }

    #[test]
    fn any_row_makes_a_readable_body(name in "[^\\p{C}]{1,10}", row in "\\PC{0,20}", drops_nulls: bool) {
        let row: &'static str = Box::leak(json!({ "text": row }).to_string().into_boxed_str());
        let callback = CallbackSpec { drops_nulls, ..callback("https://x.example") };
        let told: Value = serde_json::from_str(&body(&callback, &name, &[event(1, Some(row))])).expect("JSON");
        prop_assert_eq!(told["message"]["raw"]["objectType"].as_str(), Some(name.as_str()));
    }
}
