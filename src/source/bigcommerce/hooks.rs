//! Hooks of both hooks APIs, in one shape. V2 answers bare objects, V3 wraps them in `data`; either may come.
//!
//! Sources: BigCommerce, "Webhooks V3" OpenAPI file; V2 as the integration's own guide shows it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Api, Operation, Token};
use crate::{
    config::HooksApi,
    http::{CallError, Seen, Unusable, read_body},
};

/// No list of hooks is larger than this: a store has few.
const MAX_HOOKS_BODY: usize = 4 * 1024 * 1024;
/// V3's page size, its maximum.
const PAGE: usize = 250;
/// More pages than any store can have; keeps a store that repeats itself from keeping us for ever.
const MAX_PAGES: usize = 20;

/// One hook as the store has it.
#[derive(Clone, Deserialize)]
pub struct Hook {
    /// Its number.
    pub id: i64,
    /// What it fires for.
    pub scope: String,
    /// Where it posts to.
    pub destination: String,
    /// Whether the store uses it.
    #[serde(default, deserialize_with = "is_true")]
    pub is_active: bool,
    /// Sent along with each callback. Secret.
    #[serde(default, deserialize_with = "headers")]
    pub headers: BTreeMap<String, String>,
}

/// Leaves the headers out: they hold the relay's token.
impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, scope, is_active, .. } = self;
        f.debug_struct("Hook")
            .field("id", id)
            .field("scope", scope)
            .field("is_active", is_active)
            .finish_non_exhaustive()
    }
}

/// Anything but `true` counts as false.
fn is_true<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Value::deserialize(deserializer)? == Value::Bool(true))
}

/// `null`, a list, or anything else that is no object counts as none.
fn headers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(map) = Value::deserialize(deserializer)? else { return Ok(BTreeMap::new()) };
    let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
    Ok(map.into_iter().filter_map(text).collect())
}

/// A hook as the relay wants it. Both APIs get the whole of it, on creating and on mending.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct WantedHook {
    /// What it fires for.
    pub scope: String,
    /// Where it posts to.
    pub destination: String,
    /// Always true.
    pub is_active: bool,
    /// The relay's token.
    pub headers: BTreeMap<String, String>,
}

impl WantedHook {
    /// Whether the store's hook is as wanted. Header names count in any case.
    pub fn is_met_by(&self, hook: &Hook) -> bool {
        let carries = |(name, value): (&String, &String)| {
            hook.headers.iter().any(|(other, theirs)| other.eq_ignore_ascii_case(name) && theirs == value)
        };
        hook.is_active
            && hook.scope == self.scope
            && hook.destination == self.destination
            && self.headers.iter().all(carries)
    }
}

/// One domain that the store does not call at the moment.
#[derive(Debug, Clone, Deserialize)]
pub struct BlockedDomain {
    /// The domain or address.
    #[serde(default)]
    pub destination: String,
    /// Seconds until it is called again, if the store says so.
    #[serde(default)]
    pub time_left: Option<i64>,
}

impl Api {
    /// One call under `/hooks`; a V2 that is gone (404 or 410 on the list) is left for V3, from then on.
    async fn hooks_call(
        self: &Arc<Self>,
        token: Token,
        method: Method,
        path: &str,
        body: Option<&WantedHook>,
    ) -> Result<Value, CallError> {
        let body = body.map(|hook| serde_json::to_vec(hook).expect("a hook is a plain struct of texts"));
        let response = self.call(token, Operation::Hooks, method, path, body).await?;
        let body = read_body(response, MAX_HOOKS_BODY).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| Unusable::NotJson)?;
        Ok(match value {
            Value::Object(mut map) if map.contains_key("data") => map.remove("data").unwrap_or_default(),
            bare => bare,
        })
    }

    /// All hooks that this access token can see.
    ///
    /// # Errors
    /// Whatever went wrong with a call.
    pub async fn hooks(self: &Arc<Self>) -> Result<Vec<Hook>, CallError> {
        if self.hooks_api() == HooksApi::V2 {
            match self.hooks_call(self.take_soon().await?, Method::GET, "v2/hooks", None).await {
                Err(CallError { seen: Seen::Status(404 | 410), .. }) => {
                    self.leave_hooks_v2();
                }
                answer => return read_hooks(answer?),
            }
        }
        let mut hooks: Vec<Hook> = Vec::new();
        for page in 1..=MAX_PAGES {
            let path = format!("v3/hooks?page={page}&limit={PAGE}");
            let more = read_hooks(self.hooks_call(self.take_soon().await?, Method::GET, &path, None).await?)?;
            let known = hooks.len();
            for hook in more {
                if !hooks.iter().any(|other| other.id == hook.id) {
                    hooks.push(hook);
                }
            }
            if hooks.len() == known {
                break;
            }
        }
        Ok(hooks)
    }

    /// Makes a hook.
    ///
    /// # Errors
    /// Whatever went wrong with the call. What a duplicate is answered is not documented: look at the list again.
    pub async fn create_hook(self: &Arc<Self>, token: Token, wanted: &WantedHook) -> Result<Hook, CallError> {
        let path = format!("{}/hooks", self.hooks_version());
        read_hook(self.hooks_call(token, Method::POST, &path, Some(wanted)).await?)
    }

    /// Mends a hook by sending the whole of it.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn update_hook(self: &Arc<Self>, token: Token, id: i64, wanted: &WantedHook) -> Result<(), CallError> {
        let path = format!("{}/hooks/{id}", self.hooks_version());
        self.hooks_call(token, Method::PUT, &path, Some(wanted)).await.map(drop)
    }

    /// Removes a hook. One that is gone already counts as removed.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn remove_hook(self: &Arc<Self>, token: Token, id: i64) -> Result<(), CallError> {
        let path = format!("{}/hooks/{id}", self.hooks_version());
        match self.hooks_call(token, Method::DELETE, &path, None).await {
            Err(CallError { seen: Seen::Status(404), .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// The domains that the store has on its blocklist. V3 only.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn blocked_domains(self: &Arc<Self>) -> Result<Vec<BlockedDomain>, CallError> {
        let mut admin = self.hooks_call(self.take_soon().await?, Method::GET, "v3/hooks/admin", None).await?;
        let domains = admin.get_mut("blocked_domains").map(Value::take).unwrap_or_default();
        match domains {
            Value::Null => Ok(Vec::new()),
            domains => serde_json::from_value(domains).map_err(|_| Unusable::NotJson.into()),
        }
    }

    fn hooks_version(&self) -> &'static str {
        match self.hooks_api() {
            HooksApi::V2 => "v2",
            HooksApi::V3 => "v3",
        }
    }
}

/// A list, or nothing for an empty one (V2 answers 204 to some empty lists). A row that is no hook is passed over, as long as
/// there are others: it must not hide them.
fn read_hooks(answer: Value) -> Result<Vec<Hook>, CallError> {
    let rows = match answer {
        Value::Null => return Ok(Vec::new()),
        Value::Array(rows) => rows,
        _ => return Err(Unusable::NotJson.into()),
    };
    let count = rows.len();
    let hooks: Vec<Hook> = rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect();
    if hooks.is_empty() && count > 0 { Err(Unusable::NotJson.into()) } else { Ok(hooks) }
}

fn read_hook(answer: Value) -> Result<Hook, CallError> {
    serde_json::from_value(answer).map_err(|_| Unusable::NotJson.into())
}
