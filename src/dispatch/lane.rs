//! One connection's turn: plans, claims and begins the calls that may go out now.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{hints::Hints, notifying::Notifying, shared::Shared, unsettled::Unsettled};
use crate::{
    breaker::Permit,
    clock::Timestamp,
    connection::{Connection, Link},
    destination::Destination,
    http::Failure,
    inbox::{Claim, InboxError, Outage, Outcome, Settlement, Side},
    object::{ObjectId, ResourceName},
    source::{CallPermit, plan::Call},
};

/// Most waiting objects read to plan the next calls.
const LOOKED_AT: u32 = 2000;
/// Objects read for each of these calls: enough to find neighbours for one list.
const LOOKED_AT_EACH: u32 = 500;
/// The pause after nothing that is due could be claimed: other processes have it.
pub(super) const OTHERS_PAUSE: Duration = Duration::from_millis(50);
/// A lease outlasts the timeouts of what is done under it by this much.
pub(super) const LEASE_SLACK: Duration = Duration::from_secs(2);
/// How long the objects of one list may wait for their turn to be forwarded.
const LIST_DRAIN: Duration = Duration::from_secs(10);

/// Why a turn has ended, and when the next one is.
pub(super) enum Wait {
    For(Duration),
    Until(Instant),
    /// Until a delivery ends.
    Moved,
    /// Until there is work again.
    Idle,
}

/// One connection's deliveries.
pub(super) struct Lane {
    pub(super) connection: Arc<Connection>,
    pub(super) shared: Arc<Shared>,
    pub(super) slots: Arc<Semaphore>,
    /// Objects under way in this lane. If a clock jump ends a lease early, the object is still not claimed twice.
    under_way: Mutex<HashSet<ObjectId>>,
    /// The notifications to a callback that are under way here.
    notifying: Mutex<Notifying>,
    hints: Mutex<Hints>,
    deliveries: Mutex<JoinSet<()>>,
    /// The settlements that could not be stored and are tried again.
    pub(super) unsettled: Unsettled,
    /// The outages last stored for each side; `None` before the first turn.
    noted: Mutex<Option<[Option<Failure>; 2]>>,
}

/// A slot of the lane together with a permit for one of the relay's calls.
pub(super) struct Slot {
    _lane: OwnedSemaphorePermit,
    _call: OwnedSemaphorePermit,
}

impl Lane {
    pub fn new(connection: Arc<Connection>, shared: Arc<Shared>) -> Arc<Self> {
        let widest = connection.link.as_ref().map_or(1, |link| link.source.widest_page());
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(shared.settings.delivery_concurrency)),
            connection,
            shared,
            under_way: Mutex::default(),
            notifying: Mutex::default(),
            hints: Mutex::new(Hints::new(widest)),
            deliveries: Mutex::default(),
            unsettled: Unsettled::default(),
            noted: Mutex::default(),
        })
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(super) fn link(&self) -> Option<(&Link, &Destination)> {
        self.connection.deliverable()
    }

    pub fn is_idle(&self) -> bool {
        self.under_way().is_empty() && self.notifying().is_idle() && self.deliveries.lock().is_empty()
    }

    pub(super) fn under_way(&self) -> MutexGuard<'_, HashSet<ObjectId>> {
        self.under_way.lock()
    }

    pub(super) fn notifying(&self) -> MutexGuard<'_, Notifying> {
        self.notifying.lock()
    }

    pub(super) fn spawn(&self, delivery: impl Future<Output = ()> + Send + 'static) {
        self.deliveries.lock().spawn(delivery);
    }

    pub(super) fn hints(&self) -> MutexGuard<'_, Hints> {
        self.hints.lock()
    }

    /// Waits until everything under way has ended.
    pub async fn finish(&self) {
        let mut deliveries = std::mem::take(&mut *self.deliveries.lock());
        while let Some(ended) = deliveries.join_next().await {
            end_with(ended);
        }
        if let Some(link) = &self.connection.link {
            link.forget_sides();
        }
    }

    /// Begins what may begin now, until there is a reason to wait.
    pub async fn turn(self: &Arc<Self>, stop: &CancellationToken) -> Result<Wait, InboxError> {
        if self.noted.lock().is_none() {
            self.begin_lane().await?;
        }
        loop {
            while let Some(ended) = self.deliveries.lock().try_join_next() {
                end_with(ended);
            }
            self.note_outages().await;
            if stop.is_cancelled() {
                return Ok(Wait::Idle);
            }
            if let Some(wait) = self.step(stop).await? {
                return Ok(wait);
            }
        }
    }

    /// Releases objects that wait for an outage seen by an earlier lane: this lane's breakers only know since when.
    async fn begin_lane(&self) -> Result<(), InboxError> {
        let outages = self.shared.inbox.outages(self.connection.id).await?;
        if !outages.is_empty() {
            self.shared.inbox.recover(self.connection.id).await?;
        }
        if let Some(link) = &self.connection.link {
            link.take_over(&outages);
        }
        let noted = |side| outages.iter().find(|outage| outage.side == side).map(|outage| outage.failure);
        *self.noted.lock() = Some(Side::ALL.map(noted));
        Ok(())
    }

    /// Stores which side is down, so that other processes (a command, another replica) know it too.
    async fn note_outages(&self) {
        let Some((link, _)) = self.link() else { return };
        for (at, side) in Side::ALL.into_iter().enumerate() {
            let outage = link.breaker(side).outage();
            let failure = outage.map(|(_, failure)| failure);
            if self.noted.lock().is_none_or(|noted| noted[at] == failure) {
                continue;
            }
            let outage = outage.map(|(since, failure)| {
                let since = Timestamp::now().before(since.elapsed());
                Outage { side, since, failure }
            });
            match self.shared.inbox.save_outage(self.connection.id, side, outage).await {
                Ok(()) => {
                    if let Some(noted) = self.noted.lock().as_mut() {
                        noted[at] = failure;
                    }
                }
                Err(error) => tracing::debug!(%error, "an outage could not be noted: {error}"),
            }
        }
    }

    /// Begins the deliveries that may begin now. `None` means there may be more at once.
    async fn step(self: &Arc<Self>, stop: &CancellationToken) -> Result<Option<Wait>, InboxError> {
        let link = match self.link() {
            Some((link, Destination::OneTribe(_))) => link,
            Some((_, Destination::CloudElements(_))) => return self.step_notifications().await,
            None => return Ok(Some(Wait::Idle)),
        };
        let wall = Timestamp::now();
        // One call at a time until both sides are known to answer, unless there is room for many that may hang: a
        // hanging side then ties up one call.
        let one_at_a_time = self.is_doubtful() && !self.shared.capacity.has_room_for_doubtful();
        let free = if one_at_a_time { 1 } else { self.slots.available_permits() };
        if free == 0 || (one_at_a_time && !self.under_way().is_empty()) {
            return Ok(Some(Wait::Moved));
        }
        // Nothing is read while not even an untried object may probe whether a side is back.
        if let Gate::Closed(wait) = self.gate(link, true, &Side::ALL) {
            return Ok(Some(wait));
        }
        // Nor while the store's quota is used up. Permits that are not needed are returned.
        let mut permits = match link.source.try_take(u32::try_from(free).unwrap_or(u32::MAX)) {
            Ok(permits) => permits,
            Err(until) => return Ok(Some(Wait::Until(until))),
        };
        let looked_at = LOOKED_AT_EACH.saturating_mul(u32::try_from(permits.len()).unwrap_or(u32::MAX));
        let mut due = self.shared.inbox.due(self.connection.id, wall, looked_at.min(LOOKED_AT)).await?;
        let looked_at_all = due.len() < looked_at as usize;
        {
            let under_way = self.under_way();
            due.retain(|due| !under_way.contains(&due.id));
        }
        if due.is_empty() {
            drop(permits);
            return match looked_at_all {
                true => self.nothing_due(link, wall).await.map(Some),
                false => Ok(Some(Wait::Moved)),
            };
        }
        let is_probe = match self.gate(link, due.iter().any(|due| !due.has_failed), &Side::ALL) {
            Gate::Open => false,
            Gate::Probe => true,
            Gate::Closed(wait) => return Ok(Some(wait)),
        };
        let (calls, room) = if is_probe { (1, 1) } else { (permits.len().min(due.len()), self.room()) };
        if room == 0 {
            return Ok(Some(Wait::Moved));
        }
        // Slots are taken before anything is claimed: a claim that waits for a slot only keeps others from it.
        let slots = self.take_slots(calls).await;
        permits.truncate(slots.len());
        let planned = link.source.plan(&due, &self.hints().pages, permits.len(), room);
        let claims = self.claim(&planned, wall).await?;
        if claims.iter().all(Vec::is_empty) {
            return Ok(Some(Wait::For(OTHERS_PAUSE)));
        }
        // The plan may contain what has just been refused, and the permits were taken before the pause that this
        // brought.
        if let Some(until) = link.source.pause(Instant::now()) {
            self.release(claims.into_iter().flatten().collect()).await;
            return Ok(Some(Wait::Until(until)));
        }
        if is_probe {
            for side in Side::ALL {
                link.breaker(side).begin_probe(Instant::now());
            }
        }
        self.begin(slots, claims, permits, is_probe, stop);
        Ok(None)
    }

    pub(super) async fn nothing_due(&self, link: &Link, wall: Timestamp) -> Result<Wait, InboxError> {
        let next = self.shared.inbox.next_due(self.connection.id, wall).await?;
        if next.is_none() && self.under_way().is_empty() && self.notifying().is_idle() {
            // No object is left to probe with: the next one is simply tried.
            link.forget_outages();
            self.note_outages().await;
        }
        Ok(next.map_or(Wait::Idle, |at| Wait::For(at.since(wall))))
    }

    /// Whether calls may go out. Untried objects may probe sooner whether a side is back.
    pub(super) fn gate(&self, link: &Link, has_untried: bool, sides: &[Side]) -> Gate {
        let now = Instant::now();
        let permit = |side: &Side| {
            let breaker = link.breaker(*side);
            if has_untried { breaker.permit_untried(now) } else { breaker.permit(now) }
        };
        let permits: Vec<Permit> = sides.iter().map(permit).collect();
        if permits.contains(&Permit::AfterProbe) {
            return Gate::Closed(Wait::Moved);
        }
        let until = permits.iter().filter_map(|permit| if let Permit::Until(at) = permit { Some(*at) } else { None });
        if let Some(until) = until.max() {
            return Gate::Closed(Wait::Until(until));
        }
        match permits.contains(&Permit::Probe) {
            false => Gate::Open,
            // What is under way will tell as much as a probe would.
            true if !self.under_way().is_empty() || !self.notifying().is_idle() => Gate::Closed(Wait::Moved),
            true => Gate::Probe,
        }
    }

    fn begin(
        self: &Arc<Self>,
        slots: Vec<Slot>,
        claims: Vec<Vec<Claim>>,
        permits: Vec<CallPermit>,
        is_probe: bool,
        stop: &CancellationToken,
    ) {
        for ((mut claims, permit), slot) in claims.into_iter().zip(permits).zip(slots) {
            // An object without a claim has been claimed by another process.
            let Some(last) = claims.pop() else { continue };
            self.under_way().extend(claims.iter().chain([&last]).map(|claim| claim.key.id.clone()));
            let (this, stop) = (self.clone(), stop.clone());
            let delivery = async move {
                if claims.is_empty() {
                    this.deliver_single(slot, permit, last, is_probe).await;
                } else {
                    claims.push(last);
                    this.deliver_list(slot, permit, claims, &stop).await;
                }
                this.shared.moved.add([this.connection.id]);
            };
            self.spawn(delivery);
        }
    }

    /// Whether one of the sides is not known to answer.
    fn is_doubtful(&self) -> bool {
        let is_well = |link: &Link| Side::ALL.into_iter().all(|side| link.breaker(side).health().is_well());
        !self.connection.link.as_ref().is_some_and(is_well)
    }

    /// Waits for a slot of the lane and a permit for a call.
    pub(super) async fn slot(&self) -> Slot {
        let lane = self.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        Slot { _lane: lane, _call: self.shared.capacity.call(self.is_doubtful()).await }
    }

    /// Waits for one slot, and takes up to `most` if they are free.
    pub(super) async fn take_slots(&self, most: usize) -> Vec<Slot> {
        let mut slots = vec![self.slot().await];
        while slots.len() < most
            && let Ok(lane) = self.slots.clone().try_acquire_owned()
            && let Some(call) = self.shared.capacity.try_call(self.is_doubtful())
        {
            slots.push(Slot { _lane: lane, _call: call });
        }
        slots
    }

    /// Claims the objects of the planned calls, in two groups: the objects of a list wait for each other, and get
    /// longer leases.
    async fn claim(&self, planned: &[Call], now: Timestamp) -> Result<Vec<Vec<Claim>>, InboxError> {
        let settings = &self.shared.settings;
        let single = settings.fetch_timeout + settings.forward_timeout + LEASE_SLACK;
        let (mut singles, mut listed) = (Vec::new(), Vec::new());
        for call in planned {
            let group = if matches!(call, Call::Single(_)) { &mut singles } else { &mut listed };
            group.extend(call.ids().iter().map(|id| (ResourceName::orders(), id.clone())));
        }
        let mut claimed = Vec::new();
        for (objects, lease) in [(singles, single), (listed, single + LIST_DRAIN)] {
            if !objects.is_empty() {
                match self.shared.claim(self.connection.id, objects, lease, now).await {
                    Ok(claims) => claimed.extend(claims),
                    Err(error) => {
                        self.give_back(claimed).await;
                        return Err(error);
                    }
                }
            }
        }
        let mut claimed: HashMap<ObjectId, Claim> =
            claimed.into_iter().map(|claim| (claim.key.id.clone(), claim)).collect();
        let of_call = |call: &Call| {
            let mut claims: Vec<Claim> = call.ids().iter().filter_map(|id| claimed.remove(id)).collect();
            claims.sort_unstable_by(|a, b| (a.waiting_since, &a.key.id).cmp(&(b.waiting_since, &b.key.id)));
            claims
        };
        Ok(planned.iter().map(of_call).collect())
    }

    /// Releases claims as far as the inbox allows now. The leases of the others run out.
    pub(super) async fn give_back(&self, claims: Vec<Claim>) {
        let released = |claim| Settlement { claim, outcome: Outcome::Released, at: Timestamp::now() };
        join_all(claims.into_iter().map(|claim| self.shared.inbox.settle(released(claim)))).await;
    }

    /// How many more objects may be under way: as many as the destination takes, at its recent speed, within the time
    /// that the objects of one list may wait.
    fn room(&self) -> usize {
        let each = self.hints().forward_time().max(Duration::from_millis(1));
        let slots = self.shared.settings.delivery_concurrency as f64;
        let most = (LIST_DRAIN.as_secs_f64() / each.as_secs_f64() * slots).clamp(slots, f64::from(LOOKED_AT)) as usize;
        most.saturating_sub(self.under_way().len())
    }
}

/// Whether calls may go out now.
pub(super) enum Gate {
    Open,
    Probe,
    Closed(Wait),
}

/// Ends the whole dispatch with a delivery that panicked: its objects would otherwise stay under way for ever.
fn end_with(ended: Result<(), JoinError>) {
    if let Err(panicked) = ended
        && panicked.is_panic()
    {
        std::panic::resume_unwind(panicked.into_panic());
    }
}
