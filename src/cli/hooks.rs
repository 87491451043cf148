//! `hooks list|update|remove`

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, output};
use crate::app::Parts;

/// What to do with the webhooks.
#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    /// List the webhooks that the access token can see, and which of them are the relay's
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make missing webhooks, and put altered ones right
    Update,
    /// Remove the relay's webhooks, and no others
    Remove,
}

/// A hook as it is shown: where another app's hook points to may be that app's secret.
#[derive(Serialize)]
struct Shown {
    id: i64,
    scope: String,
    active: bool,
    ours: bool,
    host: String,
}

pub(super) async fn run(parts: &Parts, command: HooksCommand) -> Result<ExitCode, Failure> {
    let registrar = &parts.registrar;
    match command {
        HooksCommand::List { json } => {
            let shown: Vec<Shown> = registrar
                .list()
                .await?
                .into_iter()
                .map(|(hook, ours)| Shown {
                    id: hook.id,
                    active: hook.is_active,
                    ours,
                    host: host(&hook.destination),
                    scope: hook.scope,
                })
                .collect();
            if json {
                output::json(&shown)?;
            } else {
                let word = |yes: bool, word: &str| if yes { word } else { "-" }.to_owned();
                let rows: Vec<[String; 5]> = shown
                    .into_iter()
                    .map(|hook| {
                        [
                            hook.id.to_string(),
                            hook.scope,
                            word(hook.active, "active"),
                            word(hook.ours, "ours"),
                            hook.host,
                        ]
                    })
                    .collect();
                output::table(["ID", "SCOPE", "ACTIVE", "OURS", "HOST"], &rows);
            }
        }
        HooksCommand::Update => {
            for (report, done) in registrar.ensure().await? {
                let id = report.id.map(|id| id.to_string()).unwrap_or_default();
                output::line(format!("{}\t{id}\t{}", report.scope, format!("{done:?}").to_lowercase()));
            }
        }
        HooksCommand::Remove => {
            let removed = registrar.remove().await?;
            output::line(format!("removed {removed} webhook(s)"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn host(destination: &str) -> String {
    url::Url::parse(destination).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}
