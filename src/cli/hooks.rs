//! `hooks list|update|remove`

use clap::Subcommand;
use serde::Serialize;

use super::{
    examples::examples,
    failure::{CommandError, store_of},
    output,
    which::Which,
};
use crate::{
    connection::Connection, humanize, inbox::HookState, registrar::Done, services::Services, source::hooks::Hook,
};

/// What to do with a connection's webhooks.
#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    /// List the webhooks that the credentials can see, and which of them are the relay's
    #[command(after_help = examples!("hooks list" "hooks list --connection 3 --json"))]
    List {
        /// Which connection.
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make missing webhooks, and put altered ones right
    #[command(after_help = examples!("hooks update"))]
    Update {
        /// Which connection.
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove the relay's webhooks, and no others, once the relay is stopped
    ///
    /// To end one connection of a relay that goes on, use `connections remove`.
    #[command(after_help = examples!("hooks remove --dry-run" "hooks remove"))]
    Remove {
        /// Which connection.
        #[command(flatten)]
        which: Which,
        /// Only list what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A hook as shown. The URL of another app's hook is left out: it may be that app's secret.
#[derive(Serialize)]
struct Shown {
    id: i64,
    scope: String,
    active: bool,
    ours: bool,
    host: String,
}

impl Shown {
    fn of((hook, ours): (Hook, bool)) -> Self {
        let host = url::Url::parse(&hook.destination).ok().and_then(|url| url.host_str().map(str::to_owned));
        Self { id: hook.id, scope: hook.topic, active: hook.is_active, ours, host: host.unwrap_or_default() }
    }
}

/// What was done about one scope's hook.
#[derive(Serialize)]
struct Updated {
    scope: String,
    id: Option<i64>,
    was: HookState,
    done: Done,
}

pub(super) async fn run(services: &Services, command: HooksCommand) -> Result<(), CommandError> {
    match command {
        HooksCommand::List { which, json } => list(services, &*which.find(services)?, json).await,
        HooksCommand::Update { which, json } => update(services, &*which.find(services)?, json).await,
        HooksCommand::Remove { which, dry_run: true, json } => {
            would_remove(services, &*which.find(services)?, json).await
        }
        HooksCommand::Remove { which, dry_run: false, json } => remove(services, &*which.find(services)?, json).await,
    }
}

async fn shown(services: &Services, connection: &Connection) -> Result<Vec<Shown>, CommandError> {
    let hooks = services.registrar.list(connection).await;
    let hooks = hooks.map_err(|error| CommandError::of_hooks(&error, connection))?;
    Ok(hooks.into_iter().map(Shown::of).collect())
}

async fn list(services: &Services, connection: &Connection, json: bool) -> Result<(), CommandError> {
    let shown = shown(services, connection).await?;
    if json {
        return output::json(&shown);
    }
    if shown.is_empty() {
        return output::line(format_args!(
            "no webhooks at {}: `onetribe-relay hooks update` makes the relay's",
            store_of(connection)
        ));
    }
    print(shown)
}

fn print(shown: Vec<Shown>) -> Result<(), CommandError> {
    let rows: Vec<[String; 5]> = shown
        .into_iter()
        .map(|hook| {
            let state = if hook.active { "active" } else { "switched off" };
            let owner = if hook.ours { "the relay's" } else { "another's" };
            [hook.id.to_string(), state.to_owned(), owner.to_owned(), hook.scope, hook.host]
        })
        .collect();
    output::table(["ID", "STATE", "WHOSE", "SCOPE", "HOST"], &rows)
}

async fn update(services: &Services, connection: &Connection, json: bool) -> Result<(), CommandError> {
    let done = services.registrar.ensure(connection).await;
    let done: Vec<Updated> = done
        .map_err(|error| CommandError::of_hooks(&error, connection))?
        .into_iter()
        .map(|(report, done)| Updated { scope: report.scope, id: report.id, was: report.state, done })
        .collect();
    if json {
        return output::json(&done);
    }
    if done.is_empty() {
        return output::line("this connection has no webhooks: it is polled");
    }
    let rows: Vec<[String; 3]> = done
        .into_iter()
        .map(|hook| {
            let id = hook.id.map_or_else(|| "none".to_owned(), |id| id.to_string());
            [id, hook.done.name().to_owned(), hook.scope]
        })
        .collect();
    output::table(["ID", "DONE", "SCOPE"], &rows)
}

async fn would_remove(services: &Services, connection: &Connection, json: bool) -> Result<(), CommandError> {
    let mut ours = shown(services, connection).await?;
    ours.retain(|hook| hook.ours);
    if json {
        return output::json(&ours);
    }
    let count = humanize::count(ours.len() as u64, "webhook");
    output::line(format_args!("{count} would be removed at {}", store_of(connection)))?;
    if ours.is_empty() { Ok(()) } else { print(ours) }
}

/// How many hooks were removed.
#[derive(Serialize)]
struct Removed {
    removed: usize,
}

async fn remove(services: &Services, connection: &Connection, json: bool) -> Result<(), CommandError> {
    if services.inbox.is_served().await? {
        return Err(CommandError::failed(
            "a relay is running on this database and would make the webhooks anew: stop it first, or end the \
             connection (`onetribe-relay connections remove`)",
        ));
    }
    let removed = services.registrar.remove(connection).await;
    let removed = removed.map_err(|error| CommandError::of_hooks(&error, connection))?;
    if json {
        return output::json(&Removed { removed });
    }
    output::line(format_args!("removed {}", humanize::count(removed as u64, "webhook")))
}
