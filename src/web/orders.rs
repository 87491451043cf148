//! Lists the orders of a connection from the inbox, and resends them.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};

use super::{
    Relay,
    admin::Admin,
    connection_of, default_connection,
    format::{self, Format},
    json,
    notices::Notice,
    query, refuse, unavailable,
};
use crate::{
    clock::Timestamp,
    connection::Connection,
    directory::DirectoryError,
    humanize,
    inbox::{ConnectionState, Failed, Inbox, InboxError, ObjectQuery, ObjectRow, ObjectState, Wanted},
    object::{ConnectionId, NotAnId, ObjectId, ResourceName},
};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// The routes for the orders of one connection, and those for the default connection.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/orders").route(web::get().to(list)))
        .service(web::resource("/orders/resend").route(web::post().to(resend_all)))
        .service(web::resource("/orders/{order}/resend").route(web::post().to(resend)))
        .service(web::resource("/connections/{id}/orders").route(web::get().to(list_of)))
        .service(web::resource("/connections/{id}/orders/resend").route(web::post().to(resend_all_of)))
        .service(web::resource("/connections/{id}/orders/{order}/resend").route(web::post().to(resend_of)));
}

#[derive(Deserialize)]
struct ListQuery {
    state: Option<String>,
    limit: Option<String>,
    before: Option<String>,
}

impl ListQuery {
    fn read(&self) -> Result<ObjectQuery, String> {
        let limit = match self.limit.as_deref().map(str::parse::<u32>) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit @ 1..=MAX_LIMIT)) => limit,
            Some(_) => return Err(format!("limit: a whole number from 1 to {MAX_LIMIT}")),
        };
        let state = self.state.as_deref().map(str::parse).transpose().map_err(|error| format!("state: {error}"))?;
        let before = self.before.as_deref().map(read_id).transpose().map_err(|error| format!("before: {error}"))?;
        Ok(ObjectQuery { state, limit, before, ..ObjectQuery::default() })
    }
}

/// Parses an id that a page of the list has shown. One that looks like a number must be valid for an order.
fn read_id(text: &str) -> Result<ObjectId, NotAnId> {
    let id: ObjectId = text.parse()?;
    if id.number().is_none() && text.parse::<f64>().is_ok() { Err(NotAnId) } else { Ok(id) }
}

/// An order as JSON, without personal data.
#[derive(Serialize)]
pub(crate) struct OrderView {
    order_id: ObjectId,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceName>,
    state: ObjectState,
    attempts: u32,
    last_error: Option<String>,
    first_event_at: Timestamp,
    last_event_at: Timestamp,
    waiting_since: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
}

impl From<ObjectRow> for OrderView {
    fn from(row: ObjectRow) -> Self {
        let sentence = |failed: Failed| format!("{}: {}", failed.side.code(), humanize::failure(failed.failure));
        Self {
            order_id: row.id,
            resource: Some(row.resource).filter(|resource| *resource != ResourceName::orders()),
            state: row.state,
            attempts: row.attempts,
            last_error: row.last_failure.map(sentence),
            first_event_at: row.first_event_at,
            last_event_at: row.last_event_at,
            waiting_since: row.waiting_since,
            next_attempt_at: row.next_attempt_at,
            delivered_at: row.delivered_at,
        }
    }
}

#[derive(Serialize)]
struct Page {
    orders: Vec<OrderView>,
    next: Option<ObjectId>,
}

async fn list(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match default_connection(&relay) {
        Ok(connection) => page(&relay, &connection, &request).await,
        Err(refused) => refused,
    }
}

async fn list_of(_: Admin, id: web::Path<String>, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match connection_of(&relay, &id) {
        Ok(connection) => page(&relay, &connection, &request).await,
        Err(refused) => refused,
    }
}

async fn page(relay: &Relay, connection: &Connection, request: &HttpRequest) -> HttpResponse {
    let query: Result<ListQuery, _> = query(request).map_err(|error| error.to_string());
    let query = match query.and_then(|query| query.read()) {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let limit = query.limit as usize;
    match relay.services.inbox.objects(connection.id, query).await {
        Ok(rows) => {
            let next = rows.last().map(|row| row.id.clone()).filter(|_| rows.len() == limit);
            json(StatusCode::OK, &Page { orders: rows.into_iter().map(OrderView::from).collect(), next })
        }
        Err(error) => unavailable(&error),
    }
}

#[derive(Serialize)]
struct Resent {
    resent: u64,
    /// What the count alone does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Always 202: programs get the count, browsers are sent back to the page that they came from.
fn resent(request: &HttpRequest, count: u64, notice: Notice, relay: &Relay, back: &str) -> HttpResponse {
    match format::preferred(request) {
        Some(Format::Html) => relay.notices.lead_back(StatusCode::ACCEPTED, notice, back),
        _ => {
            let note = match notice {
                Notice::Said(said) => Some(said),
                Notice::OrderResent(_) | Notice::OrdersResent(_) => None,
            };
            json(StatusCode::ACCEPTED, &Resent { resent: count, note })
        }
    }
}

async fn resend(
    _: Admin,
    order: web::Path<String>,
    request: HttpRequest,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    match default_connection(&relay) {
        Ok(connection) => resend_one(&relay, &connection, &order, &request, "../../integration").await,
        Err(refused) => refused,
    }
}

async fn resend_of(
    _: Admin,
    path: web::Path<(String, String)>,
    request: HttpRequest,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    let (id, order) = path.into_inner();
    match connection_of(&relay, &id) {
        Ok(connection) => resend_one(&relay, &connection, &order, &request, "../../integration").await,
        Err(refused) => refused,
    }
}

async fn resend_one(
    relay: &Relay,
    connection: &Connection,
    order: &str,
    request: &HttpRequest,
    back: &str,
) -> HttpResponse {
    let order: ObjectId = match order.parse::<ObjectId>().ok().filter(|order| order.number().is_some()) {
        Some(order) => order,
        None => return refuse(StatusCode::BAD_REQUEST, NotAnId),
    };
    if let Some(refused) = refuse_ended(connection) {
        return refused;
    }
    let inbox = &relay.services.inbox;
    let is_known = match is_known(inbox.as_ref(), connection.id, &order).await {
        Ok(is_known) => is_known,
        Err(error) => return unavailable(&error),
    };
    let wanted = vec![Wanted::updated(order.clone())];
    match inbox.want(connection.id, ResourceName::orders(), wanted, true, Timestamp::now()).await {
        Ok(()) => {
            tracing::info!(connection = %connection.id, order_id = %order, "order {order}: to be sent again, by request");
            let notice = match is_known {
                true => Notice::OrderResent(order),
                false => Notice::Said(format!(
                    "The relay has not seen order {order} before: it is fetched, and sent if the store has it."
                )),
            };
            resent(request, 1, notice, relay, back)
        }
        Err(error) => unavailable(&error),
    }
}

/// Whether the relay has heard of an order.
///
/// # Errors
/// [`InboxError`], as the database says it.
pub(crate) async fn is_known(
    inbox: &dyn Inbox,
    connection: ConnectionId,
    order: &ObjectId,
) -> Result<bool, InboxError> {
    let (resource, id) = (Some(ResourceName::orders()), Some(order.clone()));
    let query = ObjectQuery { resource, id, limit: 1, ..ObjectQuery::default() };
    Ok(!inbox.objects(connection, query).await?.is_empty())
}

async fn resend_all(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match default_connection(&relay) {
        Ok(connection) => resend_every(&relay, &connection, &request, "../integration").await,
        Err(refused) => refused,
    }
}

async fn resend_all_of(
    _: Admin,
    id: web::Path<String>,
    request: HttpRequest,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    match connection_of(&relay, &id) {
        Ok(connection) => resend_every(&relay, &connection, &request, "../integration").await,
        Err(refused) => refused,
    }
}

/// Refuses a connection without credentials: nothing can be fetched for it, so the order would wait for ever.
fn refuse_ended(connection: &Connection) -> Option<HttpResponse> {
    let has_ended = connection.state == ConnectionState::Disconnected;
    has_ended.then(|| refuse(StatusCode::CONFLICT, DirectoryError::Disconnected(connection.id)))
}

#[derive(Deserialize)]
struct ResendQuery {
    state: Option<String>,
}

async fn resend_every(relay: &Relay, connection: &Connection, request: &HttpRequest, back: &str) -> HttpResponse {
    let query: Option<ResendQuery> = query(request).ok();
    // Delivered orders are not resent in bulk: each one may request money again.
    let state = match query.and_then(|query| query.state).as_deref().map(str::parse) {
        Some(Ok(state @ (ObjectState::Failed | ObjectState::Gone))) => state,
        _ => return refuse(StatusCode::BAD_REQUEST, "state: `failed` or `gone`"),
    };
    if let Some(refused) = refuse_ended(connection) {
        return refused;
    }
    match relay.services.inbox.want_all(connection.id, state, Timestamp::now()).await {
        Ok(count) => {
            let state = state.name();
            tracing::info!(connection = %connection.id, count, state, "{count} {state} orders: to be sent again, by request");
            resent(request, count, Notice::OrdersResent(count), relay, back)
        }
        Err(error) => unavailable(&error),
    }
}
