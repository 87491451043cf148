//! What one relay or command at a time has, of all that share an inbox.

/// A lease on something that belongs to a connection and that only one may do at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// The connection's singular work: calling the store and the destination.
    Lead,
    /// Changing the connection's hooks.
    Hooks,
}

impl Lease {
    /// As the database keeps it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Hooks => "hooks",
        }
    }
}

/// Which turn at a lease this is: another number than before means that somebody else may have had one in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term(pub(super) i64);
