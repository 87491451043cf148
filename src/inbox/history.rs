//! Hourly numbers: what the status page draws. Only counts; which orders they were is not kept.

use std::time::Duration;

use crate::clock::Timestamp;

/// One hour of a connection's past, for people to look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hour {
    /// How many hours since 1970, UTC.
    pub number: i64,
    /// Orders forwarded within it.
    pub forwarded: u64,
    /// The most that were seen waiting at once; `None` if it was not sampled.
    pub waiting: Option<u64>,
}

/// How long hours are kept.
pub const HISTORY: Duration = Duration::from_secs(8 * 24 * 3600);

/// The number of the hour that a moment lies in.
pub fn hour_of(at: Timestamp) -> i64 {
    const MILLIS: i64 = 3_600_000;
    at.millis().div_euclid(MILLIS)
}
