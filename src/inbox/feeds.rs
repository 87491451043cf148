//! The small tables of a connection: how far lists have been read, hooks, outages.

use serde::Serialize;

use crate::{clock::Timestamp, http::Failure};

/// How far one list has been read, and how reading goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its name within the connection: a resource, or one run of `backfill`.
    pub name: String,
    /// Everything that changed up to here has been handed on.
    pub watermark: Option<Timestamp>,
    /// How many rows a page asks for, where that is less than usual.
    pub page_size: Option<u32>,
    /// Since when reading does not work, and what was seen last.
    pub trouble: Option<(Timestamp, Failure)>,
    /// When it was last read to its end.
    pub polled_at: Option<Timestamp>,
}

impl Feed {
    /// One that has not been read yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), watermark: None, page_size: None, trouble: None, polled_at: None }
    }
}

/// The two sides that a connection lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The store's API.
    Store,
    /// The destination.
    Destination,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Store, Self::Destination];

    /// As databases, metrics and logs name it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Destination => "destination",
        }
    }

    /// Reads [`Side::code`] back.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.code() == code)
    }
}

/// One side is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Which.
    pub side: Side,
    /// Since when.
    pub since: Timestamp,
    /// What was seen last.
    pub failure: Failure,
}

/// How the hook of one topic stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// As it should be.
    Healthy,
    /// There is none.
    Missing,
    /// The store has switched it off.
    Inactive,
    /// It points elsewhere.
    Elsewhere,
    /// It does not carry the relay's present token.
    WithoutToken,
    /// There is more than one.
    Doubled,
}

impl HookState {
    const ALL: [Self; 6] =
        [Self::Healthy, Self::Missing, Self::Inactive, Self::Elsewhere, Self::WithoutToken, Self::Doubled];

    /// As JSON, databases and logs name it.
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

    /// Reads [`HookState::code`] back.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// The hook of one topic (BigCommerce: scope), as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRow {
    /// What it fires for.
    pub topic: String,
    /// Its number at the store, once there is one.
    pub hook_id: Option<i64>,
    /// How it stood when last checked.
    pub state: HookState,
}
