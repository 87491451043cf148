//! `orders list|resend`

use clap::{
    ArgGroup, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

use serde::Serialize;

use super::{
    examples::examples,
    failure::{CommandError, store_of},
    output, terminal,
    which::{Which, disconnected},
};
use crate::{
    clock::Timestamp,
    connection::Connection,
    http::Failure,
    humanize,
    inbox::{ObjectQuery, ObjectRow, ObjectState, Wanted},
    object::{NotAnId, ObjectId, ResourceName},
    retry::{FetchBlame, blame_fetch},
    services::Services,
    spec::SourceKind,
    web::orders::{OrderView, is_known},
};

const STATES: [&str; 5] = ["pending", "delivered", "failed", "gone", "skipped"];
/// Delivered orders are not resent in bulk: each one may request money again.
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
        #[arg(value_name = "ORDER", value_parser = order_id, allow_negative_numbers = true)]
        ids: Vec<ObjectId>,
        /// All orders of this state
        #[arg(long, value_parser = PossibleValuesParser::new(RESENDABLE).try_map(|state| state.parse::<ObjectState>()))]
        state: Option<ObjectState>,
        /// Which connection.
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Every store numbers its orders.
fn order_id(text: &str) -> Result<ObjectId, NotAnId> {
    text.parse::<ObjectId>().ok().filter(|id| id.number().is_some()).ok_or(NotAnId)
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
        OrdersCommand::Resend { ids, state, which, json } => {
            let connection = which.find(services)?;
            if connection.link.is_none() {
                return Err(disconnected(&connection, "its orders cannot be fetched"));
            }
            match state {
                Some(state) => resend_all(services, &connection, state, json).await,
                None => resend(services, &connection, ids, json).await,
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

async fn resend_all(
    services: &Services,
    connection: &Connection,
    state: ObjectState,
    json: bool,
) -> Result<(), CommandError> {
    let count = services.inbox.want_all(connection.id, state, Timestamp::now()).await?;
    if json {
        return output::json(&Resent { resent: count, ..Resent::default() });
    }
    if count == 0 {
        return output::line(format_args!("no orders are {}", state.name()));
    }
    print_resent(services, connection, count).await
}

/// What became of a wish to send orders again.
#[derive(Default, Serialize)]
struct Resent {
    /// How many are sent again.
    resent: u64,
    /// Those that neither the relay nor the store knows.
    unknown: Vec<ObjectId>,
    /// Those of the resent that the store could not be asked about.
    unasked: Vec<ObjectId>,
}

/// An order that neither the relay nor the store knows is treated as a mistake, and not resent.
async fn resend(
    services: &Services,
    connection: &Connection,
    ids: Vec<ObjectId>,
    json: bool,
) -> Result<(), CommandError> {
    let (mut resent, mut wanted, mut why) = (Resent::default(), Vec::new(), None);
    for id in ids {
        match look_for(services, connection, &id).await? {
            Found::Known => {}
            Found::Unknown => {
                resent.unknown.push(id);
                continue;
            }
            Found::Unasked(failure) => {
                resent.unasked.push(id.clone());
                why = Some(failure);
            }
        }
        wanted.push(Wanted::updated(id));
    }
    resent.resent = wanted.len() as u64;
    if resent.resent > 0 {
        services.inbox.want(connection.id, ResourceName::orders(), wanted, true, Timestamp::now()).await?;
    }
    if json {
        output::json(&resent)?;
    } else if resent.resent > 0 {
        print_resent(services, connection, resent.resent).await?;
    }
    let store = store_of(connection);
    if let Some(failure) = why {
        let (orders, it) = named(&resent.unasked);
        terminal::print_note(format_args!(
            "note: {store} could not be asked about {orders} ({}): the relay looks for {it} when the store answers \
             again. `onetribe-relay check` says what is wrong",
            humanize::failure(failure)
        ));
    }
    if resent.unknown.is_empty() {
        return Ok(());
    }
    let (orders, it) = named(&resent.unknown);
    let are = humanize::are(resent.unknown.len() as u64);
    let unknown =
        CommandError::failed(format_args!("{orders} {are} unknown: neither the relay nor {store} knows {it}"));
    Err(match connection.source_kind {
        SourceKind::BigCommerce => unknown,
        SourceKind::WooCommerce => unknown.and(
            "A number that a plugin gives to an order is not its id: take the id, which is in the address of the \
             order's page in the shop",
        ),
    })
}

/// Orders by their numbers, and the pronoun for them.
fn named(ids: &[ObjectId]) -> (String, &'static str) {
    let (orders, it) = if ids.len() == 1 { ("order", "it") } else { ("orders", "them") };
    let listed = humanize::listed(&ids.iter().map(ToString::to_string).collect::<Vec<_>>(), ids.len() as u64, 20);
    (format!("{orders} {listed}"), it)
}

/// Whether there is such an order.
enum Found {
    /// The relay has heard of it, or the store has it.
    Known,
    /// Neither.
    Unknown,
    /// The relay has not, and the store could not be asked.
    Unasked(Failure),
}

async fn look_for(services: &Services, connection: &Connection, id: &ObjectId) -> Result<Found, CommandError> {
    if is_known(services.inbox.as_ref(), connection.id, id).await? {
        return Ok(Found::Known);
    }
    let Some(link) = &connection.link else { return Ok(Found::Unknown) };
    let asked = match link.source.take_urgent().await {
        Ok(permit) => link.source.order(permit, id).await,
        Err(error) => Err(error),
    };
    Ok(match asked {
        Ok(_) => Found::Known,
        // A store that does not exist knows no order either.
        Err(error) if blame_fetch(error.failure) == FetchBlame::Missing => match link.can_read().await {
            Ok(()) => Found::Unknown,
            Err(error) => Found::Unasked(error.failure),
        },
        Err(error) => Found::Unasked(error.failure),
    })
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
