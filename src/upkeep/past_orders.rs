//! Forwards past orders that a merchant has asked for, in the process that holds the connection. Continues after
//! every restart where the last walk was interrupted.

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

/// The wait before the walk continues after a failure.
const RETRY: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(600) };

/// What interrupts a walk: the connection has changed or belongs to another process, or the relay stops.
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

/// Forwards the past orders that were asked for, if any. Returns whether that failed, and when to try again.
pub(super) async fn forward(
    connection: &Arc<Connection>,
    tools: &PollTools,
    progress: &Progress,
    until: Until,
    failures: u32,
) -> (bool, Option<Duration>) {
    let walked = tokio::select! {
        walked = go_on(connection, tools, progress) => walked,
        // Begins again with the changed connection, if it still belongs to this process.
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
