//! Objects on their way through the inbox, and as they are shown to people.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Side;
use crate::{
    clock::Timestamp,
    http::Failure,
    object::{ChangeKind, Digest, ObjectId, ObjectKey, ResourceName},
    retry::{FetchBlame, ForwardBlame, blame_fetch, blame_forward},
};

/// An event on its way in: what it says, and by what it is recognised when it comes again.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Which object.
    pub key: ObjectKey,
    /// What kind of change.
    pub change: ChangeKind,
    /// The sender's own name for the event, the same on every retry, if it has one.
    pub event_id: Option<String>,
    /// What the event's content is recognised by (BigCommerce's `hash`), if there is anything.
    pub content: Option<String>,
    /// The event's own second, unix time, if it says so.
    pub created_at: Option<i64>,
    /// Look only: forward the object if it differs from what was forwarded last. For events that prove little.
    pub look_only: bool,
    /// When it came.
    pub at: Timestamp,
}

/// What became of an event. In each case it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Never seen before.
    First,
    /// Seen before, yet its object may have changed since: it will be fetched, and forwarded if it differs.
    PossibleDuplicate,
    /// Seen before, and its object was fetched well after: nothing more to do.
    Duplicate,
}

/// An object that polling, a backfill or a person wants looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which one.
    pub id: ObjectId,
    /// What kind of change it is wanted for.
    pub change: ChangeKind,
}

impl Wanted {
    /// Without knowing what changed.
    pub fn updated(id: ObjectId) -> Self {
        Self { id, change: ChangeKind::Updated }
    }
}

/// The right to fetch and forward one object, until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which object.
    pub key: ObjectKey,
    /// Fences the settling: only the latest claim's owner can settle.
    pub owner: i64,
    /// The version before the fetch; a success delivers up to it and no further.
    pub claimed_version: i64,
    /// A person has asked for it: forward even an unchanged snapshot.
    pub force: bool,
    /// Whether a first-time event is behind it. Callbacks are notified of it even if the snapshot is unchanged.
    pub is_event: bool,
    /// What kind of change waits.
    pub change: ChangeKind,
    /// Whether the destination has been notified of this object before.
    pub was_told: bool,
    /// When the relay first heard of the object.
    pub first_event_at: Timestamp,
    /// Of the snapshot last forwarded.
    pub digest: Option<Digest>,
    /// Tries of its own that have failed so far.
    pub attempts: u32,
    /// For how long it has been refused, as far as it could be tried (milliseconds); 0 if it is not.
    pub refused_ms: i64,
    /// For how long the store has not known it, likewise.
    pub missing_ms: i64,
    /// When the event came that made it wait.
    pub waiting_since: Timestamp,
    /// When the right ends.
    pub lease_until: Timestamp,
}

/// A failure and the side on which it was seen: `destination:http_422`, `store:timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// Where.
    pub side: Side,
    /// What.
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
    /// Reads what `Display` wrote.
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
        /// Of the snapshot; `None` when no snapshot was needed (a deletion).
        digest: Option<Digest>,
        /// When its fetch began.
        fetched_at: Timestamp,
        /// False when nothing was sent, since the destination has just this snapshot.
        forwarded: bool,
    },
    /// Its status is one that is not forwarded.
    Skipped {
        /// When its fetch began.
        fetched_at: Timestamp,
    },
    /// Refused; it has its own time for the next try.
    Refused {
        /// The next try.
        retry_at: Timestamp,
        /// What was seen.
        failed: Failed,
    },
    /// The store does not know it; it will be looked for again.
    Missing {
        /// The next look.
        retry_at: Timestamp,
        /// What was seen.
        failed: Failed,
    },
    /// A far side is down: not the object's fault. Due again when the far side is back.
    Deferred {
        /// The next try, unless the outage ends before.
        retry_at: Timestamp,
        /// What was seen.
        failed: Failed,
        /// False for an object that fails where others succeed: the end of the outage does not make it due.
        until_recovery: bool,
    },
    /// Not tried after all: due as before.
    Released,
    /// Refused for too long.
    Failed {
        /// What was seen last.
        failed: Failed,
    },
    /// The store has had time enough to know it, and does not.
    Gone {
        /// What was seen last.
        failed: Failed,
    },
}

/// A claim and how it ended.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The claim.
    pub claim: Claim,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectState {
    /// There is work: waiting, under way, or to be tried again.
    Pending,
    /// The destination has its newest known state.
    Delivered,
    /// Refused for too long. Can be resent.
    Failed,
    /// The store does not know it. Can be resent.
    Gone,
    /// Its status is one that is not forwarded.
    Skipped,
}

impl ObjectState {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Delivered, Self::Failed, Self::Gone, Self::Skipped];

    /// As the database keeps it.
    pub fn code(self) -> i16 {
        match self {
            Self::Pending => 0,
            Self::Delivered => 1,
            Self::Failed => 2,
            Self::Gone => 3,
            Self::Skipped => 4,
        }
    }

    /// Reads [`ObjectState::code`] back.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// As people and URLs name it.
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

/// Said of a text that names no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a state is one of pending, delivered, failed, gone, skipped")]
pub struct NotAState;

/// One object's row, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Of which resource.
    pub resource: ResourceName,
    /// Which one.
    pub id: ObjectId,
    /// Where it stands.
    pub state: ObjectState,
    /// What kind of change waits, or was delivered last.
    pub change: ChangeKind,
    /// Tries for its newest state.
    pub attempts: u32,
    /// What was seen last, if it was no success.
    pub last_failure: Option<Failed>,
    /// When the relay first heard of it.
    pub first_event_at: Timestamp,
    /// When the relay last heard of it.
    pub last_event_at: Timestamp,
    /// Since when it waits, if it does.
    pub waiting_since: Option<Timestamp>,
    /// When it is tried next, or its lease ends.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was last forwarded.
    pub delivered_at: Option<Timestamp>,
}

/// Which rows are wanted.
#[derive(Debug, Clone, Default)]
pub struct ObjectQuery {
    /// Only this resource.
    pub resource: Option<ResourceName>,
    /// Only this state.
    pub state: Option<ObjectState>,
    /// Only this id.
    pub id: Option<ObjectId>,
    /// Only objects that have been refused, or not been found, and are still tried.
    pub only_in_trouble: bool,
    /// At most this many.
    pub limit: u32,
    /// Only ids below this one: the last page's `next`.
    pub before: Option<ObjectId>,
}

/// A connection's objects in a few numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Objects with work.
    pub waiting: u64,
    /// Since when the oldest of them waits.
    pub oldest_waiting: Option<Timestamp>,
    /// Objects that are refused (or not found) and still tried, among those waiting.
    pub refused: u64,
    /// Objects refused for too long.
    pub failed: u64,
    /// Objects the store does not know.
    pub gone: u64,
    /// When the last event came.
    pub last_event_at: Option<Timestamp>,
    /// When the last object was forwarded.
    pub last_delivered_at: Option<Timestamp>,
    /// When this connection was made.
    pub created_at: Option<Timestamp>,
}

/// What the inbox knows of one object's last forwarded snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Which one.
    pub id: ObjectId,
    /// Of the snapshot last forwarded.
    pub digest: Option<Digest>,
    /// Where it stands.
    pub state: ObjectState,
    /// When it was settled, unless there is work for it.
    pub settled_at: Option<Timestamp>,
}
