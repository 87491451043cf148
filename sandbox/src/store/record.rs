//! The record of the calls to a store: always the counts, and details on request.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::fault::Operation;

/// One call to the store.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it came.
    pub at: Instant,
    /// The kind of call.
    pub operation: Operation,
    /// Its method.
    pub method: String,
    /// The path and query, as received.
    pub path_and_query: String,
    /// The status of the answer; `None` while there is none, and if it was lost.
    pub status: Option<u16>,
}

#[derive(Debug)]
pub(crate) struct Record {
    counts: [AtomicU64; Operation::COUNT],
    details: AtomicBool,
    calls: Mutex<Vec<Call>>,
}

impl Record {
    pub(crate) fn new(details: bool) -> Self {
        Self { counts: Default::default(), details: AtomicBool::new(details), calls: Mutex::default() }
    }

    pub(crate) fn keep_details(&self, keep: bool) {
        self.details.store(keep, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, operation: Operation) -> u64 {
        match operation {
            Operation::Any => self.counts.iter().map(|count| count.load(Ordering::Acquire)).sum(),
            one => self.counts[one as usize].load(Ordering::Acquire),
        }
    }

    /// Counts a call; returns the index of its details, if they are recorded.
    pub(crate) fn begin(&self, operation: Operation, details: impl FnOnce() -> (String, String)) -> Option<usize> {
        self.counts[operation as usize].fetch_add(1, Ordering::AcqRel);
        if !self.details.load(Ordering::Relaxed) {
            return None;
        }
        let (method, path_and_query) = details();
        let mut calls = self.calls.lock().expect("no holder of this lock panics");
        calls.push(Call { at: Instant::now(), operation, method, path_and_query, status: None });
        Some(calls.len() - 1)
    }

    pub(crate) fn answered(&self, index: usize, status: u16) {
        let mut calls = self.calls.lock().expect("no holder of this lock panics");
        calls[index].status = Some(status);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no holder of this lock panics").clone()
    }
}
