//! Health, for machines, and the metrics.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, http::StatusCode, web};

use super::{Relay, refuse, unavailable};
use crate::clock::Timestamp;

/// How long the database may take to prove that it can be written.
const PROBE_TIME: Duration = Duration::from_secs(5);

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().body("alive\n")
}

pub(super) async fn ready(relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match tokio::time::timeout(PROBE_TIME, relay.inbox.probe(Timestamp::now())).await {
        Ok(Ok(())) => HttpResponse::Ok().body("ready\n"),
        Ok(Err(error)) => unavailable(&error),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}

/// Answered in any case: what is counted here is needed most while the database is in trouble.
pub(super) async fn metrics(relay: web::Data<Arc<Relay>>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(relay.metrics.render(&relay.gauges().await))
}
