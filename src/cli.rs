//! The command line. Each subcommand is a function from the parts to an exit code; `main` does the rest.

mod backfill;
mod backup;
mod check;
mod hooks;
mod migrate;
mod orders;
mod output;

use std::{net::IpAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{CommandFactory, Parser, Subcommand};
use secrecy::SecretString;
use url::Url;

use crate::{
    app::Parts,
    http::{self, Seen},
    registrar::RegistrarError,
};

pub use backfill::BackfillArgs;
pub use backup::backup;
pub use hooks::HooksCommand;
pub use migrate::migrate;
pub use orders::OrdersCommand;
pub use output::aside;

/// Relays a BigCommerce store's orders to One Tribe.
///
/// Configured by environment variables, or a `.env` file in the working directory. Exit codes: 0 done, 1 failed,
/// 2 wrong usage or configuration.
#[derive(Debug, Parser)]
#[command(name = "onetribe-relay", version)]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay
    Serve,
    /// Check the integration, as the status page does
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Relay past orders
    ///
    /// Finds orders by their last change, the oldest first, and relays those that One Tribe does not have in their present
    /// state; nothing is sent twice. Archived orders are not in the store's lists and are not found. A running relay delivers
    /// what is found; if none runs on this database, the command does so itself. Broken off, the same command goes on where
    /// it stopped.
    Backfill(BackfillArgs),
    /// Look at or change the relay's webhooks in the store
    #[command(subcommand)]
    Hooks(HooksCommand),
    /// Look at orders, or send them again
    #[command(subcommand)]
    Orders(OrdersCommand),
    /// Copy the SQLite file that DATABASE_URL names into a new file, also while a relay serves it
    Backup {
        /// The new file
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Move the inbox from the SQLite file that DATABASE_URL names into an empty PostgreSQL database
    Migrate {
        /// The target, `postgres://USER:PASSWORD@HOST/DATABASE`
        #[arg(long, value_name = "URL", value_parser = migrate::secret)]
        to: SecretString,
    },
    /// Ask the relay on this machine whether it is ready (for a container without a shell)
    Healthcheck,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// A command that works with the relay's parts.
pub enum PartsCommand {
    /// `check`
    Check {
        /// Print JSON.
        json: bool,
    },
    /// `backfill`
    Backfill(BackfillArgs),
    /// `hooks …`
    Hooks(HooksCommand),
    /// `orders …`
    Orders(OrdersCommand),
}

/// The exit code of wrong usage or configuration.
pub const WRONG: u8 = 2;

/// Why a command failed: one sentence for the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The command was given what makes no sense together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Runs one command over the parts.
pub async fn run(command: PartsCommand, parts: Parts) -> ExitCode {
    let done = match command {
        PartsCommand::Check { json } => check::run(&parts, json).await,
        PartsCommand::Backfill(args) => backfill::run(&parts, args).await,
        PartsCommand::Hooks(command) => hooks::run(&parts, command).await,
        PartsCommand::Orders(command) => orders::run(&parts, command).await,
    };
    parts.inbox.close().await;
    match done {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// Says why a command failed. The exit code tells wrong usage and configuration from everything else.
fn failed(error: &Failure) -> ExitCode {
    output::aside(format_args!("error: {error}"));
    let wrong =
        error.is::<Usage>() || matches!(error.downcast_ref::<RegistrarError>(), Some(RegistrarError::NoPublicUrl));
    if wrong { ExitCode::from(WRONG) } else { ExitCode::FAILURE }
}

/// What helps against a call that BigCommerce refuses, if anything does but trying again.
fn remedy(seen: Seen) -> Option<&'static str> {
    match seen {
        Seen::Status(401) => Some(
            "The access token is refused: set BIGCOMMERCE_ACCESS_TOKEN anew, and BIGCOMMERCE_CLIENT_SECRET from the same API account.",
        ),
        Seen::Status(403) => Some("The access token lacks a right: its API account needs the scope Orders: read-only."),
        _ => None,
    }
}

/// Prints a completion script for a shell.
pub fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "onetribe-relay", &mut script);
    match output::raw(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Asks the relay on this machine whether it is ready.
pub async fn healthcheck(host: IpAddr, port: u16) -> ExitCode {
    let host = match host {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let asked = async {
        let url = Url::parse(&format!("http://{host}:{port}/health/ready"))?;
        let status = http::client(&url, Duration::from_secs(6))?.get(url).send().await?.status();
        Ok::<_, Failure>(status)
    };
    match asked.await {
        Ok(status) if status.is_success() => ExitCode::SUCCESS,
        Ok(status) => {
            output::aside(format_args!("error: not ready (HTTP {})", status.as_u16()));
            ExitCode::FAILURE
        }
        Err(_) => {
            output::aside(format_args!("error: no relay answers on port {port}"));
            ExitCode::FAILURE
        }
    }
}
