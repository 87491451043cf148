//! Dispatch: claim → fetch → forward → settle, for one connection.
//!
//! Here is the loop that decides when and what to claim; `plan` chooses the calls, `delivery` takes a claim to its end, `learned` is what both
//! keep in mind.

mod delivery;
mod learned;
mod plan;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, Semaphore},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Timestamp,
    connection::{Connection, Side},
    event::OrderId,
    http::Seen,
    inbox::{Claim, Inbox, InboxError, Outcome, Settlement},
    metrics::Metrics,
    retry::Permit,
};
use learned::Learned;
use plan::{Call, plan};

/// How many waiting orders are looked at to plan the next calls.
const LOOKED_AT: u32 = 2000;
/// Work is announced; this is only the net below (another process may have put an order in).
const SAFETY_POLL: Duration = Duration::from_secs(2);
/// The pause after the inbox could not be used.
const INBOX_PAUSE: Duration = Duration::from_secs(1);
/// The pause after nothing of what is due could be claimed: others are at it.
const OTHERS_PAUSE: Duration = Duration::from_millis(50);
/// A lease outlasts the timeouts of what is done under it by this much.
const LEASE_SLACK: Duration = Duration::from_secs(2);
/// How long the orders of one list may wait for their turn to be forwarded.
const LIST_DRAIN: Duration = Duration::from_secs(10);

/// What the deliveries of one connection share.
pub struct Dispatch {
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
    metrics: Arc<Metrics>,
    slots: Arc<Semaphore>,
    /// Orders under way here. A clock that jumps may end a lease early; the order is not claimed a second time for that.
    under_way: Mutex<HashSet<OrderId>>,
    learned: Mutex<Learned>,
    /// A delivery ended, or a breaker changed.
    moved: Notify,
}

/// Why the loop waits, and until when at the latest.
enum Wait {
    For(Duration),
    Until(Instant),
    Moved,
}

/// Ends the whole dispatch with a delivery that panicked: whatever it had under way would never be touched again.
fn end_with(ended: Result<(), JoinError>) {
    if let Err(panicked) = ended
        && panicked.is_panic()
    {
        std::panic::resume_unwind(panicked.into_panic());
    }
}

impl Dispatch {
    /// For one connection; nothing runs yet.
    pub fn new(connection: Arc<Connection>, inbox: Arc<dyn Inbox>, metrics: Arc<Metrics>) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(connection.config.concurrency));
        Arc::new(Self {
            connection,
            inbox,
            metrics,
            slots,
            under_way: Mutex::default(),
            learned: Mutex::default(),
            moved: Notify::new(),
        })
    }

    /// Delivers until told to stop; then finishes what is under way and returns.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        self.connection.forget_sides();
        // What waits for an outage waits for the breaker that saw it: this one has seen nothing yet.
        if let Err(error) = self.inbox.recover(self.connection.id).await {
            tracing::error!(%error, "waiting orders keep their own times: {error}");
        }
        let mut arrivals = self.inbox.arrivals();
        let mut deliveries = JoinSet::new();
        let mut told = [None; 2];
        while !stop.is_cancelled() {
            self.tell_outages(&mut told).await;
            arrivals.borrow_and_update();
            let wait = match self.step(&mut deliveries, &stop).await {
                Ok(None) => continue,
                Ok(Some(wait)) => wait,
                Err(error) => {
                    tracing::error!(%error, "dispatch pauses: {error}");
                    Wait::For(INBOX_PAUSE)
                }
            };
            let span = match wait {
                Wait::For(span) => span,
                Wait::Until(at) => at.saturating_duration_since(Instant::now()),
                Wait::Moved => SAFETY_POLL,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                changed = arrivals.changed() => if changed.is_err() { break },
                () = self.moved.notified() => {}
                () = tokio::time::sleep(span.min(SAFETY_POLL)) => {}
            }
            while let Some(ended) = deliveries.try_join_next() {
                end_with(ended);
            }
        }
        while let Some(ended) = deliveries.join_next().await {
            end_with(ended);
        }
        self.connection.forget_sides();
    }

    /// Notes in the inbox which side is down, so that whoever checks elsewhere (a command, another relay) knows it too. `told`
    /// is what was noted last.
    async fn tell_outages(&self, told: &mut [Option<Option<Seen>>; 2]) {
        for (side, told) in Side::ALL.into_iter().zip(told) {
            if let Err(error) = self.connection.tell_outage(side, told, self.inbox.as_ref()).await {
                tracing::debug!(%error, "an outage could not be noted: {error}");
            }
        }
    }

    /// Starts the deliveries that may start now. `None` means there may be more at once.
    async fn step(
        self: &Arc<Self>,
        deliveries: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Option<Wait>, InboxError> {
        // The slot is taken before anything is claimed: a claim that waits for its turn helps nobody.
        let slot = tokio::select! {
            () = stop.cancelled() => return Ok(None),
            slot = self.slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let now = Instant::now();
        let gates = [self.connection.store_breaker().permit(now), self.connection.destination_breaker().permit(now)];
        if gates.contains(&Permit::AfterProbe) {
            return Ok(Some(Wait::Moved));
        }
        if let Some(until) =
            gates.iter().filter_map(|gate| if let Permit::Until(at) = gate { Some(*at) } else { None }).max()
        {
            return Ok(Some(Wait::Until(until)));
        }
        let probing = gates.contains(&Permit::Probe);
        if probing && !self.under_way().is_empty() {
            // What is still under way will tell as much as a probe would.
            return Ok(Some(Wait::Moved));
        }

        let (calls, room) = if probing { (1, 1) } else { (1 + self.slots.available_permits(), self.room()) };
        if room == 0 {
            return Ok(Some(Wait::Moved));
        }
        let tokens = match self.connection.api.try_take(u32::try_from(calls).unwrap_or(u32::MAX)) {
            Ok(tokens) => tokens,
            Err(until) => return Ok(Some(Wait::Until(until))),
        };
        let wall = Timestamp::now();
        let mut due = self.inbox.due(self.connection.id, wall, LOOKED_AT).await?;
        {
            let under_way = self.under_way();
            due.retain(|due| !under_way.contains(&due.order));
        }
        if due.is_empty() {
            let next = self.inbox.next_due(self.connection.id, wall).await?;
            if next.is_none() && self.under_way().is_empty() {
                // No order is left that could find out whether an outage is over: the next one is simply tried.
                self.connection.forget_outages();
            }
            return Ok(Some(Wait::For(next.map_or(SAFETY_POLL, |at| at.since(wall)))));
        }
        let planned = {
            let learned = self.learned();
            plan(&due, |order| learned.fetch_singly(order), learned.page(), tokens.len(), room)
        };
        let claims = self.claim(&planned, wall).await?;
        if claims.iter().all(Vec::is_empty) {
            return Ok(Some(Wait::For(OTHERS_PAUSE)));
        }
        // What was refused meanwhile may be among them, and these tokens are older than the pause that it brought.
        let pause = self.connection.api.quota().pause(Instant::now());
        if let Some(until) = pause {
            self.release(claims.into_iter().flatten().collect()).await;
            return Ok(Some(Wait::Until(until)));
        }
        if probing {
            self.connection.store_breaker().begin_probe();
            self.connection.destination_breaker().begin_probe();
        }
        let mut slot = Some(slot);
        for (mut claims, token) in claims.into_iter().zip(tokens) {
            // A claim that is not there is somebody else's now.
            let Some(last) = claims.pop() else { continue };
            let Some(slot) = slot.take().or_else(|| self.slots.clone().try_acquire_owned().ok()) else {
                // A list's order took the slot meanwhile: the leases are given back.
                claims.push(last);
                self.release(claims).await;
                continue;
            };
            self.under_way().extend(claims.iter().chain([&last]).map(|claim| claim.order));
            let (this, stop) = (self.clone(), stop.clone());
            deliveries.spawn(async move {
                if claims.is_empty() {
                    this.deliver_single(slot, token, last, probing).await;
                } else {
                    claims.push(last);
                    this.deliver_list(slot, token, claims, &stop).await;
                }
                this.moved.notify_one();
            });
        }
        Ok(None)
    }

    /// Claims what the calls are made for, in two groups: the orders of a list wait for each other, and get more time.
    async fn claim(&self, planned: &[Call], now: Timestamp) -> Result<Vec<Vec<Claim>>, InboxError> {
        let config = &self.connection.config;
        let single = config.fetch_timeout + config.forward_timeout + LEASE_SLACK;
        let (mut singles, mut listed) = (Vec::new(), Vec::new());
        for call in planned {
            match call {
                Call::Single(order) => singles.push(*order),
                Call::List(orders) => listed.extend_from_slice(orders),
            }
        }
        let mut claimed = Vec::new();
        for (orders, lease) in [(singles, single), (listed, single + LIST_DRAIN)] {
            if !orders.is_empty() {
                match self.inbox.claim(self.connection.id, orders, lease, now).await {
                    Ok(claims) => claimed.extend(claims),
                    Err(error) => {
                        self.give_back(claimed).await;
                        return Err(error);
                    }
                }
            }
        }
        let mut claimed: HashMap<OrderId, Claim> = claimed.into_iter().map(|claim| (claim.order, claim)).collect();
        let of_call = |call: &Call| {
            let mut claims: Vec<Claim> = call.orders().iter().filter_map(|order| claimed.remove(order)).collect();
            claims.sort_unstable_by_key(|claim| (claim.waiting_since, claim.order));
            claims
        };
        Ok(planned.iter().map(of_call).collect())
    }

    /// Gives claims back as far as the inbox takes them now. The leases of the others run out.
    async fn give_back(&self, claims: Vec<Claim>) {
        let released = |claim| Settlement { claim, outcome: Outcome::Released, at: Timestamp::now() };
        join_all(claims.into_iter().map(|claim| self.inbox.settle(released(claim)))).await;
    }

    /// How many more orders may be under way: what the destination takes, at its present speed, within the time that the
    /// orders of one list may wait.
    fn room(&self) -> usize {
        let each = self.learned().forward_time().max(Duration::from_millis(1));
        let lanes = self.connection.config.concurrency as f64;
        let most = (LIST_DRAIN.as_secs_f64() / each.as_secs_f64() * lanes).clamp(lanes, f64::from(LOOKED_AT)) as usize;
        most.saturating_sub(self.under_way().len())
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<OrderId>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
