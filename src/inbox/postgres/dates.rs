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

/// What this relay knows of them, by connection, and what of it has been written.
#[derive(Debug, Default)]
pub(super) struct Diary(Mutex<HashMap<i64, (Dates, Dates)>>);

impl Diary {
    fn pages(&self) -> MutexGuard<'_, HashMap<i64, (Dates, Dates)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, connection: i64, dates: Dates) {
        let mut pages = self.pages();
        let (known, _) = pages.entry(connection).or_default();
        *known = known.later(dates);
    }

    pub fn known(&self, connection: i64) -> Dates {
        self.pages().get(&connection).map(|(known, _)| *known).unwrap_or_default()
    }

    /// What is not written yet.
    pub fn unwritten(&self) -> Vec<(i64, Dates)> {
        let pages = self.pages();
        pages.iter().filter(|(_, (known, written))| known != written).map(|(id, (known, _))| (*id, *known)).collect()
    }

    pub fn written(&self, connection: i64, dates: Dates) {
        self.pages().entry(connection).or_default().1 = dates;
    }
}
