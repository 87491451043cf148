//! Any headers and any body: never a panic, and never genuine without a valid signature or token. The input is lines of
//! `name value`, an empty line, and the body.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use onetribe_relay::{secret::Secret, signature, source::bigcommerce::webhook::Verifier};

/// Long, random and in no seed: an input that verifies under it was forged.
const SECRET: &str = "9c1f27d0b64e5a3388e17f02ad6cb95e";
const NOW: u64 = 1_700_000_000;

fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b' ').unwrap_or(line.len()));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let secret = Secret::from(SECRET);
    let token = signature::derive_token(&secret, "hook", "abcde");
    let verifier = Verifier::new("abcde", vec![secret], vec![token], Duration::from_secs(50 * 3600));
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    assert!(verifier.verify(&headers, rest, now).is_err(), "forged");

    // The same callback with a valid signature is genuine, unless it also carried an invalid proof.
    if !headers.contains_key("x-relay-token") {
        let timestamp = i64::try_from(NOW).expect("fits");
        let signed = signature::sign(SECRET, "id", timestamp, rest);
        let mut put = |name, value: &str| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("ASCII"));
        };
        put("webhook-id", "id");
        put("webhook-timestamp", &timestamp.to_string());
        put("webhook-signature", &signed);
        assert!(verifier.verify(&headers, rest, now).is_ok(), "refused");
    }
});
