//! The rules for an object's row, each written once as a pure function. The databases only carry them out.

use std::time::Duration;

use super::{Claim, Failed, Outcome, Side};
use crate::{
    clock::Timestamp,
    http::Failure,
    object::{ChangeKind, Digest, ObjectKey},
};

use super::ObjectState;

/// How far apart the clocks of processes that share a database may be: a deadline that was set no further ahead of
/// now than this was set by another's clock, and is no sign of a clock that was set back.
pub const CLOCK_SLACK: Duration = Duration::from_secs(10);

/// An object's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The object's state.
    pub state: ObjectState,
    /// Raised by each event and each request to fetch the object.
    pub version: i64,
    /// The version that a person last asked for.
    pub forced_version: i64,
    /// The version of the newest event that was not a duplicate.
    pub event_version: i64,
    /// The version that the destination has.
    pub delivered: i64,
    /// The kind of change that waits, or was delivered last.
    pub change: ChangeKind,
    /// Whether the destination has been notified of it.
    pub was_told: bool,
    /// When it may be claimed; the end of the lease while there is one. Set while pending.
    pub due_at: Option<Timestamp>,
    /// How far ahead `due_at` was when it was set, in milliseconds.
    pub wait_ms: i64,
    /// When the event came that it waits for. Set while pending.
    pub waiting_since: Option<Timestamp>,
    /// The owner number of the claim, while there is one.
    pub lease_owner: Option<i64>,
    /// Whether the claim has reached its forward.
    pub is_forwarding: bool,
    /// Set if it waits for a far side: the end of the outage makes it due.
    pub is_deferred: bool,
    /// Whether it has failed since it began to wait.
    pub has_failed: bool,
    /// How many of its own tries its newest state has had.
    pub attempts: u32,
    /// For how long it has been refused, counting only time in which it could be tried, in milliseconds; 0 if it is
    /// not.
    pub refused_ms: i64,
    /// For how long the store has not known it, counted likewise.
    pub missing_ms: i64,
    /// When it last failed by its own fault.
    pub tried_at: Option<Timestamp>,
    /// The wait that followed that failure, in milliseconds.
    pub pause_ms: i64,
    /// The last failure, unless the last try succeeded.
    pub last_failure: Option<Failed>,
    /// The digest of the snapshot last forwarded.
    pub digest: Option<Digest>,
    /// When the fetch of that snapshot began.
    pub fetched_at: Option<Timestamp>,
    /// When it was last forwarded.
    pub delivered_at: Option<Timestamp>,
    /// Since when it has been settled; `None` while pending.
    pub settled_at: Option<Timestamp>,
    /// When the relay first learned of it.
    pub first_event_at: Timestamp,
    /// When the relay last learned of a change to it.
    pub last_event_at: Timestamp,
}

/// A reason to fetch an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raise {
    /// Why it is to be fetched.
    pub reason: Reason,
    /// The kind of change.
    pub change: ChangeKind,
    /// When the reason arose.
    pub at: Timestamp,
}

/// Why an object is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It may have changed. Does not change when an object that is already waiting is tried next.
    Look,
    /// A new event.
    Event,
    /// A person asked for it.
    Force,
}

impl Row {
    /// The row of an object that the relay did not know.
    pub fn new(raise: Raise) -> Self {
        let mut row = Self {
            state: ObjectState::Delivered,
            version: 0,
            forced_version: 0,
            event_version: 0,
            delivered: 0,
            change: raise.change,
            was_told: false,
            due_at: None,
            wait_ms: 0,
            waiting_since: None,
            lease_owner: None,
            is_forwarding: false,
            is_deferred: false,
            has_failed: false,
            attempts: 0,
            refused_ms: 0,
            missing_ms: 0,
            tried_at: None,
            pause_ms: 0,
            last_failure: None,
            digest: None,
            fetched_at: None,
            delivered_at: None,
            settled_at: None,
            first_event_at: raise.at,
            last_event_at: raise.at,
        };
        row.raise(raise);
        row
    }

    /// The row of an object whose state is only remembered: it is not reported, and counts as known to the destination.
    pub fn remembered(digest: Digest, at: Timestamp) -> Self {
        let mut row = Self::new(Raise { reason: Reason::Look, change: ChangeKind::Updated, at });
        row.delivered = row.version;
        row.was_told = true;
        row.digest = Some(digest);
        row.end(ObjectState::Delivered, false, at);
        row.attempts = 0;
        row
    }

    /// Remembers the state of an object that has a row. False, without a change, unless it is delivered.
    pub fn remember(&mut self, digest: Digest, at: Timestamp) -> bool {
        let concerned = self.state == ObjectState::Delivered;
        if concerned {
            self.digest = Some(digest);
            self.settled_at = Some(at);
        }
        concerned
    }

    /// Makes the object due.
    pub fn raise(&mut self, Raise { reason, change, at }: Raise) {
        let was_pending = self.state == ObjectState::Pending;
        self.change = if was_pending { self.change.merged(change) } else { change };
        self.version += 1;
        match reason {
            Reason::Look => {}
            Reason::Event => self.event_version = self.version,
            Reason::Force => self.forced_version = self.version,
        }
        if !(was_pending && reason == Reason::Look) {
            if self.lease_owner.is_none() {
                self.due_at = Some(self.due_at.map_or(at, |due| due.min(at)));
                self.wait_ms = 0;
            }
            // An object in trouble stays in it until the next try succeeds, but its time counts anew.
            let was_missing = self.missing_ms > 0 || self.state == ObjectState::Gone;
            let was_refused = self.refused_ms > 0 || self.state == ObjectState::Failed;
            (self.missing_ms, self.refused_ms) = (i64::from(was_missing), i64::from(was_refused));
            self.attempts = 0;
            self.pause_ms = 0;
            self.has_failed = false;
        }
        if !was_pending {
            self.waiting_since = Some(at);
        }
        self.state = ObjectState::Pending;
        self.settled_at = None;
        self.last_event_at = at;
    }

    /// Whether the object may be claimed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due_at.is_some_and(|due| due <= now)
    }

    /// Claims the object until `until`.
    pub fn claim(&mut self, key: ObjectKey, owner: i64, until: Timestamp, now: Timestamp) -> Claim {
        self.lease_owner = Some(owner);
        self.is_forwarding = false;
        self.due_at = Some(until);
        self.wait_ms = until.millis() - now.millis();
        Claim {
            key,
            owner,
            claimed_version: self.version,
            force: self.forced_version > self.delivered,
            is_event: self.event_version > self.delivered,
            change: self.change,
            was_told: self.was_told,
            first_event_at: self.first_event_at,
            digest: self.digest,
            attempts: self.attempts,
            refused_ms: self.age(self.refused_ms, now),
            missing_ms: self.age(self.missing_ms, now),
            waiting_since: self.waiting_since.unwrap_or(now),
            lease_until: until,
        }
    }

    /// For how long an object has been in trouble. Of the time since the last try, only the wait that was set then
    /// counts: in any longer time the far side or the relay was down, and the object could not be tried.
    fn age(&self, known_ms: i64, now: Timestamp) -> i64 {
        if known_ms == 0 {
            return 0;
        }
        let since = self.tried_at.map_or(0, |tried| now.millis().saturating_sub(tried.millis()));
        known_ms.saturating_add(since.clamp(0, self.pause_ms.max(0)))
    }

    /// Ends a claim. False, with nothing changed, if it is no longer its owner's.
    pub fn settle(&mut self, claim: &Claim, outcome: &Outcome, at: Timestamp) -> bool {
        if self.lease_owner != Some(claim.owner) {
            return false;
        }
        let is_newer = self.version > claim.claimed_version;
        self.lease_owner = None;
        self.is_forwarding = false;
        self.is_deferred = false;
        let own_failure = |row: &mut Self, retry_at: Timestamp| {
            row.tried_at = Some(at);
            row.pause_ms = (retry_at.millis() - at.millis()).max(0);
        };
        match *outcome {
            Outcome::Delivered { digest, fetched_at, forwarded } => {
                self.delivered = claim.claimed_version;
                self.digest = digest.or(self.digest);
                self.fetched_at = Some(fetched_at);
                self.was_told = true;
                if forwarded {
                    self.delivered_at = Some(at);
                }
                self.last_failure = None;
                self.end(ObjectState::Delivered, is_newer, at);
            }
            Outcome::Skipped { fetched_at } => {
                self.delivered = claim.claimed_version;
                self.fetched_at = Some(fetched_at);
                self.last_failure = None;
                self.end(ObjectState::Skipped, is_newer, at);
            }
            Outcome::Failed { failed } => {
                self.last_failure = Some(failed);
                self.end(ObjectState::Failed, is_newer, at);
            }
            Outcome::Gone { failed } => {
                self.last_failure = Some(failed);
                self.end(ObjectState::Gone, is_newer, at);
            }
            Outcome::Refused { retry_at, failed } => {
                self.refused_ms = claim.refused_ms.max(1);
                self.missing_ms = 0;
                own_failure(self, retry_at);
                self.wait_for_own_retry(retry_at, failed, is_newer, at);
            }
            Outcome::Missing { retry_at, failed } => {
                self.missing_ms = claim.missing_ms.max(1);
                self.refused_ms = 0;
                own_failure(self, retry_at);
                self.wait_for_own_retry(retry_at, failed, is_newer, at);
            }
            Outcome::Deferred { retry_at, failed, until_recovery } => {
                // It may have taken the snapshot: which one it has is not known any more.
                if failed.side == Side::Destination && matches!(failed.failure, Failure::Timeout | Failure::Broken) {
                    self.digest = None;
                }
                self.last_failure = Some(failed);
                self.has_failed = true;
                self.is_deferred = until_recovery;
                self.due(retry_at, at);
            }
            Outcome::Released => self.due(self.waiting_since.map_or(at, |since| since.min(at)), at),
        }
        true
    }

    fn due(&mut self, due_at: Timestamp, at: Timestamp) {
        self.due_at = Some(due_at);
        self.wait_ms = (due_at.millis() - at.millis()).max(0);
    }

    fn wait_for_own_retry(&mut self, retry_at: Timestamp, failed: Failed, is_newer: bool, at: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        self.has_failed = true;
        self.last_failure = Some(failed);
        self.due(if is_newer { at } else { retry_at }, at);
    }

    fn end(&mut self, state: ObjectState, is_newer: bool, at: Timestamp) {
        self.refused_ms = 0;
        self.missing_ms = 0;
        self.tried_at = None;
        self.pause_ms = 0;
        self.has_failed = false;
        if is_newer {
            self.state = ObjectState::Pending;
            self.attempts = 0;
            self.waiting_since = Some(self.last_event_at.min(at));
            self.due(at, at);
        } else {
            self.state = state;
            self.attempts = self.attempts.saturating_add(1);
            self.waiting_since = None;
            self.due_at = None;
            self.wait_ms = 0;
            self.settled_at = Some(at);
        }
    }

    /// Makes the object due if it waits for a far side that is back. False if that changes nothing.
    pub fn recover(&mut self) -> bool {
        let concerned = self.state == ObjectState::Pending && self.is_deferred && self.lease_owner.is_none();
        if concerned {
            self.is_deferred = false;
            self.due_at = self.waiting_since;
            self.wait_ms = 0;
        }
        concerned
    }

    /// Makes the object due if the clock has been set back since its deadline was set. False if it has not.
    pub fn repair_deadline(&mut self, now: Timestamp) -> bool {
        let latest = now.after(CLOCK_SLACK).millis();
        let set_ahead = self.due_at.is_some_and(|due| due.millis().saturating_sub(self.wait_ms) > latest);
        if set_ahead {
            self.due_at = Some(now);
            self.wait_ms = 0;
            self.waiting_since = self.waiting_since.map(|since| since.min(now));
        }
        set_ahead
    }

    /// Frees a claim of a process that is gone: due as before, unless the forward had begun. False if that changes
    /// nothing.
    pub fn free_claim(&mut self, now: Timestamp) -> bool {
        let concerned = self.lease_owner.is_some() && !self.is_forwarding;
        if concerned {
            self.lease_owner = None;
            self.due(self.waiting_since.map_or(now, |since| since.min(now)), now);
        }
        concerned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ConnectionId, ObjectId, ResourceName};

    #[test]
    fn after_a_forward_without_an_answer_no_state_is_known_to_be_there() {
        let at = |second: i64| Timestamp::from_seconds(1_700_000_000 + second);
        let known = |failure, side| {
            let mut row = Row::remembered(Digest([1; 16]), at(0));
            row.raise(Raise { reason: Reason::Look, change: ChangeKind::Updated, at: at(1) });
            let key =
                ObjectKey { connection: ConnectionId(1), resource: ResourceName::orders(), id: ObjectId::Number(1) };
            let claim = row.claim(key, 7, at(60), at(2));
            let failed = Failed { side, failure };
            assert!(row.settle(&claim, &Outcome::Deferred { retry_at: at(9), failed, until_recovery: true }, at(3)));
            row.digest.is_some()
        };
        for failure in [Failure::Timeout, Failure::Broken] {
            assert!(!known(failure, Side::Destination), "{failure}: it may have taken what was forwarded");
            assert!(known(failure, Side::Store));
        }
        for failure in [Failure::Status(503), Failure::Connect, Failure::Dns] {
            assert!(known(failure, Side::Destination), "{failure}: it has not");
        }
    }

    #[test]
    fn what_is_remembered_is_no_news_and_never_in_the_way_of_any() {
        let at = |second: i64| Timestamp::from_seconds(1_700_000_000 + second);
        let (one, two) = (Digest([1; 16]), Digest([2; 16]));
        let mut row = Row::remembered(one, at(0));
        assert_eq!((row.state, row.due_at, row.settled_at), (ObjectState::Delivered, None, Some(at(0))));
        assert!(row.was_told && row.version == row.delivered && row.delivered_at.is_none());
        assert!(row.remember(two, at(5)));
        assert_eq!((row.digest, row.settled_at), (Some(two), Some(at(5))));
        row.raise(Raise { reason: Reason::Look, change: ChangeKind::Updated, at: at(9) });
        assert!(row.is_due(at(9)) && !row.remember(one, at(10)), "work comes first");
        assert_eq!((row.digest, row.settled_at), (Some(two), None));
    }
}
