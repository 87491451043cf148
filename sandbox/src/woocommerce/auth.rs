//! Authentication: keys in the query or in the header if WordPress takes the request for `https`, otherwise one-legged
//! OAuth 1.0a. Modelled on WooCommerce's `class-wc-rest-authentication.php`, not on the relay.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::key::ShopKey;
use super::list::{Params, param};
use super::rest_error::RestError;
use super::state::State;
use crate::clock::system_clock;

/// How far a timestamp may be off, in seconds.
const TOLERANCE: i64 = 15 * 60;

/// The key that a request authenticates with; `None` without credentials, an error if they are invalid.
pub(super) fn authenticate(
    state: &State,
    request: &HttpRequest,
    params: &Params,
) -> Result<Option<ShopKey>, RestError> {
    let raw = request.uri().path_and_query().map_or("", |text| text.as_str());
    // WooCommerce before 11.1 recognises its own routes by this text in the request.
    if !raw.contains("wp-json/wc/") {
        return Ok(None);
    }
    let config = state.config();
    if config.is_ssl
        && let Some((key, secret)) = keys_in_query(params).or_else(|| keys_in_header(state, request))
        && let Some(known) = state.key(&key)
    {
        return if known.consumer_secret == secret { Ok(Some(known)) } else { Err(RestError::WRONG_SECRET) };
    }
    match param(params, "oauth_consumer_key") {
        Some(key) => by_oauth(state, request, params, key).map(Some),
        None => Ok(None),
    }
}

fn keys_in_query(params: &Params) -> Option<(String, String)> {
    Some((param(params, "consumer_key")?.to_owned(), param(params, "consumer_secret")?.to_owned()))
}

fn keys_in_header(state: &State, request: &HttpRequest) -> Option<(String, String)> {
    if state.config().strips_authorization {
        return None;
    }
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let pair = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
    pair.split_once(':').map(|(key, secret)| (key.to_owned(), secret.to_owned()))
}

fn by_oauth(state: &State, request: &HttpRequest, params: &Params, key: &str) -> Result<ShopKey, RestError> {
    let known = state.key(key).ok_or(RestError::UNKNOWN_KEY)?;
    let text = |name| param(params, name).ok_or(RestError::WRONG_SIGNATURE);
    if text("oauth_signature_method")? != "HMAC-SHA256" {
        return Err(RestError::WRONG_SIGNATURE);
    }
    let mut others: Params = params.iter().filter(|(name, _)| name != "oauth_signature").cloned().collect();
    others.sort();
    let pairs: Vec<String> = others.iter().map(|(name, value)| format!("{}%3D{}", twice(name), twice(value))).collect();
    // WordPress's `home_url()`, followed by what comes after the shop's folder in the request.
    let config = state.config();
    let below = request.path().strip_prefix(&format!("{}/", config.folder)).unwrap_or_default();
    let scheme = if config.is_ssl || config.home_is_https { "https" } else { "http" };
    let home = format!("{scheme}://{}{}", state.address, config.folder);
    let address = if below.is_empty() { home } else { format!("{home}/{below}") };
    let signed = format!("{}&{}&{}", request.method(), once(&address), pairs.join("%26"));
    let key = format!("{}&", known.consumer_secret);
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_bytes()).expect("HMAC takes any key");
    mac.update(signed.as_bytes());
    let given = STANDARD.decode(text("oauth_signature")?).map_err(|_| RestError::WRONG_SIGNATURE)?;
    mac.verify_slice(&given).map_err(|_| RestError::WRONG_SIGNATURE)?;
    let at: i64 = text("oauth_timestamp")?.parse().map_err(|_| RestError::WRONG_TIME)?;
    if (at - system_clock()).abs() > TOLERANCE {
        return Err(RestError::WRONG_TIME);
    }
    if state.use_nonce(text("oauth_nonce")?) { Ok(known) } else { Err(RestError::USED_NONCE) }
}

/// Encodes as PHP's `rawurlencode` does.
fn once(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let byte = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(byte).collect()
}

fn twice(text: &str) -> String {
    once(text).replace('%', "%25")
}
