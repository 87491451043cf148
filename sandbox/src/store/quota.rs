//! The store's request quota: fixed windows, shared with any other apps of the store.

use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderName, HeaderValue};

/// How many requests the store answers in which window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaRule {
    /// Requests per window.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
    /// Whether an answer with 429 carries the quota headers.
    pub headers_on_429: bool,
}

impl Default for QuotaRule {
    /// A Standard or Plus plan: 150 requests in 30 s.
    fn default() -> Self {
        Self { requests: 150, window: Duration::from_secs(30), headers_on_429: true }
    }
}

impl QuotaRule {
    /// So large that no test uses it up.
    pub fn unlimited() -> Self {
        Self { requests: u32::MAX, ..Self::default() }
    }
}

/// The values of the quota headers of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    left: u32,
    quota: u32,
    window: Duration,
    reset: Duration,
    /// The request came after the quota was used up.
    pub(crate) exceeded: bool,
}

impl Reading {
    pub(crate) fn headers(&self) -> [(HeaderName, HeaderValue); 4] {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        [
            ("x-rate-limit-requests-left", u64::from(self.left)),
            ("x-rate-limit-requests-quota", u64::from(self.quota)),
            ("x-rate-limit-time-window-ms", ms(self.window)),
            ("x-rate-limit-time-reset-ms", ms(self.reset)),
        ]
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from(value)))
    }
}

#[derive(Debug)]
pub(crate) struct Quota {
    pub(crate) rule: QuotaRule,
    started: Instant,
    used: u32,
    refused: u64,
}

impl Quota {
    pub(crate) fn new(rule: QuotaRule, now: Instant) -> Self {
        Self { rule, started: now, used: 0, refused: 0 }
    }

    /// Counts one request.
    pub(crate) fn take(&mut self, now: Instant) -> Reading {
        let exceeded = !self.use_up(1, now);
        self.refused += u64::from(exceeded);
        let QuotaRule { requests: quota, window, .. } = self.rule;
        let reset = window.saturating_sub(now.saturating_duration_since(self.started));
        Reading { left: quota.saturating_sub(self.used), quota, window, reset, exceeded }
    }

    /// Uses up `n` requests, or all that are left; returns whether there were as many as `n`.
    pub(crate) fn use_up(&mut self, n: u32, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.started);
        if age >= self.rule.window {
            let into_window = age.as_nanos() % self.rule.window.as_nanos().max(1);
            self.started = now - Duration::from_nanos(u64::try_from(into_window).unwrap_or(0));
            self.used = 0;
        }
        let wanted = self.used.saturating_add(n);
        self.used = wanted.min(self.rule.requests);
        wanted <= self.rule.requests
    }

    /// How many requests were answered 429 because the quota was used up.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_fixed() {
        let start = Instant::now();
        let window = Duration::from_secs(30);
        let mut quota = Quota::new(QuotaRule { requests: 3, window, headers_on_429: true }, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(quota.take(at(10)).left, 2);
        assert!(quota.use_up(2, at(20)));
        let refused = quota.take(at(29));
        assert!(refused.exceeded);
        assert_eq!((refused.left, refused.reset), (0, Duration::from_secs(1)));
        let next = quota.take(at(70));
        assert!(!next.exceeded);
        assert_eq!((next.left, next.reset), (2, Duration::from_secs(20)));
        assert_eq!(quota.refused(), 1);
    }
}
