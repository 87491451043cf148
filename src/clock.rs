//! Wall-clock time as the inbox keeps it: whole milliseconds since 1970, UTC.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// Milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Now, by this machine's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// From milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since 1970; saturates.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This much later; saturates.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This much earlier; saturates.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How far apart the two are, whichever is the earlier.
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// How long after `earlier`; nothing if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Another machine's clock, known from its answers. Between answers it is advanced by a monotonic clock, so a jump of
/// this machine's clock is noticed at once, not only with the next answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct FarClock {
    told: Option<(Instant, Timestamp)>,
}

impl FarClock {
    /// Records that an answer at `now` gave the other machine's time as `time`.
    pub fn learn(&mut self, now: Instant, time: Timestamp) {
        self.told = Some((now, time));
    }

    /// How far the other clock is ahead of this machine's, which shows `ours` at `now`, in milliseconds; 0 before the
    /// first answer.
    pub fn ahead_ms(&self, now: Instant, ours: Timestamp) -> i64 {
        self.told.map_or(0, |(at, time)| {
            time.after(now.saturating_duration_since(at)).millis().saturating_sub(ours.millis())
        })
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Shown as RFC 3339 with milliseconds, in UTC.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_noticed_without_another_answer() {
        let (now, ours) = (Instant::now(), Timestamp::from_seconds(1_700_000_000));
        let mut far = FarClock::default();
        assert_eq!(far.ahead_ms(now, ours), 0);
        far.learn(now, ours);
        let later = now + Duration::from_secs(60);
        let shown = |seconds: i64| Timestamp::from_millis(ours.millis() + seconds * 1000);
        assert_eq!(far.ahead_ms(later, shown(60)), 0);
        assert_eq!(far.ahead_ms(later, shown(60 - 3600)), 3_600_000, "ours was set back an hour");
        assert_eq!(far.ahead_ms(later, shown(60 + 3600)), -3_600_000, "ours was set ahead");
    }
}
