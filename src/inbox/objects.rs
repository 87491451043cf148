//! Objects as the inbox handles them: events, claims, outcomes, and rows for people to read.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Side;
use crate::{
    clock::Timestamp,
    http::Failure,
    object::{ChangeKind, Digest, ObjectId, ObjectKey, ResourceName},
    retry::{FetchBlame, ForwardBlame, blame_fetch, blame_forward},
};

/// An event to be accepted: what it says, and what identifies a repetition of it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The object that the event is about.
    pub key: ObjectKey,
    /// The kind of change that it announces.
    pub change: ChangeKind,
    /// The sender's own id for the event, the same on every retry, if it has one.
    pub event_id: Option<String>,
    /// Identifies the event's content (BigCommerce's `hash`), if it has anything of the kind.
    pub content: Option<String>,
    /// The event's own time in Unix seconds, if it gives one.
    pub created_at: Option<i64>,
    /// Forward the object only if it differs from what was forwarded last: for events that prove little.
    pub look_only: bool,
    /// When the event came.
    pub at: Timestamp,
}

/// How an event was classified. In each case it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Not seen before.
    First,
    /// Seen before, but its object may have changed since: it will be fetched, and forwarded if it differs.
    PossibleDuplicate,
    /// Seen before, and its object was fetched well after it: nothing more to do.
    Duplicate,
}

/// An object that polling, a backfill or a person wants fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The object's id at the store.
    pub id: ObjectId,
    /// The kind of change that it is wanted for.
    pub change: ChangeKind,
}

impl Wanted {
    /// An object of which the kind of change is not known.
    pub fn updated(id: ObjectId) -> Self {
        Self { id, change: ChangeKind::Updated }
    }
}

/// The right to fetch and forward one object, until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The object that is claimed.
    pub key: ObjectKey,
    /// The claim's owner number: only the latest claim of an object can settle it.
    pub owner: i64,
    /// The object's version before the fetch; a success counts as delivered up to this version only.
    pub claimed_version: i64,
    /// Set if a person has asked for it: even an unchanged snapshot is forwarded.
    pub force: bool,
    /// Whether a new event is behind it: a callback is then notified even if the snapshot is unchanged.
    pub is_event: bool,
    /// The kind of change that waits.
    pub change: ChangeKind,
    /// Whether the destination has been notified of this object before.
    pub was_told: bool,
    /// When the relay first learned of the object.
    pub first_event_at: Timestamp,
    /// The digest of the snapshot last forwarded.
    pub digest: Option<Digest>,
    /// How many of its own tries have failed so far.
    pub attempts: u32,
    /// For how long it has been refused, counting only time in which it could be tried, in milliseconds; 0 if it is
    /// not refused.
    pub refused_ms: i64,
    /// For how long the store has not known it, counted likewise; 0 if it does.
    pub missing_ms: i64,
    /// When the event came that it waits for.
    pub waiting_since: Timestamp,
    /// When the lease ends.
    pub lease_until: Timestamp,
}

/// A failure and the side on which it was seen: `destination:http_422`, `store:timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// The side that failed.
    pub side: Side,
    /// The failure.
    pub failure: Failure,
}

impl Failed {
    /// Whether it speaks of this one object, and not of the side.
    pub fn is_the_objects(self) -> bool {
        match self.side {
            Side::Store => matches!(blame_fetch(self.failure), FetchBlame::Object | FetchBlame::Missing),
            Side::Destination => blame_forward(self.failure) == ForwardBlame::Object,
        }
    }

    /// The store does not know the object (yet): it is looked for again over ten minutes, which is nothing to report.
    pub fn is_missing(self) -> bool {
        self.side == Side::Store && blame_fetch(self.failure) == FetchBlame::Missing
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.side.code(), self.failure)
    }
}

impl Failed {
    /// Parses what `Display` prints.
    pub fn from_code(code: &str) -> Option<Self> {
        let (side, failure) = code.split_once(':')?;
        Some(Self { side: Side::from_code(side)?, failure: failure.parse().ok()? })
    }
}

impl Serialize for Failed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a claim ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has the state: sent now, or already there.
    Delivered {
        /// The digest of the snapshot; `None` when no snapshot was needed (a deletion).
        digest: Option<Digest>,
        /// When the fetch began.
        fetched_at: Timestamp,
        /// False if nothing was sent, because the destination already has exactly this snapshot.
        forwarded: bool,
    },
    /// Its status excludes it from being forwarded.
    Skipped {
        /// When the fetch began.
        fetched_at: Timestamp,
    },
    /// It was refused, and is tried again on a schedule of its own.
    Refused {
        /// When it is tried again.
        retry_at: Timestamp,
        /// The failure, and the side.
        failed: Failed,
    },
    /// The store does not know it; it will be asked for again.
    Missing {
        /// When it is asked for again.
        retry_at: Timestamp,
        /// The failure, and the side.
        failed: Failed,
    },
    /// A far side is down, which is not the object's fault. It is due again when the far side is back.
    Deferred {
        /// When it is tried again, unless the outage ends before.
        retry_at: Timestamp,
        /// The failure, and the side.
        failed: Failed,
        /// False for an object that fails where others succeed: the end of an outage does not make it due.
        until_recovery: bool,
    },
    /// It was not tried: due as before.
    Released,
    /// It has been refused for too long.
    Failed {
        /// The last failure, and the side.
        failed: Failed,
    },
    /// The store still does not know it after the time it was given.
    Gone {
        /// The last failure, and the side.
        failed: Failed,
    },
}

/// How and when a claim ended.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The claim that ended.
    pub claim: Claim,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub at: Timestamp,
}

/// The state of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectState {
    /// It waits, is under way, or is to be tried again.
    Pending,
    /// The destination has its newest known state.
    Delivered,
    /// It was refused for too long. A person can resend it.
    Failed,
    /// The store does not know it. A person can resend it.
    Gone,
    /// Its status excludes it from being forwarded.
    Skipped,
}

impl ObjectState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Delivered, Self::Failed, Self::Gone, Self::Skipped];

    /// The number that the database stores.
    pub fn code(self) -> i16 {
        match self {
            Self::Pending => 0,
            Self::Delivered => 1,
            Self::Failed => 2,
            Self::Gone => 3,
            Self::Skipped => 4,
        }
    }

    /// The state with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The name for people and URLs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Gone => "gone",
            Self::Skipped => "skipped",
        }
    }
}

impl std::str::FromStr for ObjectState {
    type Err = NotAState;

    fn from_str(text: &str) -> Result<Self, NotAState> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or(NotAState)
    }
}

/// The text names no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a state is one of pending, delivered, failed, gone, skipped")]
pub struct NotAState;

/// An object's row, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// The resource that it belongs to.
    pub resource: ResourceName,
    /// The object's id at the store.
    pub id: ObjectId,
    /// Its state.
    pub state: ObjectState,
    /// The kind of change that waits, or was delivered last.
    pub change: ChangeKind,
    /// How many tries its newest state has had.
    pub attempts: u32,
    /// The last failure, unless the last try succeeded.
    pub last_failure: Option<Failed>,
    /// When the relay first learned of it.
    pub first_event_at: Timestamp,
    /// When the relay last learned of a change to it.
    pub last_event_at: Timestamp,
    /// Since when it waits; `None` if it does not.
    pub waiting_since: Option<Timestamp>,
    /// When it is tried next, or when its lease ends.
    pub next_attempt_at: Option<Timestamp>,
    /// Whether it is under way now.
    pub is_claimed: bool,
    /// When it was last forwarded.
    pub delivered_at: Option<Timestamp>,
}

/// A filter for rows, and which page of them.
#[derive(Debug, Clone, Default)]
pub struct ObjectQuery {
    /// Only objects of this resource.
    pub resource: Option<ResourceName>,
    /// Only objects in this state.
    pub state: Option<ObjectState>,
    /// Only the object with this id.
    pub id: Option<ObjectId>,
    /// Only objects that have been refused or not found, and are still being tried.
    pub only_in_trouble: bool,
    /// The longest waiting first, instead of the highest ids.
    pub longest_waiting_first: bool,
    /// Most rows returned.
    pub limit: u32,
    /// Only ids below this one: the last page's `next`.
    pub before: Option<ObjectId>,
}

impl ObjectQuery {
    /// The objects that have waited longest.
    pub fn waiting(limit: u32) -> Self {
        Self { state: Some(ObjectState::Pending), longest_waiting_first: true, limit, ..Self::default() }
    }
}

/// Counts and times of one connection's objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Objects that wait, are under way, or are to be tried again.
    pub waiting: u64,
    /// Since when the oldest of them has been waiting.
    pub oldest_waiting: Option<Timestamp>,
    /// How many of them have been refused or not found, and are still being tried.
    pub refused: u64,
    /// Objects that were refused for too long.
    pub failed: u64,
    /// Objects that the store does not know.
    pub gone: u64,
    /// When the last event came.
    pub last_event_at: Option<Timestamp>,
    /// When the last object was forwarded.
    pub last_delivered_at: Option<Timestamp>,
    /// When the connection was made.
    pub created_at: Option<Timestamp>,
}

/// What the inbox knows of the snapshot of an object that was last forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The object's id at the store.
    pub id: ObjectId,
    /// The digest of that snapshot.
    pub digest: Option<Digest>,
    /// The object's state.
    pub state: ObjectState,
    /// When it was settled; `None` while it is pending.
    pub settled_at: Option<Timestamp>,
}
