//! Why hooks cannot be checked or changed.

use crate::{
    http::{CallError, Failure},
    humanize,
    inbox::InboxError,
};

/// Why hooks cannot be checked or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// There is no public URL, without which no store can call.
    #[error("PUBLIC_URL is not set: no hook can be registered, orders are found by polling alone")]
    NoPublicUrl,
    /// The connection has ended.
    #[error("the connection is disconnected: it has no hooks")]
    Disconnected,
    /// Another process is changing the hooks, for longer than callers wait.
    #[error("the hooks are being changed by another relay or command just now: try again in a minute")]
    Busy,
    /// The store's request quota is used up.
    #[error("the store's API limit is used up, perhaps by another app: the relay waits its turn")]
    Quota,
    /// A call to the store failed.
    #[error("{}", humanize::store_failure(.0.failure))]
    Call(CallError),
    /// The hooks' rows cannot be read or written.
    #[error(transparent)]
    Inbox(#[from] InboxError),
}

impl From<CallError> for RegistrarError {
    fn from(error: CallError) -> Self {
        if error.failure == Failure::Status(429) { Self::Quota } else { Self::Call(error) }
    }
}
