//! An order as it is shown to people.

use serde::Serialize;

use crate::{clock::Timestamp, event::OrderId};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderState {
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

impl OrderState {
    const ALL: [Self; 5] = [Self::Pending, Self::Delivered, Self::Failed, Self::Gone, Self::Skipped];

    /// As the database keeps it.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Delivered => 1,
            Self::Failed => 2,
            Self::Gone => 3,
            Self::Skipped => 4,
        }
    }

    pub(crate) fn from_code(code: i64) -> Option<Self> {
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

impl std::str::FromStr for OrderState {
    type Err = NotAState;

    fn from_str(text: &str) -> Result<Self, NotAState> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or(NotAState)
    }
}

/// Said of a text that names no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a state is one of pending, delivered, failed, gone, skipped")]
pub struct NotAState;

/// One order's row, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderRow {
    /// Which order.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: OrderState,
    /// Tries for its newest state.
    pub attempts: u32,
    /// What was seen last, if it was no success. No personal data.
    pub last_error: Option<String>,
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
#[derive(Debug, Clone, Copy, Default)]
pub struct OrderQuery {
    /// Only this state.
    pub state: Option<OrderState>,
    /// At most this many.
    pub limit: u32,
    /// Only ids below this one: the last page's `next`.
    pub before: Option<OrderId>,
}

impl OrderQuery {
    /// The highest id that is wanted.
    pub(super) fn last(self) -> i64 {
        self.before.map_or(i64::MAX, |before| before.get() - 1)
    }
}
