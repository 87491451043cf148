//! A connection: everything that belongs to one store and its destination, passed along as one value.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;

use crate::{
    bigcommerce::Api, config::ConnectionConfig, inbox::ConnectionId, metrics::Metrics, one_tribe::Destination,
    retry::Breaker, signature,
};

/// The kind of store, as the database names it.
pub const BIGCOMMERCE: &str = "bigcommerce";

/// The inbox's note that says since when (milliseconds since 1970) the destination takes no orders, and what was seen of it.
pub const DESTINATION_OUTAGE: &str = "outage:destination";

/// One store and its destination.
pub struct Connection {
    /// Its number in every table.
    pub id: ConnectionId,
    /// What it was told.
    pub config: ConnectionConfig,
    /// The store's API.
    pub api: Arc<Api>,
    /// The merchant's destination.
    pub destination: Destination,
    store_breaker: Mutex<Breaker>,
    destination_breaker: Mutex<Breaker>,
}

impl Connection {
    /// Clients for the store and the destination. Calls nobody.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(id: ConnectionId, config: ConnectionConfig, metrics: &Arc<Metrics>) -> reqwest::Result<Self> {
        Ok(Self {
            id,
            api: Arc::new(Api::new(&config, metrics.clone())?),
            destination: Destination::new(&config, metrics.clone())?,
            config,
            store_breaker: Mutex::default(),
            destination_breaker: Mutex::default(),
        })
    }

    /// Whether the store takes calls.
    pub fn store_breaker(&self) -> MutexGuard<'_, Breaker> {
        self.store_breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the destination takes orders.
    pub fn destination_breaker(&self) -> MutexGuard<'_, Breaker> {
        self.destination_breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the relay puts on its hooks as `x-relay-token`, one for each configured client secret; the first is current.
    pub fn hook_tokens(&self) -> Vec<SecretString> {
        self.derived("hook", self.config.store.as_str())
    }

    /// What only a relay with this store's client secret can answer to `nonce`; the first is what this one answers.
    pub fn echo(&self, nonce: &str) -> Vec<SecretString> {
        self.derived("echo", nonce)
    }

    fn derived(&self, purpose: &str, subject: &str) -> Vec<SecretString> {
        self.config.client_secrets.iter().map(|secret| signature::derive_token(secret, purpose, subject)).collect()
    }

    /// Where the store's hooks point, if the relay has a public address.
    pub fn hook_destination(&self) -> Option<String> {
        self.config
            .public_url
            .as_ref()
            .map(|url| format!("{}/webhooks/bigcommerce", url.as_str().trim_end_matches('/')))
    }
}
