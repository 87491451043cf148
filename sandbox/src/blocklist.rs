//! When a domain receives no webhooks for a while (BigCommerce, "Webhooks overview", blocklist rules). Pure: time is an
//! argument.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The window in which requests are counted.
const WINDOW: Duration = Duration::from_secs(2 * 60);
/// How long a blocked domain receives nothing.
const BLOCKED_FOR: Duration = Duration::from_secs(3 * 60);
/// A window with fewer requests than this never blocks a domain.
const MIN_REQUESTS: u32 = 100;
/// The share of successes below which a domain is blocked, in percent.
const MIN_SUCCESS_PERCENT: u32 = 90;

/// The blocklist counters, one for each API client and domain, whichever of the client's stores the events come from.
#[derive(Debug, Default)]
pub(crate) struct Blocklists(Mutex<HashMap<(String, String), Blocklist>>);

impl Blocklists {
    pub(crate) fn is_blocked(&self, client_id: &str, domain: &str, now: Instant) -> bool {
        let lists = self.0.lock().expect("no holder of this lock panics");
        lists.get(&(client_id.to_owned(), domain.to_owned())).is_some_and(|list| list.is_blocked(now))
    }

    /// See [`Blocklist::note`].
    pub(crate) fn note(
        &self,
        client_id: &str,
        domain: &str,
        success: bool,
        now: Instant,
        factor: f64,
    ) -> Option<Instant> {
        let mut lists = self.0.lock().expect("no holder of this lock panics");
        lists.entry((client_id.to_owned(), domain.to_owned())).or_default().note(success, now, factor)
    }
}

/// The counters of one API client and domain.
#[derive(Debug, Default)]
struct Blocklist {
    window_began: Option<Instant>,
    requests: u32,
    successes: u32,
    blocked_until: Option<Instant>,
}

impl Blocklist {
    fn is_blocked(&self, now: Instant) -> bool {
        self.blocked_until.is_some_and(|until| now < until)
    }

    /// Counts one request, with all times scaled by `factor`. Returns until when the domain is blocked if this request
    /// blocks it.
    fn note(&mut self, success: bool, now: Instant, factor: f64) -> Option<Instant> {
        let fresh = self.window_began.is_none_or(|began| now.duration_since(began) >= WINDOW.mul_f64(factor));
        if fresh {
            (self.window_began, self.requests, self.successes) = (Some(now), 0, 0);
        }
        self.requests += 1;
        self.successes += u32::from(success);
        let bad = self.successes.saturating_mul(100) < self.requests.saturating_mul(MIN_SUCCESS_PERCENT);
        if self.requests < MIN_REQUESTS || !bad || self.is_blocked(now) {
            return None;
        }
        self.window_began = None;
        self.blocked_until = Some(now + BLOCKED_FOR.mul_f64(factor));
        self.blocked_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(count: u32, failures: u32) -> (Blocklist, Instant, Option<Instant>) {
        let now = Instant::now();
        let mut list = Blocklist::default();
        let last = (0..count).fold(None, |last, i| list.note(i >= failures, now, 1.0).or(last));
        (list, now, last)
    }

    #[test]
    fn a_hundred_requests_with_too_few_successes_block() {
        assert_eq!(after(99, 99).2, None);
        assert_eq!(after(100, 10).2, None);
        let (list, now, until) = after(100, 11);
        assert_eq!(until, Some(now + BLOCKED_FOR));
        assert!(list.is_blocked(now + Duration::from_secs(179)));
        assert!(!list.is_blocked(now + Duration::from_secs(180)));
    }

    #[test]
    fn windows_forget() {
        let (mut list, now, _) = after(99, 99);
        assert_eq!(list.note(false, now + WINDOW, 1.0), None);
    }
}
