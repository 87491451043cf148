//! Health, for machines.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, http::StatusCode, web};
use parking_lot::Mutex;

use super::{Relay, refuse, unavailable};
use crate::{clock::Timestamp, inbox::InboxError};

/// How long the database may take to prove that it can be written.
const PROBE_TIME: Duration = Duration::from_secs(5);
/// Between two lines about a database that cannot be written.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// Whether events could be kept lately. A small write may still fit on a disk that has no room for an event.
#[derive(Default)]
pub(super) struct Storage(Mutex<StorageState>);

#[derive(Default)]
struct StorageState {
    failing_since: Option<Timestamp>,
    failed_at: Option<Instant>,
    logged_at: Option<Instant>,
    failures: u64,
}

/// After a failure so lately nobody is told that all is well, unless an event has been kept since.
const LATELY: Duration = Duration::from_secs(10);

impl Storage {
    /// An event was kept.
    pub fn worked(&self) {
        let mut state = self.0.lock();
        if state.failing_since.is_none() {
            return;
        }
        tracing::info!(failures = state.failures, "events are kept again; {} could not be", state.failures);
        *state = StorageState::default();
    }

    /// An event could not be kept. One line a minute says so.
    pub fn failed(&self, error: &InboxError) {
        let mut state = self.0.lock();
        state.failing_since.get_or_insert_with(Timestamp::now);
        state.failed_at = Some(Instant::now());
        state.failures += 1;
        if state.logged_at.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
            state.logged_at = Some(Instant::now());
            tracing::error!(%error, failures = state.failures, "events cannot be kept: {error}");
        }
    }

    /// Since when events cannot be kept, if that is so.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.0.lock().failing_since
    }

    fn has_failed_lately(&self) -> bool {
        self.0.lock().failed_at.is_some_and(|at| at.elapsed() < LATELY)
    }
}

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().force_close().body("alive\n")
}

pub(super) async fn ready(relay: web::Data<Arc<Relay>>) -> HttpResponse {
    if relay.storage.has_failed_lately() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "an event could not be kept just now");
    }
    match tokio::time::timeout(PROBE_TIME, relay.services.inbox.probe(Timestamp::now())).await {
        Ok(Ok(())) => HttpResponse::Ok().force_close().body("ready\n"),
        Ok(Err(error)) => unavailable(&error),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}
