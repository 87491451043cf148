//! The client of one merchant's One Tribe destination. Its URL is a secret whole, and so is what is sent there.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use reqwest::{Client, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::{
    config::ConnectionConfig,
    event::{OrderId, StoreHash},
    http::{self, CallError},
    metrics::Metrics,
};

/// Tells one snapshot of an order from another, whatever white space lies between its JSON's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Of an order's bytes. A list and a single answer may space the same order differently.
    pub fn of(body: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        let (mut in_text, mut escaped, mut from) = (false, false, 0);
        for (at, byte) in body.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b' ' | b'\n' | b'\r' | b'\t' if !in_text => {
                    hasher.update(&body[from..at]);
                    from = at + 1;
                }
                _ => {}
            }
        }
        hasher.update(&body[from..]);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize()[..16]);
        Self(digest)
    }

    /// The key under which the destination may recognise the same snapshot of the same order sent again.
    pub fn idempotency_key(self, store: &StoreHash, order: OrderId) -> String {
        format!("{store}-{order}-{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// One merchant's destination.
pub struct Destination {
    client: Client,
    url: SecretString,
    store: StoreHash,
    metrics: Arc<Metrics>,
}

/// What is read of an answer to keep the connection usable; the answer itself means nothing to us.
const DRAINED: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(500);

impl Destination {
    /// A client for the connection's destination.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(config: &ConnectionConfig, metrics: Arc<Metrics>) -> reqwest::Result<Self> {
        let url = Url::parse(config.destination.expose_secret()).expect("the configuration holds a checked URL");
        Ok(Self {
            client: http::client(&url, config.forward_timeout)?,
            url: config.destination.clone(),
            store: config.store.clone(),
            metrics,
        })
    }

    /// Forwards one snapshot. Taken means any 2xx; what the answer says beside it does not matter.
    ///
    /// # Errors
    /// What was seen instead of a 2xx.
    pub async fn forward(&self, order: OrderId, digest: Digest, body: Bytes) -> Result<(), CallError> {
        let sent = self
            .client
            .post(self.url.expose_secret())
            .header(header::CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", digest.idempotency_key(&self.store, order))
            .body(body)
            .send()
            .await;
        let outcome = match sent {
            Ok(response) if response.status().is_success() => {
                // Taken as soon as the status is there; a body that drips or breaks changes nothing.
                let _ = tokio::time::timeout(DRAIN_TIME, http::read_body(response, DRAINED)).await;
                Ok(())
            }
            Ok(response) => Err(CallError::of_status(&response)),
            Err(error) => Err(error.into()),
        };
        self.metrics.forwarded(outcome.as_ref().err().map(|error| error.seen));
        outcome
    }

    /// Finds out whether the destination can be reached (name, connection, TLS) without sending it anything that could be
    /// taken for an order: a HEAD of its host's root. Returns the status, which says little: nothing has to live there.
    ///
    /// # Errors
    /// Why no answer came.
    pub async fn reach(&self) -> Result<u16, CallError> {
        let mut url = Url::parse(self.url.expose_secret()).expect("the configuration holds a checked URL");
        url.set_path("/");
        url.set_query(None);
        Ok(self.client.head(url).send().await?.status().as_u16())
    }
}
