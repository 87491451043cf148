//! What one destination has received of one connection's orders, and what the promises allow.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sandbox::{OneTribeSim, Received};

/// How long a process may take to record the destination's answer: one that is killed or cut off before then sends the
/// same snapshot again.
const WRITING: Duration = Duration::from_secs(8);

/// Events in a connection that allow a second sending.
#[derive(Default)]
pub struct Excuses {
    /// When an operator had an order sent again.
    pub asked: Vec<(i64, Instant)>,
    /// When the process or the connection was interrupted.
    pub cut_off: Vec<Instant>,
}

impl Excuses {
    /// Whether the relay may not have learned that `first` was taken.
    fn was_cut_off(&self, first: &Received) -> bool {
        let Some(finished) = first.finished.filter(|_| first.answered.is_some_and(|status| status < 300)) else {
            return true;
        };
        self.cut_off.iter().any(|at| (first.started..=finished + WRITING).contains(at))
    }

    /// How often the operator had an order sent again before `second`.
    fn asks_before(&self, second: &Received) -> usize {
        self.asked.iter().filter(|(order, at)| *order == second.order_id && *at <= second.started).count()
    }
}

/// Describes everything that is wrong; `now` holds the revisions in the store.
pub fn faults(sink: &OneTribeSim, now: &BTreeMap<i64, u64>, excuses: &Excuses) -> Vec<String> {
    let mut faults = faults_of(sink.accepted(), now, excuses);
    faults.extend(sink.overlapping().iter().map(|order| format!("order {order} was sent twice at once")));
    faults
}

/// Does the same for the accepted requests, in the order of acceptance.
fn faults_of(accepted: Vec<Received>, now: &BTreeMap<i64, u64>, excuses: &Excuses) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_order: BTreeMap<i64, Vec<Received>> = BTreeMap::new();
    for one in accepted {
        by_order.entry(one.order_id).or_default().push(one);
    }
    for order in by_order.keys().filter(|order| !now.contains_key(order)) {
        faults.push(format!("order {order} of another store"));
    }
    for (order, revision) in now {
        let taken = by_order.get(order).map_or(&[][..], Vec::as_slice);
        if taken.last().map(|last| last.revision) != Some(*revision) {
            faults.push(format!("order {order} is at {revision}, and {:?} arrived last", taken.last()));
        }
        // Each request to send again allows one more sending.
        let mut resent = 0;
        for (first, second) in taken.iter().zip(taken.iter().skip(1)) {
            if second.revision < first.revision {
                faults.push(format!("order {order}: {} arrived after {}", second.revision, first.revision));
            }
            if second.revision == first.revision && !excuses.was_cut_off(first) {
                resent += 1;
                if resent > excuses.asks_before(second) {
                    faults.push(format!("order {order}: {} arrived twice: {first:?}, {second:?}", first.revision));
                }
            }
        }
        // One key stands for one snapshot.
        let keys: BTreeSet<_> = taken.iter().map(|one| (&one.idempotency_key, one.revision)).collect();
        let revisions: BTreeSet<_> = taken.iter().map(|one| one.revision).collect();
        if keys.len() != revisions.len() {
            faults.push(format!("order {order}: {} keys for {} states", keys.len(), revisions.len()));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(order_id: i64, revision: u64, answered: Option<u16>, at: Instant) -> Received {
        Received {
            order_id,
            revision,
            idempotency_key: Some(format!("{order_id}-{revision}").into()),
            body: None,
            content_type: None,
            user_agent: None,
            started: at,
            finished: Some(at),
            answered,
            accepted: Some(0),
        }
    }

    #[test]
    fn each_broken_promise_is_found_and_each_excuse_is_taken_for_its_own_order_and_time_only() {
        let at = |seconds: u64| Instant::now() + Duration::from_secs(seconds);
        let now = BTreeMap::from([(1, 2)]);
        let found = |sent: &[(i64, u64, Option<u16>, u64)], excuses: Excuses| {
            let sent = sent
                .iter()
                .map(|(order, revision, answered, second)| accepted(*order, *revision, *answered, at(100 + second)));
            faults_of(sent.collect(), &now, &excuses).len()
        };
        let none = Excuses::default;
        assert_eq!(found(&[(1, 1, Some(200), 0), (1, 2, Some(200), 1)], none()), 0);
        assert_eq!(found(&[(1, 1, Some(200), 0)], none()), 1, "missing");
        assert_eq!(found(&[(1, 2, Some(200), 0), (1, 1, Some(200), 1)], none()), 2, "older after newer, and last");
        assert_eq!(found(&[(1, 2, Some(200), 0), (7, 1, Some(200), 1)], none()), 1, "another store's");
        let twice = [(1, 2, Some(200), 0), (1, 2, Some(200), 20)];
        assert_eq!(found(&twice, none()), 1, "twice");
        assert_eq!(found(&[(1, 2, None, 0), (1, 2, Some(200), 9)], none()), 0, "its answer was lost");
        let asked = |order, second| Excuses { asked: vec![(order, at(second))], ..none() };
        assert_eq!(
            (found(&twice, asked(1, 105)), found(&twice, asked(2, 105)), found(&twice, asked(1, 200))),
            (0, 1, 1)
        );
        let cut_off = |second| Excuses { cut_off: vec![at(second)], ..none() };
        assert_eq!((found(&twice, cut_off(101)), found(&twice, cut_off(98)), found(&twice, cut_off(115))), (0, 1, 1));
    }
}
