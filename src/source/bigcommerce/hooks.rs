//! Hooks of both hooks APIs, read into one type. V2 answers with bare objects, V3 wraps them in `data`; both forms
//! are accepted from either.
//!
//! Sources: BigCommerce, "Webhooks V3" OpenAPI file; for V2, BigCommerce's integration guide.

use std::collections::HashSet;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Operation, Permit, Store, webhook::TOKEN_HEADER};
use crate::{
    http::{CallError, Failure, json_start, not_json, read_body},
    secret::{self, Secret},
    source::hooks::{Hook, HookToken, WantedHook},
};

/// The two versions of BigCommerce's hooks API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HooksApi {
    /// `/v2/hooks`
    V2,
    /// `/v3/hooks`
    V3,
}

/// The largest list of hooks that is read: a store has few.
const MAX_HOOKS_BODY: usize = 4 * 1024 * 1024;
/// V3's page size, its maximum.
const PAGE: usize = 250;
/// Most pages that are read: ends the loop if a store repeats itself.
const MAX_PAGES: usize = 40;

/// A domain that the store does not call at the moment.
#[derive(Debug, Clone, Deserialize)]
pub struct BlockedDomain {
    /// The blocked domain or address.
    #[serde(default)]
    pub destination: String,
    /// Seconds until it is called again, if the store says so.
    #[serde(default)]
    pub time_left: Option<i64>,
}

impl Store {
    /// Makes one call under `/hooks`.
    async fn hooks_call(
        &self,
        mut permit: Permit,
        method: Method,
        path: &str,
        body: Option<&WantedHook>,
    ) -> Result<Value, CallError> {
        let body = body.map(|hook| body_of(hook).to_string().into_bytes());
        let response = self.call(&mut permit, Operation::Hooks, method, path, body).await?;
        let status = response.status().as_u16();
        let body = read_body(response, MAX_HOOKS_BODY).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        let value: Value = serde_json::from_slice(json_start(&body)).map_err(|_| not_json(status, &body))?;
        Ok(match value {
            Value::Object(mut map) if map.contains_key("data") => map.remove("data").unwrap_or_default(),
            bare => bare,
        })
    }

    /// All hooks that this access token can see. `tokens` are the relay's own, and any of them counts as right.
    ///
    /// If V2 is gone (404 or 410), V3 is used from then on. Pages are read until one brings nothing new: V2's paging
    /// is not documented.
    ///
    /// # Errors
    /// The failure of a call.
    pub async fn hooks(&self, tokens: &[Secret]) -> Result<Vec<Hook>, CallError> {
        let mut rows = Vec::new();
        let mut known = HashSet::new();
        let mut page = 1;
        let mut has_left = false;
        while page <= MAX_PAGES {
            let path = format!("{}/hooks?page={page}&limit={PAGE}", self.hooks_version());
            let answer = self.hooks_call(self.take_urgent().await?, Method::GET, &path, None).await;
            if let Err(CallError { failure: Failure::Status(404 | 410), .. }) = answer
                && page == 1
                && self.leave_hooks_v2()
            {
                has_left = true;
                continue;
            }
            let answer = answer?;
            if std::mem::take(&mut has_left) {
                tracing::info!(store = self.hash, "the store has no /v2/hooks: using /v3/hooks");
            }
            let before = rows.len();
            rows.extend(read_hooks(answer, tokens)?.into_iter().filter(|hook| known.insert(hook.id)));
            if rows.len() == before {
                break;
            }
            page += 1;
        }
        Ok(rows)
    }

    /// Creates a hook and returns its id.
    ///
    /// # Errors
    /// The call's failure. The answer to a duplicate is not documented: read the list again.
    pub async fn create_hook(&self, permit: Permit, wanted: &WantedHook) -> Result<i64, CallError> {
        let path = format!("{}/hooks", self.hooks_version());
        let made = self.hooks_call(permit, Method::POST, &path, Some(wanted)).await?;
        whole_number(&made["id"]).ok_or_else(|| Failure::NotJson.into())
    }

    /// Updates a hook by sending the whole of it.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn update_hook(&self, permit: Permit, id: i64, wanted: &WantedHook) -> Result<(), CallError> {
        let path = format!("{}/hooks/{id}", self.hooks_version());
        self.hooks_call(permit, Method::PUT, &path, Some(wanted)).await.map(drop)
    }

    /// Removes a hook. One that is already gone counts as removed.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn remove_hook(&self, permit: Permit, id: i64) -> Result<(), CallError> {
        let path = format!("{}/hooks/{id}", self.hooks_version());
        match self.hooks_call(permit, Method::DELETE, &path, None).await {
            Err(CallError { failure: Failure::Status(404), .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// The domains on the store's blocklist. V3 only.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn blocked_domains(&self) -> Result<Vec<BlockedDomain>, CallError> {
        let mut admin = self.hooks_call(self.take_urgent().await?, Method::GET, "v3/hooks/admin", None).await?;
        let domains = admin.get_mut("blocked_domains").map(Value::take).unwrap_or_default();
        match domains {
            Value::Null => Ok(Vec::new()),
            domains => serde_json::from_value(domains).map_err(|_| Failure::NotJson.into()),
        }
    }

    fn hooks_version(&self) -> &'static str {
        match self.hooks_api() {
            HooksApi::V2 => "v2",
            HooksApi::V3 => "v3",
        }
    }
}

/// The body for creating and updating a hook, the same in both APIs.
fn body_of(wanted: &WantedHook) -> Value {
    let WantedHook { topic, destination, secret } = wanted;
    json!({
        "scope": topic,
        "destination": destination,
        "is_active": true,
        "headers": { TOKEN_HEADER: secret.expose() },
    })
}

/// Reads a list, which may be missing if empty (V2 answers 204 to some empty lists). A row that is not a hook is
/// skipped, as long as there are others: it must not hide them.
fn read_hooks(answer: Value, tokens: &[Secret]) -> Result<Vec<Hook>, CallError> {
    let rows = match answer {
        Value::Null => return Ok(Vec::new()),
        Value::Array(rows) => rows,
        _ => return Err(Failure::NotJson.into()),
    };
    let hooks: Vec<Hook> = rows.iter().filter_map(|row| read_hook(row, tokens)).collect();
    if hooks.is_empty() && !rows.is_empty() { Err(Failure::NotJson.into()) } else { Ok(hooks) }
}

/// PHP sometimes writes numbers as strings and true as 1; both are understood.
fn read_hook(row: &Value, tokens: &[Secret]) -> Option<Hook> {
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    let is_active = match &row["is_active"] {
        Value::Bool(is_active) => *is_active,
        Value::Number(number) => number.as_i64() == Some(1),
        Value::String(text) => text == "true" || text == "1",
        _ => false,
    };
    Some(Hook {
        id: whole_number(&row["id"])?,
        topic: text("scope")?,
        destination: text("destination")?,
        is_active,
        token: token_in(row["headers"].as_object(), tokens),
    })
}

/// A store that does not show headers leaves them out, or masks their values.
fn token_in(headers: Option<&Map<String, Value>>, tokens: &[Secret]) -> HookToken {
    let found = headers.and_then(|headers| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(TOKEN_HEADER)));
    let Some(value) = found.and_then(|(_, value)| value.as_str()) else { return HookToken::Hidden };
    let is_masked = !value.is_empty() && value.chars().all(|c| matches!(c, '*' | '•' | 'x' | 'X'));
    match tokens.iter().any(|token| secret::same_secret(token.expose(), value)) {
        true => HookToken::Right,
        false if is_masked => HookToken::Hidden,
        false => HookToken::Wrong,
    }
}

fn whole_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_forms_of_a_hook_are_taken_for_what_they_mean() {
        let tokens = [Secret::from("right-token")];
        let hook = |row: Value| read_hook(&row, &tokens).expect("a hook");
        let base = json!({"id": 7, "scope": "store/order/*", "destination": "https://relay.example/webhooks/x"});
        for (field, value, is_active, token) in [
            ("is_active", json!(true), true, HookToken::Hidden),
            ("is_active", json!(1), true, HookToken::Hidden),
            ("is_active", json!("true"), true, HookToken::Hidden),
            ("is_active", json!(0), false, HookToken::Hidden),
            ("headers", Value::Null, false, HookToken::Hidden),
            ("headers", json!([]), false, HookToken::Hidden),
            ("headers", json!({}), false, HookToken::Hidden),
            ("headers", json!({"x-relay-token": "********"}), false, HookToken::Hidden),
            ("headers", json!({"X-Relay-Token": "right-token"}), false, HookToken::Right),
            ("headers", json!({"x-relay-token": "another"}), false, HookToken::Wrong),
            ("id", json!("7"), false, HookToken::Hidden),
        ] {
            let mut row = base.clone();
            row[field] = value;
            let read = hook(row.clone());
            assert_eq!((read.id, read.is_active, read.token), (7, is_active, token), "{row}");
        }
        assert!(hook(base).points_to("https://relay.example/webhooks/x/"));
    }
}
