//! Plans the next calls: lists of objects that one call can fetch, single calls for the rest. Keeps what has been
//! learned of the store's lists. Pure.

use std::collections::HashSet;

use crate::object::{Due, ObjectId};

/// A call to the store, and the objects that it is to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Fetches one object.
    Single(ObjectId),
    /// Fetches two or more objects that one list can hold.
    List(Vec<ObjectId>),
}

impl Call {
    /// The objects that it is to fetch.
    pub fn ids(&self) -> &[ObjectId] {
        match self {
            Self::Single(id) => std::slice::from_ref(id),
            Self::List(ids) => ids,
        }
    }
}

/// Chooses at most `calls` calls for at most `room` of the waiting objects, for stores whose lists return ranges of
/// ids.
///
/// Each call is for the object that comes first in `due`, and takes in as many others as lie in one window around it,
/// no wider than a page. Objects that lists have lacked are fetched by themselves, and so is an object that is alone
/// in its window.
pub fn windows(due: &[Due], hints: &PageHints, calls: usize, room: usize) -> Vec<Call> {
    let mut listable: Vec<i64> =
        due.iter().filter(|due| !hints.fetch_individually(&due.id)).filter_map(|due| due.id.number()).collect();
    listable.sort_unstable();
    listable.dedup();

    let mut planned = Vec::new();
    let mut served = HashSet::new();
    let mut room = room;
    for anchor in due.iter().map(|due| &due.id) {
        if planned.len() >= calls || room == 0 {
            break;
        }
        if !served.insert(anchor.clone()) {
            continue;
        }
        let place = anchor.number().and_then(|number| listable.binary_search(&number).ok());
        let window: Vec<ObjectId> = match place {
            Some(at) => {
                let window = fullest_window(&listable, at, hints.page(), room);
                listable.drain(window).map(ObjectId::Number).collect()
            }
            None => vec![anchor.clone()],
        };
        room -= window.len();
        served.extend(window.iter().cloned());
        planned.push(if window.len() == 1 { Call::Single(anchor.clone()) } else { Call::List(window) });
    }
    planned
}

/// Like [`windows`], for stores whose lists return any ids that are named.
pub fn batches(due: &[Due], hints: &PageHints, calls: usize, room: usize) -> Vec<Call> {
    let mut planned: Vec<Call> = Vec::new();
    let mut list: Vec<ObjectId> = Vec::new();
    let mut served = HashSet::new();
    for due in due.iter().filter(|due| served.insert(due.id.clone())).take(room) {
        let is_single = hints.fetch_individually(&due.id);
        let begun = planned.len() + usize::from(!list.is_empty());
        if begun >= calls && (is_single || list.is_empty()) {
            break;
        }
        if is_single {
            planned.push(Call::Single(due.id.clone()));
            continue;
        }
        list.push(due.id.clone());
        if list.len() >= hints.page() as usize {
            planned.push(call_for(std::mem::take(&mut list)));
        }
    }
    if !list.is_empty() {
        planned.push(call_for(list));
    }
    planned
}

fn call_for(mut ids: Vec<ObjectId>) -> Call {
    match ids.len() {
        1 => Call::Single(ids.remove(0)),
        _ => Call::List(ids),
    }
}

/// The range of `ids` around position `at` that holds the most ids, at most `most`, within a span of `page`.
fn fullest_window(ids: &[i64], at: usize, page: u32, most: usize) -> std::ops::Range<usize> {
    let fits = |from: usize, to: usize| ids[to] - ids[from] < i64::from(page) && to - from < most;
    let mut best = at..at + 1;
    let mut to = (ids.len() - 1).min(at + page as usize);
    // From the highest start to the lowest, so that the end only moves down. On a tie, the window of lower ids wins.
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

/// How many lists must be answered before larger ones are tried again.
const LISTS: u32 = 20;
/// How many single calls, once lists are down to one row.
const SINGLES: u32 = 200;
/// A page that was too large is followed by one this many times smaller, so that a few calls lead down to a single row.
const NARROWER: u32 = 4;
/// Notes on single objects are cleared beyond this many: each saves only one call.
const MOST_NOTES: usize = 10_000;

/// The page size to ask for: smaller where the store or the relay cannot handle a full page.
#[derive(Debug, Clone)]
pub struct PageSize {
    rows: u32,
    most: u32,
    answered: u32,
}

impl PageSize {
    /// Starts at the largest size.
    pub fn new(most: u32) -> Self {
        Self { rows: most, most, answered: 0 }
    }

    /// Starts at the size that was stored.
    pub fn kept(most: u32, rows: Option<u32>) -> Self {
        Self { rows: rows.unwrap_or(most).clamp(1, most), most, answered: 0 }
    }

    /// The current size.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The size to store; `None` for a full page.
    pub fn to_keep(&self) -> Option<u32> {
        (self.rows < self.most).then_some(self.rows)
    }

    /// Limits the size to what the store's pages hold.
    pub fn limit(&mut self, most: u32) {
        self.most = self.most.min(most).max(1);
        self.rows = self.rows.min(self.most);
    }

    /// Reduces the size after a page that was too large. False if it cannot be smaller.
    pub fn narrow(&mut self) -> bool {
        let narrower = (self.rows / NARROWER).max(1);
        let has_changed = narrower < self.rows;
        self.rows = narrower;
        self.answered = 0;
        has_changed
    }

    /// Goes back to the largest size.
    pub fn forget(&mut self) {
        *self = Self::new(self.most);
    }

    /// Records that a page was answered. After many of them a reduced size grows again: the reason for it may be gone.
    pub fn answered(&mut self) {
        self.widen_after(LISTS);
    }

    fn widen_after(&mut self, answers: u32) {
        self.answered += 1;
        if self.answered >= answers {
            self.rows = self.rows.saturating_mul(2).min(self.most);
            self.answered = 0;
        }
    }
}

/// What has been learned of a store's lists since the start. Losing it costs a few calls.
#[derive(Debug)]
pub struct PageHints {
    size: PageSize,
    /// The number of rows of the last list that seemed to be cut short.
    cut_at: Option<u32>,
    individually: HashSet<ObjectId>,
}

impl PageHints {
    /// Nothing is known yet. Lists hold at most `most` rows.
    pub fn new(most: u32) -> Self {
        Self { size: PageSize::new(most), cut_at: None, individually: HashSet::new() }
    }

    /// The largest list to ask for now.
    pub fn page(&self) -> u32 {
        self.size.rows()
    }

    /// Records a list with this many rows that lacked the last ones: the store's pages hold no more, or those objects
    /// are archived or deleted. If it happens twice with the same number of rows, it is the page size.
    pub fn cut_short(&mut self, rows: u32) {
        if self.cut_at.replace(rows) == Some(rows) {
            self.size.limit(rows);
        }
    }

    /// Reduces the size after a list that was too large. False if it cannot be smaller.
    pub fn narrow(&mut self) -> bool {
        self.size.narrow()
    }

    /// Records that a list was answered.
    pub fn list_answered(&mut self) {
        self.size.answered();
    }

    /// Records that a single call was answered. It counts only while lists are down to one row.
    pub fn single_answered(&mut self) {
        if self.size.rows() == 1 {
            self.size.widen_after(SINGLES);
        }
    }

    /// Whether a list has lacked this object.
    pub fn fetch_individually(&self, id: &ObjectId) -> bool {
        self.individually.contains(id)
    }

    /// Notes objects that lists lack: they are fetched by themselves from now on.
    pub fn note_individually(&mut self, ids: impl IntoIterator<Item = ObjectId>) {
        if self.individually.len() > MOST_NOTES {
            self.individually.clear();
        }
        self.individually.extend(ids);
    }

    /// Drops the note on an object that has arrived.
    pub fn forget(&mut self, id: &ObjectId) {
        self.individually.remove(id);
    }
}

#[cfg(test)]
mod tests;
