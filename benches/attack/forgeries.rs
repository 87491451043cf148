//! Webhooks that are not genuine, and genuine ones sent again or altered.

use std::time::Duration;

use onetribe_relay::signature;
use sandbox::{Event, Scope, signed_request};

use super::{Row, target::Target};

/// One request by an attacker.
struct Forged {
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// The parts of a genuine callback.
struct Genuine {
    id: String,
    timestamp: i64,
    signature: String,
    body: Vec<u8>,
}

impl Genuine {
    fn of(secret: &str, order: i64) -> Self {
        let event = Event::new(Scope::Created, order);
        let (id, timestamp, body) = (event.webhook_id(), sandbox::clock::system_clock(), event.body().to_vec());
        let signature = signature::sign(secret, &id, timestamp, &body);
        Self { id, timestamp, signature, body }
    }

    fn with(&self, signature: impl Into<String>) -> Forged {
        self.forged(self.id.clone(), self.timestamp.to_string(), signature.into(), self.body.clone())
    }

    fn forged(&self, id: String, timestamp: String, signature: String, body: Vec<u8>) -> Forged {
        let headers = vec![("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
        Forged { headers, body }
    }
}

async fn post(target: &Target, path: &str, forged: Forged) -> Option<u16> {
    let mut request = target.client.post(target.url(path)).body(forged.body);
    for (name, value) in forged.headers {
        request = request.header(name, value);
    }
    Some(request.send().await.ok()?.status().as_u16())
}

/// Signatures, ids, times and bodies that do not belong together.
fn signatures(genuine: &Genuine, secret: &str) -> Vec<Forged> {
    let Genuine { id, timestamp, signature, body } = genuine;
    let good = signature.as_str();
    let raw = &good[3..];
    let mut all = Vec::new();
    for length in 0..good.len() {
        all.push(genuine.with(&good[..length]));
    }
    for at in 3..good.len() {
        // Some bits of the last character before the padding are ignored, so the other bits are flipped.
        let other = if good.as_bytes()[at] == b'A' { 'w' } else { 'A' };
        all.push(genuine.with(format!("{}{other}{}", &good[..at], &good[at + 1..])));
    }
    for at in 0..body.len() {
        let mut altered = body.clone();
        altered[at] ^= 1;
        all.push(genuine.forged(id.clone(), timestamp.to_string(), good.to_owned(), altered));
    }
    for version in ["v0", "v2", "v1a", "V1", "", "v", "v11", "1", "v1.0", "v1;"] {
        all.push(genuine.with(format!("{version},{raw}")));
        all.push(genuine.with(format!("{version} {raw}")));
    }
    for key in ["", " ", "secret", &secret.to_uppercase(), &secret[1..], &format!("{secret} "), &"0".repeat(64)] {
        all.push(genuine.with(signature::sign(key, id, *timestamp, body)));
    }
    for shift in [-1, 1, 60, -60, 86_400, -86_400] {
        let moved = (timestamp + shift).to_string();
        all.push(genuine.forged(id.clone(), moved, good.to_owned(), body.clone()));
    }
    for old in [50 * 3600 + 60, 100 * 3600, i64::from(i32::MAX) / 4, -400, -3600, -86_400] {
        let then = timestamp - old;
        let signed = signature::sign(secret, id, then, body);
        all.push(genuine.forged(id.clone(), then.to_string(), signed, body.clone()));
    }
    for odd in ["", " ", "0", "-1", "1e9", "0x1", "99999999999999999999", "NaN", "1.5", "+1"] {
        all.push(genuine.forged(id.clone(), odd.to_owned(), good.to_owned(), body.clone()));
    }
    all.push(genuine.forged(id.clone(), format!("+{timestamp}"), good.to_owned(), body.clone()));
    all.push(genuine.forged(id.clone(), format!("0{timestamp}"), good.to_owned(), body.clone()));
    for other in [String::new(), format!("{id}x"), id[1..].to_owned(), format!("{id}.{timestamp}")] {
        all.push(genuine.forged(other, timestamp.to_string(), good.to_owned(), body.clone()));
    }
    all.push(genuine.with(format!("v1,{}", raw.trim_end_matches('='))));
    all.push(genuine.with(format!("v1,{raw}=")));
    all.push(genuine.with(format!("v1,{}", raw.to_lowercase())));
    all.push(genuine.with(vec!["v1,"; 300].join(" ")));
    all
}

/// Requests without the signature, or with tokens that are not the relay's.
fn tokens(genuine: &Genuine, token: &str) -> Vec<Forged> {
    let mut all = Vec::new();
    let mut bare = |value: String| {
        all.push(Forged { headers: vec![("x-relay-token", value)], body: genuine.body.clone() });
    };
    for length in 0..token.len() {
        bare(token[..length].to_owned());
    }
    for other in [
        format!("{token}="),
        format!("{token},{token}"),
        token.to_uppercase(),
        token.chars().rev().collect(),
        "*".repeat(token.len()),
        "null".to_owned(),
    ] {
        bare(other);
    }
    let mut wrong_token = genuine.with(genuine.signature.clone());
    wrong_token.headers.push(("x-relay-token", "wrong".to_owned()));
    let mut wrong_signature = genuine.with(signature::sign("another", &genuine.id, genuine.timestamp, &genuine.body));
    wrong_signature.headers.push(("x-relay-token", token.to_owned()));
    let mut twice = genuine.with(genuine.signature.clone());
    twice.headers.extend([("x-relay-token", token.to_owned()), ("x-relay-token", "wrong".to_owned())]);
    all.extend([wrong_token, wrong_signature, twice]);
    all.push(Forged { headers: Vec::new(), body: genuine.body.clone() });
    for missing in 0..2 {
        let mut forged = genuine.with(genuine.signature.clone());
        forged.headers.remove(missing);
        all.push(forged);
    }
    all
}

/// No forged request is accepted, and no order is forwarded for one.
pub async fn all() -> Vec<Row> {
    let target = Target::start(&[]).await;
    let order = target.store.place_order_silently(None, 11);
    let (secret, token) = (target.secret(), target.hook_token());
    let genuine = Genuine::of(&secret, order);
    let (mut tried, mut accepted) = (0, 0);
    for forged in signatures(&genuine, &secret).into_iter().chain(tokens(&genuine, &token)) {
        let shown = format!("{:?} {}", forged.headers, String::from_utf8_lossy(&forged.body));
        tried += 1;
        match post(&target, "/webhooks/bigcommerce", forged).await {
            // A header that cannot be sent does not count as an attempt.
            None => tried -= 1,
            Some(401) => {}
            Some(status) => {
                accepted += 1;
                eprintln!("{status}: {shown}");
            }
        }
    }
    let (mut addresses, mut found) = (0, 0);
    for key in
        ["1", "0", "environment", "", "..", "%2e%2e/bigcommerce", "bigcommerce%00", "BigCommerce", &token, "null"]
    {
        addresses += 1;
        let forged = genuine.with(genuine.signature.clone());
        let status = post(&target, &format!("/webhooks/{key}"), forged).await;
        found += usize::from(!matches!(status, Some(404 | 405)));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    accepted += target.sink.accepted_orders();
    vec![
        Row::of("forged webhooks: signatures, times, ids, bodies, tokens", tried, accepted),
        Row::of("genuine webhooks at addresses that are nobody's", addresses, found),
    ]
}

/// Replays of recorded requests cause no second forward of an unchanged order.
pub async fn replays() -> Vec<Row> {
    let target = Target::start(&[]).await;
    let (secret, token) = (target.secret(), target.hook_token());
    let order = target.store.place_order_silently(None, 11);
    let send = async |headers: Vec<(String, String)>, body: Vec<u8>| {
        let mut request = target.client.post(target.url("/webhooks/bigcommerce")).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    let (headers, body) = signed_request(&secret, &Event::new(Scope::Created, order));
    send(headers.clone(), body.to_vec()).await;
    target.sink.wait_for(|sink| sink.newest(order).is_some(), Duration::from_secs(20)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..100 {
        send(headers.clone(), body.to_vec()).await;
    }
    let settle = async || tokio::time::sleep(Duration::from_secs(2)).await;
    settle().await;
    let repeated = target.sink.attempts() - 1;
    // Without the signature but with the recorded token, and with the same body or another.
    for number in 0..100 {
        let event = Event::new(Scope::Updated, order);
        let body = if number % 2 == 0 { body.to_vec() } else { event.body().to_vec() };
        send(vec![("x-relay-token".to_owned(), token.clone())], body).await;
    }
    settle().await;
    let stripped = target.sink.attempts() - 1 - repeated;
    let count = |number: u64| usize::try_from(number).unwrap();
    vec![
        Row::of("recorded webhooks sent again: forwards of the unchanged order", 100, count(repeated)),
        Row::of("signature taken away, token kept: forwards of the same", 100, count(stripped)),
    ]
}
