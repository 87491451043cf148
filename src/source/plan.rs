//! Which objects the next calls fetch: lists of what one call can bring, single calls for the rest; and what has been
//! learned of the store's lists. Pure.

use std::collections::HashSet;

use crate::object::{Due, ObjectId};

/// One call to the store, and the objects it is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// One object.
    Single(ObjectId),
    /// Two objects or more that one list can bring.
    List(Vec<ObjectId>),
}

impl Call {
    /// The objects it is made for.
    pub fn ids(&self) -> &[ObjectId] {
        match self {
            Self::Single(id) => std::slice::from_ref(id),
            Self::List(ids) => ids,
        }
    }
}

/// Chooses at most `calls` calls for at most `room` of the waiting objects, where lists bring windows of ids.
///
/// Each call serves the object that comes first in `due`, and brings as many others along as lie in one window around
/// it that is no wider than a page. Objects that lists have lacked are fetched by themselves, and so is one that has a
/// window to itself.
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

/// Chooses calls likewise, where a list brings any ids that are named in it.
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

/// The range of `ids` around position `at` that holds the most of them, at most `most`, within a span of `page`.
fn fullest_window(ids: &[i64], at: usize, page: u32, most: usize) -> std::ops::Range<usize> {
    let fits = |from: usize, to: usize| ids[to] - ids[from] < i64::from(page) && to - from < most;
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

/// So many lists are answered before wider ones are tried again.
const LISTS: u32 = 20;
/// So many single calls, where no lists are left.
const SINGLES: u32 = 200;
/// A page that was too much is followed by one this many times narrower: few calls lead down to a single row.
const NARROWER: u32 = 4;
/// More than this many notes on single objects are not worth keeping: they only save a call each.
const MOST_NOTES: usize = 10_000;

/// How many rows a page asks for: fewer where a whole page is more than the store, or the relay, can take.
#[derive(Debug, Clone)]
pub struct PageSize {
    rows: u32,
    most: u32,
    answered: u32,
}

impl PageSize {
    /// As wide as any is.
    pub fn new(most: u32) -> Self {
        Self { rows: most, most, answered: 0 }
    }

    /// As wide as it was when it was kept.
    pub fn kept(most: u32, rows: Option<u32>) -> Self {
        Self { rows: rows.unwrap_or(most).clamp(1, most), most, answered: 0 }
    }

    /// How many rows to ask for.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// What to keep; none for a whole page.
    pub fn to_keep(&self) -> Option<u32> {
        (self.rows < self.most).then_some(self.rows)
    }

    /// The store's pages never hold more than this.
    pub fn limit(&mut self, most: u32) {
        self.most = self.most.min(most).max(1);
        self.rows = self.rows.min(self.most);
    }

    /// A page was more than the store, or the relay, can take. False if it cannot be narrower.
    pub fn narrow(&mut self) -> bool {
        let narrower = (self.rows / NARROWER).max(1);
        let has_changed = narrower < self.rows;
        self.rows = narrower;
        self.answered = 0;
        has_changed
    }

    /// Nothing is known of what the store can take.
    pub fn forget(&mut self) {
        *self = Self::new(self.most);
    }

    /// A page was answered. A narrow one widens again after many: what kept it narrow may be over.
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
    /// How many rows the last list had that seemed to be cut short.
    cut_at: Option<u32>,
    individually: HashSet<ObjectId>,
}

impl PageHints {
    /// Nothing yet. No list holds more than `most`.
    pub fn new(most: u32) -> Self {
        Self { size: PageSize::new(most), cut_at: None, individually: HashSet::new() }
    }

    /// The widest list that is asked for now.
    pub fn page(&self) -> u32 {
        self.size.rows()
    }

    /// A list had so many rows and lacked the last ones: the store's pages hold no more, or those objects are archived
    /// or deleted. Two lists of just as many rows are no chance.
    pub fn cut_short(&mut self, rows: u32) {
        if self.cut_at.replace(rows) == Some(rows) {
            self.size.limit(rows);
        }
    }

    /// A list was more than the store, or the relay, can take.
    pub fn narrow(&mut self) -> bool {
        self.size.narrow()
    }

    /// A list was answered.
    pub fn list_answered(&mut self) {
        self.size.answered();
    }

    /// A single call was answered. It counts where lists are as narrow as that.
    pub fn single_answered(&mut self) {
        if self.size.rows() == 1 {
            self.size.widen_after(SINGLES);
        }
    }

    /// Whether a list has lacked this object.
    pub fn fetch_individually(&self, id: &ObjectId) -> bool {
        self.individually.contains(id)
    }

    /// Lists lack these: they are fetched by themselves from now on.
    pub fn note_individually(&mut self, ids: impl IntoIterator<Item = ObjectId>) {
        if self.individually.len() > MOST_NOTES {
            self.individually.clear();
        }
        self.individually.extend(ids);
    }

    /// It has arrived.
    pub fn forget(&mut self, id: &ObjectId) {
        self.individually.remove(id);
    }
}

#[cfg(test)]
mod tests;
