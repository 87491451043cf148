//! What one destination has taken of one connection's orders, and what the promises allow.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sandbox::{OneTribeSim, Received};

/// How long after the destination's answer a process may take to write it down: whoever is killed or cut off before then
/// sends the same snapshot again.
const WRITING: Duration = Duration::from_secs(3);

/// What happened to a connection that excuses a second sending.
#[derive(Default)]
pub struct Excuses {
    /// When a person asked for an order.
    pub asked: Vec<(i64, Instant)>,
    /// When the process or the connection ended, in whatever it was doing.
    pub cut_off: Vec<Instant>,
}

impl Excuses {
    /// Whether a snapshot that was answered in `first` may come again in `second`.
    fn allow(&self, first: &Received, second: &Received) -> bool {
        let Some(finished) = first.finished.filter(|_| first.answered.is_some_and(|status| status < 300)) else {
            // Nobody can know that it was taken.
            return true;
        };
        let asked = |(order, at): &(i64, Instant)| *order == first.order_id && *at <= second.started;
        let was_cut_off = |at: &Instant| (first.started..=finished + WRITING).contains(at);
        self.asked.iter().any(asked) || self.cut_off.iter().any(was_cut_off)
    }
}

/// Everything that is wrong, in words; `now` holds the revisions that the store has.
pub fn faults(sink: &OneTribeSim, now: &BTreeMap<i64, u64>, excuses: &Excuses) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_order: BTreeMap<i64, Vec<Received>> = BTreeMap::new();
    for one in sink.accepted() {
        by_order.entry(one.order_id).or_default().push(one);
    }
    for order in by_order.keys().filter(|order| !now.contains_key(order)) {
        faults.push(format!("order {order} of another store"));
    }
    for order in sink.overlapping() {
        faults.push(format!("order {order} was sent twice at once"));
    }
    for (order, revision) in now {
        let taken = by_order.get(order).map_or(&[][..], Vec::as_slice);
        if taken.last().map(|last| last.revision) != Some(*revision) {
            faults.push(format!("order {order} is at {revision}, and {:?} arrived last", taken.last()));
        }
        for (first, second) in taken.iter().zip(taken.iter().skip(1)) {
            if second.revision < first.revision {
                faults.push(format!("order {order}: {} arrived after {}", second.revision, first.revision));
            }
            if second.revision == first.revision && !excuses.allow(first, second) {
                faults.push(format!("order {order}: {} arrived twice: {first:?}, {second:?}", first.revision));
            }
        }
        // One key is one snapshot.
        let keys: BTreeSet<_> = taken.iter().map(|one| (&one.idempotency_key, one.revision)).collect();
        let revisions: BTreeSet<_> = taken.iter().map(|one| one.revision).collect();
        if keys.len() != revisions.len() {
            faults.push(format!("order {order}: {} keys for {} states", keys.len(), revisions.len()));
        }
    }
    faults
}
