//! The two calls to a callback: a notification, and whether its host can be reached.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use sha2::Sha256;
use url::Url;

use crate::{
    http::{CallError, Failure, Http, read_body},
    secret::Secret,
    spec::CallbackSpec,
};

/// Never empty; the same on every retry.
pub const ID_HEADER: &str = "Elements-Webhook-Id";
/// `sha256=<base64>`, when the instance has a signature key.
pub const SIGNATURE_HEADER: &str = "Elements-Webhook-Signature";

/// What is read of an answer to keep the connection usable; the answer itself means nothing here.
const DRAINED: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// The value of [`SIGNATURE_HEADER`]: HMAC-SHA256 of the raw body under the key's UTF-8 bytes.
pub fn sign(key: &Secret, body: &[u8]) -> String {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Sends one notification. Taken means any 2xx.
///
/// # Errors
/// What was seen instead. [`Failure::Status`] 410 means that the callback is gone for good (see [`super::next_try`]).
pub async fn deliver(
    http: &Http,
    callback: &CallbackSpec,
    event_id: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<(), CallError> {
    // A URL that was checked when it was given; one that no longer parses cannot be reached.
    let url = Url::parse(callback.url.expose()).map_err(|_| Failure::Connect)?;
    let mut request = http.guarded(Method::POST, url, timeout)?.headers(headers(callback, event_id, &body));
    if let Some((user, password)) = &callback.basic {
        request = request.basic_auth(user, Some(password.expose()));
    }
    let response = request.body(body).send().await?;
    if !response.status().is_success() {
        return Err(CallError::of_status(&response));
    }
    // Taken as soon as the status is there; a body that drips or breaks changes nothing.
    let _ = tokio::time::timeout(DRAIN_TIME, read_body(response, DRAINED)).await;
    Ok(())
}

/// Finds out whether the callback's host can be reached (name, connection, TLS) without sending it anything that could
/// be taken for a notification: a HEAD of its root. Returns the status, which says little.
///
/// # Errors
/// Why no answer came.
pub async fn probe(http: &Http, callback: &CallbackSpec, timeout: Duration) -> Result<u16, CallError> {
    let mut url = Url::parse(callback.url.expose()).map_err(|_| Failure::Connect)?;
    url.set_path("/");
    url.set_query(None);
    Ok(http.guarded(Method::HEAD, url, timeout)?.send().await?.status().as_u16())
}

/// The instance's own headers first, so that none of them takes the place of the relay's.
fn headers(callback: &CallbackSpec, event_id: &str, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &callback.headers {
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.expose())) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let signature = callback.signature_key.as_ref().map(|key| sign(key, body));
    for (name, value) in [(ID_HEADER, Some(event_id)), (SIGNATURE_HEADER, signature.as_deref())] {
        let name = HeaderName::try_from(name);
        if let (Ok(name), Some(Ok(value))) = (name, value.map(HeaderValue::try_from)) {
            headers.insert(name, value);
        }
    }
    headers
}
