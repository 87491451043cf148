//! What is done for connections again and again: polling, looking after hooks, and clearing out what is old.
//!
//! One task knows when each is due. Times are spread out, so that thousands of stores are not all asked in one second; a
//! connection in between costs nothing.

mod housekeeping;

pub use housekeeping::Housekeeping;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Timestamp,
    config::Settings,
    connection::{Connection, LiveCatalog},
    inbox::{ConnectionState, Inbox},
    leader::HeldShards,
    object::ConnectionId,
    reconcile::{LatestOrders, OrderFeed, Poll, PollError, Polled},
    registrar::{Registrar, RegistrarError},
    retry::Backoff,
    source::plan::PageSize,
};

/// Polls, and looks at hooks, under way at once.
const SIDE_BY_SIDE: usize = 32;
/// Between the first times of two connections.
const SPREAD: Duration = Duration::from_millis(20);
/// Between tries while a store's hooks cannot be looked after.
const HOOKS_RETRY: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(120) };
/// How long what is under way may go on when the relay stops.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// A change this fresh is left to its webhook, if the interval is long enough for that.
const WEBHOOK_FIRST: Duration = Duration::from_secs(60);
/// A second has to be over before it counts as seen.
const SETTLING: Duration = Duration::from_secs(2);

/// What is due for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Chore {
    Hooks,
    Poll,
}

/// A connection's chores, and what they keep in mind between two times.
struct Keeper {
    connection: Arc<Connection>,
    poll: Option<Poll<LatestOrders>>,
    hook_failures: u32,
}

/// How a chore ended: what it kept in mind goes back, with the time of the next.
struct Ended {
    id: ConnectionId,
    chore: Chore,
    poll: Option<Poll<LatestOrders>>,
    hooks_failed: bool,
    next: Option<Duration>,
}

/// Polls the stores and looks after the hooks of every connection of the shards that this process holds.
pub struct Upkeep {
    inbox: Arc<dyn Inbox>,
    catalog: Arc<LiveCatalog>,
    registrar: Arc<Registrar>,
    settings: Arc<Settings>,
    shards: watch::Receiver<HeldShards>,
    side_by_side: Arc<Semaphore>,
}

/// Who has what due when.
#[derive(Default)]
struct Plan {
    keepers: HashMap<ConnectionId, Keeper>,
    due: BTreeSet<(Instant, ConnectionId, Chore)>,
    due_at: HashMap<(ConnectionId, Chore), Instant>,
    running: HashSet<(ConnectionId, Chore)>,
}

impl Plan {
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
        self.clear(id, Chore::Hooks);
        self.clear(id, Chore::Poll);
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
    /// Nothing runs yet. `shards` says which connections are this process's.
    pub fn new(
        inbox: Arc<dyn Inbox>,
        catalog: Arc<LiveCatalog>,
        registrar: Arc<Registrar>,
        settings: Arc<Settings>,
        shards: watch::Receiver<HeldShards>,
    ) -> Self {
        let side_by_side = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        Self { inbox, catalog, registrar, settings, shards, side_by_side }
    }

    /// Goes on until told to stop. A store that is down delays its own chores and nothing else.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.catalog.changes();
        let mut plan = Plan::default();
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
                Some(ended) = running.join_next(), if !running.is_empty() => match ended {
                    Ok(ended) => finished(&mut plan, ended),
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                },
                () = tokio::time::sleep_until(next) => {
                    while let Some((id, chore)) = plan.pop(Instant::now()) {
                        self.begin(&mut plan, &mut running, id, chore);
                    }
                }
            }
        }
        // A hook just made is kept before the end; a turn at the quota is not waited for.
        let rest = async { while running.join_next().await.is_some() {} };
        drop(tokio::time::timeout(LAST_WORDS, rest).await);
    }

    /// Takes up what is new or has changed, and lets go of what is not this process's any more.
    fn adopt(&mut self, plan: &mut Plan) {
        let held = self.shards.borrow_and_update().clone();
        let all = self.catalog.all();
        let mine: HashMap<ConnectionId, Arc<Connection>> = all
            .into_iter()
            .filter(|connection| held.holds(connection.shard) && is_kept_up(connection))
            .map(|connection| (connection.id, connection))
            .collect();
        let gone: Vec<ConnectionId> = plan.keepers.keys().filter(|id| !mine.contains_key(id)).copied().collect();
        for id in gone {
            plan.remove(id);
            self.registrar.forget(id);
        }
        let is_current = |plan: &Plan, connection: &Arc<Connection>| {
            plan.keepers.get(&connection.id).is_some_and(|keeper| Arc::ptr_eq(&keeper.connection, connection))
        };
        let mut fresh: Vec<Arc<Connection>> =
            mine.into_values().filter(|connection| !is_current(plan, connection)).collect();
        fresh.sort_unstable_by_key(|connection| connection.id);
        let now = Instant::now();
        for (place, connection) in (0..).zip(fresh) {
            let (id, at) = (connection.id, now + SPREAD * place);
            let wants_hooks = connection.link.as_ref().is_some_and(|link| link.spec.has_webhooks);
            let interval = self.interval(&connection);
            plan.keepers.insert(id, Keeper { connection, poll: None, hook_failures: 0 });
            if wants_hooks && self.settings.public_url.is_some() {
                plan.set(id, Chore::Hooks, at);
            }
            if interval.is_some() {
                plan.set(id, Chore::Poll, at);
            }
        }
    }

    fn interval(&self, connection: &Connection) -> Option<Duration> {
        let own = connection.link.as_ref().and_then(|link| link.spec.poll_interval);
        own.or(self.settings.reconcile_interval)
    }

    fn begin(&self, plan: &mut Plan, running: &mut JoinSet<Ended>, id: ConnectionId, chore: Chore) {
        // One that is still under way sets its own next time when it ends.
        if !plan.running.insert((id, chore)) {
            return;
        }
        let Some(keeper) = plan.keepers.get_mut(&id) else {
            plan.running.remove(&(id, chore));
            return;
        };
        let (connection, turn) = (keeper.connection.clone(), self.side_by_side.clone());
        match chore {
            Chore::Poll => {
                let Some(interval) = self.interval(&connection) else { return };
                let (poll, inbox, retention) = (keeper.poll.take(), self.inbox.clone(), self.settings.event_retention);
                running.spawn(async move {
                    let _turn = turn.acquire_owned().await.expect("the semaphore is never closed");
                    let mut poll = match poll {
                        Some(poll) => poll,
                        None => poll_of(connection, inbox, retention).await,
                    };
                    poll_once(&mut poll, interval).await;
                    Ended { id, chore, poll: Some(poll), hooks_failed: false, next: Some(interval) }
                });
            }
            Chore::Hooks => {
                let (registrar, interval) = (self.registrar.clone(), self.settings.hook_check_interval);
                let failures = keeper.hook_failures;
                running.spawn(async move {
                    let _turn = turn.acquire_owned().await.expect("the semaphore is never closed");
                    let hooks_failed = !look_after(&registrar, &connection).await;
                    let next =
                        if hooks_failed { Some(HOOKS_RETRY.wait(failures + 1, rand::random())) } else { interval };
                    Ended { id, chore, poll: None, hooks_failed, next }
                });
            }
        }
    }
}

/// Whether anything is done for a connection: ended ones are left alone.
fn is_kept_up(connection: &Connection) -> bool {
    connection.state != ConnectionState::Disconnected && connection.link.is_some()
}

fn finished(plan: &mut Plan, Ended { id, chore, poll, hooks_failed, next }: Ended) {
    plan.running.remove(&(id, chore));
    let Some(keeper) = plan.keepers.get_mut(&id) else { return };
    match (chore, poll) {
        // What was kept in mind belongs to the connection as it was.
        (Chore::Poll, Some(poll)) if Arc::ptr_eq(&poll.walk().0.connection, &keeper.connection) => {
            keeper.poll = Some(poll);
        }
        (Chore::Poll, _) => {}
        (Chore::Hooks, _) => keeper.hook_failures = if hooks_failed { keeper.hook_failures + 1 } else { 0 },
    }
    if let Some(next) = next
        && !plan.due_at.contains_key(&(id, chore))
    {
        plan.set(id, chore, Instant::now() + next);
    }
}

async fn poll_of(connection: Arc<Connection>, inbox: Arc<dyn Inbox>, retention: Duration) -> Poll<LatestOrders> {
    let widest = connection.link.as_ref().map_or(1, |link| link.source.widest_page());
    let walk = LatestOrders::new(connection, inbox, retention);
    let kept = walk.0.state().await.ok().and_then(|feed| feed.page_size);
    Poll::new(walk, PageSize::kept(widest, kept))
}

/// Polls once, and notes how that went.
async fn poll_once(poll: &mut Poll<LatestOrders>, interval: Duration) {
    let grace = (interval / 15).clamp(SETTLING, WEBHOOK_FIRST);
    let polled = poll.once(Timestamp::now().before(grace)).await;
    let id = poll.walk().0.connection.id;
    match &polled {
        Ok(Polled { missed: 0, calls, .. }) => tracing::debug!(connection = %id, calls, "polled: nothing was missed"),
        Ok(Polled { missed, calls, .. }) => {
            tracing::info!(connection = %id, missed, calls, "polled: found {missed} that no webhook brought");
        }
        Err(error) => tracing::warn!(connection = %id, %error, "polling stopped early, and goes on next time: {error}"),
    }
    if let Err(error) = note_poll(&poll.walk().0, poll.page_size(), polled.as_ref().err()).await {
        tracing::debug!(%error, "how polling went could not be noted: {error}");
    }
}

async fn note_poll(
    feed: &OrderFeed,
    page_size: Option<u32>,
    error: Option<&PollError>,
) -> Result<(), crate::inbox::InboxError> {
    // The inbox has told of itself.
    let failure = match error {
        Some(error) => match error.failure() {
            Some(failure) => Some(failure),
            None => return Ok(()),
        },
        None => None,
    };
    let now = Timestamp::now();
    feed.keep(|feed| {
        feed.page_size = page_size;
        feed.trouble = failure.map(|failure| (feed.trouble.map_or(now, |(since, _)| since), failure));
        if failure.is_none() && feed.trouble.is_none() {
            // Dated to the minute: a look that found nothing new is not worth a write of its own.
            let minute = Timestamp::from_millis(now.millis() / 60_000 * 60_000);
            feed.polled_at = Some(minute);
        }
    })
    .await
}

/// Looks after one connection's hooks. False if that failed.
async fn look_after(registrar: &Registrar, connection: &Connection) -> bool {
    let id = connection.id;
    match registrar.ensure(connection).await {
        Ok(_) => {}
        Err(RegistrarError::NoPublicUrl | RegistrarError::Disconnected) => return true,
        Err(error) => {
            tracing::warn!(connection = %id, %error, "connection {id}: hooks could not be looked after: {error}");
            return false;
        }
    }
    match registrar.blocked(connection).await {
        Ok(Some(seconds)) => {
            tracing::warn!(connection = %id, seconds, "the store has this relay's domain on its blocklist");
        }
        Ok(None) => {}
        // Not every account may ask this.
        Err(error) => tracing::debug!(connection = %id, %error, "the blocklist cannot be read: {error}"),
    }
    true
}
