//! The recurring chores of connections: polling, checking hooks, and continuing past orders.
//!
//! One task knows when each is due. Times are spread, so that thousands of stores are not called in the same second;
//! between its chores a connection costs nothing.

mod housekeeping;
mod pace;
mod past_orders;
mod polls;

pub use housekeeping::Housekeeping;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    connection::{Connection, LiveCatalog},
    inbox::ConnectionState,
    leader::HeldShards,
    object::ConnectionId,
    reconcile::{PollTools, requested::Progress},
    registrar::{Registrar, RegistrarError},
    retry::Backoff,
    spec::Origin,
};
use pace::{spread, until_next};
use polls::StorePoll;

/// Most polls and hook checks at a time.
const SIDE_BY_SIDE: usize = 32;
/// The wait before a store's hooks are checked again after a failure.
const HOOKS_RETRY: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(120) };
/// How long running chores may take to end when the relay stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// A kind of recurring work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Chore {
    Hooks,
    Poll,
    PastOrders,
}

/// A connection, and what its chores remember from one time to the next.
struct Keeper {
    connection: Arc<Connection>,
    poll: Option<StorePoll>,
    hook_failures: u32,
    past_order_failures: u32,
}

impl Keeper {
    fn new(connection: Arc<Connection>) -> Self {
        Self { connection, poll: None, hook_failures: 0, past_order_failures: 0 }
    }

    /// Only the app offers past orders.
    fn may_want_past_orders(&self) -> bool {
        self.connection.origin == Origin::App && self.connection.destination_host.is_some()
    }
}

/// A chore that has ended: the state that it returns, and the time until the next.
struct Ended {
    id: ConnectionId,
    chore: Chore,
    poll: Option<StorePoll>,
    has_failed: bool,
    next: Option<Duration>,
}

/// Polls the stores and checks the hooks of every connection in the shards that this process holds.
pub struct Upkeep {
    catalog: Arc<LiveCatalog>,
    registrar: Arc<Registrar>,
    settings: Arc<Settings>,
    shards: watch::Receiver<HeldShards>,
    tools: PollTools,
    side_by_side: Arc<Semaphore>,
    past_orders: Arc<Progress>,
}

/// Which chores are due when, and for whom.
struct Plan {
    began: Instant,
    keepers: HashMap<ConnectionId, Keeper>,
    due: BTreeSet<(Instant, ConnectionId, Chore)>,
    due_at: HashMap<(ConnectionId, Chore), Instant>,
    running: HashSet<(ConnectionId, Chore)>,
    /// Chores that were due again while they were running: what they had begun with has changed.
    again: HashSet<(ConnectionId, Chore)>,
}

impl Plan {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            keepers: HashMap::new(),
            due: BTreeSet::new(),
            due_at: HashMap::new(),
            running: HashSet::new(),
            again: HashSet::new(),
        }
    }

    fn set(&mut self, id: ConnectionId, chore: Chore, at: Instant) {
        self.clear(id, chore);
        self.due.insert((at, id, chore));
        self.due_at.insert((id, chore), at);
    }

    fn clear(&mut self, id: ConnectionId, chore: Chore) {
        if let Some(at) = self.due_at.remove(&(id, chore)) {
            self.due.remove(&(at, id, chore));
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        self.keepers.remove(&id);
        for chore in [Chore::Hooks, Chore::Poll, Chore::PastOrders] {
            self.clear(id, chore);
            self.again.remove(&(id, chore));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    fn pop(&mut self, now: Instant) -> Option<(ConnectionId, Chore)> {
        let (at, id, chore) = *self.due.first().filter(|(at, ..)| *at <= now)?;
        self.due.remove(&(at, id, chore));
        self.due_at.remove(&(id, chore));
        Some((id, chore))
    }
}

impl Upkeep {
    /// Starts nothing yet. `shards` says which connections belong to this process; `past_orders` receives the
    /// progress of walks.
    pub fn new(
        tools: PollTools,
        catalog: Arc<LiveCatalog>,
        registrar: Arc<Registrar>,
        settings: Arc<Settings>,
        shards: watch::Receiver<HeldShards>,
        past_orders: Arc<Progress>,
    ) -> Self {
        let side_by_side = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        Self { catalog, registrar, settings, shards, tools, side_by_side, past_orders }
    }

    /// Runs until `stop` is cancelled. A store that is down delays only its own chores.
    pub async fn run(mut self, stop: CancellationToken) {
        let (mut changes, mut touched) = (self.catalog.changes(), self.catalog.touched());
        let mut plan = Plan::new();
        let mut running: JoinSet<Ended> = JoinSet::new();
        if self.settings.public_url.is_none() {
            tracing::warn!("{}", RegistrarError::NoPublicUrl);
        }
        self.adopt(&mut plan);
        loop {
            let next = plan.next().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break } else { self.adopt(&mut plan) },
                changed = self.shards.changed() => if changed.is_err() { break } else { self.adopt(&mut plan) },
                changed = touched.changed() => if changed.is_err() { break } else { self.look_again(&mut plan) },
                Some(ended) = running.join_next(), if !running.is_empty() => match ended {
                    Ok(ended) => finished(&mut plan, ended),
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                },
                () = tokio::time::sleep_until(next) => {
                    while let Some((id, chore)) = plan.pop(Instant::now()) {
                        self.begin(&mut plan, &mut running, (id, chore), &stop);
                    }
                }
            }
        }
        // A hook that was just created is stored before the end; a poll that waits for the quota is dropped.
        let rest = async { while running.join_next().await.is_some() {} };
        drop(tokio::time::timeout(SHUTDOWN_GRACE, rest).await);
    }

    /// Adds new and changed connections, and removes those that no longer belong to this process.
    fn adopt(&mut self, plan: &mut Plan) {
        let held = self.shards.borrow_and_update().clone();
        let is_mine = |connection: &Connection| held.holds(connection.shard) && is_kept_up(connection);
        let mut known = 0;
        let fresh = self.catalog.select(|connection| {
            if !is_mine(connection) {
                return false;
            }
            let keeper = plan.keepers.get(&connection.id);
            known += usize::from(keeper.is_some());
            keeper.is_none_or(|keeper| !Arc::ptr_eq(&keeper.connection, connection))
        });
        // Among many thousands, hardly ever is one gone.
        if known < plan.keepers.len() {
            let is_gone = |id: &&ConnectionId| self.catalog.get(**id).is_none_or(|connection| !is_mine(&connection));
            let gone: Vec<ConnectionId> = plan.keepers.keys().filter(is_gone).copied().collect();
            for id in gone {
                plan.remove(id);
                self.registrar.forget(id);
            }
        }
        let (now, spread) = (Instant::now(), spread(fresh.len()));
        for (place, connection) in (0..).zip(fresh) {
            let (id, at) = (connection.id, now + spread * place);
            let wants_hooks = connection.link.as_ref().is_some_and(|link| link.spec.has_webhooks);
            let interval = self.interval(&connection);
            let keeper = Keeper::new(connection);
            let may_want_past_orders = keeper.may_want_past_orders();
            plan.keepers.insert(id, keeper);
            if wants_hooks && self.settings.public_url.is_some() {
                plan.set(id, Chore::Hooks, at);
            }
            if interval.is_some() {
                plan.set(id, Chore::Poll, at);
            }
            if may_want_past_orders {
                plan.set(id, Chore::PastOrders, at);
            }
        }
    }

    /// Re-checks connections that have not changed themselves: past orders may have been asked for.
    fn look_again(&self, plan: &mut Plan) {
        for id in self.catalog.take_touched() {
            if plan.keepers.get(&id).is_some_and(|keeper| keeper.may_want_past_orders()) {
                plan.set(id, Chore::PastOrders, Instant::now());
            }
        }
    }

    fn interval(&self, connection: &Connection) -> Option<Duration> {
        let spec = &connection.link.as_ref()?.spec;
        // An instance without events only serves its client's calls.
        if spec.instance.as_ref().is_some_and(|instance| !instance.has_events) {
            return None;
        }
        spec.poll_interval.or(self.settings.reconcile_interval)
    }

    fn begin(
        &self,
        plan: &mut Plan,
        running: &mut JoinSet<Ended>,
        (id, chore): (ConnectionId, Chore),
        stop: &CancellationToken,
    ) {
        if !plan.running.insert((id, chore)) {
            plan.again.insert((id, chore));
            return;
        }
        let Some(keeper) = plan.keepers.get_mut(&id) else {
            plan.running.remove(&(id, chore));
            return;
        };
        let (connection, turns) = (keeper.connection.clone(), self.side_by_side.clone());
        match chore {
            Chore::Poll => {
                let Some(interval) = self.interval(&connection) else {
                    plan.running.remove(&(id, chore));
                    return;
                };
                let (poll, tools) = (keeper.poll.take(), self.tools.clone());
                running.spawn(async move {
                    let mut poll = match poll {
                        Some(poll) => poll,
                        None => StorePoll::new(connection, &tools, turns).await,
                    };
                    let next = poll.once(&tools, interval).await;
                    Ended { id, chore, poll: Some(poll), has_failed: false, next: Some(next) }
                });
            }
            Chore::Hooks => {
                let (registrar, interval) = (self.registrar.clone(), self.settings.hook_check_interval);
                let failures = keeper.hook_failures;
                running.spawn(async move {
                    let _turn = turns.acquire_owned().await.expect("the semaphore is never closed");
                    let has_failed = !look_after(&registrar, &connection).await;
                    let next = if has_failed { Some(HOOKS_RETRY.wait(failures + 1, rand::random())) } else { interval };
                    Ended { id, chore, poll: None, has_failed, next }
                });
            }
            // May take as long as there are orders, so it does not take one of the turns.
            Chore::PastOrders => {
                let (tools, progress, failures) =
                    (self.tools.clone(), self.past_orders.clone(), keeper.past_order_failures);
                let until = past_orders::Until {
                    catalog: self.catalog.clone(),
                    shards: self.shards.clone(),
                    stop: stop.clone(),
                };
                running.spawn(async move {
                    let (has_failed, next) =
                        past_orders::forward(&connection, &tools, &progress, until, failures).await;
                    Ended { id, chore, poll: None, has_failed, next }
                });
            }
        }
    }
}

/// Whether a connection has chores: those that have ended have none.
fn is_kept_up(connection: &Connection) -> bool {
    connection.state != ConnectionState::Disconnected && connection.link.is_some()
}

fn finished(plan: &mut Plan, Ended { id, chore, poll, has_failed, next }: Ended) {
    plan.running.remove(&(id, chore));
    let is_due_again = plan.again.remove(&(id, chore));
    let Some(keeper) = plan.keepers.get_mut(&id) else { return };
    match (chore, poll) {
        // The poll's state is only valid for the connection it began with.
        (Chore::Poll, Some(poll)) if Arc::ptr_eq(poll.connection(), &keeper.connection) => {
            keeper.poll = Some(poll);
        }
        (Chore::Poll, _) => {}
        (Chore::Hooks, _) => keeper.hook_failures = if has_failed { keeper.hook_failures + 1 } else { 0 },
        (Chore::PastOrders, _) => {
            keeper.past_order_failures = if has_failed { keeper.past_order_failures + 1 } else { 0 };
        }
    }
    let next = match chore {
        Chore::Poll => next.map(|interval| until_next(id, plan.keepers.len(), interval, plan.began.elapsed())),
        _ => next,
    };
    if let Some(next) = if is_due_again { Some(again_after(chore)) } else { next }
        && !plan.due_at.contains_key(&(id, chore))
    {
        plan.set(id, chore, Instant::now() + next);
    }
}

/// How soon a chore runs again for what changed while it was running. A connection that is changed several times, and
/// perhaps ended, is not called for each change.
fn again_after(chore: Chore) -> Duration {
    if chore == Chore::PastOrders { Duration::ZERO } else { Duration::from_secs(1) }
}

/// Checks and repairs one connection's hooks. False if that failed.
async fn look_after(registrar: &Registrar, connection: &Connection) -> bool {
    let id = connection.id;
    let known = registrar.health(id).trouble().map(|trouble| trouble.failure);
    match registrar.ensure(connection).await {
        Ok(_) => {}
        Err(RegistrarError::NoPublicUrl | RegistrarError::Disconnected) => return true,
        Err(error) => {
            // Logged when it begins and when the failure changes.
            if known.is_some() && registrar.health(id).trouble().map(|trouble| trouble.failure) == known {
                tracing::debug!(connection = %id, %error, "connection {id}: hooks still cannot be looked after: {error}");
            } else {
                let name = &connection.name;
                tracing::warn!(
                    connection = %id, %error,
                    "connection {id} ({name}): hooks could not be looked after: {error}; it is tried again soon"
                );
            }
            return false;
        }
    }
    match registrar.blocked(connection).await {
        Ok(Some(seconds)) => {
            tracing::warn!(connection = %id, seconds, "connection {id}: BigCommerce has this relay's domain on its blocklist");
        }
        Ok(None) => {}
        // Not every account may read the blocklist.
        Err(error) => tracing::debug!(connection = %id, %error, "the blocklist cannot be read: {error}"),
    }
    true
}
