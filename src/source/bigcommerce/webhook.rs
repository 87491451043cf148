//! Verifies webhooks: nothing of a body is parsed before it is proven to come from the store. Pure.

use std::time::{Duration, SystemTime};

use actix_web::http::header::HeaderMap;

use super::payload::{self, OrderEvent, Payload, PayloadError};
use crate::{
    secret::{self, Secret},
    signature::{self, SignatureError, SignatureHeaders},
};

/// The header that the relay sets on its own hooks. BigCommerce sends a hook's headers back with each webhook.
pub const TOKEN_HEADER: &str = "x-relay-token";

/// Why a webhook is not proven to be genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthentic {
    /// There is neither a signature nor a token.
    #[error("there is neither a webhook-signature nor an x-relay-token")]
    Unproven,
    /// There is a signature, and it is wrong.
    #[error("the webhook-signature is wrong: {0}")]
    Signature(#[from] SignatureError),
    /// The token is right, but the signature was made with another secret: the configured client secret is wrong.
    #[error("the x-relay-token is right and the webhook-signature is not: the client secret is another")]
    WrongSecret,
    /// There is a token, and it is wrong.
    #[error("the x-relay-token is wrong")]
    Token,
}

/// Verifies the webhooks of one connection.
#[derive(Debug, Clone)]
pub struct Verifier {
    store: String,
    secrets: Vec<Secret>,
    tokens: Vec<Secret>,
    tolerance: Duration,
}

/// A webhook that is proven to be genuine: only [`Verifier::verify`] makes one.
#[derive(Debug)]
pub struct VerifiedCallback<'a> {
    store: &'a str,
    body: &'a [u8],
    webhook_id: Option<&'a str>,
    is_signed: bool,
}

impl Verifier {
    /// Accepts as proof a signature under any of `secrets`, not older than `tolerance`, or any of `tokens`. `store`
    /// is the hash of the connection's own store.
    pub fn new(store: &str, secrets: Vec<Secret>, tokens: Vec<Secret>, tolerance: Duration) -> Self {
        Self { store: store.to_owned(), secrets, tokens, tolerance }
    }

    /// At least one proof must be there, and none may be wrong; without `secrets`, signatures are ignored. Compares
    /// in constant time. `now` is the store's time.
    ///
    /// # Errors
    /// [`Unauthentic`], which contains nothing of the webhook.
    pub fn verify<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: SystemTime,
    ) -> Result<VerifiedCallback<'a>, Unauthentic> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let token = self.has_right_token(headers)?;
        let is_signed = headers.contains_key("webhook-signature") && !self.secrets.is_empty();
        if is_signed {
            let signatures: Vec<&str> =
                headers.get_all("webhook-signature").map(|value| value.to_str().unwrap_or_default()).collect();
            let signature = signatures.join(" ");
            let given = SignatureHeaders {
                id: text("webhook-id"),
                timestamp: text("webhook-timestamp"),
                signature: &signature,
            };
            signature::verify(&self.secrets, given, body, now, self.tolerance).map_err(|error| match error {
                SignatureError::Mismatch if token => Unauthentic::WrongSecret,
                error => error.into(),
            })?;
        }
        if !token && !is_signed {
            return Err(Unauthentic::Unproven);
        }
        let webhook_id = text("webhook-id").filter(|id| !id.is_empty());
        Ok(VerifiedCallback { store: &self.store, body, webhook_id, is_signed })
    }

    /// Whether there is a token; an error if one is wrong.
    fn has_right_token(&self, headers: &HeaderMap) -> Result<bool, Unauthentic> {
        let mut found = false;
        for token in headers.get_all(TOKEN_HEADER) {
            let token = token.to_str().unwrap_or_default();
            let right = self.tokens.iter().fold(false, |right, ours| right | secret::same_secret(ours.expose(), token));
            if !right {
                return Err(Unauthentic::Token);
            }
            found = true;
        }
        Ok(found)
    }
}

impl<'a> VerifiedCallback<'a> {
    /// Parses the webhook's payload.
    ///
    /// # Errors
    /// [`PayloadError`] if the payload cannot be used.
    pub fn parse(&self) -> Result<Payload, PayloadError> {
        payload::parse(self.store, self.body)
    }

    /// Parses a payload about a product or a customer: which of `products` and `customers`, and the event.
    pub fn parse_aside(&self) -> Option<(&'static str, OrderEvent)> {
        payload::parse_aside(self.store, self.body)
    }

    /// The sender's own id for the event, the same on every retry.
    pub fn webhook_id(&self) -> Option<&'a str> {
        self.webhook_id
    }

    /// Whether it is proven by a signature. A token alone can be reused with another body by anyone who has seen one
    /// webhook.
    pub fn is_signed(&self) -> bool {
        self.is_signed
    }
}
