//! How many calls to stores and destinations may be under way at once, all connections together.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One in this many calls is not a delivery: polls, hooks, checks, reads for clients.
const SIDE_SHARE: usize = 4;
/// Most calls that are no deliveries.
const MAX_SIDE: usize = 64;
/// How long a call that a person waits for waits for others to end. Then it is made all the same: a check that has
/// not been made would say that the store does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The permits for calls: some for deliveries, some for all else, so that neither waits for the other.
#[derive(Debug, Clone)]
pub struct FarCalls {
    deliveries: Arc<Semaphore>,
    side: Arc<Semaphore>,
}

impl FarCalls {
    /// `most` calls at once. A single call at once is shared by deliveries and all else.
    pub fn new(most: usize) -> Self {
        let side = (most / SIDE_SHARE).clamp(1, MAX_SIDE);
        let shared = Arc::new(Semaphore::new(side));
        let deliveries = if most > 1 { Arc::new(Semaphore::new(most - side)) } else { shared.clone() };
        Self { deliveries, side: shared }
    }

    /// The permits for deliveries.
    pub fn deliveries(&self) -> &Arc<Semaphore> {
        &self.deliveries
    }

    /// Waits in turn for a permit for a call that is no delivery.
    pub async fn take(&self) -> OwnedSemaphorePermit {
        self.side.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// The same for a call that a person waits for; `None` if it has waited long enough.
    pub async fn take_urgent(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(PATIENCE, self.take()).await.ok()
    }

    /// Permits that are free now, at most `want`, for further calls beside one that has a permit.
    pub fn spare(&self, want: usize) -> Vec<OwnedSemaphorePermit> {
        (0..want).map_while(|_| self.side.clone().try_acquire_owned().ok()).collect()
    }
}

/// As many as by default.
impl Default for FarCalls {
    fn default() -> Self {
        Self::new(256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn together_they_are_never_more_than_allowed() {
        for most in [1, 2, 3, 4, 7, 8, 256, 10_000] {
            let calls = FarCalls::new(most);
            let mut side = calls.spare(usize::MAX >> 1);
            let deliveries: Vec<_> =
                std::iter::from_fn(|| calls.deliveries().clone().try_acquire_owned().ok()).collect();
            assert_eq!(side.len() + deliveries.len(), most);
            assert!(!side.is_empty() && (most == 1 || !deliveries.is_empty()), "{most}");
            side.pop();
            assert!(calls.take_urgent().await.is_some());
        }
    }
}
