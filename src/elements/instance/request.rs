//! Parses the parts of a request's body one by one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::elements::{catalog::Element, error::ApiError, values};

pub fn find_element(key_or_id: &str) -> Result<&'static Element, ApiError> {
    Element::find(key_or_id)
        .ok_or_else(|| ApiError::not_found("element: no such element (`bigcommerce` and `woocommercerest` are)"))
}

use crate::secret::Secret;

/// Longest name, tag or configuration key, in bytes.
const MAX_NAME: usize = 255;
/// Most tags of one instance.
const MAX_TAGS: usize = 100;
/// Most configuration keys of one instance.
const MAX_KEYS: usize = 200;

/// A configuration: values by key.
pub type Configuration = BTreeMap<String, Value>;

/// `providerData`: an authorization code, and the store and scopes it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderData {
    /// The code, which can be used once.
    pub code: Secret,
    /// The store, as `stores/{hash}`.
    pub context: String,
    /// The scopes that were granted.
    pub scope: String,
}

/// Reads `{"key":…}` or `{"id":…}`.
pub fn element_of(value: &Value) -> Result<&'static Element, ApiError> {
    let given = |key: &str| value.get(key).filter(|value| !values::is_blank(value)).and_then(values::as_text);
    let (key, id) = (given("key"), given("id"));
    let (by_key, by_id) = (key.as_deref().map(find_element).transpose()?, id.as_deref().map(find_element).transpose()?);
    match (by_key, by_id) {
        (Some(by_key), Some(by_id)) if by_key != by_id => {
            Err(ApiError::invalid("element", "key and id are of different elements"))
        }
        (Some(element), _) | (None, Some(element)) => Ok(element),
        (None, None) => Err(ApiError::missing("element.key")),
    }
}

pub fn configuration_of(given: &Map<String, Value>) -> Result<Configuration, ApiError> {
    if given.len() > MAX_KEYS {
        return Err(ApiError::invalid("configuration", format!("at most {MAX_KEYS} keys")));
    }
    if let Some(key) = given.keys().find(|key| key.len() > MAX_NAME || key.chars().any(char::is_control)) {
        let key: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(ApiError::invalid("configuration", format!("`{key}` is no key")));
    }
    Ok(given.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

pub fn name_of(value: &Value) -> Result<String, ApiError> {
    let name = short_text(value).ok_or_else(|| ApiError::invalid("name", "a text is needed"))?;
    match name.len() {
        0 => Err(ApiError::invalid("name", "it is empty")),
        1..=MAX_NAME => Ok(name),
        _ => Err(ApiError::invalid("name", format!("at most {MAX_NAME} bytes"))),
    }
}

pub fn tags_of(value: &Value) -> Result<Vec<String>, ApiError> {
    let wrong =
        || ApiError::invalid("tags", format!("at most {MAX_TAGS} texts of at most {MAX_NAME} bytes are needed"));
    // A single string is one tag, as in the documentation's parameter tables.
    let tags = match value {
        Value::Array(tags) => tags.as_slice(),
        Value::String(_) => std::slice::from_ref(value),
        _ => return Err(wrong()),
    };
    let tags: Option<Vec<String>> = tags.iter().map(short_text).collect();
    let mut tags = tags.ok_or_else(wrong)?;
    tags.retain(|tag| !tag.is_empty());
    if tags.len() > MAX_TAGS || tags.iter().any(|tag| tag.len() > MAX_NAME) { Err(wrong()) } else { Ok(tags) }
}

pub fn provider_data(value: &Value) -> Result<ProviderData, ApiError> {
    let text = |key: &str| {
        let text = value.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| ApiError::missing(&format!("providerData.{key}")))
    };
    Ok(ProviderData { code: text("code")?.into(), context: text("context")?, scope: text("scope").unwrap_or_default() })
}

/// A text without HTML; `None` if it is too long even before that. A template's placeholder (`<INSTANCE_NAME>`) is no
/// HTML: it keeps its words.
fn short_text(value: &Value) -> Option<String> {
    let text = values::as_text(value).filter(|text| text.len() <= 16 * MAX_NAME)?;
    let within = text.trim().strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    // No HTML element has an underscore in its name.
    let is_words = |text: &&str| text.contains('_') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    Some(within.filter(is_words).map_or_else(|| without_html(&text), str::to_owned))
}

/// Removes HTML tags and control characters: `<b>x</b>` becomes `x`. A `<` that begins no tag stays.
pub fn without_html(text: &str) -> String {
    let mut plain = text.to_owned();
    plain.retain(|c| !c.is_control());
    // Removing a tag from `<<b>script>` leaves another one.
    while let Some(stripped) = without_first_tag(&plain) {
        plain = stripped;
    }
    plain.trim().to_owned()
}

fn without_first_tag(text: &str) -> Option<String> {
    let begins_tag = |at: &usize| text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
    let from = text.match_indices('<').map(|(at, _)| at).find(begins_tag)?;
    let to = text[from..].find('>').map_or(text.len(), |length| from + length + 1);
    Some(format!("{}{}", &text[..from], &text[to..]))
}
