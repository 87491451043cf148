//! The light payload: every documented scope, odd ids, the sequence of the checks, and no input that panics.

use onetribe_relay::{
    object::{ChangeKind, ObjectId},
    source::bigcommerce::payload::{self, OrderEvent, Payload, PayloadError},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Scope, the field of `data` that holds the order's id, `data.type`. Source: BigCommerce, "Webhook events", orders.
const SCOPES: [(&str, &str, &str); 11] = [
    ("store/order/created", "id", "order"),
    ("store/order/updated", "id", "order"),
    ("store/order/archived", "id", "order"),
    ("store/order/statusUpdated", "id", "order"),
    ("store/order/message/created", "id", "order"),
    ("store/order/refund/created", "id", "order"),
    ("store/order/transaction/created", "order_id", "transaction"),
    ("store/order/transaction/updated", "order_id", "transaction"),
    ("store/order/metafield/created", "resource_id", "metafield"),
    ("store/order/metafield/updated", "resource_id", "metafield"),
    ("store/order/metafield/deleted", "resource_id", "metafield"),
];

fn parse(body: impl AsRef<[u8]>) -> Result<Payload, PayloadError> {
    payload::parse("abcde", body.as_ref())
}

fn payload(scope: &str, data: &Value) -> String {
    json!({"store_id": 11111, "producer": "stores/abcde", "scope": scope, "data": data}).to_string()
}

fn event(id: i64, change: ChangeKind) -> OrderEvent {
    OrderEvent { order: ObjectId::Number(id), change, hash: None, created_at: None }
}

/// The expected result for an order's creation.
fn order(id: i64) -> Result<Payload, PayloadError> {
    Ok(Payload::Order(event(id, ChangeKind::Created)))
}

/// The expected result for any other event of an order.
fn updated(id: i64) -> Result<Payload, PayloadError> {
    Ok(Payload::Order(event(id, ChangeKind::Updated)))
}

#[test]
fn every_order_scope_takes_the_id_from_its_own_field_as_number_or_text() {
    for (scope, field, kind) in SCOPES {
        for id in [json!(173331), json!("173331")] {
            // The other fields hold the ids of other things.
            let mut data = json!({"type": kind, "id": 1, "order_id": "2", "resource_id": "3", "metafield_id": 4});
            data[field] = id;
            let expected = if scope == "store/order/created" { order(173_331) } else { updated(173_331) };
            assert_eq!(parse(payload(scope, &data)), expected, "{scope}: {data}");
        }
    }
}

#[test]
fn a_known_scope_without_its_own_field_has_no_order_id_whatever_else_is_there() {
    for (scope, field, kind) in SCOPES {
        let mut data = json!({"type": kind, "id": 77, "order_id": "77", "resource_id": "77"});
        data.as_object_mut().unwrap().remove(field);
        assert_eq!(parse(payload(scope, &data)), Err(PayloadError::NoOrderId), "{scope}");
        for data in [Value::Null, json!([]), json!("77"), json!(77), json!({})] {
            assert_eq!(parse(payload(scope, &data)), Err(PayloadError::NoOrderId), "{scope}: {data}");
        }
    }
    let without_data = r#"{"producer":"stores/abcde","scope":"store/order/created"}"#;
    assert_eq!(parse(without_data), Err(PayloadError::NoOrderId));
}

#[test]
fn an_unknown_order_scope_is_read_in_the_three_known_shapes_only() {
    let unreadable = || Ok(Payload::Unreadable { scope: "store/order/invented/created".into() });
    for (data, expected) in [
        (json!({"type": "order", "id": 5}), updated(5)),
        (json!({"type": "order", "id": "5"}), updated(5)),
        (json!({"id": 5}), updated(5)),
        (json!({"type": "invented", "id": 1, "order_id": "5"}), updated(5)),
        (json!({"type": "invented", "invented_id": 1, "resource_id": "5"}), updated(5)),
        (json!({"type": "invented", "id": 5}), unreadable()),
        (json!({"type": "transaction", "id": "5"}), unreadable()),
        (json!({"type": 1, "id": 5}), unreadable()),
        (json!({"type": "order", "id": 0}), unreadable()),
        (json!({"type": "order"}), unreadable()),
        (json!({}), unreadable()),
        (Value::Null, unreadable()),
        (json!("5"), unreadable()),
        (json!([5]), unreadable()),
    ] {
        assert_eq!(parse(payload("store/order/invented/created", &data)), expected, "{data}");
    }
}

#[test]
fn only_scopes_under_store_order_are_about_orders() {
    let data = json!({"type": "order", "id": 5});
    for scope in ["store/product/created", "store/order", "store/orders/created", "Store/order/created", "x", ""] {
        let expected = Ok(Payload::NotAboutOrders { scope: scope.into() });
        assert_eq!(parse(payload(scope, &data)), expected, "{scope}");
    }
    // Known scopes must match exactly; any other scope below is read by its shape.
    for scope in ["store/order/", "store/order/Created", "store/order/created/", "store/order/statusupdated"] {
        assert_eq!(parse(payload(scope, &data)), updated(5), "{scope}");
    }
}

#[test]
fn a_channels_scopes_keep_the_id_in_a_field_of_their_own() {
    let data = json!({"type": "order", "id": 1, "order_id": 5, "channel_id": 3});
    assert_eq!(parse(payload("store/channel/3/order/created", &data)), order(5));
    for scope in ["updated", "archived", "statusUpdated", "message/created", "refund/created"] {
        assert_eq!(parse(payload(&format!("store/channel/3/order/{scope}"), &data)), updated(5), "{scope}");
        let without = json!({"type": "order", "id": 5});
        let known = parse(payload(&format!("store/channel/3/order/{scope}"), &without));
        assert_eq!(known, Err(PayloadError::NoOrderId), "{scope}");
    }
    assert_eq!(parse(payload("store/channel/3/order/transaction/created", &data)), updated(5), "by its shape");
    let unreadable = Payload::Unreadable { scope: "store/channel/3/order/invented".into() };
    assert_eq!(parse(payload("store/channel/3/order/invented", &json!({"type": "x", "id": 1}))), Ok(unreadable));
    for scope in ["store/channel/x/order/created", "store/channel/3/product/created", "store/channel/order/created"] {
        let expected = Ok(Payload::NotAboutOrders { scope: scope.into() });
        assert_eq!(parse(payload(scope, &data)), expected, "{scope}");
    }
}

#[test]
fn an_order_id_is_a_positive_whole_number_below_two_to_the_63() {
    let with = |raw: &str| {
        parse(format!(
            r#"{{"producer":"stores/abcde","scope":"store/order/created","data":{{"type":"order","id":{raw}}}}}"#
        ))
    };
    for (raw, id) in [
        ("1", 1),
        ("9223372036854775807", i64::MAX),
        (r#""1""#, 1),
        (r#""007""#, 7),
        (r#""9223372036854775807""#, i64::MAX),
        (r#""\u0035""#, 5),
    ] {
        assert_eq!(with(raw), order(id), "{raw}");
    }
    for raw in [
        "0",
        "-1",
        "1.5",
        "1.0",
        "1e3",
        "-0",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "null",
        "true",
        "[5]",
        r#"{"id":5}"#,
        r#""0""#,
        r#""-1""#,
        r#""+1""#,
        r#""1.5""#,
        r#""1e3""#,
        r#""""#,
        r#"" 5""#,
        r#""5 ""#,
        r#""5\n""#,
        r#""0x5""#,
        r#""9223372036854775808""#,
        r#""٣""#,
        r#""５""#,
        r#""5,6""#,
    ] {
        assert_eq!(with(raw), Err(PayloadError::NoOrderId), "{raw}");
    }
}

#[test]
fn a_body_that_is_no_object_with_scope_and_producer_is_malformed() {
    let good = payload("store/order/created", &json!({"id": 5}));
    assert_eq!(parse(&good), order(5));
    for body in [
        "",
        " ",
        "null",
        "5",
        r#""text""#,
        "[]",
        "{}",
        "not json",
        "{",
        r#"{"scope":"store/order/created"}"#,
        r#"{"producer":"stores/abcde"}"#,
        r#"{"scope":null,"producer":"stores/abcde"}"#,
        r#"{"scope":"store/order/created","producer":5}"#,
        r#"{"scope":["store/order/created"],"producer":"stores/abcde"}"#,
        r#"["store/order/created","stores/abcde",{"id":5},"hash",1]"#,
        r#"[["store/order/created","stores/abcde",{"id":5}]]"#,
    ] {
        assert_eq!(parse(body), Err(PayloadError::Malformed), "{body}");
    }
    for body in
        [format!("{good}x"), format!("{good}{good}"), format!("\u{feff}{good}"), good[..good.len() - 1].to_owned()]
    {
        assert_eq!(parse(&body), Err(PayloadError::Malformed), "{body}");
    }
    let deep = payload("store/order/created", &json!(5)).replace(":5", &format!(":{}", "[".repeat(100_000)));
    assert_eq!(parse(deep), Err(PayloadError::Malformed));
    assert_eq!(parse(format!("\r\n\t {good}\n")), order(5));
}

#[test]
fn a_missing_id_is_told_before_another_stores_producer() {
    let of = |producer: &str, scope: &str, data: Value| {
        parse(json!({"producer": producer, "scope": scope, "data": data}).to_string())
    };
    let order = "store/order/created";
    assert_eq!(of("stores/other", order, json!({"id": 0})), Err(PayloadError::NoOrderId));
    assert_eq!(of("stores/other", order, json!({"id": 5})), Ok(Payload::ForeignStore));
    assert_eq!(of("stores/other", "store/order/invented", json!({})), Ok(Payload::ForeignStore));
    assert_eq!(of("stores/other", "store/product/created", json!({})), Ok(Payload::ForeignStore));
    for producer in
        ["abcde", "stores/", "stores/ABCDE", "stores/abcdef", "stores/abcd", "stores/abcde/", " stores/abcde", ""]
    {
        assert_eq!(of(producer, order, json!({"id": 5})), Ok(Payload::ForeignStore), "{producer:?}");
    }
}

#[test]
fn what_else_a_payload_holds_never_costs_the_event() {
    for (field, raw, hash, created_at) in [
        ("created_at", "1561479335", None, Some(1_561_479_335)),
        ("created_at", r#""1561479335""#, None, Some(1_561_479_335)),
        ("created_at", "-1", None, Some(-1)),
        ("created_at", "1561479335.5", None, None),
        ("created_at", r#""yesterday""#, None, None),
        ("created_at", "null", None, None),
        ("created_at", "{}", None, None),
        ("created_at", "99999999999999999999", None, None),
        ("hash", r#""3f9ea4""#, Some("3f9ea4"), None),
        ("hash", r#""""#, None, None),
        ("hash", "5", None, None),
        ("hash", "null", None, None),
        ("store_id", "11111", None, None),
        ("store_id", r#""11111""#, None, None),
        ("store_id", "null", None, None),
        ("store_id", "[]", None, None),
        ("invented", r#"{"a":[1,2,{"b":null}]}"#, None, None),
    ] {
        let body =
            format!(r#"{{"producer":"stores/abcde","scope":"store/order/created","data":{{"id":5}},"{field}":{raw}}}"#);
        let expected = OrderEvent { hash: hash.map(str::to_owned), created_at, ..event(5, ChangeKind::Created) };
        assert_eq!(parse(body), Ok(Payload::Order(expected)), "{field}: {raw}");
    }
}

#[test]
fn what_is_not_utf_8_is_not_json_wherever_it_stands() {
    let good = r#"{"producer":"stores/abcde","scope":"store/order/created","data":{"id":5,"x":"?"},"y":"?","?":1}"#;
    assert_eq!(parse(good), order(5));
    for (at, _) in good.match_indices('?') {
        let mut bad = good.as_bytes().to_vec();
        bad[at] = 0xff;
        assert_eq!(parse(bad), Err(PayloadError::Malformed));
    }
}

#[test]
fn json_that_is_only_odd_is_taken_where_it_is_not_used() {
    let deep = |levels| format!("{}1{}", r#"{"a":["#.repeat(levels), "]}".repeat(levels));
    for odd in ["1e999", "-1E+999", r#""\ud800""#, r#""\udc00\ud800""#, &"9".repeat(1000), &deep(100), &deep(9_000)] {
        for body in [
            format!(r#"{{"odd":{odd},"producer":"stores/abcde","scope":"store/order/created","data":{{"id":5}}}}"#),
            format!(r#"{{"producer":"stores/abcde","scope":"store/order/created","data":{{"odd":{odd},"id":5}}}}"#),
            format!(r#"{{"producer":"stores/abcde","scope":"store/order/created","hash":{odd},"data":{{"id":5}}}}"#),
            format!(
                r#"{{"producer":"stores/abcde","scope":"store/order/created","created_at":{odd},"data":{{"id":5}}}}"#
            ),
        ] {
            let Ok(Payload::Order(event)) = parse(&body) else { panic!("{body}") };
            assert_eq!((event.order, event.created_at), (ObjectId::Number(5), None), "{body}");
        }
        for body in [
            format!(r#"{{"producer":"stores/abcde","scope":"store/order/created","data":{{"id":{odd}}}}}"#),
            format!(r#"{{"producer":"stores/abcde","scope":"store/order/created","data":{odd}}}"#),
        ] {
            assert_eq!(parse(&body), Err(PayloadError::NoOrderId), "{body}");
        }
        let scope = format!(r#"{{"producer":"stores/abcde","scope":{odd},"data":{{"id":5}}}}"#);
        assert_eq!(parse(&scope), Err(PayloadError::Malformed), "{scope}");
    }
    let named = r#"{"\ud800":1,"producer":"stores/abcde","scope":"store/order/created","data":{"\ud800":1,"id":5}}"#;
    assert_eq!(parse(named), order(5));
}

#[test]
fn of_a_repeated_field_the_last_one_counts() {
    let body = r#"{"hash":"a","scope":"x","producer":5,"data":7,"hash":"b","scope":"store/order/created",
        "producer":"stores/abcde","data":{"id":0,"id":5}}"#;
    let event = OrderEvent { hash: Some("b".into()), ..event(5, ChangeKind::Created) };
    assert_eq!(parse(body), Ok(Payload::Order(event)));
}

#[test]
fn the_guides_own_payload_is_an_event_of_its_order() {
    let expected = OrderEvent {
        hash: Some("3f9ea420af83450d7ef9f78b08c8af25b2213637".into()),
        ..event(173_331, ChangeKind::Updated)
    };
    assert_eq!(parse(sandbox::order::PAYLOAD_FIXTURE), Ok(Payload::Order(expected)));
}

#[test]
fn a_scope_is_cut_and_cleaned_for_the_log() {
    let scope = format!("store/order/\u{1b}[31m\n{}", "é".repeat(500));
    let Ok(Payload::Unreadable { scope: logged }) = parse(payload(&scope, &json!({}))) else {
        panic!("not unreadable")
    };
    assert_eq!(logged.chars().count(), 80);
    assert!(logged.starts_with("store/order/[31mé"), "{logged}");
    let Ok(Payload::NotAboutOrders { scope: logged }) = parse(payload("a\u{7f}\u{9b}\r\nb", &json!({}))) else {
        panic!("about orders")
    };
    assert_eq!(logged, "ab");
}

proptest! {
    #[test]
    fn an_id_reads_back_from_its_own_text(id in 1..=i64::MAX) {
        let id = ObjectId::from_number(id).unwrap();
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn no_text_makes_a_number_that_is_not_positive_or_not_spelt_as_usual(text in "\\PC{0,24}|[-+]?[0-9]{0,24}") {
        if let Ok(id) = text.parse::<ObjectId>() {
            prop_assert_eq!(&text, &id.to_string());
            prop_assert!(id.number().is_none_or(|number| number > 0));
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(body);
    }

    #[test]
    fn no_text_of_jsons_own_signs_makes_the_parser_panic(body in r#"\{("(scope|data|\\ud800|id)"|[\[\]{}:,"\\e+.0-9-]){0,80}"#) {
        let _ = parse(body);
    }

    #[test]
    fn no_damage_to_a_good_payload_makes_the_parser_panic_or_invent_an_event(
        at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..4), scope in 0..SCOPES.len(),
    ) {
        let good = payload(SCOPES[scope].0, &json!({"type": "order", SCOPES[scope].1: 173_331})).into_bytes();
        let at = at.index(good.len());
        let cut = parse(&good[..at]);
        prop_assert_eq!(cut, Err(PayloadError::Malformed));
        let mut damaged = good.clone();
        damaged.splice(at..(at + bytes.len()).min(good.len()), bytes);
        if let Ok(Payload::Order(event)) = parse(&damaged) {
            prop_assert!(String::from_utf8_lossy(&damaged).contains(&event.order.to_string()));
        }
    }
}
