//! The ledger of the simulated One Tribe: every request, its outcome, and which were open at once. One short lock per
//! step.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;

/// One request to the simulated One Tribe.
#[derive(Debug, Clone)]
pub struct Received {
    /// The order's id; 0 if the body was no order.
    pub order_id: i64,
    /// The order's revision; 0 if the body was no order.
    pub revision: u64,
    /// The `Idempotency-Key`.
    pub idempotency_key: Option<Box<str>>,
    /// The body, if bodies are kept.
    pub body: Option<Bytes>,
    /// The `Content-Type`.
    pub content_type: Option<Arc<str>>,
    /// The `User-Agent`.
    pub user_agent: Option<Arc<str>>,
    /// When the whole request had arrived.
    pub started: Instant,
    /// When it was answered or disconnected; `None` while it is open.
    pub finished: Option<Instant>,
    /// The status of the answer; `None` while it is open, and if the answer was lost.
    pub answered: Option<u16>,
    /// Its position among all requests whose order was taken; `None` if it was not.
    pub accepted: Option<u64>,
}

/// What a request carries.
pub(super) struct Arrival<'a> {
    pub(super) order: Option<(i64, u64)>,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
    pub(super) user_agent: Option<&'a str>,
    pub(super) body: Option<Bytes>,
}

#[derive(Debug, Default)]
struct Tally {
    open: usize,
    max_open: usize,
    newest: Option<u64>,
}

#[derive(Debug, Default)]
struct Books {
    received: Vec<Received>,
    tallies: HashMap<i64, Tally>,
    /// Recurring header values, each stored once.
    texts: Vec<Arc<str>>,
    open: usize,
    max_open: usize,
    accepted_orders: usize,
}

impl Books {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.iter().find(|known| known.as_ref() == text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.push(Arc::clone(&new));
        new
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: Mutex<Books>,
    attempts: AtomicU64,
    accepted: AtomicU64,
}

impl Ledger {
    /// Opens a request; returns its index in the ledger.
    pub(super) fn begin(&self, arrival: Arrival<'_>) -> usize {
        self.attempts.fetch_add(1, Ordering::AcqRel);
        let (order_id, revision) = arrival.order.unwrap_or_default();
        let idempotency_key = arrival.idempotency_key.map(Into::into);
        let mut books = self.books();
        let received = Received {
            order_id,
            revision,
            idempotency_key,
            body: arrival.body,
            content_type: arrival.content_type.map(|text| books.text(text)),
            user_agent: arrival.user_agent.map(|text| books.text(text)),
            started: Instant::now(),
            finished: None,
            answered: None,
            accepted: None,
        };
        books.open += 1;
        books.max_open = books.max_open.max(books.open);
        let tally = books.tallies.entry(order_id).or_default();
        tally.open += 1;
        tally.max_open = tally.max_open.max(tally.open);
        books.received.push(received);
        books.received.len() - 1
    }

    /// Records that the order was taken.
    pub(super) fn accept(&self, index: usize) {
        let mut books = self.books();
        let number = self.accepted.fetch_add(1, Ordering::AcqRel);
        let received = &mut books.received[index];
        received.accepted = Some(number);
        let (order_id, revision) = (received.order_id, received.revision);
        let tally = books.tallies.entry(order_id).or_default();
        let first = tally.newest.is_none();
        tally.newest = tally.newest.max(Some(revision));
        books.accepted_orders += usize::from(first);
    }

    /// Records that the request was answered or disconnected.
    pub(super) fn end(&self, index: usize, answered: Option<u16>) {
        let mut books = self.books();
        books.open -= 1;
        let received = &mut books.received[index];
        received.finished = Some(Instant::now());
        received.answered = answered;
        let order_id = received.order_id;
        books.tallies.entry(order_id).or_default().open -= 1;
    }

    pub(super) fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Acquire)
    }

    pub(super) fn accepted_count(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.books().received.clone()
    }

    pub(super) fn accepted_orders(&self) -> usize {
        self.books().accepted_orders
    }

    pub(super) fn newest(&self, order: i64) -> Option<u64> {
        self.books().tallies.get(&order)?.newest
    }

    pub(super) fn open(&self) -> usize {
        self.books().open
    }

    pub(super) fn max_open(&self) -> usize {
        self.books().max_open
    }

    pub(super) fn max_open_of(&self, order: i64) -> usize {
        self.books().tallies.get(&order).map_or(0, |tally| tally.max_open)
    }

    pub(super) fn overlapping(&self) -> Vec<i64> {
        let books = self.books();
        // Id 0 stands for bodies that were no order.
        let mut ids: Vec<i64> =
            books.tallies.iter().filter(|(id, tally)| **id != 0 && tally.max_open > 1).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no holder of this lock panics")
    }
}
