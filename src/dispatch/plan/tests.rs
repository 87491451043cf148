#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::{Call, plan};
use crate::{clock::Timestamp, event::OrderId, inbox::Due};

const NO_LIMIT: usize = usize::MAX;

fn id(id: i64) -> OrderId {
    OrderId::new(id).unwrap()
}

/// Orders that are due in the order they are listed in.
fn due(ids: impl IntoIterator<Item = i64>) -> Vec<Due> {
    ids.into_iter().zip(1..).map(|(order, at)| Due { order: id(order), at: Timestamp::from_seconds(at) }).collect()
}

fn planned(ids: impl IntoIterator<Item = i64>, page: u32, calls: usize, room: usize) -> Vec<Vec<i64>> {
    plan(&due(ids), |_| false, page, calls, room).iter().map(ids_of).collect()
}

fn ids_of(call: &Call) -> Vec<i64> {
    call.orders().iter().map(|order| order.get()).collect()
}

#[test]
fn neighbours_share_a_list_and_strangers_do_not() {
    assert_eq!(planned([], 250, NO_LIMIT, NO_LIMIT), [[0; 0]; 0]);
    assert_eq!(planned([5], 250, NO_LIMIT, NO_LIMIT), [[5]]);
    assert_eq!(plan(&due([5]), |_| false, 250, 1, 1), [Call::Single(id(5))]);
    assert_eq!(planned([3, 1, 2], 250, NO_LIMIT, NO_LIMIT), [[1, 2, 3]]);
    assert_eq!(planned([1, 250], 250, NO_LIMIT, NO_LIMIT), [[1, 250]], "a page wide");
    assert_eq!(planned([1, 251], 250, NO_LIMIT, NO_LIMIT), [[1], [251]], "wider than a page");
    assert_eq!(
        planned([i64::MAX, i64::MAX - 249, 1], 250, NO_LIMIT, NO_LIMIT),
        [vec![i64::MAX - 249, i64::MAX], vec![1]]
    );
}

#[test]
fn the_window_is_the_fullest_around_the_oldest() {
    // Around 100 lie 1 and 200 within a page each, but 200, 210 and 220 together.
    assert_eq!(planned([100, 1, 200, 210, 220], 150, 1, NO_LIMIT), [[100, 200, 210, 220]]);
    assert_eq!(planned([100, 1, 2, 3, 4, 200, 210], 150, 1, NO_LIMIT), [[1, 2, 3, 4, 100]]);
    // As full on both sides: the lower ids, which are older orders.
    assert_eq!(planned([100, 50, 150], 60, 1, NO_LIMIT), [[50, 100]]);
}

#[test]
fn an_order_that_a_list_has_lacked_is_fetched_singly() {
    let calls = plan(&due([2, 1, 3]), |order| order == id(2), 250, NO_LIMIT, NO_LIMIT);
    assert_eq!(calls, [Call::Single(id(2)), Call::List(vec![id(1), id(3)])]);
    let calls = plan(&due([1, 2, 3]), |_| true, 250, NO_LIMIT, NO_LIMIT);
    assert_eq!(calls, [Call::Single(id(1)), Call::Single(id(2)), Call::Single(id(3))]);
}

#[test]
fn calls_and_room_are_kept_to() {
    assert_eq!(planned(1..=10, 250, 0, NO_LIMIT), [[0; 0]; 0]);
    assert_eq!(planned(1..=10, 250, NO_LIMIT, 0), [[0; 0]; 0]);
    assert_eq!(planned([1000, 2000, 3000], 250, 2, NO_LIMIT), [[1000], [2000]]);
    assert_eq!(planned([1000, 2000, 3000], 250, NO_LIMIT, 2), [[1000], [2000]]);
    assert_eq!(plan(&due(1..=10), |_| false, 250, 1, 1), [Call::Single(id(1))], "a list of one is a single call");
    // The oldest is among them, even if there is not room for all around it.
    assert_eq!(planned([7, 1, 2, 3, 4, 5, 6, 8, 9], 250, NO_LIMIT, 3), [[5, 6, 7]]);
}

#[test]
fn a_page_of_one_is_all_singles() {
    assert_eq!(planned([2, 1, 3], 1, NO_LIMIT, NO_LIMIT), [[2], [1], [3]]);
}

#[test]
fn orders_far_apart_cost_a_call_each() {
    let sparse: Vec<_> = (1..=100).map(|n| n * 1000).collect();
    let calls = planned(sparse.clone(), 250, NO_LIMIT, NO_LIMIT);
    assert_eq!(calls, sparse.iter().map(|order| vec![*order]).collect::<Vec<_>>());
}

#[test]
fn neighbours_that_are_due_by_their_ids_cost_no_more_lists_than_they_fill() {
    assert_eq!(planned(1..=1000, 250, NO_LIMIT, NO_LIMIT).len(), 4);
    assert_eq!(planned((1..=1000).rev(), 250, NO_LIMIT, NO_LIMIT).len(), 4);
}

/// The fewest windows of `page` that cover `ids`: from the lowest up, each as far as it reaches.
fn fewest(ids: &[i64], page: u32) -> usize {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let (mut windows, mut reach) = (0, i64::MIN);
    for order in sorted {
        if order > reach {
            windows += 1;
            reach = order + i64::from(page) - 1;
        }
    }
    windows
}

/// Distinct ids, clustered or scattered, in any order of events.
fn orders() -> impl Strategy<Value = Vec<i64>> {
    let clustered = prop::collection::hash_set(1..2000i64, 0..300);
    let scattered = prop::collection::hash_set(1..i64::MAX, 0..50);
    (clustered, scattered).prop_map(|(a, b)| a.union(&b).copied().collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    #[test]
    fn a_plan_keeps_all_its_promises(
        ids in orders(), odd in prop::collection::hash_set(1..2000i64, 0..40), page in 1..300u32, calls in 0..40usize, room in 0..400usize,
    ) {
        let due = due(ids.clone());
        let singly = |order: OrderId| odd.contains(&order.get());
        let planned = plan(&due, singly, page, calls, room);
        prop_assert!(planned.len() <= calls);
        let served: Vec<i64> = planned.iter().flat_map(ids_of).collect();
        prop_assert!(served.len() <= room);
        let distinct: HashSet<_> = served.iter().copied().collect();
        prop_assert_eq!(distinct.len(), served.len(), "no order twice");
        let since: HashMap<i64, i64> = due.iter().map(|due| (due.order.get(), due.at.millis())).collect();
        prop_assert!(served.iter().all(|order| since.contains_key(order)), "only what is due");
        for call in &planned {
            let ids = ids_of(call);
            prop_assert!(ids.is_sorted());
            prop_assert!(ids[ids.len() - 1] - ids[0] < i64::from(page), "{ids:?} is wider than a page");
            match call {
                Call::Single(_) => {}
                Call::List(orders) => {
                    prop_assert!(orders.len() >= 2);
                    prop_assert!(!orders.iter().any(|order| singly(*order)));
                }
            }
        }
        // Each call serves the order that is due longest of those the calls before it have left.
        let mut left: Vec<i64> = ids;
        for call in &planned {
            let ids = ids_of(call);
            prop_assert!(ids.contains(&left[0]), "{} is due longest", left[0]);
            left.retain(|order| !ids.contains(order));
        }
        prop_assert!(left.is_empty() || planned.len() == calls || served.len() == room, "nothing is left without reason");
    }

    #[test]
    fn a_thousand_neighbours_in_any_order_cost_at_most_eight_lists(ids in Just((1..=1000).collect::<Vec<i64>>()).prop_shuffle()) {
        let lists = planned(ids, 250, NO_LIMIT, NO_LIMIT);
        prop_assert!(lists.len() <= 8, "{}", lists.len());
        prop_assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), 1000);
    }

    #[test]
    fn a_plan_costs_at_most_twice_the_fewest_calls_that_would_do(ids in orders(), page in 1..300u32) {
        let fewest = fewest(&ids, page);
        let calls = planned(ids, page, NO_LIMIT, NO_LIMIT).len();
        prop_assert!(calls >= fewest && calls <= 2 * fewest, "{calls} for {fewest}");
    }
}
