//! The store's request quota: paced by the store's own headers, shared with every other app of the store. Pure; the
//! clock and chance are arguments.
//!
//! Source: BigCommerce, "API rate limits": 150 requests per 30 s on Standard and Plus, 450 on Pro, `X-Rate-Limit-*` on
//! every answer, a 429 possibly without any.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use super::line::{Line, Waiter};
use crate::{http, retry::Backoff};

/// Assumed until the store has said otherwise: the smallest plan.
const DEFAULT_LIMIT: u32 = 150;
const DEFAULT_WINDOW: Duration = Duration::from_secs(30);
/// No header is believed beyond this.
const MAX_WINDOW: Duration = Duration::from_secs(600);
/// Which part of the budget may be spent at once after a quiet time.
const BURST: f64 = 0.1;
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
    widest_burst: f64,
    /// Up to when calls have been earned; lies ahead during a pause.
    filled_at: Instant,
    paused_until: Option<Instant>,
    /// Pauses for a 429 since the last answer that was none.
    refusals: u32,
    line: Line,
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
            widest_burst: 0.0,
            filled_at: now,
            paused_until: None,
            refusals: 0,
            line: Line::default(),
        };
        quota.widest_burst = quota.burst();
        quota.tokens = quota.widest_burst;
        quota
    }

    /// Calls the relay may make in one window.
    fn budget(&self) -> u32 {
        // The little on top keeps 0.57 of 100 from being 56 for want of a binary fraction.
        ((f64::from(self.limit) * self.share + 1e-6) as u32).max(1)
    }

    fn burst(&self) -> f64 {
        (f64::from(self.budget()) * BURST).max(1.0)
    }

    /// Calls a second, such that a window with a whole burst in it stays within the budget.
    fn rate(&self) -> f64 {
        (f64::from(self.budget()) - self.burst()).max(0.5) / self.window.as_secs_f64()
    }

    fn fill(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.filled_at).as_secs_f64() * self.rate();
        self.tokens = (self.tokens + earned).min(self.burst());
        self.filled_at = self.filled_at.max(now);
        if now >= self.reset_at && self.left.is_some() {
            // A new window has begun; how much of it others have used is heard with the next answer.
            self.left = None;
        }
    }

    /// What may be taken of the rest of this window without touching the `kept` calls.
    fn room(&self, kept: u32) -> i64 {
        self.left.map_or(i64::MAX, |left| left - i64::from(kept))
    }

    /// Takes up to `want` calls (at least one), or says when to ask again. Whoever has been told to ask again comes
    /// before those who ask later.
    ///
    /// # Errors
    /// The moment from which there may be a call.
    pub fn try_take(&mut self, waiter: Waiter, now: Instant, want: u32) -> Result<u32, Instant> {
        self.fill(now);
        if let Some(until) = self.pause(now) {
            return Err(until);
        }
        let room = self.room(self.limit.saturating_sub(self.budget()));
        if room < 1 {
            return Err(self.reset_at.max(now + Duration::from_millis(10)));
        }
        let needed = 1.0 + self.line.ahead_of(waiter, now) as f64;
        if self.tokens < needed {
            let until = now + Duration::from_secs_f64((needed - self.tokens) / self.rate()) + Duration::from_millis(1);
            self.line.keep(waiter, until);
            return Err(until);
        }
        self.line.leave(waiter);
        let free = (self.tokens - needed) as u32 + 1;
        let granted = want.clamp(1, free.min(u32::try_from(room).unwrap_or(u32::MAX)));
        self.spend(granted);
        Ok(granted)
    }

    /// Takes one call out of turn, as long as the store has any left at all.
    ///
    /// # Errors
    /// The moment from which there may be a call.
    pub fn take_urgent(&mut self, now: Instant) -> Result<(), Instant> {
        self.fill(now);
        if let Some(until) = self.pause(now) {
            return Err(until);
        }
        if self.room(0) < 1 {
            return Err(self.reset_at.max(now + Duration::from_millis(10)));
        }
        self.spend(1);
        Ok(())
    }

    /// Until when no call may be made after a 429.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
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
        // After a 429 what comes back makes no burst either.
        let most = if self.refusals > 0 { self.tokens.max(1.0) } else { self.burst() };
        self.tokens = (self.tokens + 1.0).min(most);
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
        self.limit = seen.limit.unwrap_or(self.limit);
        self.window = seen.window.unwrap_or(self.window);
        if self.burst() > self.widest_burst {
            // The burst of a larger plan is there at once, and only once.
            self.tokens += self.burst() - self.widest_burst;
            self.widest_burst = self.burst();
        }
        if let (Some(left), Some(reset)) = (seen.left, seen.reset) {
            // No window ends later than a whole one from now.
            self.learn_left(i64::from(left) - i64::from(self.in_flight), now + reset.min(self.window));
        }
    }

    /// Answers overtake each other, and an answer that comes late names an end that is as much too late. So of one
    /// window the least that was left is the newest, and the earliest end is the truest; windows are told apart by ends
    /// that lie far from each other.
    fn learn_left(&mut self, left: i64, reset_at: Instant) {
        match self.left {
            Some(known) if reset_at < self.reset_at + self.window / 2 => {
                if reset_at + self.window / 2 > self.reset_at {
                    self.left = Some(known.min(left));
                    self.reset_at = self.reset_at.min(reset_at);
                }
            }
            _ => {
                self.left = Some(left);
                self.reset_at = reset_at;
            }
        }
    }

    /// The store answered 429: pause as long as it says, or a jittered while if it says nothing.
    pub fn refused(&mut self, now: Instant, seen: &QuotaHeaders, asked: Option<Duration>, chance: f64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        // Of many calls that are refused together, one counts.
        if self.paused_until.is_none_or(|until| until <= now) {
            self.refusals = self.refusals.saturating_add(1);
        }
        self.learn(now, seen);
        let named = asked.max(seen.reset).filter(|named| !named.is_zero());
        // A named end gets a little jitter on top, so that a store's apps do not all come back in one instant.
        let wait = named.map_or_else(
            || PAUSE.wait(self.refusals, chance),
            |named| named + Duration::from_millis((chance * 500.0) as u64),
        );
        let until = self.paused_until.map_or(now + wait, |until| until.max(now + wait));
        self.paused_until = Some(until);
        // No burst after a 429: one call finds out first how much others have left of the new window.
        self.tokens = self.tokens.min(1.0);
        self.filled_at = self.filled_at.max(until);
    }

    /// What the store has left in the window of `now`, as far as known.
    pub fn left_at(&self, now: Instant) -> Option<i64> {
        self.left.filter(|_| now < self.reset_at)
    }
}
