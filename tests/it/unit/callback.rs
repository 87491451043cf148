//! What proves that a callback is genuine: a signature, a token or both, and no proof that is present may be wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use onetribe_relay::{
    object::ObjectId,
    secret::Secret,
    signature::{self, SignatureError},
    source::bigcommerce::{
        payload::Payload,
        webhook::{TOKEN_HEADER, Unauthentic, Verifier},
    },
};
use proptest::prelude::*;

const BODY: &[u8] = br#"{"producer":"stores/abcde","scope":"store/order/created","data":{"type":"order","id":5}}"#;
const NOW: i64 = 1_700_000_000;
const STAMP: &str = "1700000000";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs())
}

fn token(secret: &str) -> String {
    signature::derive_token(&secret.into(), "hook", "abcde").expose().to_owned()
}

/// The verifier of a store whose secret is being rotated from `old` to `new`.
fn verifier() -> Verifier {
    let secrets: Vec<Secret> = vec!["new".into(), "old".into()];
    let tokens = vec![token("new").into(), token("old").into()];
    Verifier::new("abcde", secrets, tokens, Duration::from_secs(50 * 3600))
}

fn headers<V: AsRef<[u8]>>(list: impl IntoIterator<Item = (&'static str, V)>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_ref()).unwrap());
    }
    map
}

fn verify(headers: &HeaderMap) -> Result<(), Unauthentic> {
    verifier().verify(headers, BODY, now()).map(drop)
}

fn signed(secret: &str) -> Vec<(&'static str, String)> {
    let signature = signature::sign(secret, "id-1", NOW, BODY);
    vec![("webhook-id", "id-1".into()), ("webhook-timestamp", STAMP.into()), ("webhook-signature", signature)]
}

fn with(mut list: Vec<(&'static str, String)>, name: &'static str, value: &str) -> HeaderMap {
    list.push((name, value.to_owned()));
    headers(list)
}

const MISMATCH: Unauthentic = Unauthentic::Signature(SignatureError::Mismatch);
const MALFORMED: Unauthentic = Unauthentic::Signature(SignatureError::Malformed);

#[test]
fn a_signature_or_a_token_under_any_configured_secret_is_proof() {
    for secret in ["new", "old"] {
        assert_eq!(verify(&headers(signed(secret))), Ok(()), "signed under {secret}");
        assert_eq!(verify(&headers([(TOKEN_HEADER, token(secret))])), Ok(()), "token of {secret}");
    }
    assert_eq!(verify(&with(signed("old"), TOKEN_HEADER, &token("new"))), Ok(()));
    assert_eq!(verify(&with(signed("new"), TOKEN_HEADER, &token("old"))), Ok(()));
}

#[test]
fn without_either_proof_a_callback_is_refused() {
    assert_eq!(verify(&HeaderMap::new()), Err(Unauthentic::Unproven));
    let no_signature: Vec<_> = signed("new").into_iter().filter(|(name, _)| *name != "webhook-signature").collect();
    assert_eq!(verify(&headers(no_signature)), Err(Unauthentic::Unproven));
    // Header names used by other senders prove nothing.
    let signature = signature::sign("new", "id-1", NOW, BODY);
    assert_eq!(
        verify(&headers([("x-bc-signature", &signature), ("x-relay-tokens", &signature)])),
        Err(Unauthentic::Unproven)
    );
}

#[test]
fn a_right_token_does_not_make_up_for_a_wrong_signature() {
    assert_eq!(verify(&with(signed("stranger"), TOKEN_HEADER, &token("new"))), Err(Unauthentic::WrongSecret));
    assert_eq!(verify(&headers([("webhook-signature", ""), (TOKEN_HEADER, &token("new"))])), Err(MALFORMED));
    let old = |stamp: &str| {
        let signature = signature::sign("new", "id-1", stamp.parse().unwrap(), BODY);
        headers([
            ("webhook-id", "id-1"),
            ("webhook-timestamp", stamp),
            ("webhook-signature", &signature),
            (TOKEN_HEADER, &token("new")),
        ])
    };
    assert_eq!(verify(&old("1600000000")), Err(Unauthentic::Signature(SignatureError::TooOld)));
    assert_eq!(verify(&old("1800000000")), Err(Unauthentic::Signature(SignatureError::TooNew)));
}

#[test]
fn a_right_signature_does_not_make_up_for_a_wrong_token() {
    for wrong in
        ["", "wrong", &token("stranger"), &token("new")[1..], &format!("{} ", token("new").to_lowercase()), "new"]
    {
        assert_eq!(verify(&with(signed("new"), TOKEN_HEADER, wrong)), Err(Unauthentic::Token), "{wrong:?}");
        assert_eq!(verify(&headers([(TOKEN_HEADER, wrong)])), Err(Unauthentic::Token), "{wrong:?} alone");
    }
    // A token for another purpose, and a token of another store.
    for (purpose, subject) in [("echo", "abcde"), ("hook", "other")] {
        let other = signature::derive_token(&"new".into(), purpose, subject);
        assert_eq!(verify(&headers([(TOKEN_HEADER, other.expose())])), Err(Unauthentic::Token), "{purpose} {subject}");
    }
}

#[test]
fn of_several_tokens_none_may_be_wrong() {
    assert_eq!(verify(&headers([(TOKEN_HEADER, token("new")), (TOKEN_HEADER, token("old"))])), Ok(()));
    assert_eq!(verify(&headers([(TOKEN_HEADER, token("new")), (TOKEN_HEADER, "x".into())])), Err(Unauthentic::Token));
    assert_eq!(verify(&headers([(TOKEN_HEADER, "x".into()), (TOKEN_HEADER, token("new"))])), Err(Unauthentic::Token));
}

#[test]
fn signature_headers_that_come_several_times_are_one_list() {
    let other = signature::sign("stranger", "id-1", NOW, BODY);
    for place in [0, 3] {
        let mut list = signed("new");
        list.insert(place, ("webhook-signature", other.clone()));
        assert_eq!(verify(&headers(list)), Ok(()), "{place}");
    }
    assert_eq!(verify(&with(signed("stranger"), "webhook-signature", &other)), Err(MISMATCH));
}

#[test]
fn a_signature_header_that_a_proxy_split_at_its_comma_is_put_together() {
    let other = signature::sign("stranger", "id-1", NOW, BODY);
    let list = |values: &[&str]| {
        let mut list: Vec<_> = signed("new").into_iter().filter(|(name, _)| *name != "webhook-signature").collect();
        list.extend(values.iter().map(|value| ("webhook-signature", (*value).to_owned())));
        verify(&headers(list))
    };
    let good = signature::sign("new", "id-1", NOW, BODY);
    let (version, encoded) = good.split_once(',').unwrap();
    assert_eq!(list(&[version, encoded]), Ok(()));
    assert_eq!(list(&[&other, version, encoded]), Ok(()));
    assert_eq!(list(&["v1", &format!("{}, v1", &other[3..]), encoded]), Ok(()));
    assert_eq!(list(&[&format!("{other}, {good}")]), Ok(()));
    assert_eq!(list(&["v1", &other[3..]]), Err(MISMATCH));
    assert_eq!(list(&["v2", encoded]), Err(MISMATCH));
}

#[test]
fn of_several_ids_or_timestamps_the_first_is_the_one_that_counts() {
    assert_eq!(verify(&with(signed("new"), "webhook-id", "id-2")), Ok(()));
    assert_eq!(verify(&with(signed("new"), "webhook-timestamp", "1")), Ok(()));
    let after = |name, value: &str| {
        let mut list = signed("new");
        list.insert(0, (name, value.to_owned()));
        verify(&headers(list))
    };
    assert_eq!(after("webhook-id", "id-2"), Err(MISMATCH));
    assert_eq!(after("webhook-timestamp", "1"), Err(Unauthentic::Signature(SignatureError::TooOld)));
    // Duplicates are recognised by the id that was signed.
    let map = with(signed("new"), "webhook-id", "id-2");
    let verifier = verifier();
    assert_eq!(verifier.verify(&map, BODY, now()).unwrap().webhook_id(), Some("id-1"));
}

#[test]
fn missing_or_unreadable_signature_parts_are_malformed() {
    for missing in ["webhook-id", "webhook-timestamp"] {
        let list: Vec<_> = signed("new").into_iter().filter(|(name, _)| *name != missing).collect();
        assert_eq!(verify(&headers(list)), Err(MALFORMED), "{missing}");
    }
    let odd: &[u8] = "ïd".as_bytes();
    for name in ["webhook-id", "webhook-timestamp"] {
        let list = signed("new")
            .into_iter()
            .map(|(other, value)| (other, if other == name { odd.to_vec() } else { value.into_bytes() }));
        assert_eq!(verify(&headers(list)), Err(MALFORMED), "{name} is not ASCII");
    }
    let list = signed("new")
        .into_iter()
        .map(|(name, value)| (name, if name == "webhook-signature" { odd.to_vec() } else { value.into_bytes() }));
    assert_eq!(verify(&headers(list)), Err(MISMATCH));
    assert_eq!(verify(&headers([(TOKEN_HEADER, odd)])), Err(Unauthentic::Token));
    assert_eq!(verify(&headers([(TOKEN_HEADER, b"\xff")])), Err(Unauthentic::Token));
}

#[test]
fn a_token_alone_is_not_bound_to_any_time_and_carries_its_id() {
    let verifier = verifier();
    let map = headers([(TOKEN_HEADER, token("new")), ("webhook-id", "id-9".into()), ("webhook-timestamp", "1".into())]);
    let verified = verifier.verify(&map, BODY, now()).unwrap();
    assert_eq!(verified.webhook_id(), Some("id-9"));
    let bare = headers([(TOKEN_HEADER, token("new"))]);
    assert_eq!(verifier.verify(&bare, BODY, now()).unwrap().webhook_id(), None);
    let empty = headers([(TOKEN_HEADER, token("new")), ("webhook-id", String::new())]);
    assert_eq!(verifier.verify(&empty, BODY, now()).unwrap().webhook_id(), None);
}

#[test]
fn a_verified_callback_is_parsed_for_the_verifiers_own_store() {
    let verifier = verifier();
    let map = headers([(TOKEN_HEADER, token("new"))]);
    let Ok(Payload::Order(event)) = verifier.verify(&map, BODY, now()).unwrap().parse() else { panic!("no order") };
    assert_eq!(event.order, ObjectId::Number(5));
    let other = br#"{"producer":"stores/other","scope":"store/order/created","data":{"id":5}}"#;
    assert_eq!(verifier.verify(&map, other, now()).unwrap().parse(), Ok(Payload::ForeignStore));
}

proptest! {
    #[test]
    fn no_headers_and_no_body_make_verifying_panic_or_succeed(
        list in prop::collection::vec((0..4usize, prop::collection::vec(any::<u8>(), 0..80)), 0..8),
        body in prop::collection::vec(any::<u8>(), 0..80), clock in any::<u32>(),
    ) {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature", TOKEN_HEADER];
        let mut map = HeaderMap::new();
        for (name, value) in list {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(HeaderName::from_static(names[name]), value);
            }
        }
        let verifier = verifier();
        prop_assert!(verifier.verify(&map, &body, UNIX_EPOCH + Duration::from_secs(clock.into())).is_err());
    }
}
