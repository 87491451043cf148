//! Who waits for a call to a store, in the order in which they first asked: polls, hook checks and the deliveries of
//! several connections share one quota, and nobody who asks more often gets more of it.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A place is kept this long after the moment at which its owner was told to ask again.
const KEPT: Duration = Duration::from_millis(250);

/// One of those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter(u64);

impl Waiter {
    /// Another one than all before.
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

/// Those who have been told to ask again, the first of them first, and until when their places are kept.
#[derive(Debug, Default)]
pub(super) struct Line(VecDeque<(Waiter, Instant)>);

impl Line {
    /// How many come before `waiter`.
    pub fn ahead_of(&mut self, waiter: Waiter, now: Instant) -> usize {
        self.0.retain(|(one, until)| *one == waiter || *until > now);
        self.0.iter().position(|(one, _)| *one == waiter).unwrap_or(self.0.len())
    }

    /// Keeps a place, or gives a new one, for somebody who is to ask again at `at`.
    pub fn keep(&mut self, waiter: Waiter, at: Instant) {
        let until = at + KEPT;
        match self.0.iter_mut().find(|(one, _)| *one == waiter) {
            Some((_, known)) => *known = until,
            None => self.0.push_back((waiter, until)),
        }
    }

    /// Somebody has got what they waited for.
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
        // The second has not come back; the first may still.
        assert_eq!(line.ahead_of(third, start + KEPT), 1);
        assert_eq!(line.ahead_of(other, start + KEPT), 1);
        line.leave(one);
        assert_eq!(line.ahead_of(third, start), 0);
    }
}
