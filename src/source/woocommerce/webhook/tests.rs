use actix_web::http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "abcDEF123";

fn verifier() -> Verifier {
    let topics = super::super::hooks::topics_of("orders").into_iter().chain(["product.deleted".to_owned()]);
    Verifier::new("https://www.Shop.example/", &[SECRET.into()], topics.collect())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn signed(topic: &str, source: &str, body: &[u8]) -> HeaderMap {
    headers(&[
        ("x-wc-webhook-topic", topic),
        ("x-wc-webhook-source", source),
        ("x-wc-webhook-signature", &sign(SECRET, body)),
    ])
}

fn notice(topic: &str, body: &str) -> Notice {
    let (verifier, headers) = (verifier(), signed(topic, "https://shop.example/", body.as_bytes()));
    verifier.verify(&headers, body.as_bytes()).expect("genuine").read()
}

#[test]
fn the_signature_is_the_known_one() {
    // RFC 4231, test case 2, in base64.
    assert_eq!(sign("Jefe", b"what do ya want for nothing?"), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
}

#[test]
fn only_the_shop_can_sign() {
    let (verifier, body) = (verifier(), br#"{"id":1}"#);
    assert!(verifier.verify(&signed("order.updated", "https://shop.example/", body), body).is_ok());
    let mismatch =
        |signature: &str, body: &[u8]| verifier.verify(&headers(&[("x-wc-webhook-signature", signature)]), body).err();
    for signature in ["", "x", "AAAA", &sign("another", body), &sign(SECRET, b"{}")] {
        assert_eq!(mismatch(signature, body), Some(Unauthentic::Mismatch), "{signature}");
    }
    assert_eq!(mismatch("", b"webhook_id=3"), Some(Unauthentic::Mismatch), "a ping has no signature at all");
    assert_eq!(verifier.verify(&headers(&[]), body).err(), Some(Unauthentic::Unsigned));
    let nobody = Verifier::new("https://shop.example", &[], Vec::new());
    let empty = headers(&[("x-wc-webhook-signature", &sign("", body))]);
    assert_eq!(nobody.verify(&empty, body).err(), Some(Unauthentic::Mismatch));
}

#[test]
fn the_ping_is_a_form_with_a_number() {
    let (verifier, none) = (verifier(), headers(&[]));
    let webhook = verifier.verify(&none, b"webhook_id=42").expect("a ping");
    assert_eq!((webhook.is_ping(), webhook.read()), (true, Notice::Ping));
    for other in [&b"webhook_id="[..], b"webhook_id=4x", b"webhook_id=4&id=7", b"", b"id=4", &[b'9'; 64]] {
        assert_eq!(verifier.verify(&none, other).err(), Some(Unauthentic::Unsigned));
    }
}

#[test]
fn an_event_says_what_happened_to_which_object() {
    let body = r#"{"id":727,"status":"processing","date_created_gmt":"2026-11-26T10:00:00","date_modified_gmt":"2026-11-26T10:00:05","billing":{"id":1}}"#;
    let modified = parse_gmt("2026-11-26T10:00:05").expect("a date");
    for (topic, change) in [
        ("order.created", ChangeKind::Created),
        ("order.updated", ChangeKind::Updated),
        ("order.restored", ChangeKind::Updated),
        ("order.deleted", ChangeKind::Deleted),
    ] {
        let Notice::Event(event) = notice(topic, body) else { panic!("{topic} is watched") };
        assert_eq!((event.resource, &event.id, event.change), ("orders", &ObjectId::Number(727), change));
        assert_eq!((event.status.as_deref(), event.modified), (Some("processing"), Some(modified)));
        assert!(!event.is_late(modified.after(LATE)) && event.is_late(modified.after(LATE + LATE)));
    }
    let bare = notice("order.deleted", r#"{"id":727}"#);
    let Notice::Event(event) = bare else { panic!("a deletion has an id only") };
    assert_eq!((event.change, event.lag(modified), event.status), (ChangeKind::Deleted, None, None));
    let Notice::Event(event) = notice("product.deleted", r#"{"id":"9"}"#) else { panic!("it is watched") };
    assert_eq!((event.resource, event.id), ("products", ObjectId::Number(9)));
    let Notice::Event(event) = notice("order.updated", r#"{"id":7,"status":"trash"}"#) else { panic!("an event") };
    assert_eq!(event.change, ChangeKind::Deleted, "WooCommerce 8.0");
}

#[test]
fn what_tells_of_nothing_is_told_apart() {
    let error = r#"{"code":"woocommerce_rest_cannot_view","message":"Sorry","data":{"status":401}}"#;
    for (topic, body, expected) in [
        ("order.updated", error, Notice::Dropped(Dropped::ErrorBody)),
        ("order.updated", r#"{"id":7,"status":"checkout-draft"}"#, Notice::Dropped(Dropped::Draft)),
        ("order.updated", "[]", Notice::Dropped(Dropped::Unreadable)),
        ("order.updated", "{}", Notice::Dropped(Dropped::Unreadable)),
        ("order.updated", r#"{"id":-7}"#, Notice::Dropped(Dropped::Unreadable)),
        ("order.updated", r#"{"id":7"#, Notice::Dropped(Dropped::Unreadable)),
        ("customer.updated", r#"{"id":7}"#, Notice::Ignored { topic: "customer.updated".to_owned() }),
        ("action.woocommerce_x", r#"{"id":7}"#, Notice::Ignored { topic: "action.woocommerce_x".to_owned() }),
        ("", r#"{"id":7}"#, Notice::Ignored { topic: String::new() }),
    ] {
        assert_eq!(notice(topic, body), expected, "{topic} {body}");
    }
}

#[test]
fn a_copy_of_the_shop_is_not_the_shop() {
    let (verifier, body) = (verifier(), br#"{"id":7}"#);
    for (source, is_own) in [
        ("https://shop.example/", true),
        ("http://WWW.shop.example", true),
        ("https://shop.example:443/", true),
        ("https://shop.example/?lang=de", true),
        ("", true),
        ("https://shop.example:8443/", false),
        ("not an address", false),
        ("https://staging.shop.example/", false),
        ("https://shop.example/staging/", false),
    ] {
        let headers = signed("order.updated", source, body);
        let notice = verifier.verify(&headers, body).expect("genuine").read();
        assert_eq!(matches!(notice, Notice::Event(_)), is_own, "{source}");
        assert_eq!(matches!(notice, Notice::ForeignSource { .. }), !is_own, "{source}");
    }
}

#[test]
fn a_name_in_another_script_is_read_in_both_spellings() {
    let body = br#"{"id":7}"#;
    let (plain, coded) = ("https://müller.example/", "https://xn--mller-kva.example/");
    for (shop, source, is_own) in
        [(plain, coded, true), (coded, plain, true), (coded, "https://möller.example/", false)]
    {
        let verifier = Verifier::new(shop, &[SECRET.into()], vec!["order.updated".to_owned()]);
        let mut headers = signed("order.updated", "", body);
        let source = HeaderValue::from_bytes(source.as_bytes()).expect("a value");
        headers.insert(HeaderName::from_static("x-wc-webhook-source"), source);
        let notice = verifier.verify(&headers, body).expect("genuine").read();
        assert_eq!(matches!(notice, Notice::Event(_)), is_own, "{shop} {notice:?}");
    }
}

#[test]
fn a_secret_is_decoded_as_wordpress_does() {
    for (text, decoded) in [
        ("abc", "abc"),
        ("&amp;&lt;&gt;&quot;&#039;", "&<>\"'"),
        ("&#38;&#060;&#x27;&#X26;&#0034;", "&<'&\""),
        ("&amp;lt;", "&lt;"),
        ("&apos;&nbsp;&;& &", "&apos;&nbsp;&;& &"),
        ("a&amp", "a&amp"),
        ("&ä;", "&ä;"),
    ] {
        assert_eq!(decode_entities(text), decoded, "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300), topic in "[a-z.]{0,20}", secret in ".{0,30}") {
        let _ = decode_entities(&secret);
        let verifier = verifier();
        let headers = signed(&topic, "https://shop.example", &body);
        let _ = verifier.verify(&headers, &body).map(|webhook| webhook.read());
    }

    #[test]
    fn no_json_makes_it_panic(
        id in "(-?[0-9]{1,25}|\"[^\"\\\\]{0,30}\"|null|\\[\\]|1e5)", status in "[^\"\\\\]{0,20}", depth in 0..400usize,
    ) {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"x":{nested},"id":{id},"status":"{status}","data":{nested},"date_modified_gmt":{nested}}}"#);
        let notice = notice("order.updated", &body);
        let number: Option<i64> = id.trim_matches('"').parse().ok().filter(|id: &i64| *id > 0);
        if let Notice::Event(event) = notice {
            prop_assert_eq!(event.id.number(), number);
        }
    }
}
