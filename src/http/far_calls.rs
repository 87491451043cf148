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
    most: usize,
    side: Arc<Semaphore>,
    most_side: usize,
    urgent: Arc<Semaphore>,
}

impl FarCalls {
    /// `most` calls at once, at least one.
    pub fn new(most: usize) -> Self {
        let most_side = (most / SIDE_SHARE).clamp(1, MAX_SIDE);
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { most: most.max(1), side: semaphore(most_side), most_side, urgent: semaphore(MAX_URGENT) }
    }

    /// The permits for deliveries in two parts: the second is one in `share`, at least one. A single permit is both.
    pub fn deliveries(&self, share: usize) -> [Arc<Semaphore>; 2] {
        match self.most - self.most_side {
            0 => [self.side.clone(), self.side.clone()],
            1 => {
                let one = Arc::new(Semaphore::new(1));
                [one.clone(), one]
            }
            calls => {
                let second = (calls / share).max(1);
                [calls - second, second].map(|permits| Arc::new(Semaphore::new(permits)))
            }
        }
    }

    /// Waits in turn for a permit for a call that is no delivery.
    pub async fn take(&self) -> OwnedSemaphorePermit {
        self.side.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// The same where the store has to give one too: `of_store` waits for that, `try_of_store` does not. Whoever waits
    /// for one of the two holds none of the other.
    pub async fn take_with<P, F: Future<Output = P>>(
        &self,
        of_store: impl Fn() -> F,
        try_of_store: impl Fn() -> Option<P>,
    ) -> (P, OwnedSemaphorePermit) {
        loop {
            let permit = of_store().await;
            if let Some(far_call) = self.try_take() {
                return (permit, far_call);
            }
            drop(permit);
            // Given back at once, it would go to the next in line, and so on round and round.
            let far_call = self.take().await;
            if let Some(permit) = try_of_store() {
                return (permit, far_call);
            }
        }
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

    #[test]
    fn together_they_are_never_more_than_allowed() {
        for most in [1, 2, 3, 4, 7, 8, 256, 10_000] {
            let calls = FarCalls::new(most);
            let spare = calls.spare(usize::MAX);
            assert!(spare.len() <= calls.most_side / 2, "{most}: {} are spared", spare.len());
            let parts = calls.deliveries(4);
            let of = |part: &Arc<Semaphore>| part.clone().try_acquire_owned().ok();
            let deliveries: Vec<_> = parts.iter().flat_map(|part| std::iter::from_fn(|| of(part))).collect();
            assert!(!deliveries.is_empty(), "{most}");
            assert!(most < 3 || parts.iter().all(|part| part.available_permits() == 0), "{most}");
            let side: Vec<_> = std::iter::from_fn(|| calls.try_take()).collect();
            assert!(!side.is_empty() || most == 1, "{most}");
            assert_eq!(spare.len() + side.len() + deliveries.len(), most);
        }
    }

    #[tokio::test]
    async fn many_that_wait_for_both_permits_get_them_in_turn() {
        let calls = FarCalls::new(1);
        let store = Arc::new(Semaphore::new(2));
        let of_store = || async { store.clone().acquire_owned().await.expect("it is never closed") };
        let some = (0..50).map(|_| async {
            let both = calls.take_with(of_store, || store.clone().try_acquire_owned().ok()).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(both);
        });
        let all = futures_util::future::join_all(some);
        assert!(tokio::time::timeout(Duration::from_secs(20), all).await.is_ok(), "they wait for each other");
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
