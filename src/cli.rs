//! The command line. Each subcommand is a function from the shared services to an exit code; `main` does the rest.

mod alerts;
mod backfill;
mod backup;
mod check;
mod connections;
mod examples;
mod failure;
mod help;
mod hooks;
mod local;
mod migrate;
mod orders;
mod output;
mod session;
mod terminal;
mod which;

use std::process::ExitCode;

use crate::{config::Config, inbox::Database};

pub use alerts::test_alert;
pub use backup::backup;
use failure::{CommandError, ended};
pub use failure::{WRONG, is_configuration};
pub use help::{AlertsCommand, Cli, Command, StoreCommand};
pub use local::{completions, healthcheck};
pub use migrate::{Target, migrate};
use session::Session;
pub use terminal::print_note;

/// Runs a command that works on the database's connections.
pub async fn run(command: StoreCommand, config: Config) -> ExitCode {
    let is_new = match &config.settings.database {
        Database::Sqlite(path) if !path.exists() => Some(path.display().to_string()),
        Database::Sqlite(_) | Database::Postgres(_) => None,
    };
    let delivers = matches!(&command, StoreCommand::Backfill(args) if args.delivers());
    let session = match Session::open(config, delivers).await {
        Ok(session) => session,
        Err(error) => return ended(Err(error)),
    };
    if let Some(path) = is_new {
        print_note(format_args!(
            "note: there was no database at {path} (DATABASE_URL); a new, empty one has been made"
        ));
    }
    let done = run_in(&session, command).await;
    session.services.inbox.close().await;
    ended(done)
}

async fn run_in(session: &Session, command: StoreCommand) -> Result<(), CommandError> {
    let services = &session.services;
    match command {
        StoreCommand::Check { which, json } => check::run(services, &which, json).await,
        StoreCommand::Connections(command) => connections::run(services, command).await,
        StoreCommand::Hooks(command) => hooks::run(services, command).await,
        StoreCommand::Backfill(args) => backfill::run(session, args).await,
        StoreCommand::Orders(command) => orders::run(services, command).await,
    }
}
