//! What has been learned of the two sides of one connection since its lane began. Losing it costs a few calls.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::{http::Failure, object::ObjectId, source::plan::PageHints};

/// More than this many notes on single objects are not worth keeping.
const MOST_NOTES: usize = 10_000;
/// The same bad answer for so many different objects in a row is the store's trouble, not theirs.
const STREAK: usize = 3;

/// What is kept in mind.
#[derive(Debug)]
pub(super) struct Hints {
    pub pages: PageHints,
    /// Set while the store is down since a list, and nothing but lists, has failed.
    list_failed: bool,
    /// Objects that have failed by a side's fault: how many forwards had succeeded by then, and how often they have
    /// failed since while others succeeded.
    suspects: HashMap<ObjectId, Suspect>,
    successes: u64,
    /// Objects in a row of which the store has answered the same that is of no use.
    streak: Option<(Failure, HashSet<ObjectId>)>,
    forward_time: Duration,
    order_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    successes: u64,
    times: u32,
}

impl Hints {
    pub fn new(widest_page: u32) -> Self {
        Self {
            pages: PageHints::new(widest_page),
            list_failed: false,
            suspects: HashMap::new(),
            successes: 0,
            streak: None,
            forward_time: Duration::from_millis(100),
            order_bytes: 8 * 1024,
        }
    }

    /// The store has failed. `by_list` if it was a list that began it, `None` if it goes on for whatever else.
    pub fn store_failed(&mut self, by_list: Option<bool>) {
        self.list_failed = by_list.unwrap_or(false);
    }

    /// The store is back. If nothing but a list had failed, lists are too much for it.
    pub fn store_is_back(&mut self) {
        if std::mem::take(&mut self.list_failed) {
            self.pages.narrow();
        }
    }

    /// The store gave a usable answer.
    pub fn fetched(&mut self, bytes: usize) {
        self.streak = None;
        self.order_bytes = (self.order_bytes * 7 + bytes as u64) / 8;
    }

    /// How large a list of so many rows may be.
    pub fn list_bytes(&self, rows: usize) -> u64 {
        self.order_bytes.saturating_mul(rows as u64)
    }

    /// The store gave an answer for an object that is of no use. True if it does so for one after another.
    pub fn is_streak(&mut self, id: &ObjectId, failure: Failure) -> bool {
        let (known, ids) = self.streak.get_or_insert_with(|| (failure, HashSet::new()));
        if *known != failure {
            *known = failure;
            ids.clear();
        }
        if ids.len() < STREAK {
            ids.insert(id.clone());
        }
        ids.len() >= STREAK
    }

    /// One forward has succeeded and took this long.
    pub fn forwarded(&mut self, id: &ObjectId, took: Duration) {
        self.forward_time = self.forward_time.mul_f64(0.9) + took.mul_f64(0.1);
        self.successes += 1;
        self.suspects.remove(id);
        self.pages.forget(id);
    }

    /// How long one forward takes of late.
    pub fn forward_time(&self) -> Duration {
        self.forward_time
    }

    /// An object has failed by a side's fault. How often it has done so by now while others have succeeded: an object
    /// that fails where others do not is what the side cannot take.
    pub fn suspect(&mut self, id: &ObjectId) -> u32 {
        if self.suspects.len() > MOST_NOTES {
            self.suspects.clear();
        }
        let successes = self.successes;
        let suspect = self.suspects.entry(id.clone()).or_insert(Suspect { successes, times: 0 });
        if successes > suspect.successes {
            suspect.successes = successes;
            suspect.times += 1;
        }
        suspect.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> ObjectId {
        ObjectId::Number(number)
    }

    #[test]
    fn an_outage_is_the_lists_fault_only_if_nothing_else_fails() {
        let mut hints = Hints::new(250);
        hints.store_failed(Some(true));
        hints.store_failed(None);
        hints.store_is_back();
        hints.store_failed(Some(false));
        hints.store_is_back();
        assert_eq!(hints.pages.page(), 250);
        hints.store_failed(Some(true));
        hints.store_is_back();
        assert_eq!(hints.pages.page(), 62);
    }

    #[test]
    fn an_object_is_a_suspect_once_it_fails_where_others_succeed() {
        let mut hints = Hints::new(250);
        assert_eq!((hints.suspect(&id(1)), hints.suspect(&id(1))), (0, 0), "an outage fails everybody");
        hints.forwarded(&id(2), Duration::ZERO);
        assert_eq!((hints.suspect(&id(1)), hints.suspect(&id(1))), (1, 1));
        hints.forwarded(&id(3), Duration::ZERO);
        assert_eq!(hints.suspect(&id(1)), 2);
        hints.forwarded(&id(1), Duration::ZERO);
        assert_eq!(hints.suspect(&id(1)), 0, "it has arrived");
    }

    #[test]
    fn the_same_bad_answer_for_different_objects_in_a_row_is_a_streak() {
        let mut hints = Hints::new(250);
        let bad = Failure::NotJson;
        assert!(!hints.is_streak(&id(1), bad) && !hints.is_streak(&id(1), bad) && !hints.is_streak(&id(1), bad));
        assert!(!hints.is_streak(&id(2), bad));
        assert!(!hints.is_streak(&id(3), Failure::TooLarge), "another one begins anew");
        assert!(!hints.is_streak(&id(1), bad) && !hints.is_streak(&id(2), bad) && hints.is_streak(&id(3), bad));
        hints.fetched(1000);
        assert!(!hints.is_streak(&id(4), bad));
    }
}
