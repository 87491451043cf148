//! Rows as stores send them: splitting lists, dropping nulls and fields, finding values by path. Unless something is
//! dropped, the bytes stay as they came. Pure.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::http::json_start;

/// Most segments of a path.
const MAX_PATH: usize = 16;

/// The path of a field within a row: `id`, `user.id`, `$.items[0].id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    whole: String,
    segments: Vec<String>,
}

impl FieldPath {
    /// Parses a path; `None` if it is empty, too long or unprintable.
    pub fn parse(path: &str) -> Option<Self> {
        let whole = path.trim();
        let path = whole.strip_prefix("$.").unwrap_or(whole).replace('[', ".").replace(']', "");
        let segments: Vec<String> =
            path.split('.').map(|segment| segment.trim_matches(['\'', '"']).to_owned()).collect();
        let fits = !path.chars().any(char::is_control)
            && path.len() <= 256
            && segments.len() <= MAX_PATH
            && segments.iter().all(|segment| !segment.is_empty());
        fits.then(|| Self { whole: whole.to_owned(), segments })
    }

    /// The value at this path. A field whose name is the whole path takes precedence.
    pub fn find<'a>(&self, row: &'a Value) -> Option<&'a Value> {
        if let Some(found) = row.get(&self.whole) {
            return Some(found);
        }
        self.segments.iter().try_fold(row, |value, segment| match value {
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
            _ => value.get(segment),
        })
    }
}

/// One page of a list, or one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPage {
    /// The rows, byte for byte.
    pub rows: Vec<Bytes>,
    /// Whether the answer was a list.
    pub is_list: bool,
    /// The number of rows in the whole list, if the body says so (BigCommerce v3, `meta.pagination.total`).
    pub total: Option<u64>,
}

/// The body is neither a list nor an object in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is no JSON list or object")]
pub struct NotRows;

/// Splits an answer into rows: a bare list or object (BigCommerce v2, WooCommerce), or `data` within an envelope
/// (BigCommerce v3, `is_enveloped`). An empty body is an empty list: BigCommerce v2 answers 204 then.
///
/// # Errors
/// [`NotRows`] if the body has none of these forms.
pub fn take_apart(body: &Bytes, is_enveloped: bool) -> Result<RowPage, NotRows> {
    let json = json_start(body);
    if json.trim_ascii().is_empty() {
        return Ok(RowPage { rows: Vec::new(), is_list: true, total: None });
    }
    if !is_enveloped {
        return split(body, json, None);
    }
    let envelope: Envelope<'_> = serde_json::from_slice(json).map_err(|_| NotRows)?;
    let total = envelope.meta.and_then(|meta| meta.pointer("/pagination/total")?.as_u64());
    split(body, envelope.data.ok_or(NotRows)?.get().as_bytes(), total)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    meta: Option<Value>,
}

/// Splits `json`, which lies within `body`.
fn split(body: &Bytes, json: &[u8], total: Option<u64>) -> Result<RowPage, NotRows> {
    if json.first() == Some(&b'[') {
        let rows: Vec<&RawValue> = serde_json::from_slice(json).map_err(|_| NotRows)?;
        let rows = rows.into_iter().map(|row| body.slice_ref(row.get().as_bytes())).collect();
        return Ok(RowPage { rows, is_list: true, total });
    }
    let row: &RawValue = serde_json::from_slice(json).map_err(|_| NotRows)?;
    if !row.get().starts_with('{') {
        return Err(NotRows);
    }
    Ok(RowPage { rows: vec![body.slice_ref(row.get().as_bytes())], is_list: false, total })
}

/// Removes members that are null, at any depth; nulls in lists stay. Everything else keeps its bytes and order,
/// except white space between tokens. Invalid JSON gives invalid JSON.
pub fn without_nulls(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    // For each open object or list: whether it is an object, and where its current member begins in `out`.
    let mut open: Vec<(bool, usize)> = Vec::new();
    // Set between a member's colon and its value.
    let mut is_value = false;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let length = token_length(&json[at..]);
        let token = &json[at..at + length];
        at += length;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'{' | b'[' => {
                out.push(*byte);
                open.push((*byte == b'{', out.len()));
                is_value = false;
                continue;
            }
            b'}' | b']' => {
                open.pop();
                out.push(*byte);
            }
            b',' => {
                if let Some((_, member)) = open.last_mut() {
                    *member = out.len();
                }
                // If the members before this one were all dropped, there is nothing to separate it from.
                if !matches!(out.last(), Some(b'{')) || open.is_empty() {
                    out.push(b',');
                }
            }
            b':' => {
                out.push(b':');
                is_value = true;
                continue;
            }
            _ if token == b"null"
                && is_value
                && let Some((true, member)) = open.last() =>
            {
                out.truncate(*member)
            }
            _ => out.extend_from_slice(token),
        }
        is_value = false;
    }
    out
}

/// The length of the token at the beginning of `json`, at least one byte.
fn token_length(json: &[u8]) -> usize {
    match json[0] {
        b'"' => {
            let mut escaped = false;
            let end = json[1..].iter().position(|byte| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            });
            end.map_or(json.len(), |end| end + 2)
        }
        b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => 1,
        _ => json.iter().position(|byte| b"{}[],:\" \t\n\r".contains(byte)).unwrap_or(json.len()).max(1),
    }
}

/// A row reduced to the named fields, in its own order. A path keeps its whole first segment. Anything but an object
/// stays as it is.
pub fn with_fields(row: &[u8], fields: &[FieldPath]) -> Vec<u8> {
    let Ok(RawObject(members)) = serde_json::from_slice::<RawObject<'_>>(row) else {
        return row.to_vec();
    };
    let is_wanted = |name: &str| fields.iter().any(|field| field.whole == name || field.segments[0] == name);
    let mut out = vec![b'{'];
    for (name, value) in members.into_iter().filter(|(name, _)| is_wanted(name)) {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(Value::from(name).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
    out
}

/// An object's members in order, their values unparsed.
struct RawObject<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawObject<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Err(serde::de::Error::custom("a list"))
            }
        }
        deserializer.deserialize_any(Members)
    }
}

/// Joins rows into one JSON list.
pub fn list<'a>(rows: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![b'['];
    for row in rows {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(row);
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_into_rows() {
        let row = json!({ "id": 7, "user": { "id": "x" }, "items": [{ "id": 1 }], "a.b": true });
        for (path, found) in [
            ("id", Some(json!(7))),
            ("user.id", Some(json!("x"))),
            ("$.user.id", Some(json!("x"))),
            ("items[0].id", Some(json!(1))),
            ("items.0.id", Some(json!(1))),
            ("a.b", Some(json!(true))),
            ("user.name", None),
            ("items[9].id", None),
        ] {
            assert_eq!(FieldPath::parse(path).expect(path).find(&row), found.as_ref(), "{path}");
        }
        for path in ["", " ", "a..b", ".", "a\nb", &"a.".repeat(40)] {
            assert_eq!(FieldPath::parse(path), None, "{path:?}");
        }
    }

    #[test]
    fn answers_are_taken_apart_byte_for_byte() {
        let body = Bytes::from_static(b"\xef\xbb\xbf [ {\"a\":1.10}, {\"b\" : null} ]");
        let page = take_apart(&body, false).expect("a list");
        assert_eq!(page.rows, [&b"{\"a\":1.10}"[..], b"{\"b\" : null}"]);
        let body = Bytes::from_static(br#"{"data":[{"id":1}],"meta":{"pagination":{"total":41}}}"#);
        let page = take_apart(&body, true).expect("a list");
        assert_eq!((page.rows.len(), page.total, page.is_list), (1, Some(41), true));
        let page = take_apart(&Bytes::from_static(br#"{"data":{"id":1},"meta":{}}"#), true).expect("an object");
        assert_eq!((page.rows[0].as_ref(), page.is_list), (&br#"{"id":1}"#[..], false));
        assert_eq!(take_apart(&Bytes::new(), false).expect("a list").rows.len(), 0);
        for (body, is_enveloped) in [("<html>", false), ("7", false), ("{}", true), ("[1", false), ("[]", true)] {
            assert_eq!(take_apart(&Bytes::from_static(body.as_bytes()), is_enveloped), Err(NotRows), "{body}");
        }
    }

    #[test]
    fn nulls_are_left_out_and_nothing_else_changes() {
        for (json, without) in [
            (r#"{"a":null}"#, "{}"),
            (r#"{"a":null,"b":1.10}"#, r#"{"b":1.10}"#),
            (r#"{"b":1e5,"a":null}"#, r#"{"b":1e5}"#),
            (r#"{"a":null,"b":null,"c":null}"#, "{}"),
            (r#"{ "a" : { "b" : null , "c" : [ null , 1 ] } }"#, r#"{"a":{"c":[null,1]}}"#),
            (r#"{"a":"null","b\"":"\\","c":"x,null"}"#, r#"{"a":"null","b\"":"\\","c":"x,null"}"#),
            (r#"[{"a":null},null,{"a":1}]"#, r#"[{},null,{"a":1}]"#),
            (r#"{"a":1,"b":null,"c":2}"#, r#"{"a":1,"c":2}"#),
            (r#"{"a":{},"b":2}"#, r#"{"a":{},"b":2}"#),
            ("null", "null"),
        ] {
            assert_eq!(String::from_utf8_lossy(&without_nulls(json.as_bytes())), without, "{json}");
        }
    }

    #[test]
    fn fields_are_chosen_in_the_row_s_own_order() {
        let fields: Vec<FieldPath> = ["email", "id", "user.name"].into_iter().filter_map(FieldPath::parse).collect();
        let row = br#"{"id":1.10,"x":2,"user":{"name":"n","y":1},"email":"e"}"#;
        let chosen = with_fields(row, &fields);
        assert_eq!(String::from_utf8_lossy(&chosen), r#"{"id":1.10,"user":{"name":"n","y":1},"email":"e"}"#);
        assert_eq!(with_fields(b"[1]", &fields), b"[1]");
        assert_eq!(list([&b"{}"[..], b"1"]), b"[{},1]");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,4}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect()))
            ]
        })
    }

    fn strip(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let kept = members.into_iter().filter(|(_, value)| !value.is_null());
                Value::Object(kept.map(|(name, value)| (name, strip(value))).collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(strip).collect()),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn leaving_nulls_out_means_just_that(value in any_json(), is_pretty: bool) {
            let text = if is_pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
            let without: Value = serde_json::from_slice(&without_nulls(&text.expect("JSON"))).expect("JSON");
            prop_assert_eq!(without, strip(value));
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]:,\"nul\\\\1 ]{0,40}") {
            for body in [Bytes::from(body), Bytes::from(text)] {
                without_nulls(&body);
                let _ = take_apart(&body, false);
                let _ = take_apart(&body, true);
                with_fields(&body, &[]);
            }
        }
    }
}
