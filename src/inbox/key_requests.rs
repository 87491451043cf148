//! Requests for a shop's keys that are still pending. They are in the database because the shop's server and the
//! merchant's browser may each reach another process than the one that asked.

use async_trait::async_trait;

use super::InboxError;
use crate::{clock::Timestamp, spec::keyring::Sealed};

/// Most requests pending at once; the oldest are dropped for new ones.
pub const MOST_KEY_REQUESTS: u32 = 1000;

/// A request for the keys of a shop.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// A digest of the request's secret name: reading the database is not enough to answer the request.
    pub id: Vec<u8>,
    /// The connection to be made, sealed.
    pub sealed: Sealed,
    /// When the request expires.
    pub until: Timestamp,
}

/// The state of a request for keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRequestState {
    /// The shop has sent no keys that work yet; why the last ones did not, as a sentence.
    Waiting(Option<String>),
    /// Keys are being tried.
    Trying,
    /// The connection has been made.
    Connected,
}

/// Stores requests for keys. A change is durable once its future completes.
#[async_trait]
pub trait KeyRequests: Send + Sync {
    /// Stores a request. Drops expired ones, and the oldest beyond [`MOST_KEY_REQUESTS`].
    async fn begin_key_request(&self, request: KeyRequest, now: Timestamp) -> Result<(), InboxError>;

    /// The connection to be made for a request that waits for keys. No other keys are accepted for it until `until`,
    /// or until the trial ends.
    async fn try_key_request(
        &self,
        id: Vec<u8>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Sealed>, InboxError>;

    /// Ends a trial: `failure` says why no connection was made, `None` that one was.
    async fn end_key_request(&self, id: Vec<u8>, failure: Option<String>) -> Result<(), InboxError>;

    /// The state of a request that has not expired.
    async fn key_request(&self, id: Vec<u8>, now: Timestamp) -> Result<Option<KeyRequestState>, InboxError>;

    /// Drops expired requests. Returns how many.
    async fn drop_key_requests(&self, now: Timestamp) -> Result<u64, InboxError>;
}

impl KeyRequestState {
    /// The state that a row's columns stand for.
    pub(super) fn of(is_made: bool, is_tried: bool, failure: Option<String>) -> Self {
        match (is_made, is_tried) {
            (true, _) => Self::Connected,
            (false, true) => Self::Trying,
            (false, false) => Self::Waiting(failure),
        }
    }
}
