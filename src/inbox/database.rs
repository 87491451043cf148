//! Where an inbox lives.

use std::{fmt, path::PathBuf};

use crate::secret::Secret;

/// Where the inbox lives.
#[derive(Clone)]
pub enum Database {
    /// A file beside the relay.
    Sqlite(PathBuf),
    /// A server; the URL holds a password.
    Postgres(Secret),
}

/// Only the kind: the address may hold a password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite(..)",
            Self::Postgres(_) => "Postgres(..)",
        })
    }
}

impl Database {
    /// The product's name, for logs and pages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}
