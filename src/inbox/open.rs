//! Opens an inbox with the engine that its database needs.

use std::sync::Arc;

use super::{Database, Inbox, InboxError, postgres::PostgresInbox, sqlite::SqliteInbox};

/// Opens the inbox in the configured database.
///
/// # Errors
/// [`InboxError`], with the database's own error.
pub async fn open(database: &Database) -> Result<Arc<dyn Inbox>, InboxError> {
    match database {
        Database::Sqlite(path) => Ok(Arc::new(SqliteInbox::open(path).await?)),
        Database::Postgres(url) => Ok(Arc::new(PostgresInbox::open(url).await?)),
    }
}
