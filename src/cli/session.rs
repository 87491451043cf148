//! What a command over the database works with.

use super::failure::CommandError;
use crate::{
    config::Config,
    inbox::{Database, sqlite::ServeLock},
    services::{Services, ServicesError},
};

/// The database's connections, for as long as a command runs.
pub(super) struct Session {
    pub services: Services,
    /// Held by a command that delivers by itself, as long as no relay serves the file.
    pub lock: Option<ServeLock>,
}

impl Session {
    /// The lock comes before the database: taking it alters the file, and closing another handle of an open SQLite file
    /// would end the locks on it.
    pub async fn open(config: Config, delivers: bool) -> Result<Self, CommandError> {
        let lock = match &config.settings.database {
            Database::Sqlite(path) if delivers => ServeLock::try_take(path).map_err(ServicesError::Open)?,
            Database::Sqlite(_) | Database::Postgres(_) => None,
        };
        Ok(Self { services: Services::open(config, false).await?, lock })
    }
}
