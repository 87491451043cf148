//! How many calls to stores and destinations may be under way at once, all connections together.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One in this many calls is not a delivery: polls, hooks, checks, reads for clients.
const SIDE_SHARE: usize = 4;
/// Most calls that are no deliveries.
const MAX_SIDE: usize = 64;
/// How long a check waits for other calls to end. Then it is made all the same: a check that has not been made would
/// say that the store does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most calls that are made all the same.
const MAX_URGENT: usize = 8;

/// The permits for calls: some for deliveries, some for all else, so that neither uses up the other's. A single call at
/// once is for both in turn.
#[derive(Debug, Clone)]
pub struct FarCalls {
    deliveries: Arc<Semaphore>,
    most_deliveries: usize,
    side: Arc<Semaphore>,
    most_side: usize,
    urgent: Arc<Semaphore>,
}

impl FarCalls {
    /// `most` calls at once.
    pub fn new(most: usize) -> Self {
        let most_side = (most / SIDE_SHARE).clamp(1, MAX_SIDE);
        let most_deliveries = most.saturating_sub(most_side).max(1);
        let side = Arc::new(Semaphore::new(most_side));
        let deliveries = if most > 1 { Arc::new(Semaphore::new(most_deliveries)) } else { side.clone() };
        Self { deliveries, most_deliveries, side, most_side, urgent: Arc::new(Semaphore::new(MAX_URGENT)) }
    }

    /// How many deliveries there may be at once.
    pub fn most_deliveries(&self) -> usize {
        self.most_deliveries
    }

    /// Waits in turn for a permit for a delivery.
    pub async fn delivery(&self) -> OwnedSemaphorePermit {
        self.deliveries.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// A permit for a delivery, if one is free.
    pub fn try_delivery(&self) -> Option<OwnedSemaphorePermit> {
        self.deliveries.clone().try_acquire_owned().ok()
    }

    /// Waits in turn for a permit for a call that is no delivery.
    pub async fn take(&self) -> OwnedSemaphorePermit {
        self.side.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// A permit for a call that is no delivery, if one is free.
    pub fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        self.side.clone().try_acquire_owned().ok()
    }

    /// The same as [`Self::take`] for a check, which is made soon even if no other call ends.
    pub async fn take_urgent(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = tokio::time::timeout(PATIENCE, self.take()).await {
            return permit;
        }
        let urgent = self.urgent.clone().acquire_owned();
        tokio::select! {
            permit = self.take() => permit,
            permit = urgent => permit.expect("the semaphore is never closed"),
        }
    }

    /// Permits for further calls of a delivery, at most `want`: of the others' no more than leaves them half.
    pub fn spare(&self, want: usize) -> Vec<OwnedSemaphorePermit> {
        let may_take = |_: &usize| self.side.available_permits() > self.most_side.div_ceil(2);
        (0..want).take_while(may_take).map_while(|_| self.try_take()).collect()
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
            let spare = calls.spare(usize::MAX);
            assert!(spare.len() <= calls.most_side / 2, "{most}: {} are spared", spare.len());
            let side: Vec<_> = std::iter::from_fn(|| calls.try_take()).collect();
            let deliveries: Vec<_> = std::iter::from_fn(|| calls.try_delivery()).collect();
            assert_eq!(spare.len() + side.len() + deliveries.len(), most);
            assert!(!side.is_empty() && (most == 1 || deliveries.len() == calls.most_deliveries()), "{most}");
        }
    }

    #[tokio::test]
    async fn a_check_is_made_soon_though_no_call_ends() {
        let calls = FarCalls::new(1);
        let held = calls.take().await;
        let mut urgent = Vec::new();
        for _ in 0..MAX_URGENT {
            urgent.push(calls.take_urgent());
        }
        let urgent = futures_util::future::join_all(urgent).await;
        assert!(tokio::time::timeout(PATIENCE * 2, calls.take_urgent()).await.is_err(), "but not without any bound");
        drop(held);
        drop(calls.take_urgent().await);
        drop(urgent);
    }
}
