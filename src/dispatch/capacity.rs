//! Limits the calls under way over all connections, and the memory for lists.
//!
//! Connections known to answer, and those that may not, have separate shares: however many stores hang, most of the
//! calls are left for the others. Within a share, whoever has waited longest is next.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::FarCalls;

/// One in this many calls is reserved for connections whose last call was not answered, or that have not been called
/// yet.
const DOUBTFUL_SHARE: usize = 4;
/// Memory for lists, in KiB.
const LIST_KIB: u32 = 64 * 1024;

/// Permits for calls and for list memory.
pub(crate) struct Capacity {
    far_calls: FarCalls,
    /// For connections known to answer, and for the others.
    trusted: Arc<Semaphore>,
    doubtful: Arc<Semaphore>,
    /// While more doubtful calls than this are free, one connection may have several of them.
    reserve: usize,
    list_kib: Arc<Semaphore>,
}

impl Capacity {
    pub fn new(far_calls: FarCalls) -> Self {
        let [trusted, doubtful] = far_calls.deliveries(DOUBTFUL_SHARE);
        let most_doubtful = doubtful.available_permits();
        Self {
            far_calls,
            trusted,
            doubtful,
            reserve: most_doubtful - most_doubtful / DOUBTFUL_SHARE,
            list_kib: Arc::new(Semaphore::new(LIST_KIB as usize)),
        }
    }

    /// Waits for a permit for one call.
    pub async fn call(&self, is_doubtful: bool) -> OwnedSemaphorePermit {
        let share = if is_doubtful { &self.doubtful } else { &self.trusted };
        share.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// A permit for one call, if one is free.
    pub fn try_call(&self, is_doubtful: bool) -> Option<OwnedSemaphorePermit> {
        let share = if is_doubtful { &self.doubtful } else { &self.trusted };
        share.clone().try_acquire_owned().ok()
    }

    /// Permits for further calls of deliveries that have slots, at most `want`, as far as others can spare them.
    pub fn spare(&self, want: usize) -> Vec<OwnedSemaphorePermit> {
        self.far_calls.spare(want)
    }

    /// Whether a connection that may not answer may have several calls under way: most of their share stays free for
    /// the first call of each of the others.
    pub fn has_room_for_doubtful(&self) -> bool {
        self.doubtful.available_permits() > self.reserve
    }

    /// Waits for memory for a list of about this many bytes.
    pub async fn list(&self, bytes: u64) -> OwnedSemaphorePermit {
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).clamp(1, LIST_KIB / 2);
        self.list_kib.clone().acquire_many_owned(kib).await.expect("the semaphore is never closed")
    }
}
