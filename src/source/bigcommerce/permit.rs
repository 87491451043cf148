//! A permit for one call: counted against the store's quota, and among the calls under way.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::quota::Quota;

/// A permit for one call on a [`super::Store`]. Returned if dropped unused.
#[derive(Debug)]
pub struct Permit {
    quota: Arc<Mutex<Quota>>,
    spent: Spent,
    _far_call: Option<OwnedSemaphorePermit>,
}

/// How far a permit has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    Not,
    /// The call was made, and its answer has not been seen (yet).
    OnCall,
    OnAnswer,
}

impl Permit {
    /// For a call that has been taken from the quota.
    pub(super) fn new(quota: Arc<Mutex<Quota>>) -> Self {
        Self { quota, spent: Spent::Not, _far_call: None }
    }

    /// The same, which counts among the calls under way of all connections.
    pub(in crate::source) fn counted(mut self, far_call: Option<OwnedSemaphorePermit>) -> Self {
        self._far_call = far_call;
        self
    }

    pub(super) fn note(&mut self, spent: Spent) {
        self.spent = spent;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.spent {
            Spent::Not => self.quota.lock().refund(),
            Spent::OnCall => self.quota.lock().unanswered(),
            Spent::OnAnswer => {}
        }
    }
}
