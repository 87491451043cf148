//! Clearing out what is old, counting what waits, and making due what a clock that jumped has put off.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{clock::Timestamp, inbox::Inbox, leader::HeldShards};

/// Between rounds of clearing out what is old.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Between the steps of one round: writes of webhooks go in between.
const PRUNE_PAUSE: Duration = Duration::from_millis(50);
/// Rows cleared out in one step.
const PRUNE_STEP: u32 = 500;
/// Between looks at deadlines that no clock could have set.
const REPAIR_INTERVAL: Duration = Duration::from_secs(5);

/// Looks after the database as a whole. Of several processes, the one that holds the first shard does so.
pub struct Housekeeping {
    inbox: Arc<dyn Inbox>,
    retention: Duration,
    shards: watch::Receiver<HeldShards>,
}

impl Housekeeping {
    /// Settled objects are kept for `retention`.
    pub fn new(inbox: Arc<dyn Inbox>, retention: Duration, shards: watch::Receiver<HeldShards>) -> Self {
        Self { inbox, retention, shards }
    }

    /// Runs until it is asked to stop.
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

    /// After the clock has been set back, what was put off while it was ahead is due now.
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

    /// One step of clearing out. Returns the pause before the next.
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
