//! Limits the calls to one shop at a time, and keeps the pauses that it asks for.
//!
//! WooCommerce itself has no request limit, but hosts and firewalls in front of it do, and answer 429 or 503. Small
//! hosts serve few requests at once, and shoppers come first.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    http::{CallError, Failure},
    retry::Backoff,
};

/// Most calls to one shop at a time.
pub const CALLS_AT_ONCE: usize = 2;
/// How long a call that a person waits for may wait for a pause to end.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The wait after a 429 that gives no time.
const UNSAID_PAUSE: Backoff = Backoff { base: Duration::from_secs(4), cap: Duration::from_secs(300) };
/// When to ask again while all permits are taken.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// A permit for one call to a shop. Returned when dropped.
#[derive(Debug)]
pub struct Permit {
    _slot: OwnedSemaphorePermit,
    _far_call: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// The same, which counts among the calls under way of all connections.
    pub(in crate::source) fn counted(self, far_call: Option<OwnedSemaphorePermit>) -> Self {
        Self { _far_call: far_call, ..self }
    }
}

/// What all connections of one shop share.
#[derive(Debug)]
pub(super) struct Gate {
    slots: Arc<Semaphore>,
    pause: Mutex<Pause>,
}

#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    /// Consecutive refusals.
    refusals: u32,
}

impl Gate {
    pub fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(CALLS_AT_ONCE)), pause: Mutex::default() }
    }

    /// Until when the shop has asked for no calls.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        self.pause.lock().until.filter(|until| *until > now)
    }

    /// Takes up to `want` permits at once, or returns when to ask again.
    pub fn try_take(&self, want: u32, now: Instant) -> Result<Vec<Permit>, Instant> {
        if let Some(until) = self.pause(now) {
            return Err(until);
        }
        let slots = (0..want).map_while(|_| self.slots.clone().try_acquire_owned().ok());
        let permits: Vec<_> = slots.map(|slot| Permit { _slot: slot, _far_call: None }).collect();
        if permits.is_empty() && want > 0 { Err(now + BUSY_PAUSE) } else { Ok(permits) }
    }

    /// Waits for a permit in turn. Holds no permit during a pause, so that others can use it.
    pub async fn take(&self) -> Permit {
        loop {
            if let Some(until) = self.pause(Instant::now()) {
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
            let slot = self.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            if self.pause(Instant::now()).is_none() {
                return Permit { _slot: slot, _far_call: None };
            }
        }
    }

    /// Waits for a permit for a call that a person waits for: at most [`PATIENCE`] for a pause, and that and
    /// `longest` for its turn.
    pub async fn take_urgent(&self, longest: Duration) -> Result<Permit, CallError> {
        if let Some(until) = self.pause(Instant::now()) {
            let wait = until.saturating_duration_since(Instant::now());
            if wait > PATIENCE {
                return Err(CallError { failure: Failure::Status(429), retry_after: Some(wait) });
            }
        }
        tokio::time::timeout(longest + PATIENCE, self.take()).await.map_err(|_| Failure::Timeout.into())
    }

    /// Records an answer of the shop, or of a server in front of it. `chance` is in [0, 1).
    pub fn answered(&self, outcome: Result<(), CallError>, now: Instant, chance: f64) {
        let mut pause = self.pause.lock();
        let Err(error) = outcome else {
            pause.refusals = 0;
            return;
        };
        let wait = match (error.failure.status(), error.retry_after) {
            (Some(429 | 503), Some(asked)) => asked,
            (Some(429), None) => UNSAID_PAUSE.wait(pause.refusals.saturating_add(1), chance),
            _ => return,
        };
        pause.refusals = pause.refusals.saturating_add(1);
        let until = now + wait;
        pause.until = Some(pause.until.map_or(until, |known| known.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(failure: Failure, seconds: Option<u64>) -> Result<(), CallError> {
        Err(CallError { failure, retry_after: seconds.map(Duration::from_secs) })
    }

    #[test]
    fn two_calls_at_a_time_and_no_third() {
        let (gate, now) = (Gate::new(), Instant::now());
        let permits = gate.try_take(10, now).expect("free");
        assert_eq!(permits.len(), CALLS_AT_ONCE);
        assert!(gate.try_take(1, now).is_err_and(|until| until > now));
        drop(permits);
        assert_eq!(gate.try_take(1, now).expect("given back").len(), 1);
    }

    #[test]
    fn a_pause_lasts_as_long_as_asked_and_is_never_shortened() {
        let (gate, now) = (Gate::new(), Instant::now());
        gate.answered(refused(Failure::Html(503), Some(60)), now, 0.0);
        assert_eq!(gate.pause(now), Some(now + Duration::from_secs(60)));
        gate.answered(refused(Failure::Status(429), Some(5)), now, 0.0);
        gate.answered(Ok(()), now, 0.0);
        assert_eq!(gate.try_take(1, now).expect_err("paused"), now + Duration::from_secs(60));
        assert_eq!(gate.pause(now + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_429_without_a_wait_pauses_longer_each_time() {
        let (gate, now) = (Gate::new(), Instant::now());
        gate.answered(refused(Failure::Status(429), None), now, 0.999_999);
        let first = gate.pause(now).expect("paused") - now;
        gate.answered(refused(Failure::Html(429), None), now, 0.999_999);
        let second = gate.pause(now).expect("paused") - now;
        assert!(first < second && second < Duration::from_secs(10), "{first:?} {second:?}");
        gate.answered(refused(Failure::Status(500), Some(3000)), now, 0.0);
        assert_eq!(gate.pause(now).expect("paused") - now, second, "a fault of the shop's is no pause");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_long_pause() {
        let gate = Gate::new();
        gate.answered(refused(Failure::Status(429), Some(600)), Instant::now(), 0.0);
        let refused = gate.take_urgent(Duration::from_secs(1)).await.expect_err("paused");
        assert_eq!(refused.failure, Failure::Status(429));
        assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(590)));
    }
}
