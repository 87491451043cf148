//! Exchanges an install's code for the store's access token at `{BIGCOMMERCE_LOGIN_URL}/oauth2/token`.
//!
//! Source: BigCommerce, "Single-click app OAuth flow". Only store, token, scopes and the user's id are read from the
//! answer; what else it says about people (`user`, `owner`) is not even parsed.

use std::time::Duration;

use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;

use super::store_of_context;
use crate::{
    http::{self, CallError, Failure, Http},
    secret::Secret,
};

/// Scopes, each of which lets the relay read orders.
pub const ORDER_SCOPES: [&str; 2] = ["store_v2_orders_read_only", "store_v2_orders"];

/// The default time limit of an exchange, for which a person waits.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read; real ones have a few hundred bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest token that is accepted; BigCommerce's are far shorter.
const MAX_TOKEN: usize = 4096;

/// A code and the parameters to exchange it with.
#[derive(Debug, Clone)]
pub struct CodeExchange {
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: Secret,
    /// The code from the auth callback; good for one exchange.
    pub code: Secret,
    /// The scopes from the auth callback, as received.
    pub scope: String,
    /// The store from the auth callback, as received: `stores/{hash}`. The one in the answer is used.
    pub context: String,
    /// The auth callback URL that is registered for the app, byte for byte.
    pub redirect_uri: String,
}

/// The result of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The hash of the store, from the answer's own `context`.
    pub store_hash: String,
    /// The store's access token, which does not expire by itself.
    pub access_token: Secret,
    /// The scopes of the token.
    pub scopes: Vec<String>,
    /// BigCommerce's id of the user who installed the app; 0 if the answer has none.
    pub user_id: i64,
}

impl Grant {
    /// Whether the token has one of these scopes.
    pub fn has_any_scope(&self, any_of: &[&str]) -> bool {
        self.scopes.iter().any(|scope| any_of.contains(&scope.as_str()))
    }
}

/// Why there is no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The code has been used, has expired, or belongs to another app or address.
    #[error("the code is spent, expired or another app's")]
    SpentOrWrongCode,
    /// BigCommerce refuses the app itself (its client id, client secret or redirect address).
    #[error("BigCommerce refuses the exchange with HTTP {status}")]
    Refused {
        /// The status of the answer.
        status: u16,
    },
    /// The login server cannot be reached, or fails.
    #[error("the login server cannot be asked: {0}")]
    LoginDown(Failure),
    /// The token is valid, but does not allow reading orders.
    #[error("the token lacks the scope to read orders")]
    MissingScope,
    /// The answer was a success without a token, a store or JSON.
    #[error("the login server's answer makes no sense")]
    BadAnswer,
}

#[derive(Serialize)]
struct Request<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    code: &'a str,
    context: &'a str,
    scope: &'a str,
    grant_type: &'static str,
    redirect_uri: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    context: String,
    scope: Option<String>,
    user: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct User {
    id: i64,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// Exchanges a code for a token with one of the scopes `any_of` (or any token, if that is empty).
///
/// # Errors
/// [`ExchangeError`]; no variant contains a secret.
pub async fn exchange(
    http: &Http,
    login_url: &Url,
    request: &CodeExchange,
    any_of: &[&str],
    timeout: Duration,
) -> Result<Grant, ExchangeError> {
    let body = Request {
        client_id: &request.client_id,
        client_secret: request.client_secret.expose(),
        code: request.code.expose(),
        context: &request.context,
        scope: &request.scope,
        grant_type: "authorization_code",
        redirect_uri: &request.redirect_uri,
    };
    let body = serde_json::to_vec(&body).map_err(|_| ExchangeError::BadAnswer)?;
    let response = http
        .operator(Method::POST, token_url(login_url), timeout)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .send()
        .await
        .map_err(|error| down(error.into()))?;
    if !response.status().is_success() {
        let seen = CallError::of_status(&response).failure;
        let body = http::read_body(response, MAX_ANSWER).await.unwrap_or_default();
        return Err(refusal(seen, &body));
    }
    let status = response.status().as_u16();
    let body = http::read_body(response, MAX_ANSWER).await.map_err(down)?;
    let grant = read(status, &body, &request.scope)?;
    if any_of.is_empty() || grant.has_any_scope(any_of) { Ok(grant) } else { Err(ExchangeError::MissingScope) }
}

fn down(error: CallError) -> ExchangeError {
    ExchangeError::LoginDown(error.failure)
}

/// The URL `{login_url}/oauth2/token`, whether or not the login URL ends with a slash.
fn token_url(login_url: &Url) -> Url {
    let mut url = login_url.clone();
    url.set_path(&format!("{}/oauth2/token", login_url.path().trim_end_matches('/')));
    url
}

/// The error of an unsuccessful answer. BigCommerce uses the codes of RFC 6749, section 5.2 (`invalid_grant` for a
/// spent code); without one, the status decides.
fn refusal(seen: Failure, body: &[u8]) -> ExchangeError {
    let Failure::Status(status) = seen else { return ExchangeError::LoginDown(seen) };
    if !(400..500).contains(&status) || matches!(status, 408 | 425 | 429) {
        return ExchangeError::LoginDown(seen);
    }
    let code = serde_json::from_slice::<ErrorAnswer>(body).map(|answer| answer.error).unwrap_or_default();
    match (code.as_str(), status) {
        ("invalid_grant", _) => ExchangeError::SpentOrWrongCode,
        (
            "invalid_client" | "unauthorized_client" | "invalid_request" | "invalid_scope" | "unsupported_grant_type",
            _,
        ) => ExchangeError::Refused { status },
        (_, 400) => ExchangeError::SpentOrWrongCode,
        _ => ExchangeError::Refused { status },
    }
}

fn read(status: u16, body: &[u8], asked_scope: &str) -> Result<Grant, ExchangeError> {
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        // A maintenance page with a success status.
        Err(_) if matches!(http::not_json(status, body), Failure::Html(_)) => {
            return Err(ExchangeError::LoginDown(Failure::Html(status)));
        }
        Err(_) => return Err(ExchangeError::BadAnswer),
    };
    let store_hash = store_of_context(&answer.context).ok_or(ExchangeError::BadAnswer)?.to_owned();
    let token = answer.access_token.expose();
    // The token becomes the value of a header.
    if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ExchangeError::BadAnswer);
    }
    // If `scope` is missing, the scopes are those asked for (RFC 6749, section 5.1).
    let scope = answer.scope.as_deref().unwrap_or(asked_scope);
    let scopes = scope.split_whitespace().map(str::to_owned).collect();
    // Only the form tokens of one page depend on it: an unexpected type is no reason to refuse.
    let user = answer.user.and_then(|user| serde_json::from_str::<User>(user.get()).ok());
    let user_id = user.map_or(0, |user| user.id);
    Ok(Grant { store_hash, access_token: answer.access_token, scopes, user_id })
}

#[cfg(test)]
mod tests;
