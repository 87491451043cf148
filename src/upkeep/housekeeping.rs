//! Removes old rows, counts waiting objects, and makes due what a clock that was set back has put off.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{clock::Timestamp, inbox::Inbox, leader::HeldShards};

/// The time between rounds of removal.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// The pause between the steps of a round, in which webhooks can be written.
const PRUNE_PAUSE: Duration = Duration::from_millis(50);
/// Rows removed in one step.
const PRUNE_STEP: u32 = 500;
/// The time between checks for deadlines too far in the future.
const REPAIR_INTERVAL: Duration = Duration::from_secs(5);

/// Maintains the database as a whole. Of several processes, the one that holds shard 0 does it.
pub struct Housekeeping {
    inbox: Arc<dyn Inbox>,
    retention: Duration,
    shards: watch::Receiver<HeldShards>,
}

impl Housekeeping {
    /// `retention` is how long settled objects are kept.
    pub fn new(inbox: Arc<dyn Inbox>, retention: Duration, shards: watch::Receiver<HeldShards>) -> Self {
        Self { inbox, retention, shards }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let (mut prune_at, mut repair_at) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(prune_at.min(repair_at)) => {}
            }
            let now = Instant::now();
            let is_mine = self.shards.borrow().holds(0);
            if now >= repair_at {
                repair_at = now + REPAIR_INTERVAL;
                if is_mine {
                    self.repair().await;
                }
            }
            if now >= prune_at {
                prune_at = now + if is_mine { self.prune().await } else { REPAIR_INTERVAL };
            }
        }
    }

    /// Makes due what was put off by a clock that has been set back since.
    async fn repair(&self) {
        match self.inbox.repair_deadlines(Timestamp::now()).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::warn!(
                    count,
                    "the clock has been set back: {count} deadlines lay too far ahead and are due now"
                );
            }
            Err(error) => tracing::debug!(%error, "deadlines could not be looked at: {error}"),
        }
    }

    /// Removes one step's worth of old rows. Returns the pause before the next step.
    async fn prune(&self) -> Duration {
        let now = Timestamp::now();
        match self.inbox.prune(now.before(self.retention), PRUNE_STEP).await {
            Ok(removed) if removed >= u64::from(PRUNE_STEP) => return PRUNE_PAUSE,
            Ok(_) => {
                if let Err(error) = self.inbox.sample(now).await {
                    tracing::warn!(%error, "the number of waiting orders could not be noted: {error}");
                }
            }
            Err(error) => tracing::warn!(%error, "old rows could not be cleared out: {error}"),
        }
        if let Err(error) = self.inbox.drop_key_requests(now).await {
            tracing::warn!(%error, "requests for shops' keys could not be cleared out: {error}");
        }
        PRUNE_INTERVAL
    }
}
