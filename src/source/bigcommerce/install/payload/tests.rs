use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const CLIENT_ID: &str = "236754";
const SECRET: &str = "the-apps-client-secret";
const NOW: i64 = 1_659_031_700;

fn claims() -> Value {
    json!({
        "aud": CLIENT_ID, "iss": "bc", "iat": 1_659_031_626, "nbf": 1_659_031_621, "exp": 1_659_118_026,
        "jti": "c5f0bcf5-0504-4aa5-b9a8-b4b0d1f2ee00", "sub": "stores/z4zn3wo",
        "user": { "id": 9_876_543, "email": "user@example.com", "locale": "en-US" },
        "owner": { "id": 7_654_321, "email": "owner@example.com" }, "url": "/", "channel_id": null,
    })
}

fn signed(header: &Value, claims: &Value, secret: &str, algorithm: Algorithm) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, algorithm).expect("an HMAC");
    format!("{message}.{signature}")
}

fn genuine(claims: &Value) -> String {
    signed(&json!({ "alg": "HS256", "typ": "JWT" }), claims, SECRET, Algorithm::HS256)
}

fn verifier() -> PayloadVerifier {
    PayloadVerifier::new(CLIENT_ID, &SECRET.into())
}

fn verified(jwt: &str) -> Result<LoadPayload, PayloadError> {
    verifier().verify(jwt, Timestamp::from_seconds(NOW), 0)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn the_documented_payload_is_taken_without_its_people() {
    let payload = verified(&genuine(&claims())).expect("genuine");
    let expected = LoadPayload {
        store_hash: "z4zn3wo".to_owned(),
        user_id: 9_876_543,
        locale: "en-US".to_owned(),
        path: "/".to_owned(),
        channel_id: None,
        issued_at: Timestamp::from_seconds(1_659_031_626),
    };
    assert_eq!(payload, expected);
    assert!(!format!("{payload:?} {:?}", verifier()).contains("example.com"));
    assert!(!format!("{:?}", verifier()).contains(SECRET));
}

#[test]
fn forgeries_are_refused_by_name() {
    let header = |algorithm: &str| json!({ "alg": algorithm, "typ": "JWT" });
    let hs256 = |claims| signed(&header("HS256"), claims, SECRET, Algorithm::HS256);
    let whole = hs256(&claims());
    let (message, signature) = whole.rsplit_once('.').expect("three parts");
    let tampered = {
        let other = genuine(&with("sub", json!("stores/another")));
        let (other, _) = other.rsplit_once('.').expect("three parts");
        format!("{other}.{signature}")
    };
    let unsigned = |algorithm: &str| {
        let jwt = signed(&header(algorithm), &claims(), SECRET, Algorithm::HS256);
        format!("{}.", jwt.rsplit_once('.').expect("three parts").0)
    };
    for (what, jwt, error) in [
        ("another key", signed(&header("HS256"), &claims(), "another", Algorithm::HS256), PayloadError::WrongSignature),
        ("an empty key", signed(&header("HS256"), &claims(), "", Algorithm::HS256), PayloadError::WrongSignature),
        ("other claims", tampered, PayloadError::WrongSignature),
        ("no signature", format!("{message}."), PayloadError::WrongSignature),
        ("HS384", signed(&header("HS384"), &claims(), SECRET, Algorithm::HS384), PayloadError::WrongAlgorithm),
        ("HS512", signed(&header("HS512"), &claims(), SECRET, Algorithm::HS512), PayloadError::WrongAlgorithm),
        ("RS256", signed(&header("RS256"), &claims(), SECRET, Algorithm::HS256), PayloadError::WrongAlgorithm),
        ("ES256", signed(&header("ES256"), &claims(), SECRET, Algorithm::HS256), PayloadError::WrongAlgorithm),
        ("none", unsigned("none"), PayloadError::Malformed),
        ("None, signed", signed(&header("None"), &claims(), SECRET, Algorithm::HS256), PayloadError::Malformed),
        ("another app", genuine(&with("aud", json!("236755"))), PayloadError::WrongAudience),
        ("a list of apps", genuine(&with("aud", json!([CLIENT_ID]))), PayloadError::Malformed),
        ("another issuer", genuine(&with("iss", json!("evil"))), PayloadError::WrongIssuer),
        ("an issuer's list", genuine(&with("iss", json!(["bc"]))), PayloadError::Malformed),
        ("no store", genuine(&with("sub", json!("z4zn3wo"))), PayloadError::NoStore),
        ("a path", genuine(&with("sub", json!("stores/a/../b"))), PayloadError::NoStore),
        ("empty", String::new(), PayloadError::Malformed),
        ("dots", "..".to_owned(), PayloadError::Malformed),
        ("five parts", format!("a.b.{whole}"), PayloadError::Malformed),
        ("a long text", "a".repeat(MAX_JWT + 1), PayloadError::Malformed),
        ("an older payload", "eyJhIjoxfQ==.ZGVhZGJlZWY=".to_owned(), PayloadError::Malformed),
    ] {
        assert_eq!(verified(&jwt), Err(error), "{what}");
    }
}

#[test]
fn every_claim_is_needed() {
    for name in ["aud", "iss", "iat", "nbf", "exp", "sub", "user"] {
        let mut without = claims();
        without.as_object_mut().expect("an object").remove(name);
        assert_eq!(verified(&genuine(&without)), Err(PayloadError::Malformed), "without {name}");
        for value in [Value::Null, json!({}), json!([])] {
            let odd = genuine(&with(name, value.clone()));
            assert!(verified(&odd).is_err(), "{name} as {value}");
        }
    }
    for name in ["url", "channel_id", "owner", "jti"] {
        let mut without = claims();
        without.as_object_mut().expect("an object").remove(name);
        assert!(verified(&genuine(&without)).is_ok(), "without {name}");
    }
}

#[test]
fn times_have_a_minutes_leeway_either_way() {
    let at = |now: i64, skew: i64| verifier().verify(&genuine(&claims()), Timestamp::from_seconds(now), skew).err();
    let (iat, exp) = (1_659_031_626, 1_659_118_026);
    for (now, skew, error) in [
        (iat - 61, 0, Some(PayloadError::NotYetValid)),
        (iat - 60, 0, None),
        (exp + 59, 0, None),
        (exp + 60, 0, Some(PayloadError::Expired)),
        // A relay whose clock is an hour behind, and which knows it.
        (iat - 3600, 0, Some(PayloadError::NotYetValid)),
        (iat - 3600, 3600, None),
        (exp + 3600, -3600, None),
        (i64::MAX / 1000, i64::MAX, Some(PayloadError::Expired)),
        (0, i64::MIN, Some(PayloadError::NotYetValid)),
    ] {
        assert_eq!(at(now, skew), error, "{now} {skew}");
    }
    let extreme = |name, value: i64| verified(&genuine(&with(name, json!(value)))).err();
    assert_eq!(extreme("exp", 0), Some(PayloadError::Expired));
    assert_eq!(extreme("nbf", i64::MAX), Some(PayloadError::NotYetValid));
    assert_eq!(extreme("iat", NOW + 61), Some(PayloadError::NotYetValid));
    assert_eq!(extreme("nbf", NOW + 61), Some(PayloadError::NotYetValid));
}

#[test]
fn what_is_shown_or_followed_is_plain() {
    let path = |url: &str| verified(&genuine(&with("url", json!(url)))).expect("genuine").path;
    assert_eq!(path("/orders?id=1"), "/orders?id=1");
    for url in ["", "https://evil.example/", "//evil.example/", "/\\evil.example", "orders", "/a b", "/\r\nX: y"] {
        assert_eq!(path(url), "/", "{url}");
    }
    let locale = |text: &str| {
        let user = json!({ "id": 1, "locale": text });
        verified(&genuine(&with("user", user))).expect("genuine").locale
    };
    assert_eq!(locale("pt-BR"), "pt-BR");
    assert_eq!(locale("<script>"), "");
    assert_eq!(verified(&genuine(&with("user", json!({ "id": 1 })))).expect("genuine").locale, "");
    assert_eq!(verified(&genuine(&with("channel_id", json!(7)))).expect("genuine").channel_id, Some(7));
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(text in ".{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_=-]{0,80}", 3)) {
        prop_assert!(verified(&text).is_err());
        prop_assert!(verified(&parts.join(".")).is_err());
    }

    #[test]
    fn one_changed_byte_is_refused(at in 0_usize..400, to in any::<u8>()) {
        let mut bytes = genuine(&claims()).into_bytes();
        let at = at % bytes.len();
        prop_assume!(to.is_ascii() && bytes[at] != to);
        bytes[at] = to;
        let changed = String::from_utf8(bytes).expect("ASCII");
        // The last character of a part may contain bits that do not count.
        prop_assume!(!same_bytes(&changed, &genuine(&claims())));
        prop_assert!(verified(&changed).is_err());
    }
}

fn same_bytes(a: &str, b: &str) -> bool {
    let decoded = |jwt: &str| jwt.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect::<Vec<_>>();
    decoded(a) == decoded(b)
}
