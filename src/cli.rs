//! The command line. Each subcommand is a function from what service and commands share to an exit code; `main` does
//! the rest.

mod alerts;
mod backfill;
mod backup;
mod check;
mod connections;
mod failure;
mod help;
mod hooks;
mod local;
mod migrate;
mod orders;
mod output;
mod which;

use std::process::ExitCode;

use crate::{
    config::Config,
    inbox::{Database, sqlite::ServeLock},
    services::{Services, ServicesError},
};

pub use alerts::test_alert;
pub use backup::backup;
use failure::{CommandError, ended};
pub use failure::{WRONG, is_configuration};
pub use help::{AlertsCommand, Cli, Command, StoreCommand};
pub use local::{completions, healthcheck};
pub use migrate::{Target, migrate};
pub use output::print_note;

/// What a command over the database works with.
struct Session {
    services: Services,
    /// Held by a command that delivers by itself, as long as no relay serves the file.
    lock: Option<ServeLock>,
}

/// Runs a command that works with the database's connections.
pub async fn run(command: StoreCommand, config: Config) -> ExitCode {
    let is_new = match &config.settings.database {
        Database::Sqlite(path) if !path.exists() => Some(path.display().to_string()),
        Database::Sqlite(_) | Database::Postgres(_) => None,
    };
    let session = match Session::open(&command, config).await {
        Ok(session) => session,
        Err(error) => return ended(Err(error)),
    };
    if let Some(path) = is_new {
        print_note(format_args!(
            "note: there was no database at {path} (DATABASE_URL); a new, empty one has been made"
        ));
    }
    let done = session.run(command).await;
    session.services.inbox.close().await;
    ended(done)
}

impl Session {
    /// The lock comes before the database: taking it alters the file, and closing another handle of an open SQLite file
    /// would end the locks on it.
    async fn open(command: &StoreCommand, config: Config) -> Result<Self, CommandError> {
        let delivers = matches!(command, StoreCommand::Backfill(args) if args.delivers());
        let lock = match &config.settings.database {
            Database::Sqlite(path) if delivers => ServeLock::try_take(path).map_err(ServicesError::Open)?,
            Database::Sqlite(_) | Database::Postgres(_) => None,
        };
        Ok(Self { services: Services::open(config, false).await?, lock })
    }

    async fn run(&self, command: StoreCommand) -> Result<(), CommandError> {
        let services = &self.services;
        match command {
            StoreCommand::Check { which, json } => check::run(services, &which, json).await,
            StoreCommand::Connections(command) => connections::run(services, command).await,
            StoreCommand::Hooks(command) => hooks::run(services, command).await,
            StoreCommand::Backfill(args) => backfill::run(self, args).await,
            StoreCommand::Orders(command) => orders::run(services, command).await,
        }
    }
}
