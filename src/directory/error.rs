//! Why a connection was not made, changed or ended.

use crate::{
    http::{CallError, Failure},
    humanize,
    inbox::InboxError,
    object::ConnectionId,
    spec::keyring::KeyringError,
};

/// Why a connection was not made, changed or ended.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The same store and destination are connected already.
    #[error("connection {0} connects this store and this destination already")]
    Duplicate(ConnectionId),
    /// The environment's own connection is changed by its variables.
    #[error("connection {0} is the environment's own: change its variables and restart the relay")]
    EnvironmentsOwn(ConnectionId),
    /// There is no connection with this number.
    #[error("there is no connection {0}")]
    Unknown(ConnectionId),
    /// It has ended; its credentials are wiped.
    #[error("connection {0} is disconnected: make it anew")]
    Disconnected(ConnectionId),
    /// It has changed since the change was decided on; nothing has been written.
    #[error("connection {0} is being changed by others at the same time")]
    Overtaken(ConnectionId),
    /// A store of the app has no payload URL yet.
    #[error("connection {0} has no payload URL yet: it is entered on the app's page in the store")]
    Incomplete(ConnectionId),
    /// The store refuses the credentials, or the store does not exist.
    #[error("the store refuses the credentials ({})", humanize::failure(*.0))]
    Refused(Failure),
    /// The store cannot be reached.
    #[error("the store cannot be asked ({})", humanize::failure(*.0))]
    Unreachable(Failure),
    /// The store's address cannot be used.
    #[error("the store's address cannot be used")]
    BadAddress,
    /// There is no key to seal credentials with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The database cannot be read or written.
    #[error(transparent)]
    Inbox(#[from] InboxError),
}

impl From<CallError> for DirectoryError {
    fn from(error: CallError) -> Self {
        match error.failure {
            Failure::Status(401 | 403 | 404) => Self::Refused(error.failure),
            failure => Self::Unreachable(failure),
        }
    }
}
