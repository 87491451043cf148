//! The HTTP side: routes, and what they share. Each module below is one group of routes.

mod accept;
pub mod admin;
mod health;
mod integration;
mod orders;
pub(crate) mod requests;
mod status;
mod webhook;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, error::QueryPayloadError, http::StatusCode, web};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    callback::Verifier,
    check::Checker,
    clock::Timestamp,
    config::Config,
    connection::Connection,
    inbox::{Inbox, InboxError},
    metrics::{Gauges, Metrics, OrderGauges},
    registrar::Registrar,
};

/// How long the metrics wait for the database: whoever collects them does not wait for long either.
const GAUGES_TIME: Duration = Duration::from_secs(2);

/// What the routes work with.
pub struct Relay {
    /// What the relay was told.
    pub config: Config,
    /// The one connection.
    pub connection: Arc<Connection>,
    /// Where events are kept.
    pub inbox: Arc<dyn Inbox>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Looks after hooks.
    pub registrar: Arc<Registrar>,
    /// Runs the checks.
    pub checker: Checker,
    /// Proves callbacks.
    pub verifier: Verifier,
    /// Slows down wrong passwords.
    pub guesses: admin::Guesses,
}

impl Relay {
    /// The numbers that are read when somebody asks.
    pub async fn gauges(&self) -> Gauges {
        Gauges {
            orders: self.order_gauges().await,
            quota_left: self.connection.api.quota().left_at(Instant::now()),
            store_down: self.connection.store_breaker().outage().is_some(),
            destination_down: self.connection.destination_breaker().outage().is_some(),
            hooks_healthy: self.registrar.healthy(),
            hooks_wanted: self.registrar.wanted_count(),
            credentials_refused: self.connection.api.credentials().trouble().is_some(),
        }
    }

    /// Those of the database; `None` when it cannot be read, or not in time.
    async fn order_gauges(&self) -> Option<OrderGauges> {
        let summary = match tokio::time::timeout(GAUGES_TIME, self.inbox.summary(self.connection.id)).await {
            Ok(Ok(summary)) => summary,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the metrics of the orders are left out: {error}");
                return None;
            }
            Err(_) => {
                tracing::warn!("the metrics of the orders are left out: the database does not answer");
                return None;
            }
        };
        let now = Timestamp::now();
        Some(OrderGauges {
            waiting: summary.waiting,
            oldest_waiting: summary.oldest_waiting.map(|since| now.since(since)).unwrap_or_default(),
            failed: summary.failed,
            last_webhook_at: summary.last_event_at,
            last_forwarded_at: summary.last_forwarded_at,
        })
    }
}

/// All routes of the relay's port.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/webhooks/bigcommerce").route(web::post().to(webhook::receive)))
        .service(web::resource("/health/live").route(web::get().to(health::live)).route(web::head().to(health::live)))
        .service(
            web::resource("/health/ready").route(web::get().to(health::ready)).route(web::head().to(health::ready)),
        )
        .service(
            web::resource("/")
                .route(web::get().to(integration::front))
                .default_service(web::to(HttpResponse::NotFound)),
        )
        .service(web::resource("/integration").route(web::get().to(integration::page)))
        .service(web::resource("/integration/check").route(web::get().to(integration::check)))
        .service(web::resource("/integration/update").route(web::post().to(integration::update)))
        .service(web::resource("/integration/echo").route(web::get().to(integration::echo)))
        .service(web::resource("/orders").route(web::get().to(orders::list)))
        .service(web::resource("/orders/resend").route(web::post().to(orders::resend_all)))
        .service(web::resource("/orders/{id}/resend").route(web::post().to(orders::resend)));
}

/// The one route of the metrics port.
pub fn metrics_routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/metrics").route(web::get().to(health::metrics)));
}

/// What a request's query says. Read in a route's body, where the admin is known: an extractor beside [`admin::Admin`]
/// would refuse before the password is looked at.
fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, QueryPayloadError> {
    web::Query::from_query(request.query_string()).map(web::Query::into_inner)
}

/// An error's answer: the status, and one sentence as JSON.
fn refuse(status: StatusCode, error: impl std::fmt::Display) -> HttpResponse {
    #[derive(Serialize)]
    struct Body {
        error: String,
    }
    HttpResponse::build(status).json(Body { error: error.to_string() })
}

/// The inbox cannot be used now. The details are for the log.
fn unavailable(error: &InboxError) -> HttpResponse {
    tracing::error!(%error, "a request could not be answered: {error}");
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "the database cannot be used at the moment");
    response.headers_mut().insert(actix_web::http::header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// Seconds. BigCommerce's own first retry comes after a minute.
const RETRY_AFTER: actix_web::http::header::HeaderValue = actix_web::http::header::HeaderValue::from_static("30");
