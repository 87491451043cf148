//! Which orders the next calls fetch: windows of neighbouring ids for lists, single calls for the rest. Pure.

use crate::{event::OrderId, inbox::Due};

/// One call to the store, and the orders it is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// One order.
    Single(OrderId),
    /// A window of ids no wider than a page, with two orders in it or more; ascending.
    List(Vec<OrderId>),
}

impl Call {
    /// The orders it is made for.
    pub fn orders(&self) -> &[OrderId] {
        match self {
            Self::Single(order) => std::slice::from_ref(order),
            Self::List(orders) => orders,
        }
    }
}

/// Chooses at most `calls` calls for at most `room` of the waiting orders.
///
/// Each call serves the order that is due longest, and brings as many others along as lie in one window around it that is
/// no wider than `page`. Orders in `singly` are left out of lists (a list has lacked them). A window with one order in it is
/// a single call.
pub fn plan(due: &[Due], singly: impl Fn(OrderId) -> bool, page: u32, calls: usize, room: usize) -> Vec<Call> {
    let mut oldest: Vec<&Due> = due.iter().collect();
    oldest.sort_unstable_by_key(|due| (due.at, due.order));
    let mut listable: Vec<OrderId> = due.iter().map(|due| due.order).filter(|order| !singly(*order)).collect();
    listable.sort_unstable();
    listable.dedup();

    let mut planned = Vec::new();
    let mut served = std::collections::HashSet::new();
    let mut room = room;
    for anchor in oldest.into_iter().map(|due| due.order) {
        if planned.len() >= calls || room == 0 {
            break;
        }
        if !served.insert(anchor) {
            continue;
        }
        let window = match listable.binary_search(&anchor) {
            Ok(at) => {
                let window = fullest_window(&listable, at, page, room);
                listable.drain(window).collect()
            }
            Err(_) => vec![anchor],
        };
        room -= window.len();
        served.extend(window.iter().copied());
        planned.push(if window.len() == 1 { Call::Single(anchor) } else { Call::List(window) });
    }
    planned
}

/// The range of `ids` around position `at` that holds the most of them, at most `most`, within a span of `page`.
fn fullest_window(ids: &[OrderId], at: usize, page: u32, most: usize) -> std::ops::Range<usize> {
    let fits = |from: usize, to: usize| ids[to].get() - ids[from].get() < i64::from(page) && to - from < most;
    let mut best = at..at + 1;
    let mut to = (ids.len() - 1).min(at + page as usize);
    // From the highest start to the lowest: the end only ever moves down. On a tie the window of the lower ids wins.
    for from in (0..=at).rev().take_while(|from| fits(*from, at)) {
        while !fits(from, to) {
            to -= 1;
        }
        if to + 1 - from >= best.len() {
            best = from..to + 1;
        }
    }
    best
}

#[cfg(test)]
mod tests;
