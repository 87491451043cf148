//! Dispatch: claim → fetch → forward → settle, for all connections.
//!
//! This file is the scheduler, which knows who has something due and gives turns; `lane` is one connection's turn,
//! `delivery` takes a claim to its end, `blame` decides the consequences of a failure, `notify` delivers to
//! callbacks, `capacity` limits the calls under way, `hints` remembers what was learned about both sides.

mod blame;
mod capacity;
mod delivery;
mod hints;
mod lane;
mod notify;
mod notifying;
mod shared;
mod unsettled;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Timestamp,
    config::Settings,
    connection::{Connection, LiveCatalog},
    http::FarCalls,
    inbox::{Inbox, InboxError, WorkSignal},
    leader::HeldShards,
    metrics::Metrics,
    object::ConnectionId,
    polled::PolledRows,
    storage::Storage,
};
use capacity::Capacity;
use lane::{Lane, Wait};
use shared::Shared;

/// Work is announced; this poll is only a safety net (another process may have added an object).
const SAFETY_POLL: Duration = Duration::from_secs(2);
/// The pause after the inbox could not be used.
const INBOX_PAUSE: Duration = Duration::from_secs(1);

/// Delivers the objects in the inbox, for every connection of the shards that this process holds.
pub struct Dispatch {
    shared: Arc<Shared>,
    catalog: Arc<LiveCatalog>,
    shards: watch::Receiver<HeldShards>,
}

/// Which connections have a turn now, and when the others have theirs.
#[derive(Default)]
struct Turns {
    lanes: HashMap<ConnectionId, Arc<Lane>>,
    running: HashSet<ConnectionId>,
    /// Connections with new work announced while their turn was running.
    again: HashSet<ConnectionId>,
    timers: BTreeSet<(Instant, ConnectionId)>,
    timer_of: HashMap<ConnectionId, Instant>,
    /// Lanes that get no more turns but still have deliveries under way.
    retired: Vec<Arc<Lane>>,
}

impl Turns {
    fn retire(&mut self, id: ConnectionId) -> Option<Arc<Lane>> {
        self.clear_timer(id);
        let lane = self.lanes.remove(&id)?;
        self.retired.retain(|lane| !lane.is_idle());
        self.retired.push(lane.clone());
        Some(lane)
    }

    fn set_timer(&mut self, id: ConnectionId, at: Instant) {
        match self.timer_of.get(&id) {
            Some(known) if *known <= at => {}
            known => {
                if let Some(known) = known {
                    self.timers.remove(&(*known, id));
                }
                self.timers.insert((at, id));
                self.timer_of.insert(id, at);
            }
        }
    }

    fn clear_timer(&mut self, id: ConnectionId) {
        if let Some(at) = self.timer_of.remove(&id) {
            self.timers.remove(&(at, id));
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn elapsed(&mut self, now: Instant) -> Vec<ConnectionId> {
        let mut elapsed = Vec::new();
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            self.timer_of.remove(&id);
            elapsed.push(id);
        }
        elapsed
    }
}

/// A connection whose turn has ended, and how.
type Ended = (ConnectionId, Result<Wait, InboxError>);

/// What deliveries use.
pub struct DispatchTools {
    /// The inbox that objects are claimed from.
    pub inbox: Arc<dyn Inbox>,
    /// The live connections.
    pub catalog: Arc<LiveCatalog>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The settings of the process.
    pub settings: Arc<Settings>,
    /// The rows that polls have just read.
    pub rows: Arc<PolledRows>,
    /// Whether events can be stored.
    pub storage: Arc<Storage>,
    /// How many calls may be under way at once.
    pub far_calls: FarCalls,
}

impl Dispatch {
    /// Starts nothing yet. `shards` says which connections this process delivers for.
    pub fn new(tools: DispatchTools, shards: watch::Receiver<HeldShards>) -> Self {
        let DispatchTools { inbox, catalog, metrics, settings, rows, storage, far_calls } = tools;
        let capacity = Capacity::new(far_calls);
        let (moved, for_pauses) = (WorkSignal::default(), catalog.clone());
        let shared = Arc::new(Shared { inbox, metrics, settings, catalog: for_pauses, rows, capacity, storage, moved });
        Self { shared, catalog, shards }
    }

    /// Delivers until `stop` is cancelled; then finishes what is under way and returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let work = self.shared.inbox.work();
        let mut catalog_changes = self.catalog.changes();
        let mut turns = Turns::default();
        let mut running: JoinSet<Ended> = JoinSet::new();
        let mut safety = tokio::time::interval(SAFETY_POLL);
        safety.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            let next = turns.next_timer().unwrap_or_else(|| Instant::now() + SAFETY_POLL);
            let ready: Vec<ConnectionId> = tokio::select! {
                () = stop.cancelled() => break,
                told = work.take() => told.into_iter().collect(),
                moved = self.shared.moved.take() => moved.into_iter().collect(),
                Some(ended) = running.join_next(), if !running.is_empty() => {
                    turn_ended(&mut turns, &self.shared.storage, ended.unwrap_or_else(|error| resume(error)))
                }
                () = tokio::time::sleep_until(next) => turns.elapsed(Instant::now()),
                changed = self.shards.changed() => {
                    if changed.is_err() { break }
                    self.shards_changed(&mut turns).await
                }
                changed = catalog_changes.changed() => {
                    if changed.is_err() { break }
                    self.catalog_changed(&mut turns)
                }
                _ = safety.tick() => self.look(&mut turns).await,
            };
            for id in ready {
                self.give_turn(&mut turns, &mut running, id, &stop);
            }
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                resume(error);
            }
        }
        for lane in turns.lanes.values().chain(&turns.retired) {
            lane.finish().await;
        }
    }

    /// Looks at every connection with waiting objects: returns those with something due, and sets timers for the
    /// others.
    async fn look(&self, turns: &mut Turns) -> Vec<ConnectionId> {
        let waiting = match self.shared.inbox.waiting().await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::debug!(%error, "the waiting objects cannot be read: {error}");
                return Vec::new();
            }
        };
        let (wall, now) = (Timestamp::now(), Instant::now());
        let mut due = Vec::new();
        for (id, at) in waiting {
            if at > wall {
                turns.set_timer(id, now + at.since(wall));
            } else if !turns.timer_of.contains_key(&id) {
                due.push(id);
            }
        }
        self.drop_idle(turns);
        due
    }

    /// Drops lanes with nothing under way or due: a connection without work costs nothing.
    fn drop_idle(&self, turns: &mut Turns) {
        let idle: Vec<ConnectionId> = turns
            .lanes
            .iter()
            .filter(|(id, lane)| !turns.running.contains(id) && !turns.timer_of.contains_key(id) && lane.is_idle())
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            turns.lanes.remove(&id);
        }
    }

    /// Handles shards gained or lost. Deliveries for a lost shard are finished; no new ones begin.
    async fn shards_changed(&mut self, turns: &mut Turns) -> Vec<ConnectionId> {
        let held = self.shards.borrow_and_update().clone();
        let lost: Vec<ConnectionId> =
            turns.lanes.iter().filter(|(_, lane)| !held.holds(lane.connection().shard)).map(|(id, _)| *id).collect();
        for id in lost {
            self.shared.storage.claims_worked(id);
            if let Some(lane) = turns.retire(id)
                && let Some(link) = &lane.connection().link
            {
                link.forget_sides();
            }
        }
        self.look(turns).await
    }

    /// Handles connections made, changed or ended: their lanes start afresh, and what waits may now be deliverable.
    fn catalog_changed(&self, turns: &mut Turns) -> Vec<ConnectionId> {
        let is_current = |id: &ConnectionId, lane: &Arc<Lane>| {
            self.catalog.get(*id).is_some_and(|connection| Arc::ptr_eq(&connection, lane.connection()))
        };
        let changed: Vec<ConnectionId> =
            turns.lanes.iter().filter(|(id, lane)| !is_current(id, lane)).map(|(id, _)| *id).collect();
        for id in &changed {
            self.shared.storage.claims_worked(*id);
            turns.retire(*id);
        }
        changed
    }

    fn give_turn(&self, turns: &mut Turns, running: &mut JoinSet<Ended>, id: ConnectionId, stop: &CancellationToken) {
        if turns.running.contains(&id) {
            turns.again.insert(id);
            return;
        }
        let Some(connection) = self.catalog.get(id).filter(|connection| self.is_mine(connection)) else { return };
        turns.clear_timer(id);
        let lane = turns.lanes.entry(id).or_insert_with(|| Lane::new(connection, self.shared.clone())).clone();
        turns.running.insert(id);
        let stop = stop.clone();
        running.spawn(async move { (id, lane.turn(&stop).await) });
    }

    fn is_mine(&self, connection: &Connection) -> bool {
        connection.deliverable().is_some() && self.shards.borrow().holds(connection.shard)
    }
}

/// Handles the end of a turn. Connections with new work announced meanwhile get another one at once.
fn turn_ended(turns: &mut Turns, storage: &Storage, (id, wait): Ended) -> Vec<ConnectionId> {
    turns.running.remove(&id);
    let told = turns.again.remove(&id);
    let now = Instant::now();
    if wait.is_ok() {
        storage.claims_worked(id);
    }
    match wait {
        Ok(Wait::Until(at)) => turns.set_timer(id, at.into()),
        Ok(Wait::For(span)) => turns.set_timer(id, now + span),
        // The end of a delivery brings the next turn.
        Ok(Wait::Moved | Wait::Idle) => {}
        Err(error) => {
            tracing::debug!(connection = %id, %error, "connection {id}: delivery pauses: {error}");
            storage.claims_failed(id, &error);
            turns.set_timer(id, now + INBOX_PAUSE);
            return Vec::new();
        }
    }
    if told { vec![id] } else { Vec::new() }
}

/// Ends the whole dispatch with a turn that panicked: its deliveries would otherwise never be finished.
fn resume(error: tokio::task::JoinError) -> ! {
    std::panic::resume_unwind(error.into_panic())
}
