//! Commands that need no database: the health check and completion scripts.

use std::{net::IpAddr, process::ExitCode, time::Duration};

use clap::CommandFactory;
use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use super::{
    failure::{CommandError, ended},
    help::Cli,
    output,
};
use crate::http::{AddressPolicy, Http};

/// Longer than the relay waits for its database.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(6);

/// What a relay that is ready answers.
const READY: &[u8] = b"ready\n";
/// Longer answers are not a relay's.
const MAX_ANSWER: usize = 4096;

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
    let nobody = |_| CommandError::failed(format_args!("no relay answers on port {port}: is it running?"));
    let answer = http.operator(reqwest::Method::GET, url, HEALTHCHECK_TIMEOUT).send().await.map_err(nobody)?;
    let status = answer.status();
    let body = first_bytes(answer).await;
    let refusal = serde_json::from_slice::<Refusal>(&body);
    match (status, refusal) {
        (StatusCode::OK, _) if body == READY => Ok(()),
        (StatusCode::SERVICE_UNAVAILABLE, Ok(Refusal { error })) => {
            Err(CommandError::failed(format_args!("the relay is not ready: {error}")))
        }
        _ => Err(CommandError::failed(format_args!(
            "not the relay but another program answers on port {port} (HTTP {}): set PORT as the relay has it",
            status.as_u16()
        ))),
    }
}

/// As much of an answer as a relay's can be long.
async fn first_bytes(mut answer: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    body
}

/// Why a relay is not ready.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}
