//! The system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// The system's time in unix seconds.
pub fn system_clock() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}
