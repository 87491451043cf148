//! `/connections`: creating, changing, pausing and ending them, as JSON and on the operator's page.

use std::{collections::HashMap, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use serde::{Deserialize, Serialize};

use super::{
    Relay,
    admin::Admin,
    bodies::{BodyError, Sender},
    connection_of,
    format::{self, Format},
    json, not_now, query, refuse, unavailable,
};
use crate::{
    clock::Timestamp,
    connection::{
        Connection,
        request::{ConnectionChange, ConnectionRequest, RequestProblem, check_addresses},
    },
    directory::{Change, DirectoryError},
    http::Failure,
    inbox::{ConnectionState, InboxError, PauseReason, Summary},
    object::{ConnectionId, ResourceName},
    spec::Origin,
};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// The largest request that is read; real ones have a few hundred bytes.
const MAX_BODY: usize = 64 * 1024;
/// How often a change is repeated because another process has changed a connection meanwhile.
const TRIES: u32 = 20;

/// The routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/connections").route(web::get().to(list)).route(web::post().to(create))).service(
        web::resource("/connections/{id}")
            .route(web::get().to(show))
            .route(web::patch().to(change))
            .route(web::delete().to(end)),
    );
}

/// A connection as JSON: no secrets, and no complete payload or callback URL.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionView {
    id: ConnectionId,
    name: String,
    origin: Origin,
    source: SourceView,
    destination: Option<DestinationView>,
    resources: Vec<ResourceName>,
    state: ConnectionState,
    waiting: u64,
    failed: u64,
    last_event_at: Option<Timestamp>,
    last_delivered_at: Option<Timestamp>,
    created_at: Timestamp,
}

#[derive(Debug, Clone, Serialize)]
struct SourceView {
    kind: &'static str,
    store: String,
}

#[derive(Debug, Clone, Serialize)]
struct DestinationView {
    kind: &'static str,
    host: String,
}

impl ConnectionView {
    /// The JSON of a connection with these counts and times.
    pub fn new(connection: &Connection, summary: &Summary) -> Self {
        let destination = connection.destination_host.as_ref();
        Self {
            id: connection.id,
            name: connection.name.clone(),
            origin: connection.origin,
            source: SourceView { kind: connection.source_kind.name(), store: connection.store.clone() },
            destination: destination.map(|(kind, host)| DestinationView { kind: kind.name(), host: host.clone() }),
            resources: match &connection.link {
                Some(link) => link.spec.resource_names(),
                None => vec![ResourceName::orders()],
            },
            state: connection.state,
            waiting: summary.waiting,
            failed: summary.failed,
            last_event_at: summary.last_event_at,
            last_delivered_at: summary.last_delivered_at,
            created_at: connection.created_at,
        }
    }
}

#[derive(Deserialize)]
struct ListQuery {
    state: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

#[derive(Serialize)]
struct Page {
    connections: Vec<ConnectionView>,
    next: Option<ConnectionId>,
}

async fn list(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    if format::preferred(&request) == Some(Format::Html) {
        return super::pages::connections(&relay, &request).await;
    }
    let query: ListQuery = match query(&request) {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    match page(&relay, &query).await {
        Ok(page) => json(StatusCode::OK, &page),
        Err(ListError::Query(error)) => refuse(StatusCode::BAD_REQUEST, error),
        Err(ListError::Inbox(error)) => unavailable(&error),
    }
}

enum ListError {
    Query(String),
    Inbox(InboxError),
}

async fn page(relay: &Relay, query: &ListQuery) -> Result<Page, ListError> {
    let state: Option<ConnectionState> = query
        .state
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| ListError::Query("state: one of active, paused, incomplete, disconnected".to_owned()))?;
    let limit = match query.limit.as_deref().map(str::parse::<usize>) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit @ 1..=MAX_LIMIT)) => limit,
        Some(_) => return Err(ListError::Query(format!("limit: a whole number from 1 to {MAX_LIMIT}"))),
    };
    let after: Option<ConnectionId> = query
        .after
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error| ListError::Query(format!("after: {error}")))?;
    let mut found: Vec<Arc<Connection>> = relay.services.catalog.all();
    found.retain(|connection| {
        after.is_none_or(|after| connection.id > after) && state.is_none_or(|state| connection.state == state)
    });
    found.sort_unstable_by_key(|connection| connection.id);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let summaries = relay.services.inbox.summaries().await.map_err(ListError::Inbox)?;
    let next = found.last().map(|connection| connection.id).filter(|_| has_more);
    let connections = found.iter().map(|connection| view_in(connection, &summaries)).collect();
    Ok(Page { connections, next })
}

fn view_in(connection: &Connection, summaries: &HashMap<ConnectionId, Summary>) -> ConnectionView {
    ConnectionView::new(connection, summaries.get(&connection.id).unwrap_or(&Summary::default()))
}

/// A connection's JSON, with its current counts and times.
pub(super) async fn view(relay: &Relay, connection: &Connection) -> Result<ConnectionView, InboxError> {
    let summary = relay.services.inbox.summary(connection.id).await?;
    Ok(ConnectionView::new(connection, &summary))
}

async fn answer(relay: &Relay, status: StatusCode, connection: &Connection) -> HttpResponse {
    match view(relay, connection).await {
        Ok(view) => json(status, &view),
        Err(error) => unavailable(&error),
    }
}

async fn show(_: Admin, id: web::Path<String>, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match connection_of(&relay, &id) {
        Ok(connection) => answer(&relay, StatusCode::OK, &connection).await,
        Err(refused) => refused,
    }
}

async fn read(relay: &Relay, request: &HttpRequest, payload: web::Payload) -> Result<bytes::Bytes, HttpResponse> {
    let read = relay.bodies.read(Sender::Client, request.headers(), payload, MAX_BODY).await;
    read.map(|body| body.bytes.clone()).map_err(|error| match error {
        BodyError::TooLarge => refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB"),
        BodyError::Incomplete => refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come whole, or not in time"),
        BodyError::Crowded => not_now("too many bodies are being read; try again"),
    })
}

#[derive(Deserialize)]
struct CreateQuery {
    verify: Option<String>,
}

async fn create(_: Admin, request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let verifies = match query::<CreateQuery>(&request).ok().and_then(|query| query.verify).as_deref() {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return refuse(StatusCode::BAD_REQUEST, "verify: `true` or `false`"),
    };
    let body = match read(&relay, &request, payload).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let services = &relay.services;
    let asked = match ConnectionRequest::from_json(&body, &services.request_rules()) {
        Ok(asked) => asked,
        Err(error) => return refused_request(&error),
    };
    if let Err(problem) = check_addresses(&asked.spec, services.http.policy()).await {
        return refused_request(&problem.into());
    }
    match services.directory.create(asked.spec, asked.state, None, verifies).await {
        Ok(connection) => {
            tracing::info!(connection = %connection.id, "connection {} has been made, by request", connection.id);
            let location = format!("/connections/{}", connection.id);
            let mut response = answer(&relay, StatusCode::CREATED, &connection).await;
            if let Ok(location) = header::HeaderValue::try_from(location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        Err(error @ DirectoryError::Unreachable(_)) => {
            let cure = "try again when it answers, or add ?verify=false to connect it unseen";
            refuse(StatusCode::BAD_GATEWAY, format_args!("{error}: {cure}"))
        }
        Err(error) => refused_by_directory(&error),
    }
}

fn refused_request(error: &RequestProblem) -> HttpResponse {
    let status = match error {
        RequestProblem::NotJson { .. } => StatusCode::BAD_REQUEST,
        RequestProblem::Field(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    refuse(status, error)
}

/// The answer to an error of the directory: what is wrong, and what to do.
pub(super) fn refused_by_directory(error: &DirectoryError) -> HttpResponse {
    let (status, cure) = match error {
        DirectoryError::Duplicate(_) => (StatusCode::CONFLICT, "change that one (PATCH), or end it first (DELETE)"),
        DirectoryError::EnvironmentsOwn(_) => (StatusCode::CONFLICT, ""),
        DirectoryError::Disconnected(_) => (StatusCode::CONFLICT, ""),
        DirectoryError::Incomplete(_) => (StatusCode::CONFLICT, "or give a `destination` as well"),
        DirectoryError::Overtaken(_) => (StatusCode::CONFLICT, "try again"),
        DirectoryError::Unknown(_) => (StatusCode::NOT_FOUND, ""),
        DirectoryError::Refused(failure) => (StatusCode::UNPROCESSABLE_ENTITY, cure_of(*failure)),
        DirectoryError::Unreachable(_) => (StatusCode::BAD_GATEWAY, "try again when it answers"),
        DirectoryError::BadAddress => (StatusCode::UNPROCESSABLE_ENTITY, ""),
        DirectoryError::Keyring(_) => (StatusCode::CONFLICT, ""),
        DirectoryError::Inbox(error) => return unavailable(error),
    };
    if cure.is_empty() { refuse(status, error) } else { refuse(status, format_args!("{error}: {cure}")) }
}

fn cure_of(failure: Failure) -> &'static str {
    match failure {
        Failure::Status(404) => "check source.store_hash (the part after `stores/` in the API path) or source.url",
        Failure::Status(403) => "give the API account or key the right to read orders",
        _ => "check the access token, or the consumer key and secret, and that they may read orders",
    }
}

async fn change(
    _: Admin,
    id: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    let connection = match connection_of(&relay, &id) {
        Ok(connection) => connection,
        Err(refused) => return refused,
    };
    let body = match read(&relay, &request, payload).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    match changed(&relay, connection, &body).await {
        Ok(connection) => answer(&relay, StatusCode::OK, &connection).await,
        Err(ChangeError::Request(error)) => refused_request(&error),
        Err(ChangeError::Directory(error)) => refused_by_directory(&error),
    }
}

enum ChangeError {
    Request(RequestProblem),
    Directory(DirectoryError),
}

/// Changes the given fields of the connection as it is now. Concurrent changes of other fields, here or at another
/// replica, are not lost.
async fn changed(relay: &Relay, connection: Arc<Connection>, body: &[u8]) -> Result<Arc<Connection>, ChangeError> {
    let (id, services) = (connection.id, &relay.services);
    let mut current = Some(connection);
    let mut verified = None;
    for _ in 0..TRIES {
        let connection = current.take().or_else(|| services.connection(id));
        let connection = connection.ok_or(ChangeError::Directory(DirectoryError::Unknown(id)))?;
        if connection.is_environments() {
            return Err(ChangeError::Directory(DirectoryError::EnvironmentsOwn(id)));
        }
        let Some(link) = &connection.link else {
            return Err(ChangeError::Directory(DirectoryError::Disconnected(id)));
        };
        let asked = ConnectionChange::from_json(body, &link.spec, &services.request_rules());
        let ConnectionChange { spec, state, is_source_changed } = asked.map_err(ChangeError::Request)?;
        let checked = check_addresses(&spec, services.http.policy()).await;
        checked.map_err(|problem| ChangeError::Request(problem.into()))?;
        if is_source_changed && verified.as_ref() != Some(&spec.source) {
            services.directory.verify(&spec).await.map_err(ChangeError::Directory)?;
            verified = Some(spec.source.clone());
        }
        let change = Change {
            state: state.map(|state| (state, pause_reason(state))),
            spec: Some(spec).filter(|spec| *spec != link.spec),
            former: Some(link.spec.clone()),
            ..Change::default()
        };
        match services.directory.change(id, change).await {
            Err(DirectoryError::Overtaken(_)) => {}
            done => return done.map_err(ChangeError::Directory),
        }
    }
    Err(ChangeError::Directory(DirectoryError::Overtaken(id)))
}

/// The pause reason for a requested state.
fn pause_reason(state: ConnectionState) -> Option<PauseReason> {
    (state == ConnectionState::Paused).then_some(PauseReason::Asked)
}

async fn end(_: Admin, id: web::Path<String>, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let connection = match connection_of(&relay, &id) {
        Ok(connection) => connection,
        Err(refused) => return refused,
    };
    match relay.services.directory.end_with_hooks(connection.id).await {
        Ok(connection) => answer(&relay, StatusCode::OK, &connection).await,
        Err(error) => refused_by_directory(&error),
    }
}
