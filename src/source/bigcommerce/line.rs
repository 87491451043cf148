//! The queue of callers waiting for a store's quota, in the order in which they first asked: polls, hook checks and
//! the deliveries of several connections share one quota, and asking more often gains nothing.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long a place is kept after the time at which its owner was told to ask again.
const KEPT: Duration = Duration::from_millis(250);

/// Identifies one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter(u64);

impl Waiter {
    /// A new caller, different from all before.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for Waiter {
    fn default() -> Self {
        Self::new()
    }
}

/// The callers that have been told to ask again, in order, and until when their places are kept.
#[derive(Debug, Default)]
pub(super) struct Line(VecDeque<(Waiter, Instant)>);

impl Line {
    /// How many callers are ahead of `waiter`.
    pub fn ahead_of(&mut self, waiter: Waiter, now: Instant) -> usize {
        self.0.retain(|(one, until)| *one == waiter || *until > now);
        self.0.iter().position(|(one, _)| *one == waiter).unwrap_or(self.0.len())
    }

    /// Keeps the place of a caller that is to ask again at `at`, or adds one at the end.
    pub fn keep(&mut self, waiter: Waiter, at: Instant) {
        let until = at + KEPT;
        match self.0.iter_mut().find(|(one, _)| *one == waiter) {
            Some((_, known)) => *known = until,
            None => self.0.push_back((waiter, until)),
        }
    }

    /// Removes a caller that has got what it waited for.
    pub fn leave(&mut self, waiter: Waiter) {
        self.0.retain(|(one, _)| *one != waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_in_order_and_lapse() {
        let (mut line, start) = (Line::default(), Instant::now());
        let [one, other, third] = std::array::from_fn(|_| Waiter::new());
        assert_eq!(line.ahead_of(one, start), 0);
        line.keep(one, start + KEPT);
        line.keep(other, start);
        line.keep(one, start + KEPT);
        let ahead = |line: &mut Line, now| [one, other, third].map(|waiter| line.ahead_of(waiter, now));
        assert_eq!(ahead(&mut line, start), [0, 1, 2]);
        // The second has not come back; the first still may.
        assert_eq!(line.ahead_of(third, start + KEPT), 1);
        assert_eq!(line.ahead_of(other, start + KEPT), 1);
        line.leave(one);
        assert_eq!(line.ahead_of(third, start), 0);
    }
}
