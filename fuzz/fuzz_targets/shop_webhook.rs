//! Any topic and any body as a WooCommerce webhook with a valid signature: never a panic, never genuine under another
//! secret, and an event only with an id that is in the body. The input is the topic on a line of its own, then the
//! body.
#![no_main]

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use onetribe_relay::{
    secret::Secret,
    source::woocommerce::{
        hooks::topics_of,
        webhook::{Notice, Verifier},
    },
};
use sha2::Sha256;

const SECRET: &str = "9c1f27d0b64e5a3388e17f02ad6cb95e";
const SHOP: &str = "https://shop.example";

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (topic, body) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let Ok(topic) = HeaderValue::from_bytes(topic) else { return };
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    mac.update(body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-wc-webhook-topic"), topic);
    let signature = HeaderValue::from_str(&signature).expect("ASCII");
    headers.insert(HeaderName::from_static("x-wc-webhook-signature"), signature);

    let other = Verifier::new(SHOP, &[Secret::from("another secret")], topics_of("orders"));
    assert!(other.verify(&headers, body).is_err(), "forged");
    let ours = Verifier::new(SHOP, &[Secret::from(SECRET)], topics_of("orders"));
    let webhook = ours.verify(&headers, body).expect("rightly signed");
    if let Notice::Event(event) = webhook.read() {
        let digits = event.id.to_string();
        let escaped = body.contains(&b'\\');
        let stands_there = body.windows(digits.len()).any(|part| part == digits.as_bytes());
        assert!(escaped || stands_there, "{digits} is not in the body");
    }
});
