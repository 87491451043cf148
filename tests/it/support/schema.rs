//! Migrations of future versions, applied and recorded as those versions would.

use sqlx::{
    Connection,
    migrate::{Migrate, MigrateError},
};

/// The migration that only adds.
const EXPAND: i64 = 9001;

/// What every current relay logs about a database that it can no longer use.
pub const LEFT_BEHIND: &str = "the database can no longer be used by this relay";

/// Migrates as the next version would at its start: it only adds to the tables.
pub async fn expand(database: &mut (impl Connection + Migrate)) {
    apply(database, EXPAND).await;
}

/// Migrates as the version after it would: relays that do not know the additions can no longer use the database.
pub async fn contract(database: &mut (impl Connection + Migrate)) {
    apply(database, i64::MAX).await;
}

/// Tries again, as those versions would, when PostgreSQL aborts the migration because of a deadlock with a running
/// relay.
async fn apply(database: &mut (impl Connection + Migrate), up_to: i64) {
    let mut next = sqlx::migrate!("tests/it/support/next");
    // After a failure the lock would remain on the same connection, and nothing else alters tables here.
    next.set_ignore_missing(true).set_locking(false);
    let deadlock =
        |error: &sqlx::Error| error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("40P01"));
    for _ in 0..5 {
        match next.run_direct(Some(up_to), database, false).await {
            Err(MigrateError::ExecuteMigration(error, _)) if deadlock(&error) => {}
            done => return done.expect("an older relay is not in the way"),
        }
    }
    panic!("an older relay is in the way again and again");
}
