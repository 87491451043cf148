//! `orders list|resend`

use clap::{
    ArgGroup, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{
    examples::examples,
    failure::{CommandError, store_of},
    output,
    which::Which,
};
use crate::{
    clock::Timestamp,
    connection::Connection,
    http::Failure,
    humanize,
    inbox::{ObjectQuery, ObjectRow, ObjectState, Wanted},
    object::{ObjectId, ResourceName},
    services::Services,
    web::orders::OrderView,
};

const STATES: [&str; 5] = ["pending", "delivered", "failed", "gone", "skipped"];
/// What is delivered is not resent in bulk: each order sent again may be money asked for again.
const RESENDABLE: [&str; 2] = ["failed", "gone"];

/// What to do with orders.
#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// List orders as the relay knows them, the newest first
    #[command(after_help = examples!("orders list --state failed" "orders list --limit 1000 --json"))]
    List {
        /// Which connection.
        #[command(flatten)]
        which: Which,
        /// Only this state
        #[arg(long, value_parser = PossibleValuesParser::new(STATES).try_map(|state| state.parse::<ObjectState>()))]
        state: Option<ObjectState>,
        /// At most this many, from 1 to 10000
        #[arg(long, default_value_t = 50, value_parser = limit)]
        limit: u32,
        /// Only orders with an id below this one
        #[arg(long, value_name = "ORDER")]
        before: Option<ObjectId>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch orders afresh and forward them, even if unchanged
    #[command(after_help = examples!("orders resend 218 219" "orders resend --state failed"))]
    #[command(group = ArgGroup::new("what").required(true).args(["ids", "state"]))]
    Resend {
        /// The orders' ids
        #[arg(value_name = "ORDER")]
        ids: Vec<ObjectId>,
        /// All orders of this state
        #[arg(long, value_parser = PossibleValuesParser::new(RESENDABLE).try_map(|state| state.parse::<ObjectState>()))]
        state: Option<ObjectState>,
        /// Which connection.
        #[command(flatten)]
        which: Which,
    },
}

fn limit(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(limit @ 1..=10_000) => Ok(limit),
        _ => Err("a whole number from 1 to 10000"),
    }
}

pub(super) async fn run(services: &Services, command: OrdersCommand) -> Result<(), CommandError> {
    match command {
        OrdersCommand::List { which, state, limit, before, json } => {
            let connection = which.find(services)?;
            let query = ObjectQuery { state, limit, before, ..ObjectQuery::default() };
            list(services, &connection, query, json).await
        }
        OrdersCommand::Resend { ids, state, which } => {
            let connection = which.find(services)?;
            if connection.link.is_none() {
                let id = connection.id;
                return Err(CommandError::failed(format_args!(
                    "connection {id} is disconnected: its orders cannot be fetched"
                )));
            }
            match state {
                Some(state) => resend_all(services, &connection, state).await,
                None => resend(services, &connection, ids).await,
            }
        }
    }
}

async fn list(
    services: &Services,
    connection: &Connection,
    query: ObjectQuery,
    json: bool,
) -> Result<(), CommandError> {
    let (state, limit, is_whole) = (query.state, query.limit as usize, query.before.is_none());
    let rows = services.inbox.objects(connection.id, query).await?;
    if json {
        return output::json(&rows.into_iter().map(OrderView::from).collect::<Vec<_>>());
    }
    if rows.is_empty() {
        return output::line(match state {
            Some(state) => format!("no orders are {}", state.name()),
            None if is_whole => "no orders yet".to_owned(),
            None => "no orders before that one".to_owned(),
        });
    }
    let last = rows.last().map(|row| row.id.clone()).filter(|_| rows.len() == limit);
    let rows: Vec<[String; 6]> = rows.into_iter().map(cells).collect();
    output::table(["ORDER", "STATE", "TRIES", "LAST EVENT", "DELIVERED", "LAST FAILURE"], &rows)?;
    match last {
        Some(last) => output::line(format_args!("There may be more: --before {last}")),
        None => Ok(()),
    }
}

fn cells(row: ObjectRow) -> [String; 6] {
    let id = if row.resource == ResourceName::orders() {
        row.id.to_string()
    } else {
        format!("{}/{}", row.resource, row.id)
    };
    let failure =
        row.last_failure.map(|failed| format!("{}: {}", failed.side.code(), humanize::failure(failed.failure)));
    [
        id,
        row.state.name().to_owned(),
        row.attempts.to_string(),
        row.last_event_at.to_string(),
        row.delivered_at.map_or_else(|| "not yet".to_owned(), |at| at.to_string()),
        failure.unwrap_or_else(|| "none".to_owned()),
    ]
}

async fn resend_all(services: &Services, connection: &Connection, state: ObjectState) -> Result<(), CommandError> {
    let count = services.inbox.want_all(connection.id, state, Timestamp::now()).await?;
    if count == 0 {
        return output::line(format_args!("no orders are {}", state.name()));
    }
    print_resent(services, connection, count).await
}

/// An order that neither the relay nor the store knows is a mistake, and is not sent again.
async fn resend(services: &Services, connection: &Connection, ids: Vec<ObjectId>) -> Result<(), CommandError> {
    let (mut wanted, mut unknown) = (Vec::new(), Vec::new());
    for id in ids {
        let is_known = is_known(services, connection, &id).await?;
        if is_known { wanted.push(Wanted::updated(id)) } else { unknown.push(id) }
    }
    let count = wanted.len() as u64;
    if count > 0 {
        services.inbox.want(connection.id, ResourceName::orders(), wanted, true, Timestamp::now()).await?;
        print_resent(services, connection, count).await?;
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let named =
        humanize::listed(&unknown.iter().map(ToString::to_string).collect::<Vec<_>>(), unknown.len() as u64, 20);
    let (orders, are) = if unknown.len() == 1 { ("order", "is") } else { ("orders", "are") };
    Err(CommandError::failed(format_args!(
        "{orders} {named} {are} unknown: neither the relay nor {} knows {}",
        store_of(connection),
        if unknown.len() == 1 { "it" } else { "them" }
    )))
}

/// Whether the relay has heard of an order, or the store has it. A store that cannot be asked is asked again later.
async fn is_known(services: &Services, connection: &Connection, id: &ObjectId) -> Result<bool, CommandError> {
    let query = ObjectQuery {
        resource: Some(ResourceName::orders()),
        id: Some(id.clone()),
        limit: 1,
        ..ObjectQuery::default()
    };
    if !services.inbox.objects(connection.id, query).await?.is_empty() {
        return Ok(true);
    }
    let Some(link) = &connection.link else { return Ok(false) };
    let Ok(permit) = link.source.take_urgent().await else { return Ok(true) };
    let failure = link.source.order(permit, id).await.err().map(|error| error.failure);
    Ok(!matches!(failure, Some(Failure::Status(404) | Failure::Html(404))))
}

async fn print_resent(services: &Services, connection: &Connection, count: u64) -> Result<(), CommandError> {
    let orders = humanize::count(count, "order");
    let by = if connection.deliverable().is_none() {
        format!("once the connection is active: it is {} now", connection.state)
    } else if services.inbox.is_served().await? {
        "by the running relay".to_owned()
    } else {
        "once a relay runs: none does now".to_owned()
    };
    output::line(format_args!("{orders} will be sent again, {by}"))
}
