//! Any JWT at the app's callbacks: never a panic, never genuine without the client secret; with a valid signature, only
//! with the claims that BigCommerce promises. The input is a header, a line feed, and the claims; the whole input is
//! also tried as a JWT.
#![no_main]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use onetribe_relay::{
    clock::Timestamp,
    secret::Secret,
    source::bigcommerce::install::{is_store_hash, payload::PayloadVerifier},
};
use sha2::Sha256;

/// Long, random and in no seed: an input that verifies under it was forged.
const SECRET: &str = "9c1f27d0b64e5a3388e17f02ad6cb95e";
const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fuzz_target!(|input: &[u8]| {
    let verifier = PayloadVerifier::new("client id", &Secret::from(SECRET));
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(verifier.verify(text, NOW, 0).is_err(), "forged");
    }
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, claims) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    mac.update(signed.as_bytes());
    let jwt = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    let other = PayloadVerifier::new("client id", &Secret::from("another secret, as long as it"));
    assert!(other.verify(&jwt, NOW, 0).is_err(), "forged");
    let another_app = PayloadVerifier::new("another client id", &Secret::from(SECRET));

    let Ok(payload) = verifier.verify(&jwt, NOW, 0) else { return };
    assert!(another_app.verify(&jwt, NOW, 0).is_err(), "taken by an app that it is not for");
    assert!(is_store_hash(&payload.store_hash));
    assert!(payload.path.starts_with('/') && !payload.path.starts_with("//") && !payload.path.contains('\\'));
    assert!(payload.locale.len() <= 35 && payload.locale.is_ascii());
    assert!(payload.issued_at.millis() <= NOW.millis() + 60_000, "issued in the future");
    assert!(verifier.verify(&jwt, NOW, i64::MAX).is_err(), "valid for ever");
});
