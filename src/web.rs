//! The HTTP side: the routes, and what they share. Each module below is one group of routes.

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

/// What the routes share.
pub struct Relay {
    /// What the service and the commands share.
    pub services: Services,
    /// The results of checks.
    pub checker: Arc<Checker>,
    /// The shards that this process holds; not set before the service runs.
    pub shards: OnceLock<watch::Receiver<HeldShards>>,
    /// Limits guesses of the password.
    pub guesses: admin::Guesses,
    /// Limits the memory for bodies.
    bodies: bodies::Bodies,
    /// Results of forms that no page has shown yet.
    notices: notices::Notices,
    /// The single-click app, if it is configured.
    app: Option<app::App>,
    /// Work that outlasts the request that started it.
    jobs: jobs::Jobs,
}

impl Relay {
    /// Must be called within the runtime that such work is to run on.
    pub fn new(services: Services) -> Self {
        Self {
            app: app::App::new(&services.settings),
            jobs: jobs::Jobs::new(),
            services,
            checker: Arc::default(),
            shards: OnceLock::new(),
            guesses: admin::Guesses::default(),
            bodies: bodies::Bodies::default(),
            notices: notices::Notices::default(),
        }
    }

    /// Ends the work that requests have started: interrupts what can be continued later, and waits for the rest.
    pub async fn stop_jobs(&self) {
        self.jobs.stop().await;
    }
}

/// All routes of the main port.
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

/// The only route of the metrics port.
pub fn metrics_routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/metrics").route(web::get().to(metrics::metrics)));
}

/// Parses a request's query. Called in the body of a route, after authentication: an extractor beside
/// [`admin::Admin`] would refuse the request before the password is checked.
fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, QueryPayloadError> {
    web::Query::from_query(request.query_string()).map(web::Query::into_inner)
}

/// A JSON answer with headers against caching and content sniffing.
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

/// The answer while the database cannot be used. The details go to the log.
fn unavailable(error: &InboxError) -> HttpResponse {
    tracing::error!(%error, "a request could not be answered: {error}");
    not_now("the database cannot be used at the moment")
}

/// A 503 with `Retry-After`.
fn not_now(why: &str) -> HttpResponse {
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// In seconds. BigCommerce's own first retry comes after a minute.
const RETRY_AFTER: header::HeaderValue = header::HeaderValue::from_static("30");

/// The connection for a route without an id.
///
/// # Errors
/// 409 if there is no connection, or if there are several and none is the environment's own.
fn default_connection(relay: &Relay) -> Result<Arc<Connection>, HttpResponse> {
    relay.services.sole_connection().map_err(|error| {
        let cure = "use /connections/{id}/… instead (GET /connections lists them)";
        refuse(StatusCode::CONFLICT, format_args!("{error}: {cure}"))
    })
}

/// The connection that a path names.
///
/// # Errors
/// 404 if there is none.
fn connection_of(relay: &Relay, id: &str) -> Result<Arc<Connection>, HttpResponse> {
    let connection = id.parse().ok().and_then(|id| relay.services.connection(id));
    connection.ok_or_else(|| refuse(StatusCode::NOT_FOUND, format_args!("there is no connection with this id")))
}
