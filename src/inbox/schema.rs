//! Versions of the tables. Migrations only add, so an older relay can use tables that a newer one has added to. A
//! migration that removes something raises the floor in the table `schema_floor`: the migration that a relay must
//! know from then on.

use sqlx::migrate::{MigrateError, Migrator};

use super::InboxError;

/// Selects the number of the migration that a relay must know to use this database.
pub(super) const FLOOR: &str = "SELECT coalesce(max(migration), 0) FROM schema_floor";

/// This relay's migrations; those of newer relays, which it does not know, are left alone.
pub(super) fn beside_newer(mut own: Migrator) -> Migrator {
    own.set_ignore_missing(true);
    own
}

/// The newest of this relay's migrations.
pub(super) fn newest(own: &Migrator) -> i64 {
    own.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Whether a relay that knows the migrations up to `newest` may use a database with this floor.
///
/// # Errors
/// [`InboxError::Unfit`] if it may not.
pub(super) fn admits(floor: i64, newest: i64) -> Result<(), InboxError> {
    if floor <= newest {
        return Ok(());
    }
    Err(InboxError::Unfit(format!(
        "the database can no longer be used by this relay: a newer one has altered the tables (they need migration \
         {floor}, this relay knows up to {newest}); start the newer version"
    )))
}

/// Why the tables could not be brought up to date.
pub(super) fn unfit(error: MigrateError) -> InboxError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => InboxError::Unfit(format!("the database's tables could not be brought up to date: {other}")),
    }
}
