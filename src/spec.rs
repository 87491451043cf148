//! What a connection is, wherever it came from: the value that is validated once, sealed as a whole, and opened again.
//! How requests, variables and installs become one is for its callers; nothing here makes a call.

pub mod fields;
pub mod keyring;
mod kind;
pub mod payload_url;

pub(crate) use kind::codes;
pub use kind::{DestinationKind, Origin, SourceKind, UnknownName};

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{object::ResourceName, resource::PolledResource, secret::Secret};

/// A connection as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSpec {
    /// What people call it.
    pub name: String,
    /// Where it came from.
    pub origin: Origin,
    /// The store.
    pub source: SourceSpec,
    /// Where its objects go; none while an app install has no payload URL yet.
    pub destination: Option<DestinationSpec>,
    /// Statuses that are not forwarded, in the store's own terms (`0`, `pending`).
    #[serde(default)]
    pub skip_statuses: Vec<String>,
    /// What is polled. Orders alone, unless an instance says otherwise.
    #[serde(default)]
    pub resources: Vec<PolledResource>,
    /// How often it is polled, where that is not the relay's own interval.
    #[serde(default)]
    pub poll_interval: Option<Duration>,
    /// Whether hooks are registered.
    pub has_webhooks: bool,
    /// What a client of the Cloud Elements API has said, if it is an instance.
    #[serde(default)]
    pub instance: Option<InstanceSpec>,
}

/// A store and its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceSpec {
    /// A BigCommerce store.
    BigCommerce(BigCommerceSpec),
    /// A WooCommerce shop.
    WooCommerce(WooCommerceSpec),
}

/// A BigCommerce store and its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BigCommerceSpec {
    /// `abcde` in `stores/abcde`. Of a store with a legacy account: its host.
    pub store_hash: String,
    /// How calls prove themselves.
    pub auth: BigCommerceAuth,
    /// Verify callbacks; the first is the current one. Empty for a store of the app, which the app's own secret
    /// verifies, and for instances whose hooks carry the relay's token alone.
    pub client_secrets: Vec<Secret>,
    /// The scopes to register hooks for.
    pub scopes: Vec<String>,
    /// Whether the store came through the single-click app: hooks through v3, callbacks under the app's secret.
    pub is_app: bool,
}

/// How calls to BigCommerce prove themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BigCommerceAuth {
    /// `X-Auth-Token` at `{BIGCOMMERCE_API_URL}/stores/{hash}`.
    Token(Secret),
    /// Basic at the store's own `/api/v2`.
    Legacy {
        /// The store's address, up to and including `/api/v2`.
        api_url: String,
        /// The user.
        username: String,
        /// The API key.
        password: Secret,
    },
}

/// A WooCommerce shop and its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WooCommerceSpec {
    /// The shop's address, without a trailing slash.
    pub url: String,
    /// `ck_…`
    pub consumer_key: Secret,
    /// `cs_…`
    pub consumer_secret: Secret,
    /// Signs webhooks; letters and digits, made by the relay.
    pub webhook_secret: Secret,
}

/// A destination and what opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DestinationSpec {
    /// A One Tribe payload URL.
    OneTribe {
        /// A secret whole.
        url: Secret,
    },
    /// A Cloud Elements callback.
    CloudElements(CallbackSpec),
}

/// A Cloud Elements callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackSpec {
    /// May hold secrets in path or query.
    pub url: Secret,
    /// Signs notifications, if there is one.
    pub signature_key: Option<Secret>,
    /// Sent along with each notification.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// User and password of Basic authentication.
    #[serde(default)]
    pub basic: Option<(String, Secret)>,
    /// Whether notifications carry the rows.
    pub has_raw: bool,
    /// Whether nulls are left out of rows.
    pub drops_nulls: bool,
}

/// What a client of the Cloud Elements API has said of its instance.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// `bigcommerce` or `woocommercerest`.
    pub element_key: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The configuration as it was given, key by key, secrets included: sealed with everything else.
    pub configuration: BTreeMap<String, serde_json::Value>,
    /// Whether the client wants notifications at all.
    pub has_events: bool,
}

/// The configuration's keys alone: its values hold secrets.
impl fmt::Debug for InstanceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceSpec")
            .field("element_key", &self.element_key)
            .field("tags", &self.tags)
            .field("configuration", &self.configuration.keys())
            .field("has_events", &self.has_events)
            .finish()
    }
}

impl SourceSpec {
    /// The kind of store.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::BigCommerce(_) => SourceKind::BigCommerce,
            Self::WooCommerce(_) => SourceKind::WooCommerce,
        }
    }

    /// Which store, as people and tables name it: a BigCommerce hash, or a shop's address without scheme, `www.` and
    /// trailing slash.
    pub fn store(&self) -> String {
        match self {
            Self::BigCommerce(store) => store.store_hash.clone(),
            Self::WooCommerce(shop) => normalized_shop(&shop.url),
        }
    }
}

/// A shop's address without scheme, case, `www.` and trailing slash: by this two spellings of one shop are the same.
pub fn normalized_shop(url: &str) -> String {
    let rest = url.trim().split_once("://").map_or(url.trim(), |(_, rest)| rest).to_ascii_lowercase();
    rest.strip_prefix("www.").unwrap_or(&rest).trim_end_matches('/').to_owned()
}

impl DestinationSpec {
    /// The kind of destination.
    pub fn kind(&self) -> DestinationKind {
        match self {
            Self::OneTribe { .. } => DestinationKind::OneTribe,
            Self::CloudElements(_) => DestinationKind::CloudElements,
        }
    }

    /// Its whole URL.
    pub fn url(&self) -> &Secret {
        match self {
            Self::OneTribe { url } => url,
            Self::CloudElements(callback) => &callback.url,
        }
    }

    /// Its host (and port, where it is not the scheme's own), which is no secret.
    pub fn host(&self) -> String {
        let url = Url::parse(self.url().expose()).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        match url.as_ref().and_then(Url::port) {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

impl ConnectionSpec {
    /// The resources that are watched, by name.
    pub fn resource_names(&self) -> Vec<ResourceName> {
        if self.resources.is_empty() {
            return vec![ResourceName::orders()];
        }
        self.resources.iter().map(|resource| resource.name.clone()).collect()
    }
}

impl fmt::Display for ConnectionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
