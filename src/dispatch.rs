//! Dispatch: claim → fetch → forward → settle, for all connections.
//!
//! Here is the scheduler, which knows who has something due and gives turns; `lane` is one connection's turn,
//! `delivery` takes a claim to its end, `blame` says what a failure comes to, `notify` takes claims to callbacks,
//! `capacity` shares out the calls under way, `hints` is what was learned of both sides.

mod blame;
mod capacity;
mod delivery;
mod hints;
mod lane;
mod notify;
mod notifying;
mod shared;

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
    inbox::{Inbox, InboxError, WorkSignal},
    leader::HeldShards,
    metrics::Metrics,
    object::ConnectionId,
    polled::PolledRows,
};
use capacity::Capacity;
use lane::{Lane, Wait};
use shared::Shared;

/// Work is announced; this is only the net below (another process may have put an object in).
const SAFETY_POLL: Duration = Duration::from_secs(2);
/// The pause after the inbox could not be used.
const INBOX_PAUSE: Duration = Duration::from_secs(1);

/// Delivers what the inbox holds, for every connection of the shards that this process holds.
pub struct Dispatch {
    shared: Arc<Shared>,
    catalog: Arc<LiveCatalog>,
    shards: watch::Receiver<HeldShards>,
}

/// Which connections have a turn, and when the others have theirs.
#[derive(Default)]
struct Turns {
    lanes: HashMap<ConnectionId, Arc<Lane>>,
    running: HashSet<ConnectionId>,
    /// Told of work while their turn was running.
    again: HashSet<ConnectionId>,
    timers: BTreeSet<(Instant, ConnectionId)>,
    timer_of: HashMap<ConnectionId, Instant>,
    /// Lanes that get no more turns and still have something under way.
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

/// How a turn ended.
type Ended = (ConnectionId, Result<Wait, InboxError>);

impl Dispatch {
    /// Nothing runs yet. `shards` says which connections are this process's to deliver; `rows` are those that polls
    /// have just read.
    pub fn new(
        inbox: Arc<dyn Inbox>,
        catalog: Arc<LiveCatalog>,
        metrics: Arc<Metrics>,
        settings: Arc<Settings>,
        shards: watch::Receiver<HeldShards>,
        rows: Arc<PolledRows>,
    ) -> Self {
        let capacity = Capacity::new(settings.max_concurrency);
        let (moved, for_pauses) = (WorkSignal::default(), catalog.clone());
        let shared = Arc::new(Shared { inbox, metrics, settings, catalog: for_pauses, rows, capacity, moved });
        Self { shared, catalog, shards }
    }

    /// Delivers until told to stop; then finishes what is under way and returns.
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
                    turn_ended(&mut turns, ended.unwrap_or_else(|error| resume(error)))
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

    /// Every connection with waiting objects is asked about once more; those that are not due yet get a timer.
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

    /// Lanes without anything under way or due are forgotten: a connection without work costs nothing.
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

    /// Shards have come or gone. What is under way for one that has gone is finished; nothing new is begun.
    async fn shards_changed(&mut self, turns: &mut Turns) -> Vec<ConnectionId> {
        let held = self.shards.borrow_and_update().clone();
        let lost: Vec<ConnectionId> =
            turns.lanes.iter().filter(|(_, lane)| !held.holds(lane.connection().shard)).map(|(id, _)| *id).collect();
        for id in lost {
            if let Some(lane) = turns.retire(id)
                && let Some(link) = &lane.connection().link
            {
                link.forget_sides();
            }
        }
        self.look(turns).await
    }

    /// Connections have been made, changed or ended: their lanes begin anew, and whatever waits may be deliverable now.
    fn catalog_changed(&self, turns: &mut Turns) -> Vec<ConnectionId> {
        let is_current = |id: &ConnectionId, lane: &Arc<Lane>| {
            self.catalog.get(*id).is_some_and(|connection| Arc::ptr_eq(&connection, lane.connection()))
        };
        let changed: Vec<ConnectionId> =
            turns.lanes.iter().filter(|(id, lane)| !is_current(id, lane)).map(|(id, _)| *id).collect();
        for id in &changed {
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

/// A turn has ended: when is the next? Those told of work meanwhile have theirs at once.
fn turn_ended(turns: &mut Turns, (id, wait): Ended) -> Vec<ConnectionId> {
    turns.running.remove(&id);
    let told = turns.again.remove(&id);
    let now = Instant::now();
    match wait {
        Ok(Wait::Until(at)) => turns.set_timer(id, at.into()),
        Ok(Wait::For(span)) => turns.set_timer(id, now + span),
        // A delivery's end gives the next turn.
        Ok(Wait::Moved | Wait::Idle) => {}
        Err(error) => {
            tracing::error!(connection = %id, %error, "connection {id}: delivery pauses: {error}");
            turns.set_timer(id, now + INBOX_PAUSE);
            return Vec::new();
        }
    }
    if told { vec![id] } else { Vec::new() }
}

/// Ends the whole dispatch with a turn that panicked: whatever it had under way would never be touched again.
fn resume(error: tokio::task::JoinError) -> ! {
    std::panic::resume_unwind(error.into_panic())
}
