//! The command line. Each subcommand is a function from what service and commands share to an exit code; `main` does the
//! rest.

mod output;

use std::{fmt::Display, net::IpAddr, process::ExitCode, time::Duration};

use clap::{CommandFactory, Parser, Subcommand};
use url::Url;

use crate::http::{AddressPolicy, Http};

pub use output::print_note;

/// Where the whole documentation is.
const DOCS: &str = "https://github.com/onetribe/onetribe-relay#readme";

/// Relays the orders of online stores to One Tribe.
#[derive(Debug, Parser)]
#[command(name = "onetribe-relay", version, max_term_width = 100)]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay (also if no command is given)
    Serve,
    /// Ask the relay on this machine whether it is ready (for a container without a shell)
    Healthcheck,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// The exit code of wrong usage or configuration.
pub const WRONG: u8 = 2;

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CommandError {
    message: String,
    /// It was given what makes no sense, or is not configured for it.
    is_wrong_usage: bool,
}

impl CommandError {
    fn failed(message: impl Display) -> Self {
        Self { message: message.to_string(), is_wrong_usage: false }
    }

    fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), is_wrong_usage: true }
    }
}

/// Prints why a command failed. The exit code tells wrong usage and configuration from everything else.
fn failed(error: &CommandError) -> ExitCode {
    output::print_note(format_args!("error: {error}"));
    if error.is_wrong_usage { ExitCode::from(WRONG) } else { ExitCode::FAILURE }
}

fn ended(done: Result<(), CommandError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Prints a completion script for a shell.
pub fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "onetribe-relay", &mut script);
    ended(output::raw(&script))
}

/// Longer than the relay waits for its database.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(6);

/// Asks the relay on this machine whether it is ready.
pub async fn healthcheck(host: IpAddr, port: u16) -> ExitCode {
    ended(is_ready(host, port).await)
}

async fn is_ready(host: IpAddr, port: u16) -> Result<(), CommandError> {
    let host = match host {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let url = Url::parse(&format!("http://{host}:{port}/health/ready")).map_err(CommandError::failed)?;
    let http = Http::new(AddressPolicy::default()).map_err(CommandError::failed)?;
    let nobody = |_| CommandError::failed(format_args!("no relay answers on port {port}"));
    let status = http.operator(reqwest::Method::GET, url, HEALTHCHECK_TIMEOUT).send().await.map_err(nobody)?.status();
    if status.is_success() {
        return Ok(());
    }
    Err(CommandError::failed(format_args!("not ready (HTTP {}): see the relay's log", status.as_u16())))
}
