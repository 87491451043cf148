//! When connections were last told of an event and last forwarded an order. Were a connection's row dated within every
//! batch, the batches of all relays would meet at this one row; so each relay remembers, and dates it shortly afterwards.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// One connection's, in milliseconds of the server's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dates {
    pub last_event_at: Option<i64>,
    pub last_forwarded_at: Option<i64>,
}

impl Dates {
    fn later(self, other: Self) -> Self {
        Self {
            last_event_at: self.last_event_at.max(other.last_event_at),
            last_forwarded_at: self.last_forwarded_at.max(other.last_forwarded_at),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Page {
    known: Dates,
    written: Dates,
}

/// What this relay knows of them, by connection, and what of it has been written.
#[derive(Debug, Default)]
pub(super) struct Diary(Mutex<HashMap<i64, Page>>);

impl Diary {
    fn pages(&self) -> MutexGuard<'_, HashMap<i64, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, connection: i64, dates: Dates) {
        let mut pages = self.pages();
        let page = pages.entry(connection).or_default();
        page.known = page.known.later(dates);
    }

    pub fn known(&self, connection: i64) -> Dates {
        self.pages().get(&connection).map(|page| page.known).unwrap_or_default()
    }

    /// What is not written yet.
    pub fn unwritten(&self) -> Vec<(i64, Dates)> {
        let pages = self.pages();
        pages.iter().filter(|(_, page)| page.known != page.written).map(|(id, page)| (*id, page.known)).collect()
    }

    pub fn written(&self, connection: i64, dates: Dates) {
        self.pages().entry(connection).or_default().written = dates;
    }
}
