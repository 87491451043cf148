//! Deliveries of which the end cannot be stored: while there are any, no more is forwarded, since it would be forwarded
//! again.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the settlements that could not be stored and are tried again.
#[derive(Debug, Default)]
pub(super) struct Unsettled(AtomicUsize);

/// One of them, until it is dropped.
pub(super) struct Failing<'a>(&'a Unsettled);

impl Unsettled {
    /// Whether there are any.
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Counts one until what is returned is dropped.
    pub fn begin(&self) -> Failing<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Failing(self)
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
