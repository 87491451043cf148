//! Loosely typed configuration values: booleans and numbers as strings, objects as JSON in a string. Pure.

use serde_json::{Map, Value};

/// Whether no value is given: null, or a blank string.
pub fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// A boolean, also as a string: `true`, `"true"`, `"TRUE"`.
pub fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A finite number, also as a string.
pub fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// A whole number from 0 on, also as a string.
pub fn whole(value: &Value) -> Option<u32> {
    let number =
        number(value).filter(|number| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number))?;
    // The check above makes this cast exact.
    Some(number as u32)
}

/// The value if it is a string.
pub fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// The value as a string, if it is a string, a number or a boolean.
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// An object, also as JSON in a string.
pub fn object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_as_clients_send_them() {
        for (value, flag) in [(json!(true), Some(true)), (json!("True"), Some(true)), (json!(" false"), Some(false))] {
            assert_eq!(boolean(&value), flag);
        }
        assert_eq!(boolean(&json!(1)), None);
        assert_eq!(number(&json!("0.5")), Some(0.5));
        assert_eq!(number(&json!("NaN")), None);
        for (value, whole_number) in [
            (json!("20"), Some(20)),
            (json!(20.0), Some(20)),
            (json!(-1), None),
            (json!(1.5), None),
            (json!(1e20), None),
        ] {
            assert_eq!(whole(&value), whole_number, "{value}");
        }
        assert_eq!(object(&json!("{\"a\":1}")), object(&json!({ "a": 1 })));
        assert_eq!(object(&json!("[]")), None);
        assert_eq!(as_text(&json!(true)).as_deref(), Some("true"));
    }
}
