//! Standard Webhooks signatures: golden vectors made with other tools, lists, secrets, tolerance to the second.
//!
//! The vectors under `aclientsecret` come from
//! `printf '%s' "$ID.$TIMESTAMP.$BODY" | openssl dgst -sha256 -hmac "$SECRET" -binary | base64`,
//! the others from Python: `base64.b64encode(hmac.new(secret, id + b"." + ts + b"." + body, hashlib.sha256).digest())`.
//! The specification's own example has a key that is not text; `src/signature.rs` tests it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onetribe_relay::{
    secret::{self, Secret},
    signature::{self, MAX_AHEAD, SignatureError, SignatureHeaders},
};
use proptest::prelude::*;

const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNED_AT: u64 = 1_614_265_330;
const SIGNATURE: &str = "v1,sMzuEdsqYSVu682/dNTw4q4DjudbCimMQ9kqms8NPxw=";
const TOLERANCE: Duration = Duration::from_secs(50 * 3600);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn secrets(list: &[&str]) -> Vec<Secret> {
    list.iter().map(|secret| Secret::from(*secret)).collect()
}

fn headers(signature: &str) -> SignatureHeaders<'_> {
    SignatureHeaders { id: Some(ID), timestamp: Some("1614265330"), signature }
}

fn verify(headers: SignatureHeaders<'_>) -> Result<(), SignatureError> {
    signature::verify(&secrets(&["aclientsecret"]), headers, BODY, at(SIGNED_AT), TOLERANCE)
}

#[test]
fn signing_gives_what_openssl_and_python_give() {
    assert_eq!(signature::sign("aclientsecret", ID, 1_614_265_330, BODY), SIGNATURE);
    let secret = "2f1c".repeat(16);
    let payload = sandbox::order::PAYLOAD_FIXTURE.trim().as_bytes();
    assert_eq!(
        signature::sign(&secret, "4b5a1f6e-0000-4000-8000-000000000001", 1_561_479_335, payload),
        "v1,7tEdicvOF9YxLewtaIvvdSedy2R7AEHGO8so5XVC6EQ="
    );
    assert_eq!(signature::sign(&secret, "id", 0, b""), "v1,ajwEDsJjmymqWWWCBQlTZGKqB+6nRH4oF4YB7+k2d/U=");
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(
        signature::sign("Gehäim ✓", "id", 1_700_000_000, &every_byte),
        "v1,Z7fN9K0WNHjESR5aSNBWaQnvxG+RWzp/pGvFvm9IRIw="
    );
}

#[test]
fn the_secret_is_used_as_it_stands_never_decoded() {
    // The same text as a key in base64, as the specification's libraries would read it.
    let encoded = "whsec_YWNsaWVudHNlY3JldA==";
    assert_ne!(signature::sign(encoded, ID, 1_614_265_330, BODY), SIGNATURE);
    let given = signature::verify(&secrets(&[encoded]), headers(SIGNATURE), BODY, at(SIGNED_AT), TOLERANCE);
    assert_eq!(given, Err(SignatureError::Mismatch));
}

#[test]
fn one_fitting_v1_signature_in_the_list_is_enough() {
    let other = signature::sign("another", ID, 1_614_265_330, BODY);
    for list in [
        SIGNATURE.to_owned(),
        format!("{other} {SIGNATURE}"),
        format!("{SIGNATURE} {other}"),
        format!("{}{SIGNATURE}", format!("{other} ").repeat(99)),
        format!("v1a,{} v2,x {SIGNATURE}", &SIGNATURE[3..]),
        format!("v1,??? v1, v1 ,  {SIGNATURE} "),
    ] {
        assert_eq!(verify(headers(&list)), Ok(()), "{list}");
    }
}

/// Proxies join repeated headers with commas, and some split a header's value at commas.
#[test]
fn genuine_entries_joined_by_commas_are_taken_for_what_they_are() {
    let (raw, other) = (&SIGNATURE[3..], signature::sign("another", ID, 1_614_265_330, BODY));
    for list in [
        format!("{other}, {SIGNATURE}"),
        format!("{other},{SIGNATURE}"),
        format!("{SIGNATURE}, {other}"),
        format!("{SIGNATURE},{other}"),
        format!("{other} , {SIGNATURE}"),
        format!("v1, {raw}"),
        format!("v1 {raw}"),
        format!("v1a,{raw}, {SIGNATURE}"),
        format!("{other}, {other}, {other}, {SIGNATURE}"),
        format!(",,{SIGNATURE},"),
    ] {
        assert_eq!(verify(headers(&list)), Ok(()), "{list}");
    }
    for list in [
        format!("{other}, {raw}"),
        format!("{other},{raw}"),
        format!("v2,{raw}, {other}"),
        format!("v1a, {raw}"),
        format!("v1;{raw}"),
        format!("{other}, v2, {raw}"),
    ] {
        assert_eq!(verify(headers(&list)), Err(SignatureError::Mismatch), "{list}");
    }
}

#[test]
fn a_list_without_a_fitting_v1_signature_is_refused() {
    let raw = &SIGNATURE[3..];
    for list in [
        String::new(),
        " ".into(),
        "v1,".into(),
        raw.into(),
        format!("v1a,{raw}"),
        format!("v2,{raw}"),
        format!("V1,{raw}"),
        format!("v1={raw}"),
        format!("v1,{},{raw}", "AAAA"),
        format!("v1,{}", &raw[..raw.len() - 4]),
        format!("v1,{raw}AAAA"),
        format!("v1,{}", raw.replace('/', "_")),
        format!("v1,{}", raw.to_lowercase()),
        signature::sign("another", ID, 1_614_265_330, BODY),
        signature::sign("aclientsecret", "another", 1_614_265_330, BODY),
        signature::sign("aclientsecret", ID, 1_614_265_331, BODY),
        signature::sign("aclientsecret", ID, 1_614_265_330, b"another"),
    ] {
        assert_eq!(verify(headers(&list)), Err(SignatureError::Mismatch), "{list}");
    }
    let long = format!("{}{SIGNATURE}", "v1,AAAA ".repeat(1024));
    assert_eq!(verify(headers(&long)), Err(SignatureError::Mismatch), "longer than any header BigCommerce sends");
}

#[test]
fn any_configured_secret_may_have_signed() {
    let with = |list: &[&str]| signature::verify(&secrets(list), headers(SIGNATURE), BODY, at(SIGNED_AT), TOLERANCE);
    assert_eq!(with(&["new", "aclientsecret"]), Ok(()));
    assert_eq!(with(&["aclientsecret", "old"]), Ok(()));
    assert_eq!(with(&["new", "old"]), Err(SignatureError::Mismatch));
    assert_eq!(with(&["aclientsecre", "aclientsecrett", "ACLIENTSECRET"]), Err(SignatureError::Mismatch));
    assert_eq!(with(&[]), Err(SignatureError::Mismatch));
}

#[test]
fn the_tolerance_holds_to_the_second_on_both_sides() {
    let seen_at = |now| signature::verify(&secrets(&["aclientsecret"]), headers(SIGNATURE), BODY, now, TOLERANCE);
    let oldest = SIGNED_AT + TOLERANCE.as_secs();
    let newest = SIGNED_AT - MAX_AHEAD.as_secs();
    assert_eq!(MAX_AHEAD, Duration::from_secs(300));
    assert_eq!(seen_at(at(oldest)), Ok(()));
    assert_eq!(seen_at(at(oldest) + Duration::from_millis(999)), Ok(()), "timestamps are whole seconds");
    assert_eq!(seen_at(at(oldest + 1)), Err(SignatureError::TooOld));
    assert_eq!(seen_at(at(newest)), Ok(()));
    assert_eq!(seen_at(at(newest - 1)), Err(SignatureError::TooNew));
    assert_eq!(seen_at(UNIX_EPOCH), Err(SignatureError::TooNew));
    assert_eq!(seen_at(UNIX_EPOCH - Duration::from_secs(9)), Err(SignatureError::TooNew), "a clock before 1970");
}

#[test]
fn an_id_and_a_timestamp_of_digits_must_be_there() {
    let with = |id, timestamp| verify(SignatureHeaders { id, timestamp, signature: SIGNATURE });
    assert_eq!(with(Some(ID), Some("1614265330")), Ok(()));
    assert_eq!(with(None, Some("1614265330")), Err(SignatureError::Malformed));
    assert_eq!(with(Some(""), Some("1614265330")), Err(SignatureError::Malformed));
    assert_eq!(with(Some(ID), None), Err(SignatureError::Malformed));
    for timestamp in [
        "",
        " 1614265330",
        "1614265330 ",
        "+1614265330",
        "-1614265330",
        "1614265330.0",
        "1614265330000000000000",
        "0x1",
        "١",
    ] {
        assert_eq!(with(Some(ID), Some(timestamp)), Err(SignatureError::Malformed), "{timestamp:?}");
    }
    assert_eq!(with(Some(ID), Some("18446744073709551615")), Err(SignatureError::TooNew));
    assert_eq!(with(Some(ID), Some("0")), Err(SignatureError::TooOld));
    // The text of the timestamp is signed, not the number it stands for.
    assert_eq!(with(Some(ID), Some("01614265330")), Err(SignatureError::Mismatch));
}

#[test]
fn a_token_is_what_python_derives_and_differs_by_secret_purpose_and_subject() {
    // hmac.new(b"aclientsecret", b"onetribe-relay\0" b"hook" b"\0" b"abcde", hashlib.sha256), base64url without
    // padding.
    let derive =
        |secret: &str, purpose, subject| signature::derive_token(&secret.into(), purpose, subject).expose().to_owned();
    let token = derive("aclientsecret", "hook", "abcde");
    assert_eq!(token, "nP9yiOEea57rqyw5mjBeu1crzEyiA3vGNKGGJ2i0FWE");
    for other in [
        derive("another", "hook", "abcde"),
        derive("aclientsecret", "echo", "abcde"),
        derive("aclientsecret", "hook", "abcdf"),
        derive("aclientsecret", "hooka", "bcde"),
    ] {
        assert_ne!(other, token);
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_any_change_does_not(
        secret in "\\PC{1,64}", id in "[!-~]{1,64}", body in prop::collection::vec(any::<u8>(), 0..256),
        bit in 0..8u8, at_byte in any::<prop::sample::Index>(),
    ) {
        let signed = signature::sign(&secret, &id, 1_614_265_330, &body);
        let check = |id: &str, body: &[u8], signature: &str| {
            let given = SignatureHeaders { id: Some(id), timestamp: Some("1614265330"), signature };
            signature::verify(&secrets(&[&secret]), given, body, at(SIGNED_AT), TOLERANCE)
        };
        prop_assert_eq!(check(&id, &body, &signed), Ok(()));
        let mut other = body.clone();
        other.push(b' ');
        prop_assert_eq!(check(&id, &other, &signed), Err(SignatureError::Mismatch));
        if !body.is_empty() {
            let mut other = body.clone();
            other[at_byte.index(body.len())] ^= 1 << bit;
            prop_assert_eq!(check(&id, &other, &signed), Err(SignatureError::Mismatch));
        }
        let longer = format!("{id}.");
        prop_assert_eq!(check(&longer, &body, &signed), Err(SignatureError::Mismatch));
    }

    #[test]
    fn no_header_text_makes_verifying_panic_or_succeed(
        id in "\\PC*", timestamp in "\\PC*|[0-9]{1,21}", signature in "\\PC*|(v1,[A-Za-z0-9+/=]{0,60} ?){0,4}",
    ) {
        let given = SignatureHeaders { id: Some(&id), timestamp: Some(&timestamp), signature: &signature };
        prop_assert!(verify(given).is_err());
    }

    #[test]
    fn secrets_are_the_same_only_if_they_are_equal(a in "\\PC{0,8}|[ab]{0,3}", b in "\\PC{0,8}|[ab]{0,3}") {
        prop_assert_eq!(secret::same_secret(&a, &b), a == b);
        prop_assert!(secret::same_secret(&a, &a));
    }
}
