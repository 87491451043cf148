//! One way to call out: bounded in time and size, no redirects, and every failure named without the URL or the body.

use std::{error::Error, fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Response, header::HeaderMap, redirect};
use rustls::CertificateError;
use url::Url;

use crate::config;

/// What the relay calls itself.
pub const USER_AGENT: &str = concat!("onetribe-relay/", env!("CARGO_PKG_VERSION"));

/// A name that is slow to resolve or a host that swallows packets should not use up a whole call's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than common server keep-alives, so that a call seldom meets a connection that was just closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A far side's `Retry-After` counts up to this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A client for calls to `base` that take at most `timeout` each, body and all.
///
/// # Errors
/// When the machine's TLS roots cannot be read.
pub fn client(base: &Url, timeout: Duration) -> reqwest::Result<Client> {
    // Already installed is as good as installed now.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .pool_idle_timeout(IDLE_TIMEOUT);
    // A proxy has no way back to this machine's own loopback.
    if config::is_loopback(base) { builder.no_proxy() } else { builder }.build()
}

/// How a call failed before a whole answer was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The name does not resolve.
    Dns,
    /// Nobody accepts connections there.
    Connect,
    /// The certificate or the handshake is not acceptable.
    Tls,
    /// No whole answer in time.
    Timeout,
    /// The connection broke before the answer was whole.
    Broken,
}

/// What came of a call that was not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A status that is not 2xx (or not the expected one).
    Status(u16),
    /// No whole answer.
    Transport(Transport),
    /// A whole answer that is no use.
    Unusable(Unusable),
}

/// Why a whole answer is no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Not the JSON that was asked for.
    NotJson,
    /// Another order than the one asked for.
    AnotherOrder,
    /// Larger than the limit.
    TooLarge,
}

/// A failed call: what was seen, and the wait the far side asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{seen}")]
pub struct CallError {
    /// What was seen.
    pub seen: Seen,
    /// `Retry-After` (or `X-Retry-After`), at most an hour.
    pub retry_after: Option<Duration>,
}

impl From<Seen> for CallError {
    fn from(seen: Seen) -> Self {
        Self { seen, retry_after: None }
    }
}

impl From<Unusable> for CallError {
    fn from(why: Unusable) -> Self {
        Seen::Unusable(why).into()
    }
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        (&error).into()
    }
}

impl From<&reqwest::Error> for CallError {
    fn from(error: &reqwest::Error) -> Self {
        Seen::Transport(Transport::of(error)).into()
    }
}

impl CallError {
    /// From an answer whose status is no success.
    pub fn of_status(response: &Response) -> Self {
        Self { seen: Seen::Status(response.status().as_u16()), retry_after: retry_after(response.headers()) }
    }
}

impl Transport {
    fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        if tls_error(error).is_some() {
            return Self::Tls;
        }
        let mut cause: Option<&dyn Error> = error.source();
        while let Some(inner) = cause {
            if inner.to_string().contains("dns error") {
                return Self::Dns;
            }
            cause = inner.source();
        }
        if error.is_connect() { Self::Connect } else { Self::Broken }
    }
}

/// What the TLS library said, if it was the one to fail. An `io::Error` hides what it wraps from `source`, and they come nested.
pub(crate) fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| inner.source());
    }
    None
}

/// What is wrong with a certificate, as far as the TLS library says it.
pub(crate) fn certificate_problem(error: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(problem) = error else {
        return "no secure connection could be agreed on";
    };
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it was issued for another name"
        }
        CertificateError::Revoked => "it has been revoked",
        // The latter when an authority of the same name has another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it was issued by nobody who is trusted (self-signed, or its chain is incomplete)"
        }
        // The library has no name of its own for this one, which `openssl req -x509` makes.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "it is marked as an authority's (CA:TRUE), not as a server's"
        }
        _ => "it cannot be verified",
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => return write!(f, "HTTP {status}"),
            Self::Transport(Transport::Dns) => "the name does not resolve",
            Self::Transport(Transport::Connect) => "no connection",
            Self::Transport(Transport::Tls) => "TLS or certificate problem",
            Self::Transport(Transport::Timeout) => "timed out",
            Self::Transport(Transport::Broken) => "the connection broke",
            Self::Unusable(Unusable::NotJson) => "the answer is not the JSON asked for",
            Self::Unusable(Unusable::AnotherOrder) => "the answer is another order",
            Self::Unusable(Unusable::TooLarge) => "the answer is too large",
        })
    }
}

/// A header's whole number, if it is one.
pub fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `Retry-After` in seconds or as a date, or BigCommerce's older `X-Retry-After`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let date = || {
        let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
        let at = jiff::fmt::rfc2822::parse(&text.replace("GMT", "+0000")).ok()?;
        Duration::try_from(at.timestamp().duration_since(jiff::Timestamp::now())).ok()
    };
    let seconds = |name| number(headers, name).map(Duration::from_secs);
    let wait = seconds("retry-after").or_else(date).or_else(|| seconds("x-retry-after"));
    wait.map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// Reads a body of at most `limit` bytes, exactly as it came.
///
/// # Errors
/// [`Unusable::TooLarge`] beyond the limit; a [`Transport`] when the body does not come whole.
pub async fn read_body(mut response: Response, limit: usize) -> Result<Bytes, CallError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(Unusable::TooLarge.into());
    }
    let mut body = BytesMut::with_capacity(announced as usize);
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(Unusable::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
