//! Why hooks cannot be looked after.

use crate::{
    http::{CallError, Failure},
    humanize,
    inbox::InboxError,
};

/// Why hooks cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// Without it no store can call.
    #[error("PUBLIC_URL is not set: no hook can be registered, orders are found by polling alone")]
    NoPublicUrl,
    /// The connection has ended.
    #[error("the connection is disconnected: it has no hooks")]
    Disconnected,
    /// Another process changes hooks, and goes on for longer than callers wait.
    #[error("the hooks are being changed by another relay or command just now: try again in a minute")]
    Busy,
    /// The store's request quota is used up.
    #[error("the store's API limit is used up, perhaps by another app: the relay waits its turn")]
    Quota,
    /// The store did not do as asked.
    #[error("the store does not answer as it should ({})", humanize::failure(.0.failure))]
    Call(CallError),
    /// The numbers of the hooks cannot be kept.
    #[error(transparent)]
    Inbox(#[from] InboxError),
}

impl From<CallError> for RegistrarError {
    fn from(error: CallError) -> Self {
        if error.failure == Failure::Status(429) { Self::Quota } else { Self::Call(error) }
    }
}
