//! Whether events can be stored, as the webhook handlers see it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{clock::Timestamp, inbox::InboxError};

/// The pause between two log lines about a database that cannot be written.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// Whether events could be stored recently. A small write may still succeed on a disk without room for an event.
#[derive(Debug, Default)]
pub struct Storage(Mutex<StorageState>);

#[derive(Debug, Default)]
struct StorageState {
    failing_since: Option<Timestamp>,
    failed_at: Option<Instant>,
    logged_at: Option<Instant>,
    failures: u64,
}

/// For this long after a failure, storage is not reported as working unless an event has been stored since.
const LATELY: Duration = Duration::from_secs(10);

impl Storage {
    /// Records that an event was stored.
    pub fn worked(&self) {
        let mut state = self.0.lock();
        if state.failing_since.is_none() {
            return;
        }
        tracing::info!(failures = state.failures, "events are kept again; {} could not be", state.failures);
        *state = StorageState::default();
    }

    /// Records that an event could not be stored. Logs it at most once a minute.
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

    /// Since when events cannot be stored; `None` if they can.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.0.lock().failing_since
    }

    /// Whether storing an event has failed recently, and none has been stored since.
    pub fn has_failed_lately(&self) -> bool {
        self.0.lock().failed_at.is_some_and(|at| at.elapsed() < LATELY)
    }
}
