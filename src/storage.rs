//! Whether the database can be written, as webhook handlers, deliveries and checks see it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{clock::Timestamp, inbox::InboxError, object::ConnectionId};

/// The pause between two log lines about a database that cannot be written.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// Whether events could be stored recently. A small write may still succeed on a disk without room for an event.
#[derive(Debug, Default)]
pub struct Storage(Mutex<StorageState>);

#[derive(Debug, Default)]
struct StorageState {
    failing_since: Option<Timestamp>,
    /// Since when the checks' own writes fail.
    probes_fail_since: Option<Timestamp>,
    /// Since when the waiting objects of connections cannot be claimed.
    claims_fail_since: BTreeMap<ConnectionId, Timestamp>,
    claims_logged_at: Option<Instant>,
    failed_at: Option<Instant>,
    logged_at: Option<Instant>,
    failures: u64,
}

/// For this long after a failure, storage is not reported as working unless an event has been stored since.
const LATELY: Duration = Duration::from_secs(10);

/// A failure this long ago does not outweigh a write that succeeds now.
const LONG_AGO: Duration = Duration::from_secs(30);

impl Storage {
    /// Records that an event was stored.
    pub fn worked(&self) {
        let mut state = self.0.lock();
        state.probes_fail_since = None;
        if state.failing_since.is_none() {
            return;
        }
        let (claims_fail_since, claims_logged_at) =
            (std::mem::take(&mut state.claims_fail_since), state.claims_logged_at);
        tracing::info!(failures = state.failures, "events are kept again; {} could not be", state.failures);
        *state = StorageState { claims_fail_since, claims_logged_at, ..StorageState::default() };
    }

    /// Records that what waits of a connection could not be claimed. Logs it at most once a minute.
    pub fn claims_failed(&self, connection: ConnectionId, error: &InboxError) {
        let mut state = self.0.lock();
        state.claims_fail_since.entry(connection).or_insert_with(Timestamp::now);
        if state.claims_logged_at.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
            state.claims_logged_at = Some(Instant::now());
            tracing::error!(%connection, %error, "delivery pauses, since orders cannot be claimed: {error}");
        }
    }

    /// Records that what waits of a connection could be claimed, or that there is nothing to claim.
    pub fn claims_worked(&self, connection: ConnectionId) {
        let mut state = self.0.lock();
        if state.claims_fail_since.remove(&connection).is_some() && state.claims_fail_since.is_empty() {
            state.claims_logged_at = None;
            tracing::info!("orders can be claimed again");
        }
    }

    /// Records whether a check's write succeeded. A success says little about events that have just failed, which need
    /// more room; a while later it is the best that is known.
    pub fn probed(&self, has_worked: bool) {
        let mut state = self.0.lock();
        if has_worked && state.failed_at.is_some_and(|at| at.elapsed() >= LONG_AGO) {
            tracing::info!("the database can be written again");
            (state.failing_since, state.failed_at, state.logged_at, state.failures) = (None, None, None, 0);
        }
        state.probes_fail_since = (!has_worked).then(|| state.probes_fail_since.unwrap_or_else(Timestamp::now));
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

    /// Since when something cannot be written: events, claims, or what a check writes.
    pub fn failing_since(&self) -> Option<Timestamp> {
        let state = self.0.lock();
        let claims = state.claims_fail_since.values().copied();
        [state.failing_since, state.probes_fail_since].into_iter().flatten().chain(claims).min()
    }

    /// Whether storing an event has failed recently, and none has been stored since.
    pub fn has_failed_lately(&self) -> bool {
        self.0.lock().failed_at.is_some_and(|at| at.elapsed() < LATELY)
    }
}
