//! The audit: did everything that was acknowledged arrive, once, and never an older state after a newer one?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::one_tribe::{OneTribeSim, Received};
use crate::sender::Acknowledged;
use crate::store::StoreSim;
use crate::woocommerce::ShopSim;

/// What an audit found, as order ids in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many orders the store has now.
    pub orders: usize,
    /// Orders with an acknowledged event, of which the destination has taken no state as new as the event's. Orders
    /// that the store has deleted since do not count.
    pub missing: Vec<i64>,
    /// Orders of which the same state, or the same idempotency key, was taken again after an earlier request had been
    /// answered.
    pub doubled: Vec<i64>,
    /// Orders of which an older state was taken after a newer one, or whose last taken state is older than the store's.
    pub stale: Vec<i64>,
    /// Orders with two requests open at once.
    pub overlapping: Vec<i64>,
}

impl Report {
    /// Whether nothing is missing, doubled, stale or overlapping.
    pub fn is_clean(&self) -> bool {
        [&self.missing, &self.doubled, &self.stale, &self.overlapping].iter().all(|found| found.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} orders", self.orders)?;
        for (what, found) in [
            ("missing", &self.missing),
            ("doubled", &self.doubled),
            ("stale", &self.stale),
            ("overlapping", &self.overlapping),
        ] {
            write!(f, ", {} {what}", found.len())?;
            if !found.is_empty() {
                let shown: Vec<String> = found.iter().take(SHOWN_IDS).map(ToString::to_string).collect();
                let more = if found.len() > SHOWN_IDS { ", …" } else { "" };
                write!(f, " ({}{more})", shown.join(", "))?;
            }
        }
        Ok(())
    }
}

/// How many ids of each kind a summary lists.
const SHOWN_IDS: usize = 10;

/// Compares the store, the acknowledged events and what the destination has received.
///
/// Only acknowledged events of this store count. The destination must have received orders of this store only, or the
/// stores must not share order ids.
pub fn audit(store: &StoreSim, acknowledged: &[Acknowledged], sink: &OneTribeSim) -> Report {
    let acknowledged = of_store(&store.config().hash, acknowledged);
    let now: BTreeMap<i64, u64> = store.orders().iter().map(|order| (order.id, order.revision)).collect();
    examine(&now, &acknowledged, &sink.accepted(), sink.overlapping())
}

/// Compares a WooCommerce shop with what the destination has received: the newest state of each order that is no draft
/// must have arrived. No other store may use the ids of its orders.
pub fn audit_shop(shop: &ShopSim, sink: &OneTribeSim) -> Report {
    let now: BTreeMap<i64, u64> =
        shop.orders().iter().filter(|order| !order.is_draft()).map(|order| (order.id, order.revision)).collect();
    let accepted: Vec<Received> = sink.accepted().into_iter().filter(|one| now.contains_key(&one.order_id)).collect();
    let overlapping = sink.overlapping().into_iter().filter(|id| now.contains_key(id)).collect();
    let mut report = examine(&now, &[], &accepted, overlapping);
    let newest = |order: i64| accepted.iter().filter(|one| one.order_id == order).map(|one| one.revision).max();
    report.missing = now.iter().filter(|(order, now)| newest(**order) < Some(**now)).map(|(order, _)| *order).collect();
    report
}

fn of_store(hash: &str, acknowledged: &[Acknowledged]) -> Vec<Acknowledged> {
    acknowledged.iter().filter(|event| &*event.store == hash).cloned().collect()
}

/// `now` holds the revisions in the store; `accepted` is in the order in which the destination took them.
fn examine(
    now: &BTreeMap<i64, u64>,
    acknowledged: &[Acknowledged],
    accepted: &[Received],
    overlapping: Vec<i64>,
) -> Report {
    let mut by_order: BTreeMap<i64, Vec<&Received>> = BTreeMap::new();
    for one in accepted {
        by_order.entry(one.order_id).or_default().push(one);
    }
    let newest = |order: i64| by_order.get(&order).and_then(|taken| taken.iter().map(|one| one.revision).max());
    let missing: BTreeSet<i64> = acknowledged
        .iter()
        .filter(|event| now.contains_key(&event.order))
        .filter(|event| newest(event.order).is_none_or(|newest| newest < event.revision))
        .map(|event| event.order)
        .collect();
    let which = |test: &dyn Fn(i64, &[&Received]) -> bool| {
        by_order.iter().filter(|(order, taken)| test(**order, taken)).map(|(order, _)| *order).collect()
    };
    Report {
        orders: now.len(),
        missing: missing.into_iter().collect(),
        doubled: which(&|_, taken| is_doubled(taken)),
        stale: which(&|order, taken| is_stale(taken, now.get(&order).copied())),
        overlapping,
    }
}

fn is_doubled(taken: &[&Received]) -> bool {
    let mut answered_keys = BTreeSet::new();
    let mut answered_revisions = BTreeSet::new();
    taken.iter().any(|one| {
        let key = one.idempotency_key.as_deref();
        let again = answered_revisions.contains(&one.revision) || key.is_some_and(|key| answered_keys.contains(key));
        // A request whose answer was lost has to be sent again, so it does not count as the first of two.
        if one.answered.is_some() {
            answered_revisions.insert(one.revision);
            answered_keys.extend(key);
        }
        again
    })
}

fn is_stale(taken: &[&Received], now: Option<u64>) -> bool {
    let backwards = taken.windows(2).any(|pair| pair[1].revision < pair[0].revision);
    let last = taken.last().map(|one| one.revision);
    backwards || now.is_some_and(|now| last.is_some_and(|last| last < now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn taken(order_id: i64, revision: u64, answered: bool) -> Received {
        Received {
            order_id,
            revision,
            idempotency_key: Some(format!("{order_id}-{revision}").into()),
            body: None,
            content_type: None,
            user_agent: None,
            started: Instant::now(),
            finished: Some(Instant::now()),
            answered: answered.then_some(200),
            accepted: Some(0),
        }
    }

    fn acknowledged(order: i64, revision: u64) -> Acknowledged {
        Acknowledged { store: "abcde".into(), order, revision, webhook_id: String::new(), at: Instant::now() }
    }

    #[test]
    fn each_kind_of_failure_is_found() {
        let now = BTreeMap::from([(1, 2), (2, 1), (3, 1), (4, 2), (5, 2), (6, 1)]);
        let acknowledged = [(1, 2), (2, 1), (3, 1), (4, 1), (5, 2), (6, 1), (7, 1)].map(|(o, r)| acknowledged(o, r));
        let accepted = [
            taken(1, 1, true),
            taken(1, 2, true),
            taken(2, 1, true),
            taken(2, 1, true),
            taken(3, 1, false),
            taken(3, 1, true),
            taken(4, 1, true),
            taken(5, 2, true),
            taken(5, 1, true),
        ];
        let report = examine(&now, &acknowledged, &accepted, vec![]);
        let expected = Report { orders: 6, missing: vec![6], doubled: vec![2], stale: vec![4, 5], overlapping: vec![] };
        assert_eq!(report, expected);
        assert!(!report.is_clean());
        assert_eq!(report.to_string(), "6 orders, 1 missing (6), 1 doubled (2), 2 stale (4, 5), 0 overlapping");
    }
}
