//! What has been learned about the two sides of one connection since its lane began. Losing it costs a few calls.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::{http::Failure, object::ObjectId, source::plan::PageHints};

/// Notes on single objects are cleared beyond this many.
const MOST_NOTES: usize = 10_000;
/// The same bad answer for this many different objects in a row is the store's fault, not theirs.
const STREAK: usize = 3;

/// What one lane remembers.
#[derive(Debug)]
pub(super) struct Hints {
    pub pages: PageHints,
    /// Set while the store is down because of lists alone.
    list_failed: bool,
    /// Objects that have failed by a side's fault: how many forwards had succeeded by then, and how often they have
    /// failed again while others succeeded.
    suspects: HashMap<ObjectId, Suspect>,
    successes: u64,
    /// An unusable answer, and the objects in a row for which the store has given it.
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

    /// Records that the store failed. `by_list` says whether a list started the outage; `None` if the outage goes on
    /// and the failure was not a list's.
    pub fn store_failed(&mut self, by_list: Option<bool>) {
        self.list_failed = by_list.unwrap_or(false);
    }

    /// Records that the store is back. If only lists had failed, they are narrowed.
    pub fn store_is_back(&mut self) {
        if std::mem::take(&mut self.list_failed) {
            self.pages.narrow();
        }
    }

    /// Records a usable answer of this size.
    pub fn fetched(&mut self, bytes: usize) {
        self.streak = None;
        self.order_bytes = (self.order_bytes * 7 + bytes as u64) / 8;
    }

    /// The expected size of a list with this many rows.
    pub fn list_bytes(&self, rows: usize) -> u64 {
        self.order_bytes.saturating_mul(rows as u64)
    }

    /// Records an unusable answer for an object. True if different objects in a row have got the same one.
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

    /// Records a successful forward and how long it took.
    pub fn forwarded(&mut self, id: &ObjectId, took: Duration) {
        self.forward_time = self.forward_time.mul_f64(0.9) + took.mul_f64(0.1);
        self.successes += 1;
        self.suspects.remove(id);
        self.pages.forget(id);
    }

    /// The recent average time of a forward.
    pub fn forward_time(&self) -> Duration {
        self.forward_time
    }

    /// Records that an object failed by a side's fault. Returns how often it has done so while others succeeded: such
    /// an object is one that the side cannot take.
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
