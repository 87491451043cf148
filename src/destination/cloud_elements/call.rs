//! The two calls to a callback: sending a notification, and checking whether its host can be reached.

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

/// The header with the event id: never empty, the same on every retry.
pub const ID_HEADER: &str = "Elements-Webhook-Id";
/// The header with `sha256=<base64>`, sent when the instance has a signature key.
pub const SIGNATURE_HEADER: &str = "Elements-Webhook-Signature";

/// How much of an answer is read to keep the connection usable; its content is ignored.
const DRAINED: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// The value of [`SIGNATURE_HEADER`]: HMAC-SHA256 of the raw body under the key's UTF-8 bytes.
pub fn sign(key: &Secret, body: &[u8]) -> String {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Sends one notification. Any 2xx counts as taken.
///
/// # Errors
/// What happened instead. [`Failure::Status`] 410 means that the callback is gone for good (see [`super::next_try`]).
pub async fn deliver(
    http: &Http,
    callback: &CallbackSpec,
    event_id: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<(), CallError> {
    // The URL was checked when it was given; one that no longer parses cannot be reached.
    let url = Url::parse(callback.url.expose()).map_err(|_| Failure::Connect)?;
    let mut request = http.guarded(Method::POST, url, timeout)?.headers(headers(callback, event_id, &body));
    if let Some((user, password)) = &callback.basic {
        request = request.basic_auth(user, Some(password.expose()));
    }
    let response = request.body(body).send().await?;
    if !response.status().is_success() {
        return Err(CallError::of_status(&response));
    }
    // The status alone decides; a body that is slow or breaks off changes nothing.
    let _ = tokio::time::timeout(DRAIN_TIME, read_body(response, DRAINED)).await;
    Ok(())
}

/// Checks whether the callback's host can be reached (DNS, connection, TLS) without sending it anything that could be
/// taken for a notification: a HEAD of its root. Returns the status, which says little.
///
/// # Errors
/// Why no answer came.
pub async fn probe(http: &Http, callback: &CallbackSpec, timeout: Duration) -> Result<u16, CallError> {
    let mut url = Url::parse(callback.url.expose()).map_err(|_| Failure::Connect)?;
    url.set_path("/");
    url.set_query(None);
    Ok(http.guarded(Method::HEAD, url, timeout)?.send().await?.status().as_u16())
}

/// The instance's own headers go in first, so that they cannot replace the relay's.
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
