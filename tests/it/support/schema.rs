//! Migrations of versions that are yet to come, applied and recorded as those versions would do it.

use sqlx::{
    Connection,
    migrate::{Migrate, MigrateError},
};

/// The migration that only adds.
const EXPAND: i64 = 9001;

/// What every relay of the present says of a database that it must leave alone.
pub const LEFT_BEHIND: &str = "the database can no longer be used by this relay";

/// The next version starts: it adds to the tables.
pub async fn expand(database: &mut (impl Connection + Migrate)) {
    apply(database, EXPAND).await;
}

/// The version after the next starts: what the present one does not know has to be known.
pub async fn contract(database: &mut (impl Connection + Migrate)) {
    apply(database, i64::MAX).await;
}

/// Begins again, as those versions would, when the server breaks it off for a running relay's sake.
async fn apply(database: &mut (impl Connection + Migrate), up_to: i64) {
    let mut next = sqlx::migrate!("tests/it/support/next");
    // A lock would outlast a failure on the same connection, and nobody else alters tables here.
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
