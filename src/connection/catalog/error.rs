//! Why connections cannot be loaded, or none can be chosen.

use std::fmt;

use crate::{inbox::InboxError, object::ConnectionId, spec::keyring::KeyringError};

/// A connection whose credentials no key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedConnection {
    /// The connection's number.
    pub id: ConnectionId,
    /// The display name.
    pub name: String,
    /// Why they cannot be opened.
    pub error: KeyringError,
}

/// Why the relay cannot start with this database and this configuration.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database cannot be read.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// The credentials of some connections cannot be opened, which is a fault of `CREDENTIALS_KEY`. Never empty.
    #[error("{}", Closed(.0))]
    Closed(Vec<ClosedConnection>),
}

/// Shows the first few of them, and the total.
struct Closed<'a>(&'a [ClosedConnection]);

impl fmt::Display for Closed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let Some(first) = self.0.first() else { return Ok(()) };
        f.write_str("CREDENTIALS_KEY does not open the credentials of connection ")?;
        for (at, closed) in self.0.iter().take(SHOWN).enumerate() {
            let name = closed.name.escape_debug();
            write!(f, "{}{} ({name})", if at == 0 { "" } else { ", " }, closed.id)?;
        }
        if self.0.len() > SHOWN {
            write!(f, " and {} more", self.0.len() - SHOWN)?;
        }
        match first.error {
            KeyringError::NoKey => f.write_str(": it is not set; set it to the key that has sealed them"),
            KeyringError::UnknownKey => {
                f.write_str(": none of the keys in it has sealed them; add the key that has, after the newest")
            }
            error => write!(f, ": {error}"),
        }
    }
}

/// Why a default connection cannot be chosen when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSoleConnection {
    /// There is none, or all have ended.
    #[error("there is no connection, or all have ended: say which one is meant")]
    None,
    /// There are several, and none is the environment's.
    #[error("there are several connections: say which one is meant")]
    Several,
}
