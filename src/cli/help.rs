//! The commands and their options, as clap reads them and `--help` shows them.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::examples::examples;
pub use super::{
    backfill::BackfillArgs, connections::ConnectionsCommand, hooks::HooksCommand, migrate::MigrateArgs,
    orders::OrdersCommand, which::Which,
};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.";

/// Relays the orders of online stores to One Tribe.
///
/// Configured by environment variables, or a `.env` file in the working directory.
#[derive(Debug, Parser)]
#[command(name = "onetribe-relay", version, max_term_width = 100)]
#[command(after_help = format!("{EXIT_CODES}\n\n{}", examples!(
    "check"
    "connections add shop.json"
    "orders list --state failed"
    "backfill --since 2025-01-01 --dry-run"
)))]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay; what is done if no command is given
    #[command(after_help = examples!("serve"))]
    Serve,
    /// A command over the database
    #[command(flatten)]
    Store(StoreCommand),
    /// Alerts to ALERT_URL
    #[command(subcommand, after_help = examples!("alerts test"))]
    Alerts(AlertsCommand),
    /// Copy the SQLite file that DATABASE_URL names into a new file, also while a relay serves it
    #[command(after_help = examples!("backup --to /backup/relay.db"))]
    Backup {
        /// The new file
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        to: PathBuf,
    },
    /// Move everything from the SQLite file that DATABASE_URL names into an empty PostgreSQL database
    ///
    /// Stop the relay first. The target's URL holds a password, which has no place in an argument, where every user of
    /// the machine can read it: it comes from the variable MIGRATE_TO, from a file, or from standard input.
    #[command(after_help = examples!("migrate --to-file /run/secrets/new-database-url" "migrate --to - < url.txt"))]
    Migrate(MigrateArgs),
    /// Ask the relay on this machine whether it is ready (for a container without a shell)
    #[command(after_help = examples!("healthcheck"))]
    Healthcheck,
    /// Print a completion script for a shell
    #[command(after_help = examples!("completions bash > /etc/bash_completion.d/onetribe-relay"))]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// A command that works with the database's connections.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Check a connection, as its status page does
    #[command(after_help = examples!("check" "check --connection 3 --json"))]
    Check {
        /// Which connection.
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at connections, make, change or end them
    #[command(subcommand, after_help = examples!("connections list --state paused" "connections add shop.json"))]
    Connections(ConnectionsCommand),
    /// Look at or change a connection's webhooks in its store
    #[command(subcommand, after_help = examples!("hooks list" "hooks remove --connection 3 --dry-run"))]
    Hooks(HooksCommand),
    /// Relay past orders
    ///
    /// Finds orders by their last change, the oldest first, and relays those that the destination does not have in
    /// their present state; nothing is sent twice. Archived orders are not in the store's lists and are not found. A
    /// running relay delivers what is found; if none runs on this database, the command does so itself. Broken off, the
    /// same command goes on where it stopped.
    #[command(after_help = examples!(
        "backfill --since 2025-01-01 --dry-run"
        "backfill --since 2025-01-01 --until 2025-01-31 --connection 3"
    ))]
    Backfill(BackfillArgs),
    /// Look at orders, or send them again
    #[command(subcommand, after_help = examples!("orders list --state failed" "orders resend 1234"))]
    Orders(OrdersCommand),
}

/// What to do about alerts.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Post one message to ALERT_URL, to see that it arrives
    #[command(after_help = examples!("alerts test"))]
    Test,
}
