//! Failures of calls as values: classified once, where the call is made, and turned into a sentence only where a
//! person reads them (`humanize::failure`).

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Why a call did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Failure {
    /// A status that is not 2xx (or not the expected one).
    Status(u16),
    /// A web page where an API answer was expected, with its status: a gateway, a firewall or a maintenance page.
    Html(u16),
    /// The name does not resolve.
    Dns,
    /// The address is not one that the relay may call (private, loopback, link-local).
    PrivateAddress,
    /// The connection was refused.
    Connect,
    /// The certificate or the handshake was not acceptable.
    Tls,
    /// There was no complete answer in time.
    Timeout,
    /// The connection broke before the answer was complete.
    Broken,
    /// The answer was not JSON.
    NotJson,
    /// The answer was about another object than the one asked for.
    AnotherObject,
    /// The answer was larger than the limit.
    TooLarge,
}

impl Failure {
    const WORDS: [(Self, &'static str); 9] = [
        (Self::Dns, "dns"),
        (Self::PrivateAddress, "private_address"),
        (Self::Connect, "connect"),
        (Self::Tls, "tls"),
        (Self::Timeout, "timeout"),
        (Self::Broken, "broken"),
        (Self::NotJson, "not_json"),
        (Self::AnotherObject, "another_object"),
        (Self::TooLarge, "too_large"),
    ];

    /// The status of the answer, if there was a meaningful one.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::Html(status) => Some(status),
            _ => None,
        }
    }
}

/// The stable code of the failure in databases, metrics and logs: `http_401`, `html_403`, `timeout`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "http_{status}"),
            Self::Html(status) => write!(f, "html_{status}"),
            other => {
                let word = Self::WORDS.iter().find(|(failure, _)| failure == other).map_or("unknown", |(_, word)| word);
                f.write_str(word)
            }
        }
    }
}

/// The text is not the code of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the code of a failure")]
pub struct UnknownFailure;

impl FromStr for Failure {
    type Err = UnknownFailure;

    fn from_str(code: &str) -> Result<Self, UnknownFailure> {
        let status = |prefix| code.strip_prefix(prefix).and_then(|status| status.parse().ok());
        status("http_")
            .map(Self::Status)
            .or_else(|| status("html_").map(Self::Html))
            .or_else(|| Self::WORDS.iter().find(|(_, word)| *word == code).map(|(failure, _)| *failure))
            .ok_or(UnknownFailure)
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.to_string()
    }
}

impl TryFrom<String> for Failure {
    type Error = UnknownFailure;

    fn try_from(code: String) -> Result<Self, UnknownFailure> {
        code.parse()
    }
}

/// A failed call: the failure, and how long the far side asked to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{failure}")]
pub struct CallError {
    /// Why the call failed.
    pub failure: Failure,
    /// `Retry-After` (or BigCommerce's `X-Retry-After`), at most an hour.
    pub retry_after: Option<Duration>,
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self { failure, retry_after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back() {
        let words = Failure::WORDS.map(|(failure, _)| failure);
        for failure in words.into_iter().chain([Failure::Status(401), Failure::Html(503)]) {
            assert_eq!(failure.to_string().parse(), Ok(failure));
        }
        for code in ["", "http_", "http_x", "HTTP 401", "unknown"] {
            assert_eq!(code.parse::<Failure>(), Err(UnknownFailure), "{code}");
        }
    }
}
