//! The store's request quota: paced by the store's own headers, shared with every other app of the store. Pure; the
//! clock and chance are arguments.
//!
//! Source: BigCommerce, "API rate limits": 150 requests per 30 s on Standard and Plus, 450 on Pro, `X-Rate-Limit-*` on
//! every answer, a 429 possibly without any.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use crate::{http, retry::Backoff};

/// Assumed until the store has said otherwise: the smallest plan.
const DEFAULT_LIMIT: u32 = 150;
const DEFAULT_WINDOW: Duration = Duration::from_secs(30);
/// No header is believed beyond this.
const MAX_WINDOW: Duration = Duration::from_secs(600);
/// Which part of the budget may be spent at once after a quiet time.
const BURST: f64 = 0.1;
/// Two answers of one window name its end within this of each other.
const SAME_WINDOW: Duration = Duration::from_secs(1);
/// The pause after a 429 that names none.
const PAUSE: Backoff = Backoff { base: Duration::from_secs(10), cap: Duration::from_secs(60) };

/// What one answer says of the quota.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaHeaders {
    left: Option<u32>,
    limit: Option<u32>,
    window: Option<Duration>,
    reset: Option<Duration>,
}

impl QuotaHeaders {
    /// Reads `X-Rate-Limit-*`; what is missing or odd is `None`.
    pub fn read(headers: &HeaderMap) -> Self {
        let count = |name| http::number(headers, name).and_then(|n| u32::try_from(n).ok());
        let span = |name| http::number(headers, name).map(|ms| Duration::from_millis(ms).min(MAX_WINDOW));
        Self {
            left: count("x-rate-limit-requests-left"),
            limit: count("x-rate-limit-requests-quota").filter(|limit| *limit > 0),
            window: span("x-rate-limit-time-window-ms").filter(|window| !window.is_zero()),
            reset: span("x-rate-limit-time-reset-ms"),
        }
    }
}

/// The quota as last seen, and the pace that keeps within it.
#[derive(Debug)]
pub struct Quota {
    share: f64,
    limit: u32,
    window: Duration,
    /// What the store had left when last heard, less the calls made since.
    left: Option<i64>,
    reset_at: Instant,
    in_flight: u32,
    /// Calls that may go out now. Below zero when urgent calls have borrowed.
    tokens: f64,
    filled_at: Instant,
    paused_until: Option<Instant>,
    refusals: u32,
}

impl Quota {
    /// Of a store that has not answered yet. `share` of its quota may be used up.
    pub fn new(share: f64, now: Instant) -> Self {
        let mut quota = Self {
            share,
            limit: DEFAULT_LIMIT,
            window: DEFAULT_WINDOW,
            left: None,
            reset_at: now,
            in_flight: 0,
            tokens: 0.0,
            filled_at: now,
            paused_until: None,
            refusals: 0,
        };
        quota.tokens = quota.burst();
        quota
    }

    /// Calls the relay may make in one window.
    fn budget(&self) -> f64 {
        (f64::from(self.limit) * self.share).max(1.0)
    }

    fn burst(&self) -> f64 {
        (self.budget() * BURST).max(1.0)
    }

    /// Calls a second, such that a window with a whole burst in it stays within the budget.
    fn rate(&self) -> f64 {
        (self.budget() - self.burst()).max(0.5) / self.window.as_secs_f64()
    }

    fn fill(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.filled_at).as_secs_f64() * self.rate();
        self.tokens = (self.tokens + earned).min(self.burst());
        self.filled_at = now;
        if now >= self.reset_at && self.left.is_some() {
            // A new window has begun; how much of it others have used is heard with the next answer.
            self.left = None;
        }
    }

    /// What may be taken of the rest of this window without touching what is left to other apps.
    fn room(&self, keep: f64) -> i64 {
        let keep = (f64::from(self.limit) * keep).floor() as i64;
        self.left.map_or(i64::MAX, |left| left - keep)
    }

    /// Takes up to `want` calls (at least one), or says when to ask again.
    ///
    /// # Errors
    /// The moment from which there may be a call.
    pub fn try_take(&mut self, now: Instant, want: u32) -> Result<u32, Instant> {
        self.fill(now);
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(until);
        }
        let room = self.room(1.0 - self.share);
        if room < 1 {
            return Err(self.reset_at.max(now + Duration::from_millis(10)));
        }
        if self.tokens < 1.0 {
            return Err(now + Duration::from_secs_f64((1.0 - self.tokens) / self.rate()) + Duration::from_millis(1));
        }
        let most = (self.tokens as u32).min(u32::try_from(room).unwrap_or(u32::MAX));
        let granted = want.clamp(1, most);
        self.spend(granted);
        Ok(granted)
    }

    /// Takes one call out of turn, as long as the store has any left at all.
    ///
    /// # Errors
    /// The moment from which there may be a call.
    pub fn take_soon(&mut self, now: Instant) -> Result<(), Instant> {
        self.fill(now);
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(until);
        }
        if self.room(0.0) < 1 {
            return Err(self.reset_at.max(now + Duration::from_millis(10)));
        }
        self.spend(1);
        Ok(())
    }

    /// For how long the store itself would refuse even an urgent call.
    pub fn closed_for(&self, now: Instant) -> Duration {
        let paused = self.paused_until.unwrap_or(now);
        let used_up = self.left_at(now).is_some_and(|left| left < 1);
        let until = if used_up { paused.max(self.reset_at) } else { paused };
        until.saturating_duration_since(now)
    }

    fn spend(&mut self, calls: u32) {
        self.tokens -= f64::from(calls);
        self.in_flight += calls;
        self.left = self.left.map(|left| left - i64::from(calls));
    }

    /// A call that was taken is not made after all.
    pub fn refund(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.tokens = (self.tokens + 1.0).min(self.burst());
        self.left = self.left.map(|left| left + 1);
    }

    /// A call came back without an answer: it may or may not have counted.
    pub fn unanswered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A call was answered.
    pub fn observed(&mut self, now: Instant, seen: &QuotaHeaders) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.refusals = 0;
        self.learn(now, seen);
    }

    fn learn(&mut self, now: Instant, seen: &QuotaHeaders) {
        self.fill(now);
        let first = self.limit;
        self.limit = seen.limit.unwrap_or(self.limit);
        self.window = seen.window.unwrap_or(self.window);
        if self.limit > first {
            // The burst of a larger plan is there at once.
            self.tokens += self.budget() * BURST - f64::from(first) * self.share * BURST;
        }
        if let (Some(left), Some(reset)) = (seen.left, seen.reset) {
            let left = i64::from(left) - i64::from(self.in_flight);
            let reset_at = now + reset;
            let another_window = reset_at > self.reset_at + SAME_WINDOW;
            // Within one window answers may overtake each other: the least that was heard is the newest.
            self.left = Some(if another_window { left } else { self.left.map_or(left, |known| known.min(left)) });
            self.reset_at = reset_at;
        }
    }

    /// The store answered 429: pause as long as it says, or a jittered while if it says nothing.
    pub fn refused(&mut self, now: Instant, seen: &QuotaHeaders, asked: Option<Duration>, chance: f64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.refusals = self.refusals.saturating_add(1);
        self.learn(now, seen);
        let named = asked.max(seen.reset);
        // A named end gets a little jitter on top, so that a store's apps do not all come back in one instant.
        let wait = named.map_or_else(
            || PAUSE.wait(self.refusals, chance),
            |named| named + Duration::from_millis((chance * 500.0) as u64),
        );
        self.paused_until = self.paused_until.max(Some(now + wait));
    }

    /// What the store has left in the window of `now`, as far as known.
    pub fn left_at(&self, now: Instant) -> Option<i64> {
        self.left.filter(|_| now < self.reset_at)
    }
}
