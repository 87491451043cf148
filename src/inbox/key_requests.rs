//! Shops that have been asked for their keys. Kept in the database: the shop's server and the merchant's browser may
//! each reach another process than the one that asked.

use async_trait::async_trait;

use super::InboxError;
use crate::{clock::Timestamp, spec::keyring::Sealed};

/// So many requests are pending at once, at most: the oldest make room.
pub const MOST_KEY_REQUESTS: u32 = 1000;

/// A request for a shop's keys.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// A digest of what names it: whoever reads the database cannot answer it.
    pub id: Vec<u8>,
    /// The connection that is to be made.
    pub sealed: Sealed,
    /// How long keys are taken for it.
    pub until: Timestamp,
}

/// What became of a request for keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRequestState {
    /// The shop has sent no keys that work yet; why the last ones did not, in a sentence.
    Waiting(Option<String>),
    /// Keys are being tried.
    Trying,
    /// The connection has been made.
    Connected,
}

/// Requests for keys. All changes are durable when their future is done.
#[async_trait]
pub trait KeyRequests: Send + Sync {
    /// Keeps a request. Those that have run out are dropped, and the oldest of more than [`MOST_KEY_REQUESTS`].
    async fn begin_key_request(&self, request: KeyRequest, now: Timestamp) -> Result<(), InboxError>;

    /// What is to be made of a request that waits for keys; until `until`, or its end, no others are taken for it.
    async fn try_key_request(
        &self,
        id: Vec<u8>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Sealed>, InboxError>;

    /// Ends a trial: with a connection, or with why there is none.
    async fn end_key_request(&self, id: Vec<u8>, failure: Option<String>) -> Result<(), InboxError>;

    /// What became of a request that has not run out.
    async fn key_request(&self, id: Vec<u8>, now: Timestamp) -> Result<Option<KeyRequestState>, InboxError>;

    /// Drops what has run out. Returns how many.
    async fn drop_key_requests(&self, now: Timestamp) -> Result<u64, InboxError>;
}

impl KeyRequestState {
    /// As a row has it.
    pub(super) fn of(is_made: bool, is_tried: bool, failure: Option<String>) -> Self {
        match (is_made, is_tried) {
            (true, _) => Self::Connected,
            (false, true) => Self::Trying,
            (false, false) => Self::Waiting(failure),
        }
    }
}
