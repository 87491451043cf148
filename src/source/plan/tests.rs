#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::{Call, PageHints, batches, windows};
use crate::{
    clock::Timestamp,
    object::{ChangeKind, Due, ObjectId, ResourceName},
};

const NO_LIMIT: usize = usize::MAX;

fn id(id: i64) -> ObjectId {
    ObjectId::Number(id)
}

/// Lists of at most `page` rows that lack `lacking`.
fn hints(page: u32, lacking: impl IntoIterator<Item = i64>) -> PageHints {
    let mut hints = PageHints::new(page);
    hints.note_individually(lacking.into_iter().map(id));
    hints
}

/// Orders that are due in the order they are listed in.
fn due(ids: impl IntoIterator<Item = i64>) -> Vec<Due> {
    let due = |(number, at)| Due {
        resource: ResourceName::orders(),
        id: id(number),
        at: Timestamp::from_seconds(at),
        has_failed: false,
        change: ChangeKind::Updated,
    };
    ids.into_iter().zip(1..).map(due).collect()
}

fn planned(ids: impl IntoIterator<Item = i64>, page: u32, calls: usize, room: usize) -> Vec<Vec<i64>> {
    windows(&due(ids), &hints(page, []), calls, room).iter().map(ids_of).collect()
}

fn ids_of(call: &Call) -> Vec<i64> {
    call.ids().iter().map(|id| id.number().unwrap()).collect()
}

#[test]
fn neighbours_share_a_list_and_strangers_do_not() {
    assert_eq!(planned([], 250, NO_LIMIT, NO_LIMIT), [[0; 0]; 0]);
    assert_eq!(planned([5], 250, NO_LIMIT, NO_LIMIT), [[5]]);
    assert_eq!(windows(&due([5]), &hints(250, []), 1, 1), [Call::Single(id(5))]);
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
    // Within a page of 100 there are 1 and 200, but 200, 210 and 220 are closer together.
    assert_eq!(planned([100, 1, 200, 210, 220], 150, 1, NO_LIMIT), [[100, 200, 210, 220]]);
    assert_eq!(planned([100, 1, 2, 3, 4, 200, 210], 150, 1, NO_LIMIT), [[1, 2, 3, 4, 100]]);
    // Equally full on both sides: the lower ids win, which are older orders.
    assert_eq!(planned([100, 50, 150], 60, 1, NO_LIMIT), [[50, 100]]);
}

#[test]
fn an_order_that_a_list_has_lacked_is_fetched_by_itself() {
    let calls = windows(&due([2, 1, 3]), &hints(250, [2]), NO_LIMIT, NO_LIMIT);
    assert_eq!(calls, [Call::Single(id(2)), Call::List(vec![id(1), id(3)])]);
    let calls = windows(&due([1, 2, 3]), &hints(250, [1, 2, 3]), NO_LIMIT, NO_LIMIT);
    assert_eq!(calls, [Call::Single(id(1)), Call::Single(id(2)), Call::Single(id(3))]);
}

#[test]
fn calls_and_room_are_kept_to() {
    assert_eq!(planned(1..=10, 250, 0, NO_LIMIT), [[0; 0]; 0]);
    assert_eq!(planned(1..=10, 250, NO_LIMIT, 0), [[0; 0]; 0]);
    assert_eq!(planned([1000, 2000, 3000], 250, 2, NO_LIMIT), [[1000], [2000]]);
    assert_eq!(planned([1000, 2000, 3000], 250, NO_LIMIT, 2), [[1000], [2000]]);
    assert_eq!(windows(&due(1..=10), &hints(250, []), 1, 1), [Call::Single(id(1))], "a list of one is a single call");
    // The first one due is included, even if there is no room for all around it.
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

/// The fewest windows of `page` that cover `ids`: built from the lowest id up, each as wide as it may be.
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
        let hints = hints(page, odd);
        let planned = windows(&due, &hints, calls, room);
        prop_assert!(planned.len() <= calls);
        let served: Vec<i64> = planned.iter().flat_map(ids_of).collect();
        prop_assert!(served.len() <= room);
        let distinct: HashSet<_> = served.iter().copied().collect();
        prop_assert_eq!(distinct.len(), served.len(), "no order twice");
        let since: HashMap<i64, i64> = due.iter().map(|due| (due.id.number().unwrap(), due.at.millis())).collect();
        prop_assert!(served.iter().all(|order| since.contains_key(order)), "only what is due");
        for call in &planned {
            let ids = ids_of(call);
            prop_assert!(ids.is_sorted());
            prop_assert!(ids[ids.len() - 1] - ids[0] < i64::from(page), "{ids:?} is wider than a page");
            match call {
                Call::Single(_) => {}
                Call::List(orders) => {
                    prop_assert!(orders.len() >= 2);
                    prop_assert!(!orders.iter().any(|id| hints.fetch_individually(id)));
                }
            }
        }
        // Each call is for the order due longest among those that the calls before it have left.
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

#[test]
fn batches_hold_any_ids_up_to_a_page() {
    let planned = |ids: &[i64], page, calls, room| -> Vec<Vec<i64>> {
        batches(&due(ids.iter().copied()), &hints(page, [7]), calls, room).iter().map(ids_of).collect()
    };
    assert_eq!(planned(&[1, 9000, 5], 100, NO_LIMIT, NO_LIMIT), [vec![1, 9000, 5]]);
    assert_eq!(planned(&[1, 2, 3, 4, 5], 2, NO_LIMIT, NO_LIMIT), [vec![1, 2], vec![3, 4], vec![5]]);
    assert_eq!(planned(&[7, 1, 2], 100, NO_LIMIT, NO_LIMIT), [vec![7], vec![1, 2]]);
    assert_eq!(planned(&[1, 7, 2], 100, 1, NO_LIMIT), [vec![1]], "no second call");
    assert_eq!(planned(&[1, 2, 3], 100, NO_LIMIT, 2), [vec![1, 2]]);
    assert!(planned(&[1, 2], 100, 0, NO_LIMIT).is_empty());
    assert_eq!(planned(&(101..=600).collect::<Vec<_>>(), 100, NO_LIMIT, NO_LIMIT).len(), 5);
}

#[test]
fn a_page_of_any_width_widens_again() {
    let mut hints = PageHints::new(250);
    while hints.narrow() {}
    assert_eq!(hints.page(), 1);
    // Lists of two are tried after many single calls, and larger ones after every twenty lists.
    (0..200).for_each(|_| hints.single_answered());
    assert_eq!(hints.page(), 2);
    (0..400).for_each(|_| hints.single_answered());
    assert_eq!(hints.page(), 2, "single calls prove nothing of lists");
    (0..20 * 7).for_each(|_| hints.list_answered());
    assert_eq!(hints.page(), 250);
}

#[test]
fn a_store_with_smaller_pages_is_known_by_two_lists_that_end_alike() {
    let mut hints = PageHints::new(250);
    hints.cut_short(60);
    assert_eq!(hints.page(), 250, "the last orders may be archived");
    hints.cut_short(100);
    hints.cut_short(100);
    assert_eq!(hints.page(), 100);
    (0..20).for_each(|_| hints.list_answered());
    assert_eq!(hints.page(), 100, "it never holds more");
}
