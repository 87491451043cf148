//! Commands that need no database: the health check and completion scripts.

use std::{net::IpAddr, process::ExitCode, time::Duration};

use clap::CommandFactory;
use url::Url;

use super::{
    failure::{CommandError, ended},
    help::Cli,
    output,
};
use crate::http::{AddressPolicy, Http};

/// Longer than the relay waits for its database.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(6);

/// Prints a completion script for a shell.
pub fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "onetribe-relay", &mut script);
    ended(output::raw(&script))
}

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
