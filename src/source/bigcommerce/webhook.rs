//! From a raw callback to a verified one: nothing of a body is read before it is proven to come from the store. Pure.

use std::time::{Duration, SystemTime};

use actix_web::http::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    event::{self, Payload, PayloadError, StoreHash},
    signature::{self, SignatureError, SignatureHeaders},
};

/// The header that the relay puts on its own hooks. BigCommerce sends a hook's headers back with each callback.
pub const TOKEN_HEADER: &str = "x-relay-token";

/// Why a callback is not proven to be genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthentic {
    /// Neither a signature nor a token.
    #[error("there is neither a webhook-signature nor an x-relay-token")]
    Unproven,
    /// The signature is there and wrong.
    #[error("the webhook-signature is wrong: {0}")]
    Signature(#[from] SignatureError),
    /// The token is there and wrong.
    #[error("the x-relay-token is wrong")]
    Token,
}

/// Knows what proves a callback of one connection.
pub struct Verifier {
    store: StoreHash,
    secrets: Vec<SecretString>,
    tokens: Vec<SecretString>,
    tolerance: Duration,
}

/// A callback that is proven to be genuine: only [`Verifier::verify`] makes one.
#[derive(Debug)]
pub struct Verified<'a> {
    store: &'a StoreHash,
    body: &'a [u8],
    webhook_id: Option<&'a str>,
}

impl Verifier {
    /// Proof is a signature under any of `secrets`, not older than `tolerance`, or any of `tokens`.
    pub fn new(store: StoreHash, secrets: Vec<SecretString>, tokens: Vec<SecretString>, tolerance: Duration) -> Self {
        Self { store, secrets, tokens, tolerance }
    }

    /// One proof must be there, and none that is there may be wrong. Compares in constant time.
    ///
    /// # Errors
    /// [`Unauthentic`]; it holds nothing of the callback.
    pub fn verify<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: SystemTime,
    ) -> Result<Verified<'a>, Unauthentic> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let mut proven = false;
        if headers.contains_key("webhook-signature") {
            let signatures: Vec<&str> =
                headers.get_all("webhook-signature").map(|value| value.to_str().unwrap_or_default()).collect();
            let signature = signatures.join(" ");
            let given = SignatureHeaders {
                id: text("webhook-id"),
                timestamp: text("webhook-timestamp"),
                signature: &signature,
            };
            signature::verify(&self.secrets, given, body, now, self.tolerance)?;
            proven = true;
        }
        for token in headers.get_all(TOKEN_HEADER) {
            let token = token.to_str().unwrap_or_default();
            let right = self.tokens.iter().fold(false, |right, ours| {
                let same = signature::same_secret(ours.expose_secret(), token);
                right | same
            });
            if !right {
                return Err(Unauthentic::Token);
            }
            proven = true;
        }
        if !proven {
            return Err(Unauthentic::Unproven);
        }
        Ok(Verified { store: &self.store, body, webhook_id: text("webhook-id").filter(|id| !id.is_empty()) })
    }
}

impl<'a> Verified<'a> {
    /// What the callback says.
    ///
    /// # Errors
    /// When it cannot be used, or is another store's.
    pub fn parse(&self) -> Result<Payload, PayloadError> {
        event::parse(self.store, self.body)
    }

    /// The sender's own name for the event, the same on every retry.
    pub fn webhook_id(&self) -> Option<&'a str> {
        self.webhook_id
    }
}
