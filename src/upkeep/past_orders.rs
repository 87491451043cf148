//! Past orders that a merchant has asked for, forwarded by the process that holds the connection: taken up again after
//! every restart, wherever the process before was broken off.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    connection::{Connection, LiveCatalog},
    leader::HeldShards,
    reconcile::{
        PollTools,
        requested::{Progress, go_on},
    },
    retry::Backoff,
};

/// Between tries while the store cannot be read.
const RETRY: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(600) };

/// What breaks a walk off: the connection has changed, is another process's, or the relay stops.
pub(super) struct Until {
    pub catalog: Arc<LiveCatalog>,
    pub shards: watch::Receiver<HeldShards>,
    pub stop: CancellationToken,
}

impl Until {
    async fn over(mut self, connection: &Arc<Connection>) {
        let mut changes = self.catalog.changes();
        loop {
            let is_current = self.catalog.get(connection.id).is_some_and(|current| Arc::ptr_eq(&current, connection));
            if !is_current || !self.shards.borrow_and_update().holds(connection.shard) {
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                changed = self.shards.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Forwards what was asked for, if anything was. Whether that failed, and when to try again.
pub(super) async fn forward(
    connection: &Arc<Connection>,
    tools: &PollTools,
    progress: &Progress,
    until: Until,
    failures: u32,
) -> (bool, Option<Duration>) {
    let walked = tokio::select! {
        walked = go_on(connection, tools, progress) => walked,
        // With what has changed, if the connection is still this process's.
        () = until.over(connection) => return (false, Some(Duration::ZERO)),
    };
    let id = connection.id;
    match walked {
        Ok(_) => (false, None),
        Err(error) => {
            tracing::warn!(connection = %id, %error, "connection {id}: forwarding past orders pauses: {error}");
            (true, Some(RETRY.wait(failures + 1, rand::random())))
        }
    }
}
