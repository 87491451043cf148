//! Instances as answers show them, without their secrets.

use serde_json::{Value, json};

use super::{Configuration, MASK};
use crate::{
    clock::Timestamp,
    elements::{catalog::Element, date_format, values},
    object::ConnectionId,
    secret::Secret,
    spec::ConnectionSpec,
};

/// Configuration keys whose values are secret (the vendor's test suite: `password`, `oauth.api.key`,
/// `oauth.api.secret`).
const SECRETS: [&str; 5] = [
    "oauth.api.key",
    "event.notification.signature.key",
    "event.notification.callback.headers",
    "consumer_key",
    "api_key",
];
/// Keys with these endings are secret too, including those that clients invent.
const SECRET_ENDINGS: [&str; 4] = ["password", "secret", "token", "credentials"];

/// An instance and what an answer shows of it.
#[derive(Debug, Clone, Copy)]
pub struct InstanceView<'a> {
    /// The instance's number.
    pub id: ConnectionId,
    /// The stored spec.
    pub spec: &'a ConnectionSpec,
    /// When the instance was made.
    pub created_at: Timestamp,
    /// Whether a client has switched it off.
    pub is_disabled: bool,
    /// Whether the store takes its credentials, as far as is known.
    pub is_valid: bool,
    /// The Element token, in the one answer that shows it.
    pub token: Option<&'a Secret>,
    /// Whether configuration and element are shown in full (`hydrate`).
    pub is_hydrated: bool,
}

/// Whether the value of a key is never shown.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRETS.contains(&key.as_str()) || SECRET_ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// The value as shown: a non-empty secret becomes `********`.
pub fn masked(key: &str, value: &Value) -> Value {
    if is_secret(key) && !values::is_blank(value) { MASK.into() } else { value.clone() }
}

/// The answer of `GET /instances/{id}/configuration`: values as strings, secrets masked. The ids number the keys in
/// order.
pub fn configuration_list(configuration: &Configuration) -> Value {
    let entry = |(index, (key, value)): (usize, (&String, &Value))| {
        let value = masked(key, value);
        let text =
            values::as_text(&value).unwrap_or_else(|| if value.is_null() { String::new() } else { value.to_string() });
        json!({ "id": index + 1, "key": key, "name": key, "propertyValue": text, "active": true })
    };
    Value::Array(configuration.iter().enumerate().map(entry).collect())
}

/// A date in the form `2017-08-07T18:46:38Z`.
pub fn date(at: Timestamp) -> String {
    date_format::moment(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl InstanceView<'_> {
    /// The instance as JSON: every field of the vendor's own example, and the complete user, as its test schema
    /// requires.
    pub fn json(&self) -> Value {
        let element = Element::of(self.spec.source.kind());
        let instance = self.spec.instance.as_ref();
        let configuration = instance.map(|instance| {
            let shown = instance.configuration.iter().map(|(key, value)| (key.clone(), masked(key, value)));
            Value::Object(shown.collect())
        });
        let mut shown = json!({
            "id": self.id.0,
            "name": self.spec.name,
            "createdDate": date(self.created_at),
            "token": self.token.map_or(MASK, Secret::expose),
            "element": element.within_instance(),
            "elementId": element.id,
            "tags": instance.map_or(&[][..], |instance| &instance.tags),
            "provisionInteractions": [],
            "valid": self.is_valid,
            "disabled": self.is_disabled,
            "maxCacheSize": 0,
            "cacheTimeToLive": 0,
            "configuration": configuration.unwrap_or_else(|| json!({})),
            "eventsEnabled": instance.is_some_and(|instance| instance.has_events),
            "traceLoggingEnabled": false,
            "cachingEnabled": false,
            "externalAuthentication": "none",
            "user": {
                "id": 1,
                "emailAddress": "onetribe-relay@localhost",
                "firstName": "onetribe",
                "lastName": "relay"
            }
        });
        if !self.is_hydrated {
            shown["element"] = json!({ "id": element.id, "key": element.key });
            shown["configuration"] = json!({});
        }
        shown
    }
}
