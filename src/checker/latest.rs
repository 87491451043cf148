//! Of checks that run side by side, the one that began last tells how things are.

use std::time::Instant;

use crate::{clock::Timestamp, health::facts::Probe};

/// The result of one kind of call, of the check that began last.
#[derive(Debug, Clone)]
pub(super) struct Latest<T, E> {
    pub probe: Option<Probe<Result<T, E>>>,
    /// Since when these calls fail.
    pub fails_since: Option<Timestamp>,
    began: Option<Instant>,
}

impl<T, E> Default for Latest<T, E> {
    fn default() -> Self {
        Self { probe: None, fails_since: None, began: None }
    }
}

impl<T, E> Latest<T, E> {
    /// Keeps what a check that began then has found. False, and nothing is kept, if there is a result of one that
    /// began later.
    pub fn keep(&mut self, began: Instant, probe: Probe<Result<T, E>>) -> bool {
        if self.began.is_some_and(|kept| kept > began) {
            return false;
        }
        self.fails_since = probe.outcome.is_err().then(|| self.fails_since.unwrap_or(probe.at));
        (self.probe, self.began) = (Some(probe), Some(began));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64, outcome: Result<(), u8>) -> Probe<Result<(), u8>> {
        Probe { at: Timestamp::from_millis(seconds * 1000), took: Duration::ZERO, outcome }
    }

    #[test]
    fn a_check_that_ends_late_does_not_undo_what_a_later_one_has_found() {
        let (first, mut latest) = (Instant::now(), Latest::default());
        let second = first + Duration::from_secs(1);
        assert!(latest.keep(second, at(2, Ok(()))));
        assert!(!latest.keep(first, at(11, Err(1))), "the first waited for ten seconds in vain");
        assert_eq!((&latest.probe, latest.fails_since), (&Some(at(2, Ok(()))), None));
    }

    #[test]
    fn a_failure_counts_from_the_first_of_a_row() {
        let (now, mut latest) = (Instant::now(), Latest::default());
        for seconds in [5, 7] {
            assert!(latest.keep(now + Duration::from_secs(5), at(seconds, Err(1))));
        }
        assert_eq!(latest.fails_since, Some(Timestamp::from_millis(5000)));
        latest.keep(now + Duration::from_secs(8), at(9, Ok(())));
        assert_eq!(latest.fails_since, None);
    }
}
