//! Hourly counts for the status page. Which orders they were is not stored.

use std::time::Duration;

use crate::clock::Timestamp;

/// One hour of a connection's history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hour {
    /// Hours since 1970, UTC.
    pub number: i64,
    /// Orders forwarded within the hour.
    pub forwarded: u64,
    /// The most objects seen waiting at once; `None` if none were counted.
    pub waiting: Option<u64>,
}

/// How long hours are stored.
pub const HISTORY: Duration = Duration::from_secs(8 * 24 * 3600);

/// The number of the hour that contains a time.
pub fn hour_of(at: Timestamp) -> i64 {
    const MILLIS: i64 = 3_600_000;
    at.millis().div_euclid(MILLIS)
}
