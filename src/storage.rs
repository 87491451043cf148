//! Whether events can be kept, as those see it who keep them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{clock::Timestamp, inbox::InboxError};

/// Between two lines about a database that cannot be written.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// Whether events could be kept lately. A small write may still fit on a disk that has no room for an event.
#[derive(Debug, Default)]
pub struct Storage(Mutex<StorageState>);

#[derive(Debug, Default)]
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

    /// Whether an event could not be kept lately, and none has been since.
    pub fn has_failed_lately(&self) -> bool {
        self.0.lock().failed_at.is_some_and(|at| at.elapsed() < LATELY)
    }
}
