//! Which shards of connections this process works on, of all processes that share its database. Kept up by a heartbeat.
//!
//! Safety does not depend on shards: claims alone ensure that an object is never under way twice, and refuse a
//! process that has lost a shard without knowing it yet; the registrar's locks ensure that hooks are not made twice.
//! Shards keep calls within one quota.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::inbox::{Heartbeat, Inbox};

/// The time between heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// How long shards stay held after the last heartbeat: those of a process that dies are taken over within this and
/// one beat.
const SPAN: Duration = Duration::from_secs(5);

/// The shards that this process holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldShards(Arc<[u16]>);

impl HeldShards {
    /// Whether a shard is held.
    pub fn holds(&self, shard: u16) -> bool {
        self.0.binary_search(&shard).is_ok()
    }

    /// How many shards are held.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Keeps the heartbeat of one process.
pub struct Leader {
    inbox: Arc<dyn Inbox>,
    held: watch::Sender<HeldShards>,
    revision: watch::Sender<i64>,
}

impl Leader {
    /// Sends no heartbeat yet.
    pub fn new(inbox: Arc<dyn Inbox>) -> Self {
        Self { inbox, held: watch::Sender::default(), revision: watch::Sender::default() }
    }

    /// The shards held, updated as they come and go.
    pub fn shards(&self) -> watch::Receiver<HeldShards> {
        self.held.subscribe()
    }

    /// The newest revision of any connection.
    pub fn revision(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }

    /// Sends heartbeats until `finished` is cancelled, then gives the shards back. Once `stop` is cancelled, no more
    /// shards are taken up.
    pub async fn run(self, stop: CancellationToken, finished: CancellationToken) {
        let mut until = Instant::now();
        while !finished.is_cancelled() {
            let asked = Instant::now();
            match tokio::time::timeout(BEAT, self.inbox.heartbeat(SPAN)).await {
                Ok(Ok(Heartbeat { shards, revision })) => {
                    until = asked + SPAN;
                    // If this process was suspended for too long, another one may hold these shards by now.
                    if Instant::now() < until && !stop.is_cancelled() {
                        self.hold(HeldShards(shards.into()));
                    }
                    self.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
                }
                Ok(Err(error)) => tracing::warn!(%error, "which connections are this relay's is not known: {error}"),
                Err(_) => tracing::debug!("the database has not answered the heartbeat in time"),
            }
            if Instant::now() + BEAT >= until {
                self.hold(HeldShards::default());
            }
            tokio::select! {
                () = finished.cancelled() => {}
                () = tokio::time::sleep_until(asked + BEAT) => {}
            }
        }
        if let Err(error) = self.inbox.release_shards().await {
            tracing::debug!(%error, "the shards run out by themselves: {error}");
        }
    }

    fn hold(&self, shards: HeldShards) {
        self.held.send_if_modified(|held| {
            let has_changed = *held != shards;
            if has_changed {
                tracing::info!(shards = shards.count(), "this relay works at {} of the shards", shards.count());
                *held = shards;
            }
            has_changed
        });
    }
}
