//! A snapshot's digest: the same for the same order, whatever white space and needless escapes its JSON has, and
//! different for any other change; and the idempotency key made of it.

use onetribe_relay::object::{Digest, ObjectId};
use proptest::prelude::*;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

fn key(store: &str, order: i64, body: &str) -> String {
    Digest::of(body.as_bytes()).idempotency_key(store, &ObjectId::from_number(order).unwrap())
}

#[test]
fn the_digest_is_the_first_half_of_a_sha_256_over_the_tokens() {
    // python3: hashlib.sha256(b'{"id":218,"staff_notes":"a b"}').digest()[:16]
    let golden = "8d5e851d5fe5fd9ab0946baa009c6a70";
    for body in [r#"{"id":218,"staff_notes":"a b"}"#, " {\r\n\t\"id\" : 218,\n\"staff_notes\" :\"a b\" }\n"] {
        let hex: String = Digest::of(body.as_bytes()).0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden, "{body}");
    }
}

#[test]
fn the_idempotency_key_is_stable_and_tells_store_order_and_snapshot_apart() {
    let body = r#"{"id":218,"staff_notes":"a b"}"#;
    // The digest above as base64url without padding. Such keys have been sent, so they must never change.
    assert_eq!(key("abcde", 218, body), "abcde-218-jV6FHV_l_ZqwlGuqAJxqcA");
    assert_eq!(key("abcde", 218, &body.replace(',', ", ")), key("abcde", 218, body));
    for other in [key("abcdf", 218, body), key("abcde", 219, body), key("abcde", 218, &body.replace("a b", "a  b"))] {
        assert_ne!(other, key("abcde", 218, body));
    }
}

#[test]
fn white_space_inside_a_text_counts() {
    let of = |body: &str| Digest::of(body.as_bytes());
    let texts =
        [r#"{"a":"x y"}"#, r#"{"a":"xy"}"#, r#"{"a":"x  y"}"#, r#"{"a":" xy"}"#, r#"{"a":"xy "}"#, r#"{"a ":"xy"}"#];
    // White space in a string after escaped quotes and backslashes still belongs to the string.
    let escaped =
        [r#"{"a":"\" "}"#, r#"{"a":"\""}"#, r#"{"a":"\\"}"#, r#"{"a":"\\" }"#, r#"{"a":"\\\" "}"#, r#"{"a":"\\\""}"#];
    for (at, text) in texts.iter().chain(&escaped).enumerate() {
        for other in texts.iter().chain(&escaped).skip(at + 1) {
            let same = text.replace(' ', "") == other.replace(' ', "")
                && text.contains(r#""\\""#)
                && other.contains(r#""\\""#);
            assert_eq!(of(text) == of(other), same, "{text} and {other}");
        }
    }
}

#[test]
fn an_escape_that_need_not_be_is_the_character_itself_and_any_other_counts() {
    let of = |text: &str| Digest::of(format!(r#"{{"a":"{text}"}}"#).as_bytes());
    for (escaped, plain) in [
        (r"Zo\u00eb", "Zoë"),
        (r"Zo\u00EB x", "Zoë x"),
        (r"a\/b\\\/", r"a/b\\/"),
        (r"\ud83c\udf33!", "🌳!"),
        (r"\u0041\n", r"A\n"),
        (r#"\u007f\""#, "\u{7f}\\\""),
    ] {
        assert_eq!(of(escaped), of(plain), "{escaped}");
        let read = |text: &str| serde_json::from_str::<Value>(&format!(r#""{text}""#)).unwrap();
        assert_eq!(read(escaped), read(plain), "{escaped}");
    }
    let others = [
        r"\\u00eb",
        r"\u0022",
        r#"\""#,
        r"\u005c",
        r"\\",
        r"\u000a",
        r"\n",
        r"\ud83c",
        r"\udf33\ud83c",
        r"\u00e",
        "u00eb",
        "ë",
    ];
    for (at, text) in others.iter().enumerate() {
        for other in &others[at + 1..] {
            assert_ne!(of(text), of(other), "{text} and {other}");
        }
    }
    // What an escape stands for never ends a text.
    assert_ne!(Digest::of(br#"{"a":"x\u0022,\u0022b\u0022:\u0022y"}"#), Digest::of(br#"{"a":"x","b":"y"}"#));
}

/// Any JSON value.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[0-9]{1,4}\\.[0-9]{4}".prop_map(Value::from),
        r#"[a \t\n"\\/é]{0,12}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c \"\\\\]{0,4}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Writes `value` with the elements of `spaces` in turn between all tokens.
fn spaced(value: &Value, spaces: &[&str]) -> String {
    fn write(value: &Value, space: &mut dyn Iterator<Item = &str>, out: &mut String) {
        let mut gap = |out: &mut String| out.push_str(space.next().unwrap());
        gap(out);
        match value {
            Value::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write(item, space, out);
                }
                out.push(']');
            }
            Value::Object(map) => {
                out.push('{');
                for (at, (name, item)) in map.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write(&json!(name), space, out);
                    out.push(':');
                    write(item, space, out);
                }
                out.push('}');
            }
            leaf => out.push_str(&leaf.to_string()),
        }
        out.push_str(space.next().unwrap());
    }
    let mut out = String::new();
    write(value, &mut spaces.iter().copied().cycle(), &mut out);
    out
}

proptest! {
    #[test]
    fn spacing_alone_never_changes_the_digest(value in values(), spaces in prop::collection::vec("[ \t\r\n]{0,3}", 1..8)) {
        let spaces: Vec<&str> = spaces.iter().map(String::as_str).collect();
        let spaced = spaced(&value, &spaces);
        prop_assert_eq!(&serde_json::from_str::<Value>(&spaced).unwrap(), &value);
        prop_assert_eq!(Digest::of(spaced.as_bytes()), Digest::of(value.to_string().as_bytes()));
        prop_assert_eq!(Digest::of(serde_json::to_string_pretty(&value).unwrap().as_bytes()), Digest::of(value.to_string().as_bytes()));
    }

    #[test]
    fn different_values_have_different_digests(a in values(), b in values()) {
        let same = Digest::of(a.to_string().as_bytes()) == Digest::of(b.to_string().as_bytes());
        prop_assert_eq!(same, a == b);
    }

    #[test]
    fn any_changed_byte_that_leaves_it_json_and_is_no_spacing_changes_the_digest(
        value in values(), at in any::<prop::sample::Index>(), byte in prop::sample::select(b" \t0159.-e[]{},:\"\\abtnr".to_vec()),
    ) {
        let before = value.to_string();
        let mut after = before.clone().into_bytes();
        let at = at.index(after.len());
        after[at] = byte;
        let same = Digest::of(&after) == Digest::of(before.as_bytes());
        if let Ok(changed) = serde_json::from_slice::<Value>(&after) {
            prop_assert_eq!(same, before.as_bytes() == after, "{} {}", value, changed);
        }
    }

    #[test]
    fn a_key_is_always_fit_for_a_header(store in "[A-Za-z0-9]{1,64}", order in 1..=i64::MAX, body in ".*") {
        let key = key(&store, order, &body);
        prop_assert!(HeaderValue::from_str(&key).is_ok_and(|value| value.to_str().is_ok()));
        prop_assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        prop_assert!(key.len() <= 255, "{}", key.len());
    }
}
