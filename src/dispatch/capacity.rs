//! How many calls may be under way at once, over all connections, and how much of lists may be in memory.
//!
//! Connections that are known to answer, and those that may not, draw from two shares: however many stores hang, most
//! of the calls are left for the others. Within a share whoever has waited longest is next.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The share for connections of which the last call has not been answered, or that have not been called yet, is one in
/// so many calls.
const DOUBTFUL_SHARE: usize = 4;
/// Lists in memory, in KiB.
const LIST_KIB: u32 = 64 * 1024;

/// The calls that may be under way.
pub(crate) struct Capacity {
    trusted: Arc<Semaphore>,
    doubtful: Arc<Semaphore>,
    /// More than this many doubtful calls free are room for more than one of each connection's.
    reserve: usize,
    list_kib: Arc<Semaphore>,
}

impl Capacity {
    pub fn new(calls: usize) -> Self {
        let doubtful = (calls / DOUBTFUL_SHARE).max(1);
        let trusted = calls.saturating_sub(doubtful).max(1);
        Self {
            trusted: Arc::new(Semaphore::new(trusted)),
            doubtful: Arc::new(Semaphore::new(doubtful)),
            reserve: doubtful - doubtful / DOUBTFUL_SHARE,
            list_kib: Arc::new(Semaphore::new(LIST_KIB as usize)),
        }
    }

    /// Waits for the right to one call.
    pub async fn call(&self, is_doubtful: bool) -> OwnedSemaphorePermit {
        let share = if is_doubtful { &self.doubtful } else { &self.trusted };
        share.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// The right to one call, if none is queued for one.
    pub fn try_call(&self, is_doubtful: bool) -> Option<OwnedSemaphorePermit> {
        let share = if is_doubtful { &self.doubtful } else { &self.trusted };
        share.clone().try_acquire_owned().ok()
    }

    /// Whether a connection that may not answer may have several calls under way: the greater part of their share stays
    /// free for the first call of each of the others.
    pub fn has_room_for_doubtful(&self) -> bool {
        self.doubtful.available_permits() > self.reserve
    }

    /// Waits for room for a list of so many bytes, as far as that can be told.
    pub async fn list(&self, bytes: u64) -> OwnedSemaphorePermit {
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).clamp(1, LIST_KIB / 2);
        self.list_kib.clone().acquire_many_owned(kib).await.expect("the semaphore is never closed")
    }
}
