//! The store's request quota: calls are paced by the store's own headers, and the quota is shared with all other apps
//! of the store. Pure: the clock and the random factor are arguments.
//!
//! Source: BigCommerce, "API rate limits": 150 requests per 30 s on Standard and Plus, 450 on Pro, `X-Rate-Limit-*` on
//! every answer, a 429 possibly without any.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use super::line::{Line, Waiter};
use crate::{http, retry::Backoff};

/// Assumed until the store says otherwise: that of the smallest plan.
const DEFAULT_LIMIT: u32 = 150;
const DEFAULT_WINDOW: Duration = Duration::from_secs(30);
/// Longest window that is accepted from a header.
const MAX_WINDOW: Duration = Duration::from_secs(600);
/// The part of the budget that may be spent at once after a quiet time.
const BURST: f64 = 0.1;
/// The pause after a 429 that gives no time.
const PAUSE: Backoff = Backoff { base: Duration::from_secs(10), cap: Duration::from_secs(60) };

/// What one answer says about the quota.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaHeaders {
    left: Option<u32>,
    limit: Option<u32>,
    window: Option<Duration>,
    reset: Option<Duration>,
}

impl QuotaHeaders {
    /// Reads `X-Rate-Limit-*`; a missing or malformed header gives `None`.
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

/// The quota as last seen, and the pace that stays within it.
#[derive(Debug)]
pub struct Quota {
    share: f64,
    limit: u32,
    window: Duration,
    /// What the store had left according to its last answer, less the calls made since.
    left: Option<i64>,
    reset_at: Instant,
    in_flight: u32,
    /// Calls that may be made now. Negative if urgent calls have been made in advance.
    tokens: f64,
    widest_burst: f64,
    /// The time up to which tokens have been credited; in the future during a pause.
    filled_at: Instant,
    paused_until: Option<Instant>,
    /// Consecutive pauses because of a 429.
    refusals: u32,
    line: Line,
}

impl Quota {
    /// For a store that has not answered yet. `share` of its quota may be used.
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

    /// Calls that the relay may make in one window.
    fn budget(&self) -> u32 {
        // The small addend corrects for binary fractions: 0.57 of 100 would otherwise be 56.
        ((f64::from(self.limit) * self.share + 1e-6) as u32).max(1)
    }

    fn burst(&self) -> f64 {
        (f64::from(self.budget()) * BURST).max(1.0)
    }

    /// Calls per second, chosen so that a window with a full burst stays within the budget.
    fn rate(&self) -> f64 {
        (f64::from(self.budget()) - self.burst()).max(0.5) / self.window.as_secs_f64()
    }

    fn fill(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.filled_at).as_secs_f64() * self.rate();
        self.tokens = (self.tokens + earned).min(self.burst());
        self.filled_at = self.filled_at.max(now);
        if now >= self.reset_at && self.left.is_some() {
            // A new window has begun; the next answer says how much of it others have used.
            self.left = None;
        }
    }

    /// How many calls of the present window may be made if `kept` are left for others.
    fn room(&self, kept: u32) -> i64 {
        self.left.map_or(i64::MAX, |left| left - i64::from(kept))
    }

    /// Takes up to `want` calls (at least one). Callers that have been told to ask again come before those who ask
    /// later.
    ///
    /// # Errors
    /// The time at which to ask again.
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
    /// The time at which to ask again.
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

    /// Until when no call may be made because of a 429.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// For how long the store would refuse even an urgent call.
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

    /// Returns a call that was taken and not made.
    pub fn refund(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        // After a 429, returned calls must not add up to a burst.
        let most = if self.refusals > 0 { self.tokens.max(1.0) } else { self.burst() };
        self.tokens = (self.tokens + 1.0).min(most);
        self.left = self.left.map(|left| left + 1);
    }

    /// Records a call that ended without an answer: it may or may not have counted.
    pub fn unanswered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Records an answer.
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
            // The larger burst of a larger plan is available at once, but only once.
            self.tokens += self.burst() - self.widest_burst;
            self.widest_burst = self.burst();
        }
        if let (Some(left), Some(reset)) = (seen.left, seen.reset) {
            // A window cannot end later than a whole window from now.
            self.learn_left(i64::from(left) - i64::from(self.in_flight), now + reset.min(self.window));
        }
    }

    /// Answers overtake each other, and the later one arrives, the later the end that it gives for the window. So
    /// within one window the smallest remainder is the newest, and the earliest end is the most accurate; ends that
    /// are far apart belong to different windows.
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

    /// Records a 429: pauses for as long as the store says, or a jittered while if it does not.
    pub fn refused(&mut self, now: Instant, seen: &QuotaHeaders, asked: Option<Duration>, chance: f64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        // Calls that are refused together count once.
        if self.paused_until.is_none_or(|until| until <= now) {
            self.refusals = self.refusals.saturating_add(1);
        }
        self.learn(now, seen);
        let named = asked.max(seen.reset).filter(|named| !named.is_zero());
        // A little jitter is added to the time given, so that the apps of a store do not all come back at the same
        // instant.
        let wait = named.map_or_else(
            || PAUSE.wait(self.refusals, chance),
            |named| named + Duration::from_millis((chance * 500.0) as u64),
        );
        let until = self.paused_until.map_or(now + wait, |until| until.max(now + wait));
        self.paused_until = Some(until);
        // No burst after a 429: one call first finds out how much others have left of the new window.
        self.tokens = self.tokens.min(1.0);
        self.filled_at = self.filled_at.max(until);
    }

    /// What the store has left in the window at `now`, if known.
    pub fn left_at(&self, now: Instant) -> Option<i64> {
        self.left.filter(|_| now < self.reset_at)
    }
}
