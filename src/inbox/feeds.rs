//! The small tables of a connection: feeds (how far lists have been read), hooks, outages.

use serde::Serialize;

use crate::{clock::Timestamp, http::Failure};

/// How far one list has been read, and whether reading works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The name within the connection: a resource, or one run of `backfill`.
    pub name: String,
    /// All changes up to this time have been handed on.
    pub watermark: Option<Timestamp>,
    /// The page size, where it is smaller than usual.
    pub page_size: Option<u32>,
    /// Since when reading fails, and the last failure.
    pub trouble: Option<(Timestamp, Failure)>,
    /// When the list was last read to its end.
    pub polled_at: Option<Timestamp>,
}

impl Feed {
    /// A feed of a list that has not been read yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), watermark: None, page_size: None, trouble: None, polled_at: None }
    }
}

/// The two sides of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The store's API.
    Store,
    /// The destination.
    Destination,
}

impl Side {
    /// Both sides.
    pub const ALL: [Self; 2] = [Self::Store, Self::Destination];

    /// The name in databases, metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Destination => "destination",
        }
    }

    /// The side with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.code() == code)
    }
}

/// An outage of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// The side that is down.
    pub side: Side,
    /// When the outage began.
    pub since: Timestamp,
    /// The last failure.
    pub failure: Failure,
}

/// The state of the hook for one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// It is registered as it should be.
    Healthy,
    /// There is no hook.
    Missing,
    /// The store has switched it off.
    Inactive,
    /// Its URL is not the relay's.
    Elsewhere,
    /// It does not carry the relay's current token.
    WithoutToken,
    /// There is more than one hook.
    Doubled,
}

impl HookState {
    const ALL: [Self; 6] =
        [Self::Healthy, Self::Missing, Self::Inactive, Self::Elsewhere, Self::WithoutToken, Self::Doubled];

    /// The name in JSON, databases and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Missing => "missing",
            Self::Inactive => "inactive",
            Self::Elsewhere => "elsewhere",
            Self::WithoutToken => "without_token",
            Self::Doubled => "doubled",
        }
    }

    /// The state with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// The hook for one topic (BigCommerce: scope), as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRow {
    /// The topic that it fires for.
    pub topic: String,
    /// Its id at the store, once there is one.
    pub hook_id: Option<i64>,
    /// Its state when last checked.
    pub state: HookState,
}
