//! The services and the lock that a command over the database uses.

use super::failure::CommandError;
use crate::{
    config::Config,
    inbox::{Database, sqlite::ServeLock},
    services::{Services, ServicesError},
};

/// The services of a command, for as long as it runs.
pub(super) struct Session {
    pub services: Services,
    /// Held by a command that delivers itself, so that no relay serves the file meanwhile.
    pub lock: Option<ServeLock>,
}

impl Session {
    /// The lock is taken before the database is opened: taking it alters the file, and closing another handle of an
    /// open SQLite file would release the locks on it.
    pub async fn open(config: Config, delivers: bool) -> Result<Self, CommandError> {
        let lock = match &config.settings.database {
            Database::Sqlite(path) if delivers => ServeLock::try_take(path).map_err(ServicesError::Open)?,
            Database::Sqlite(_) | Database::Postgres(_) => None,
        };
        Ok(Self { services: Services::open(config, false).await?, lock })
    }
}
