//! The registered hooks and their rules. Their HTTP API is in `hooks_api`.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::ApiAccount;

/// A registered hook, as both versions of the API return it.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct Hook {
    /// The hook's id.
    pub id: i64,
    /// The API account that created it.
    pub client_id: String,
    /// The client secret of that account, which signs the callbacks. No call returns it.
    #[serde(skip)]
    pub client_secret: String,
    /// The store's hash.
    pub store_hash: String,
    /// The scope whose events it receives, possibly with a wildcard as the last part.
    pub scope: String,
    /// Where callbacks go.
    pub destination: String,
    /// Headers that callbacks carry: an object, or null.
    pub headers: Value,
    /// Whether callbacks are sent.
    pub is_active: bool,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Hook {
    /// Whether the hook is active and its scope covers this one.
    pub fn matches(&self, scope: &str) -> bool {
        self.is_active && covers(&self.scope, scope)
    }

    /// The registered headers.
    pub fn header_list(&self) -> Vec<(String, String)> {
        let Value::Object(headers) = &self.headers else { return Vec::new() };
        headers.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    }
}

fn covers(hooked: &str, scope: &str) -> bool {
    match hooked.strip_suffix('*') {
        Some(prefix) => scope.starts_with(prefix),
        None => hooked == scope,
    }
}

/// Behaviour that is documented nowhere and can be changed while the store runs.
#[derive(Debug, Clone)]
pub struct HookRules {
    /// Answers all of `v2/hooks` with this status (404, 410) instead of serving it.
    pub v2_gone: Option<u16>,
    /// The status of v2's answer to a successful creation: 200 or 201.
    pub v2_created: u16,
    /// Whether an empty v2 list is answered with 204 and no body; otherwise with 200 and `[]`.
    pub v2_empty_is_204: bool,
    /// Whether one scope and destination may have several hooks.
    pub takes_duplicates: bool,
    /// The status of v2's answer to a second hook for one scope and destination.
    pub v2_duplicate: u16,
    /// The status of v3's answer to that.
    pub v3_duplicate: u16,
    /// How many hooks one scope may have.
    pub per_scope: usize,
    /// How many hooks a page of v2's list holds, whatever `limit` says; `None` for all.
    pub v2_page: Option<usize>,
    /// Whether v2's list starts from the beginning after its last page.
    pub v2_repeats: bool,
    /// The form of hooks in lists.
    pub shown: HookForm,
}

/// The form of a hook in a list, including forms that a PHP server may produce.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HookForm {
    /// As documented.
    #[default]
    Plain,
    /// `headers` is null.
    NullHeaders,
    /// `headers` is left out.
    NoHeaders,
    /// `headers` is an empty list, as PHP encodes an empty map.
    ListHeaders,
    /// The values of `headers` are masked with asterisks.
    MaskedHeaders,
    /// `is_active` is a number.
    NumberActive,
    /// `is_active` is a string.
    TextActive,
    /// `id` is a string.
    TextId,
    /// `destination` ends in a slash.
    TrailingSlash,
}

impl HookForm {
    /// Every form.
    pub const ALL: [Self; 9] = [
        Self::Plain,
        Self::NullHeaders,
        Self::NoHeaders,
        Self::ListHeaders,
        Self::MaskedHeaders,
        Self::NumberActive,
        Self::TextActive,
        Self::TextId,
        Self::TrailingSlash,
    ];

    /// Renders the hook in this form.
    pub(crate) fn show(self, hook: &Hook) -> Value {
        let mut shown = serde_json::to_value(hook).expect("a hook is JSON");
        match self {
            Self::Plain => {}
            Self::NullHeaders => shown["headers"] = Value::Null,
            Self::NoHeaders => drop(shown.as_object_mut().expect("an object").remove("headers")),
            Self::ListHeaders => shown["headers"] = serde_json::json!([]),
            Self::MaskedHeaders => {
                for (_, value) in shown["headers"].as_object_mut().into_iter().flatten() {
                    *value = "********".into();
                }
            }
            Self::NumberActive => shown["is_active"] = i64::from(hook.is_active).into(),
            Self::TextActive => shown["is_active"] = hook.is_active.to_string().into(),
            Self::TextId => shown["id"] = hook.id.to_string().into(),
            Self::TrailingSlash => shown["destination"] = format!("{}/", hook.destination).into(),
        }
        shown
    }
}

impl Default for HookRules {
    fn default() -> Self {
        Self {
            v2_gone: None,
            v2_created: 201,
            v2_empty_is_204: true,
            takes_duplicates: false,
            v2_duplicate: 422,
            v3_duplicate: 409,
            per_scope: 10,
            v2_page: None,
            v2_repeats: false,
            shown: HookForm::Plain,
        }
    }
}

/// The body of a creation or an update. Absent fields are `None`; `headers: null` is `Some(Null)`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Draft {
    pub(crate) scope: Option<String>,
    pub(crate) destination: Option<String>,
    pub(crate) is_active: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) headers: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Draft {
    pub(crate) fn is_full(&self) -> bool {
        self.scope.is_some() && self.destination.is_some() && self.is_active.is_some() && self.headers.is_some()
    }
}

/// Why a hook call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such hook.
    Unknown,
    /// Scope, destination or headers are missing or invalid.
    Invalid,
    /// There already is a hook for this scope and destination.
    Duplicate,
    /// There already are as many hooks for the scope as allowed.
    TooMany,
}

/// A domain on the blocklist.
#[derive(Debug, Clone)]
pub(crate) struct BlockedDomain {
    pub(crate) destination: String,
    pub(crate) until: Instant,
}

#[derive(Debug)]
pub(crate) struct Hooks {
    pub(crate) rules: HookRules,
    pub(crate) blocked: Vec<BlockedDomain>,
    pub(crate) emails: Value,
    store_hash: String,
    hooks: BTreeMap<i64, Hook>,
    next_id: i64,
}

/// The id of the hook on One Tribe's integration page.
const FIRST_ID: i64 = 20_172_984;

impl Hooks {
    pub(crate) fn new(store_hash: &str) -> Self {
        Self {
            rules: HookRules::default(),
            blocked: Vec::new(),
            emails: Value::Array(Vec::new()),
            store_hash: store_hash.to_owned(),
            hooks: BTreeMap::new(),
            next_id: FIRST_ID,
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Hook> {
        self.hooks.values()
    }

    /// The hooks that this account sees, by id.
    pub(crate) fn all_of<'a>(&'a self, client_id: &'a str) -> impl Iterator<Item = &'a Hook> {
        self.all().filter(move |hook| hook.client_id == client_id)
    }

    pub(crate) fn get(&self, id: i64) -> Option<&Hook> {
        self.hooks.get(&id)
    }

    /// The hook, if this account sees it.
    pub(crate) fn get_of(&self, client_id: &str, id: i64) -> Option<&Hook> {
        self.get(id).filter(|hook| hook.client_id == client_id)
    }

    pub(crate) fn create(&mut self, account: &ApiAccount, draft: Draft, now: i64) -> Result<Hook, Refusal> {
        let (Some(scope), Some(destination)) = (draft.scope, draft.destination) else { return Err(Refusal::Invalid) };
        let hook = Hook {
            id: self.next_id,
            client_id: account.client_id.clone(),
            client_secret: account.client_secret.clone(),
            store_hash: self.store_hash.clone(),
            scope,
            destination,
            headers: draft.headers.unwrap_or(Value::Null),
            is_active: draft.is_active.unwrap_or(true),
            created_at: now,
            updated_at: now,
        };
        self.put(hook)
    }

    pub(crate) fn update(&mut self, client_id: &str, id: i64, draft: Draft, now: i64) -> Result<Hook, Refusal> {
        let mut hook = self.get_of(client_id, id).cloned().ok_or(Refusal::Unknown)?;
        hook.scope = draft.scope.unwrap_or(hook.scope);
        hook.destination = draft.destination.unwrap_or(hook.destination);
        hook.headers = draft.headers.unwrap_or(hook.headers);
        hook.is_active = draft.is_active.unwrap_or(hook.is_active);
        hook.updated_at = now;
        self.put(hook)
    }

    pub(crate) fn remove(&mut self, client_id: &str, id: i64) -> Result<Hook, Refusal> {
        self.get_of(client_id, id).ok_or(Refusal::Unknown)?;
        self.hooks.remove(&id).ok_or(Refusal::Unknown)
    }

    /// Removes all hooks of an account; returns how many there were.
    pub(crate) fn remove_all_of(&mut self, client_id: &str) -> usize {
        let before = self.hooks.len();
        self.hooks.retain(|_, hook| hook.client_id != client_id);
        before - self.hooks.len()
    }

    /// Deactivates a hook, as BigCommerce does after the last retry.
    pub(crate) fn deactivate(&mut self, id: i64) {
        if let Some(hook) = self.hooks.get_mut(&id) {
            hook.is_active = false;
        }
    }

    /// The domains that are still blocked at `now`.
    pub(crate) fn blocked_at(&self, now: Instant) -> impl Iterator<Item = &BlockedDomain> {
        self.blocked.iter().filter(move |domain| domain.until > now)
    }

    fn put(&mut self, hook: Hook) -> Result<Hook, Refusal> {
        let headers_fit = match &hook.headers {
            Value::Null => true,
            Value::Object(headers) => headers.values().all(Value::is_string),
            _ => false,
        };
        if !headers_fit || !hook.scope.starts_with("store/") || !is_destination(&hook.destination) {
            return Err(Refusal::Invalid);
        }
        let of_scope = || self.all_of(&hook.client_id).filter(|other| other.scope == hook.scope && other.id != hook.id);
        if !self.rules.takes_duplicates && of_scope().any(|other| other.destination == hook.destination) {
            return Err(Refusal::Duplicate);
        }
        if of_scope().count() >= self.rules.per_scope {
            return Err(Refusal::TooMany);
        }
        self.next_id = self.next_id.max(hook.id + 1);
        self.hooks.insert(hook.id, hook.clone());
        Ok(hook)
    }
}

/// Accepts `https` on port 443, and any address on loopback, where the simulators listen.
fn is_destination(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    loopback || (url.scheme() == "https" && url.port_or_known_default() == Some(443))
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn wildcards_cover_what_lies_below() {
        assert!(covers("store/order/*", "store/order/created"));
        assert!(covers("store/order/*", "store/order/refund/created"));
        assert!(covers("store/order/created", "store/order/created"));
        assert!(!covers("store/order/created", "store/order/updated"));
        assert!(!covers("store/order/*", "store/cart/created"));
    }
}
