//! `connections list|add|show|pause|resume|remove|rekey`

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{
    examples::examples,
    failure::{CommandError, store_of},
    output, terminal,
    which::WhichOne,
};
use crate::{
    clock::Timestamp,
    connection::{
        Connection,
        request::{ConnectionRequest, RequestProblem, check_addresses},
    },
    directory::Change,
    humanize,
    inbox::{ConnectionState, PauseReason, Summary},
    registrar::RegistrarError,
    services::Services,
    spec::SourceKind,
    web::connections::ConnectionView,
};

/// The largest request that is read, as for `POST /connections`.
const MAX_REQUEST: u64 = 64 * 1024;
/// The file name that stands for standard input.
const STDIN: &str = "-";
const STATES: [&str; 4] = ["active", "paused", "incomplete", "disconnected"];

/// What to do with connections.
#[derive(Debug, Subcommand)]
pub enum ConnectionsCommand {
    /// List the connections, by id
    #[command(after_help = examples!("connections list" "connections list --state paused --json"))]
    List {
        /// Only this state
        #[arg(long, value_parser = PossibleValuesParser::new(STATES).try_map(|state| state.parse::<ConnectionState>()))]
        state: Option<ConnectionState>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a connection
    ///
    /// The file holds the JSON of `POST /connections`: name, source and destination. The store is asked first whether
    /// it takes the credentials, which are then kept sealed under CREDENTIALS_KEY. A running relay serves the
    /// connection within two seconds.
    #[command(after_help = examples!("connections add shop.json" "connections add - < shop.json"))]
    Add {
        /// The file, or `-` for standard input
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// Do not ask the store whether it takes the credentials
        #[arg(long)]
        no_verify: bool,
        /// Print the connection as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one connection
    #[command(after_help = examples!("connections show 3"))]
    Show {
        /// The connection to show.
        #[command(flatten)]
        which: WhichOne,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep a connection's events and let them wait
    #[command(after_help = examples!("connections pause 3"))]
    Pause(WhichOne),
    /// Deliver what waits, and what comes
    #[command(after_help = examples!("connections resume 3"))]
    Resume(WhichOne),
    /// End a connection: its webhooks are removed at the store, its credentials wiped
    ///
    /// The history of its orders is kept. The same store and destination added again take up the same connection.
    #[command(after_help = examples!("connections remove 3"))]
    Remove {
        /// Which one.
        #[command(flatten)]
        which: WhichOne,
        /// Print the connection as JSON
        #[arg(long)]
        json: bool,
    },
    /// Seal all credentials anew under the newest key of CREDENTIALS_KEY
    ///
    /// Put the new key before the old one, restart every relay, run this, and take the old key away.
    #[command(after_help = examples!("connections rekey"))]
    Rekey,
}

pub(super) async fn run(services: &Services, command: ConnectionsCommand) -> Result<(), CommandError> {
    match command {
        ConnectionsCommand::List { state, json } => list(services, state, json).await,
        ConnectionsCommand::Add { file, no_verify, json } => add(services, &file, !no_verify, json).await,
        ConnectionsCommand::Show { which, json } => show(services, &*which.find(services)?, json).await,
        ConnectionsCommand::Pause(which) => pause(services, &*which.find(services)?).await,
        ConnectionsCommand::Resume(which) => resume(services, &*which.find(services)?).await,
        ConnectionsCommand::Remove { which, json } => remove(services, &*which.find(services)?, json).await,
        ConnectionsCommand::Rekey => rekey(services).await,
    }
}

async fn list(services: &Services, state: Option<ConnectionState>, json: bool) -> Result<(), CommandError> {
    let mut found = services.catalog.all();
    found.retain(|connection| state.is_none_or(|state| connection.state == state));
    let summaries = services.inbox.summaries().await?;
    let summary = |connection: &Connection| summaries.get(&connection.id).copied().unwrap_or_default();
    if json {
        let views: Vec<ConnectionView> =
            found.iter().map(|connection| ConnectionView::new(connection, &summary(connection))).collect();
        return output::json(&views);
    }
    if found.is_empty() {
        return output::line(match state {
            Some(state) => format!("no connection is {state}"),
            None => "no connections yet: make one with `onetribe-relay connections add FILE`".to_owned(),
        });
    }
    let rows: Vec<[String; 8]> = found
        .iter()
        .map(|connection| {
            let numbers = summary(connection);
            [
                connection.id.to_string(),
                connection.state.to_string(),
                connection.origin.to_string(),
                humanize::number(numbers.waiting),
                humanize::number(numbers.failed),
                store_of(connection),
                destination_of(connection),
                connection.name.clone(),
            ]
        })
        .collect();
    output::table(["ID", "STATE", "ORIGIN", "WAITING", "FAILED", "STORE", "DESTINATION", "NAME"], &rows)
}

fn destination_of(connection: &Connection) -> String {
    match &connection.destination_host {
        Some((_, host)) => host.clone(),
        None => "none yet".to_owned(),
    }
}

async fn add(services: &Services, file: &Path, verifies: bool, json: bool) -> Result<(), CommandError> {
    let request = read(file)?;
    let shown = if file.as_os_str() == STDIN { "standard input".into() } else { file.to_string_lossy() };
    let wrong = |problem| match problem {
        RequestProblem::NotJson { line, column } => CommandError::usage(format_args!(
            "{shown} is not JSON (line {line}, column {column}): it has to hold an object as in the README"
        )),
        RequestProblem::Field(problem) => CommandError::usage(format_args!("{shown}: {problem}")),
    };
    let request = ConnectionRequest::from_json(&request, &services.request_rules()).map_err(wrong)?;
    check_addresses(&request.spec, services.http.policy()).await.map_err(|problem| wrong(problem.into()))?;
    let connection = services.directory.create(request.spec, request.state, None, verifies).await?;
    if json {
        return show(services, &connection, true).await;
    }
    output::line(format_args!("{} has been made.", named(&connection)))?;
    output::line(taken_up(services, "serves it").await?)
}

fn read(file: &Path) -> Result<Vec<u8>, CommandError> {
    let mut text = Vec::new();
    let read = if file.as_os_str() == STDIN {
        io::stdin().lock().take(MAX_REQUEST + 1).read_to_end(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_REQUEST + 1).read_to_end(&mut text))
    };
    match read {
        Ok(_) if text.len() as u64 <= MAX_REQUEST => Ok(text),
        Ok(_) => Err(CommandError::usage(format_args!("{} is larger than 64 KiB", file.display()))),
        Err(error) => Err(CommandError::usage(format_args!("{} cannot be read: {error}", file.display()))),
    }
}

/// A connection in a sentence: `connection 3, My shop (BigCommerce (abcde) to onetribeglobal.com)`.
fn named(connection: &Connection) -> String {
    let (id, name, store) = (connection.id, humanize::printable(&connection.name), store_of(connection));
    match &connection.destination_host {
        Some((_, host)) => format!("connection {id}, {name} ({store} to {})", humanize::printable(host)),
        None => format!("connection {id}, {name} ({store})"),
    }
}

/// The sentence that says when a running relay applies a change.
async fn taken_up(services: &Services, does: &str) -> Result<String, CommandError> {
    Ok(if services.inbox.is_served().await? {
        format!("The running relay {does} within two seconds.")
    } else {
        "No relay is running on this database.".to_owned()
    })
}

async fn show(services: &Services, connection: &Connection, json: bool) -> Result<(), CommandError> {
    let summary = services.inbox.summary(connection.id).await?;
    if json {
        return output::json(&ConnectionView::new(connection, &summary));
    }
    for (what, value) in facts(services, connection, &summary) {
        output::line(format_args!("{what:<16}{}", humanize::printable(&value)))?;
    }
    Ok(())
}

/// The facts that `show` prints about a connection, each with its name.
fn facts(services: &Services, connection: &Connection, summary: &Summary) -> Vec<(&'static str, String)> {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let state = match connection.pause_reason {
        Some(PauseReason::Asked) | None => connection.state.to_string(),
        Some(PauseReason::CallbackGone) => format!("{}: the callback answered that it is gone", connection.state),
        Some(PauseReason::RetriesExhausted) => format!("{}: the last try of a notification failed", connection.state),
    };
    let resources = match &connection.link {
        Some(link) => link.spec.resource_names().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        None => "none".to_owned(),
    };
    let address = services.settings.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let page = match (address, connection.is_environments()) {
        (None, _) => "unknown: PUBLIC_URL is not set".to_owned(),
        (Some(address), true) => format!("{address}/integration"),
        (Some(address), false) => format!("{address}/connections/{}/integration", connection.id),
    };
    vec![
        ("id", connection.id.to_string()),
        ("name", connection.name.clone()),
        ("state", state),
        ("origin", connection.origin.to_string()),
        ("store", store_of(connection)),
        ("destination", destination_of(connection)),
        ("resources", resources),
        ("waiting", humanize::count(summary.waiting, "order")),
        ("failed", humanize::count(summary.failed, "order")),
        ("last event", time(summary.last_event_at)),
        ("last delivered", time(summary.last_delivered_at)),
        ("made", connection.created_at.to_string()),
        ("page", page),
    ]
}

async fn pause(services: &Services, connection: &Connection) -> Result<(), CommandError> {
    if connection.state == ConnectionState::Paused {
        return output::line(format_args!("{} is paused already.", named(connection)));
    }
    let state = Some((ConnectionState::Paused, Some(PauseReason::Asked)));
    let paused = services.directory.change(connection.id, Change { state, ..Change::default() }).await?;
    output::line(format_args!("{} is paused: its events are kept and wait.", named(&paused)))?;
    output::line(taken_up(services, "takes it up").await?)
}

async fn resume(services: &Services, connection: &Connection) -> Result<(), CommandError> {
    if connection.state == ConnectionState::Active {
        return output::line(format_args!("{} is active already.", named(connection)));
    }
    let state = Some((ConnectionState::Active, None));
    let resumed = services.directory.change(connection.id, Change { state, ..Change::default() }).await?;
    if resumed.state == ConnectionState::Incomplete {
        return output::line(format_args!(
            "{} is not paused any more, and has no payload URL yet: it is entered on the app's page in the store.",
            named(&resumed)
        ));
    }
    output::line(format_args!("{} is active.", named(&resumed)))?;
    output::line(taken_up(services, "delivers what waits").await?)
}

async fn remove(services: &Services, connection: &Connection, json: bool) -> Result<(), CommandError> {
    if connection.state == ConnectionState::Disconnected {
        if json {
            return show(services, connection, true).await;
        }
        return output::line(format_args!("{} has ended already.", named(connection)));
    }
    // The environment's own is not ended by a command, and keeps its hooks.
    let (ended, left) = services.directory.end(connection.id, !connection.is_environments()).await?;
    if let Some(error) = left
        && let Some(warning) = left_hooks(services, connection, error).await?
    {
        terminal::print_note(warning);
    }
    if json {
        return show(services, &ended, true).await;
    }
    output::line(format_args!(
        "{} has ended: its credentials are wiped, the history of its orders is kept.",
        named(&ended)
    ))?;
    output::line(taken_up(services, "takes it up").await?)
}

/// A sentence about the hooks of a connection that has ended, if some are left at the store.
async fn left_hooks(
    services: &Services,
    connection: &Connection,
    error: RegistrarError,
) -> Result<Option<String>, CommandError> {
    let hooks = services.inbox.hooks(connection.id).await?;
    if hooks.iter().all(|hook| hook.hook_id.is_none()) {
        return Ok(None);
    }
    let cure = match connection.source_kind {
        SourceKind::BigCommerce => "delete the API account that made them, or uninstall the app",
        SourceKind::WooCommerce => "delete them there, under WooCommerce → Settings → Advanced → Webhooks",
    };
    let why = match error {
        RegistrarError::Call(error) => humanize::failure(error.failure),
        error => error.to_string(),
    };
    Ok(Some(format!(
        "warning: webhooks are left at {} ({why}). They do no harm, since the relay answers them and does nothing more; \
         to be rid of them, {cure}",
        store_of(connection)
    )))
}

async fn rekey(services: &Services) -> Result<(), CommandError> {
    if !services.directory.can_seal() {
        return Err(CommandError::usage("CREDENTIALS_KEY is not set: there is no key to seal credentials with"));
    }
    let count = services.directory.rekey().await?;
    output::line(match count {
        0 => "All credentials are sealed under the newest key already.".to_owned(),
        _ => {
            let credentials = humanize::count(count as u64, "connection");
            format!("The credentials of {credentials} have been sealed anew under the newest key.")
        }
    })
}
