//! `hooks list|update|remove`

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, output, remedy};
use crate::{
    app::Parts,
    registrar::{Done, HookState, RegistrarError},
    words,
};

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
    Update {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove the relay's webhooks, and no others, once the relay is stopped
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

/// What was done about one scope's hook.
#[derive(Serialize)]
struct Updated {
    scope: String,
    id: Option<i64>,
    was: HookState,
    done: Done,
}

pub(super) async fn run(parts: &Parts, command: HooksCommand) -> Result<ExitCode, Failure> {
    let registrar = &parts.registrar;
    match command {
        HooksCommand::List { json } => {
            let shown: Vec<Shown> = registrar
                .list()
                .await
                .map_err(advised)?
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
                output::table(["ID", "SCOPE", "ACTIVE", "OURS", "HOST"], &rows)?;
            }
        }
        HooksCommand::Update { json } => {
            let done: Vec<Updated> = registrar
                .ensure()
                .await
                .map_err(advised)?
                .into_iter()
                .map(|(report, done)| Updated { scope: report.scope, id: report.id, was: report.state, done })
                .collect();
            if json {
                output::json(&done)?;
            } else {
                let rows: Vec<[String; 3]> = done
                    .into_iter()
                    .map(|hook| {
                        let id = hook.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                        [id, hook.scope, hook.done.name().to_owned()]
                    })
                    .collect();
                output::table(["ID", "SCOPE", "DONE"], &rows)?;
            }
        }
        HooksCommand::Remove => {
            if parts.is_served().await? {
                return Err(
                    "a relay is running on this database and would make the webhooks anew: stop it first".into()
                );
            }
            let removed = registrar.remove().await.map_err(advised)?;
            output::line(format!("removed {}", words::count(removed as u64, "webhook")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// With what would help, if that is known.
fn advised(error: RegistrarError) -> Failure {
    let advice = match &error {
        RegistrarError::Call(error) => remedy(error.seen),
        _ => None,
    };
    match advice {
        Some(advice) => format!("{error}. {advice}").into(),
        None => error.into(),
    }
}

fn host(destination: &str) -> String {
    url::Url::parse(destination).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}
