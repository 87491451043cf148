//! Why an inbox operation failed, classified once from the databases' errors. Never contains a URL or a password.

use std::{error::Error, sync::Arc};

use sqlx::postgres::PgDatabaseError;

use crate::http;

/// The database's own error.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why an inbox operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InboxError {
    /// A passing fault: the disk is full, or the database is locked, unreachable or read-only.
    #[error("the database cannot be used: {0}")]
    Unavailable(#[source] Cause),
    /// A lasting fault: what is stored cannot be trusted any more.
    #[error("the database is damaged: {0}; put a backup of it in its place")]
    Damaged(#[source] Cause),
    /// The database cannot be opened in its present state.
    #[error("{0}")]
    Unfit(String),
    /// A connection has changed since the revision that a change was decided on; nothing has been written.
    #[error("connections have been changed by others at the same time")]
    Superseded,
    /// The inbox has been closed.
    #[error("the inbox is closed")]
    Closed,
}

impl From<sqlx::Error> for InboxError {
    fn from(error: sqlx::Error) -> Self {
        // The error may quote parts of the URL.
        if let sqlx::Error::Configuration(_) = error {
            return Self::Unfit("the URL cannot be used as it stands".into());
        }
        if let Some(problem) = tls_problem(&error) {
            return Self::Unfit(problem);
        }
        let database = error.as_database_error();
        let server = database.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        match server.map(PgDatabaseError::code) {
            // data_corrupted and index_corrupted.
            Some("XX001" | "XX002") => Self::Damaged(Arc::new(error)),
            Some("28000") if server.and_then(PgDatabaseError::routine) == Some("ClientAuthentication") => Self::Unfit(
                "the database server lets nobody in this way (pg_hba.conf): check sslmode, user, database and address"
                    .into(),
            ),
            Some("28000" | "28P01") => Self::Unfit("the database server refuses the user or its password".into()),
            Some("3D000") => Self::Unfit("the database server has no database of that name".into()),
            Some("42501") => Self::Unfit("the database user lacks a right: it has to own its tables".into()),
            _ => Self::Unavailable(Arc::new(error)),
        }
    }
}

/// The TLS problem with the server, if that is the cause.
fn tls_problem(error: &sqlx::Error) -> Option<String> {
    match (http::tls_error(error), error) {
        (Some(problem @ rustls::Error::InvalidCertificate(_)), _) => {
            Some(format!("the database server's certificate is not accepted: {}", http::certificate_problem(problem)))
        }
        (Some(problem), _) => Some(format!("no TLS with the database server: {problem}")),
        (None, sqlx::Error::Tls(problem)) => Some(format!("no TLS with the database server: {problem}")),
        _ => None,
    }
}
