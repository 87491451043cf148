//! State shared by the parts of one inbox.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Notify, watch};

use super::{
    activity::ActivityCache,
    migrations::MIGRATIONS,
    peers::{Beat, RelayId},
    session::ServerClock,
    untold::Untold,
};
use crate::{
    clock::Timestamp,
    inbox::{Heartbeat, InboxError, WorkSignal, schema},
    object::ConnectionId,
};

/// Another relay counts as active if it announced work within this time.
const ACTIVE: Duration = Duration::from_secs(1);
/// State shared by the parts of one inbox.
pub(super) struct Shared {
    pub options: PgConnectOptions,
    pub relay: RelayId,
    pub clock: ServerClock,
    /// The shards held according to the last heartbeat, and until when that is certain.
    pub held: Mutex<(HashSet<u16>, Instant)>,
    /// The shards of the connections that this relay has read or made.
    pub shards: Mutex<HashMap<ConnectionId, u16>>,
    pub work: WorkSignal,
    pub activity: ActivityCache,
    pub untold: Mutex<Untold>,
    /// When another relay last announced work.
    pub heard_at: Mutex<Option<Instant>>,
    /// Notified when there is something to announce, or activity to write.
    pub news: Notify,
    /// Why this relay must not use the database any more.
    pub superseded: watch::Sender<Option<InboxError>>,
}

impl Shared {
    pub fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            relay: RelayId::random(),
            clock: ServerClock::default(),
            held: Mutex::new((HashSet::new(), Instant::now())),
            shards: Mutex::default(),
            work: WorkSignal::default(),
            activity: ActivityCache::default(),
            untold: Mutex::default(),
            heard_at: Mutex::default(),
            news: Notify::new(),
            superseded: watch::Sender::default(),
        }
    }

    /// Whether other relays seem to keep the database busy.
    pub fn has_active_peers(&self) -> bool {
        self.held.lock().0.is_empty() || self.heard_at.lock().is_some_and(|at| at.elapsed() < ACTIVE)
    }

    /// Queues an announcement to the relays that hold these connections' shards, and the writing of this relay's
    /// activity.
    pub fn tell_peers(&self, connections: impl IntoIterator<Item = ConnectionId>) {
        let held = self.held.lock();
        let are_certain = Instant::now() < held.1;
        let shards = self.shards.lock();
        let is_ours = |id: &ConnectionId| are_certain && shards.get(id).is_some_and(|shard| held.0.contains(shard));
        self.untold.lock().add(connections.into_iter().filter(|id| !is_ours(id)));
        self.news.notify_one();
    }

    /// Signals that these connections may have work, to this relay's scheduler and to other relays.
    pub fn signal_work(&self, connections: HashSet<ConnectionId>) {
        self.tell_peers(connections.iter().copied());
        self.work.add(connections);
    }

    /// Signals a new or changed connection to every relay, whichever holds it.
    pub fn signal_change(&self, connection: ConnectionId) {
        self.untold.lock().add([connection]);
        self.news.notify_one();
        self.work.add([connection]);
    }

    /// Applies the result of a heartbeat.
    pub fn learn(&self, asked: Timestamp, began: Instant, span: Duration, beat: Beat) -> Heartbeat {
        self.clock.learn(asked, beat.at, Timestamp::now());
        if let Err(error) = schema::admits(beat.floor, schema::newest(&MIGRATIONS)) {
            self.superseded.send_replace(Some(error));
        }
        *self.held.lock() = (beat.held.shards.iter().copied().collect(), began + span);
        beat.held
    }
}
