//! Brings the tables of a file up to date. Migrations only add: an older relay can use tables that a newer one has
//! added to.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use sha2::{Digest, Sha256};

use crate::inbox::{InboxError, schema};

/// This relay's migrations, by number.
const MIGRATIONS: [(i64, &str); 1] = [(1, include_str!("../../../migrations/sqlite/0001_inbox.sql"))];

/// Why the tables could not be brought up to date.
pub(super) enum MigrationError {
    Sqlite(rusqlite::Error),
    Unfit(InboxError),
}

impl From<rusqlite::Error> for MigrationError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl MigrationError {
    pub fn or_else(self, read: impl FnOnce(rusqlite::Error) -> InboxError) -> InboxError {
        match self {
            Self::Sqlite(error) => read(error),
            Self::Unfit(error) => error,
        }
    }
}

/// The newest migration that this relay knows.
pub(super) fn newest() -> i64 {
    MIGRATIONS[MIGRATIONS.len() - 1].0
}

/// Applies the missing migrations in one transaction.
pub(super) fn run(connection: &mut Connection) -> Result<(), MigrationError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, checksum BLOB NOT NULL) STRICT",
    )?;
    for (version, sql) in MIGRATIONS {
        let checksum = Sha256::digest(sql).to_vec();
        let applied: Option<Vec<u8>> = transaction
            .query_row("SELECT checksum FROM migrations WHERE version = ?1", [version], |row| row.get(0))
            .optional()?;
        match applied {
            Some(known) if known == checksum => {}
            Some(_) => {
                let error = format!("the database's tables were made by another version of migration {version}");
                return Err(MigrationError::Unfit(InboxError::Unfit(error)));
            }
            None => {
                transaction.execute_batch(sql)?;
                transaction.execute("INSERT INTO migrations VALUES (?1, ?2)", (version, checksum))?;
            }
        }
    }
    let floor: i64 = transaction.query_row(schema::FLOOR, [], |row| row.get(0))?;
    schema::admits(floor, newest()).map_err(MigrationError::Unfit)?;
    Ok(transaction.commit()?)
}
