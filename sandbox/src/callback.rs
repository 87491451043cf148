//! Single callbacks, signed as BigCommerce signs them or wrongly on purpose. `sender` decides when to send them.

use bytes::Bytes;
use onetribe_relay::signature;
use reqwest::header::CONTENT_TYPE;

use crate::event::Event;

/// Header names and values of one callback.
pub type Headers = Vec<(String, String)>;

/// How a single callback proves that it is genuine, or fails to.
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    /// The kind of signature.
    pub signature: SignatureKind,
    /// `webhook-timestamp`, unix seconds; now if `None`.
    pub timestamp: Option<i64>,
    /// Further headers, such as the ones registered with the hook.
    pub headers: Headers,
}

/// Which signature a callback carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SignatureKind {
    /// The valid one.
    #[default]
    Right,
    /// Made with another secret.
    Wrong,
    /// None of the three signature headers.
    Missing,
}

impl SendOptions {
    /// No signature.
    pub fn unsigned() -> Self {
        Self { signature: SignatureKind::Missing, ..Self::default() }
    }

    /// A signature under another secret.
    pub fn wrongly_signed() -> Self {
        Self { signature: SignatureKind::Wrong, ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets `webhook-timestamp` (unix seconds).
    #[must_use]
    pub fn timestamp(mut self, unix_seconds: i64) -> Self {
        self.timestamp = Some(unix_seconds);
        self
    }
}

/// A validly signed callback with the current time: the headers (`Content-Type` included) and the body.
pub fn signed_request(secret: &str, event: &Event) -> (Headers, Bytes) {
    request(secret, &event.webhook_id(), event.body(), &SendOptions::default())
}

/// The headers and the body of one callback.
pub fn request(secret: &str, webhook_id: &str, body: Bytes, options: &SendOptions) -> (Headers, Bytes) {
    let mut headers = vec![(CONTENT_TYPE.as_str().to_owned(), "application/json".to_owned())];
    let timestamp = options.timestamp.unwrap_or_else(crate::clock::system_clock);
    let key = match options.signature {
        SignatureKind::Right => Some(secret.to_owned()),
        SignatureKind::Wrong => Some(format!("not {secret}")),
        SignatureKind::Missing => None,
    };
    if let Some(key) = key {
        let signature = signature::sign(&key, webhook_id, timestamp, &body);
        headers.push(("webhook-id".to_owned(), webhook_id.to_owned()));
        headers.push(("webhook-timestamp".to_owned(), timestamp.to_string()));
        headers.push(("webhook-signature".to_owned(), signature));
    }
    headers.extend(options.headers.iter().cloned());
    (headers, body)
}

/// Posts one callback and returns the status of the answer. For a duplicate, send the same event with its `webhook-id`
/// set twice.
///
/// # Errors
/// The connection failed.
pub async fn send_once(
    client: &reqwest::Client,
    url: &str,
    secret: &str,
    event: &Event,
    options: &SendOptions,
) -> reqwest::Result<u16> {
    let (headers, body) = request(secret, &event.webhook_id(), event.body(), options);
    post(client, url, headers, body).await
}

pub(crate) async fn post(client: &reqwest::Client, url: &str, headers: Headers, body: Bytes) -> reqwest::Result<u16> {
    let mut request = client.post(url).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    // The body is read to its end so that the connection can be reused; a body that breaks off does not change the
    // status.
    let _ = response.bytes().await;
    Ok(status)
}
