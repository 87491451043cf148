//! The HTTP side: routes, and what they share. Each module below is one group of routes.

pub mod admin;
mod app;
mod bodies;
pub(crate) mod connections;
mod elements;
mod format;
mod health;
mod integration;
mod jobs;
mod metrics;
mod notices;
pub(crate) mod orders;
mod pages;
pub(crate) mod requests;
mod status;
mod webhook;
mod woocommerce;

use std::sync::{Arc, OnceLock};

use actix_web::{
    HttpRequest, HttpResponse,
    error::QueryPayloadError,
    http::{StatusCode, header},
    web,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use crate::{checker::Checker, connection::Connection, inbox::InboxError, leader::HeldShards, services::Services};

/// What the routes work with.
pub struct Relay {
    /// What service and commands share.
    pub services: Services,
    /// Knows what checks have found.
    pub checker: Arc<Checker>,
    /// Which shards this process holds; empty before the service runs.
    pub shards: OnceLock<watch::Receiver<HeldShards>>,
    /// Slows down wrong passwords.
    pub guesses: admin::Guesses,
    /// Bounds what is read of bodies that are not proven yet.
    bodies: bodies::Unproven,
    /// What forms have done and no page has shown yet.
    notices: notices::Notices,
    /// The single-click app, if it is served.
    app: Option<app::App>,
    /// Work that outlasts the request that began it.
    jobs: jobs::Jobs,
}

impl Relay {
    /// Over what service and commands share. To be called within the runtime that work beyond requests is to run on.
    pub fn new(services: Services) -> Self {
        Self {
            app: app::App::new(&services.settings),
            jobs: jobs::Jobs::new(),
            services,
            checker: Arc::default(),
            shards: OnceLock::new(),
            guesses: admin::Guesses::default(),
            bodies: bodies::Unproven::default(),
            notices: notices::Notices::default(),
        }
    }

    /// Ends the work that requests have begun: what can be gone on with later is broken off, the rest waited for.
    pub async fn stop_jobs(&self) {
        self.jobs.stop().await;
    }
}

/// All routes of the relay's port.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/webhooks/bigcommerce").route(web::post().to(webhook::environments)))
        .service(web::resource("/webhooks/{hook_key}").route(web::post().to(webhook::by_key)))
        .service(web::resource("/health/live").route(web::get().to(health::live)).route(web::head().to(health::live)))
        .service(
            web::resource("/health/ready").route(web::get().to(health::ready)).route(web::head().to(health::ready)),
        )
        .configure(integration::routes)
        .configure(connections::routes)
        .configure(woocommerce::routes)
        .configure(orders::routes)
        .configure(elements::routes)
        .configure(app::routes)
        .default_service(web::to(async || not_found()));
}

/// A path that leads nowhere.
fn not_found() -> HttpResponse {
    refuse(StatusCode::NOT_FOUND, "there is nothing at this address")
}

/// The one route of the metrics port.
pub fn metrics_routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/metrics").route(web::get().to(metrics::metrics)));
}

/// What a request's query says. Read in a route's body, where the admin is known: an extractor beside [`admin::Admin`]
/// would refuse before the password is looked at.
fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, QueryPayloadError> {
    web::Query::from_query(request.query_string()).map(web::Query::into_inner)
}

/// A JSON answer, which is not cached and not sniffed for another type.
fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .json(body)
}

/// What is wrong: part of an answer that says so as JSON, from which `requests` makes a page for whoever browses.
#[derive(Serialize)]
struct Refusal {
    error: String,
}

/// An error's answer: the status, and one sentence as JSON.
fn refuse(status: StatusCode, error: impl std::fmt::Display) -> HttpResponse {
    let refusal = Refusal { error: error.to_string() };
    let mut response = json(status, &refusal);
    response.extensions_mut().insert(refusal);
    response
}

/// The database cannot be used now. The details are for the log.
fn unavailable(error: &InboxError) -> HttpResponse {
    tracing::error!(%error, "a request could not be answered: {error}");
    not_now("the database cannot be used at the moment")
}

/// 503: whoever asks again a little later may be answered.
fn not_now(why: &str) -> HttpResponse {
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// Seconds. BigCommerce's own first retry comes after a minute.
const RETRY_AFTER: header::HeaderValue = header::HeaderValue::from_static("30");

/// The connection that a route without an id stands for.
///
/// # Errors
/// 409 with several connections and none of the environment's own.
fn default_connection(relay: &Relay) -> Result<Arc<Connection>, HttpResponse> {
    relay.services.sole_connection().map_err(|error| {
        let cure = "use /connections/{id}/… instead (GET /connections lists them)";
        refuse(StatusCode::CONFLICT, format_args!("{error}: {cure}"))
    })
}

/// The connection that a path names.
///
/// # Errors
/// 404 when there is none.
fn connection_of(relay: &Relay, id: &str) -> Result<Arc<Connection>, HttpResponse> {
    let connection = id.parse().ok().and_then(|id| relay.services.connection(id));
    connection.ok_or_else(|| refuse(StatusCode::NOT_FOUND, format_args!("there is no connection with this id")))
}
