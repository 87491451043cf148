//! The health endpoints for load balancers and orchestrators.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, web};

use super::{Relay, not_now, unavailable};
use crate::clock::Timestamp;

/// Time limit for the test that the database can be written.
const PROBE_TIME: Duration = Duration::from_secs(5);

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().force_close().body("alive\n")
}

pub(super) async fn ready(relay: web::Data<Arc<Relay>>) -> HttpResponse {
    if relay.services.storage.has_failed_lately() {
        return not_now("an event could not be kept just now");
    }
    match tokio::time::timeout(PROBE_TIME, relay.services.inbox.probe(Timestamp::now())).await {
        Ok(Ok(())) => HttpResponse::Ok().force_close().body("ready\n"),
        Ok(Err(error)) => unavailable(&error),
        Err(_) => not_now("the database does not answer"),
    }
}
