//! Takes one claim to its end: fetch, forward, settle. `retry` says whose fault a failure is.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::lane::{Lane, Slot};
use crate::{
    breaker::Permit,
    clock::Timestamp,
    destination::{Destination, one_tribe::Undelivered},
    http::CallError,
    inbox::{Claim, Failed, Outcome, Settlement, Side, Wanted},
    object::{Digest, ObjectId, ObjectKey, Snapshot},
    retry::{self, FetchBlame, ForwardBlame},
    source::{
        CallPermit,
        bigcommerce::orders::{MAX_ORDER, SMALLEST_PAGE},
    },
};

/// The pause before another try to store how a claim ended.
pub(super) const SETTLE_PAUSE: Duration = Duration::from_millis(500);
/// How many objects of a list are marked as being forwarded in one go.
const FORWARDED_TOGETHER: usize = 64;

impl Lane {
    /// Fetches one object and takes it to its end, in one slot.
    pub(super) async fn deliver_single(&self, slot: Slot, permit: CallPermit, claim: Claim, is_probe: bool) {
        let Some((link, _)) = self.link() else { return };
        let id = claim.key.id.clone();
        let fetched_at = Timestamp::now();
        let outcome = match link.source.order(permit, &id).await {
            Ok(snapshot) => {
                self.store_answered().await;
                {
                    let mut hints = self.hints();
                    hints.fetched(snapshot.body.len());
                    hints.pages.single_answered();
                }
                match self.begin_forward(std::slice::from_ref(&claim)).await {
                    true => self.forward(&claim, snapshot, fetched_at, is_probe).await,
                    false => Outcome::Released,
                }
            }
            Err(error) => self.fetch_failed(&claim, error).await,
        };
        // No call is under way any more: the next object may go out while this one is being settled.
        drop(slot);
        self.settle(claim, outcome).await;
        if is_probe {
            for side in Side::ALL {
                link.breaker(side).probe_undecided();
            }
        }
        self.under_way().remove(&id);
    }

    /// Fetches many objects with one call and takes each to its end, each in a slot of its own. Once the relay is
    /// stopping, those that have not begun are released.
    pub(super) async fn deliver_list(
        &self,
        slot: Slot,
        permit: CallPermit,
        claims: Vec<Claim>,
        stop: &CancellationToken,
    ) {
        let Some((link, _)) = self.link() else { return };
        let ids: Vec<ObjectId> = claims.iter().map(|claim| claim.key.id.clone()).collect();
        let bytes = self.hints().list_bytes(ids.len());
        let _memory = self.shared.capacity.list(bytes).await;
        let fetched_at = Timestamp::now();
        let fetched = link.source.orders(permit, &ids).await;
        drop(slot);
        let rows = match fetched {
            Ok(rows) => rows,
            Err(error) => return self.list_failed(claims, error).await,
        };
        self.store_answered().await;
        self.learn_from_list(&rows, &ids);
        // A row that is too large for an order is fetched again by itself, and refused there.
        let (taken, large): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.body.len() <= MAX_ORDER);
        self.hints().pages.note_individually(large.into_iter().map(|row| row.id));
        let mut rows: HashMap<ObjectId, Snapshot> = taken.into_iter().map(|row| (row.id.clone(), row)).collect();
        let (found, lacking): (Vec<_>, Vec<_>) = claims
            .into_iter()
            .map(|claim| (rows.remove(&claim.key.id), claim))
            .partition(|(snapshot, _)| snapshot.is_some());
        self.release(lacking.into_iter().map(|(_, claim)| claim).collect()).await;
        let mut found = found.into_iter().filter_map(|(snapshot, claim)| Some((snapshot?, claim)));
        loop {
            let chunk: Vec<(Snapshot, Claim)> = found.by_ref().take(FORWARDED_TOGETHER).collect();
            if chunk.is_empty() {
                return;
            }
            self.forward_chunk(chunk, fetched_at, stop).await;
        }
    }

    async fn forward_chunk(&self, chunk: Vec<(Snapshot, Claim)>, fetched_at: Timestamp, stop: &CancellationToken) {
        let claims: Vec<Claim> = chunk.iter().map(|(_, claim)| claim.clone()).collect();
        if stop.is_cancelled() || !self.begin_forward(&claims).await {
            return self.release(claims).await;
        }
        stream::iter(chunk)
            .for_each_concurrent(None, |(snapshot, claim)| async move {
                let slot = self.slot().await;
                let id = claim.key.id.clone();
                let outcome = match stop.is_cancelled() {
                    false => self.forward(&claim, snapshot, fetched_at, false).await,
                    true => Outcome::Released,
                };
                drop(slot);
                self.settle(claim, outcome).await;
                self.under_way().remove(&id);
                // While others of the list take every slot that comes free, a turn would find none.
                if self.slots.available_permits() > 0 {
                    self.shared.moved.add([self.connection.id]);
                }
            })
            .await;
    }

    /// Marks claims as about to be forwarded: should this process die, nobody else forwards them before their leases
    /// end. False if the mark cannot be stored.
    async fn begin_forward(&self, claims: &[Claim]) -> bool {
        match self.shared.inbox.begin_forward(claims.to_vec()).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "what is about to be forwarded cannot be noted: {error}");
                false
            }
        }
    }

    /// A list that lacks objects was cut short by the store's own page limit, or the objects are archived or deleted.
    pub(super) fn learn_from_list(&self, rows: &[Snapshot], asked: &[ObjectId]) {
        let got: HashSet<&ObjectId> = rows.iter().map(|row| &row.id).collect();
        let last = got.iter().max().copied();
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let mut hints = self.hints();
        hints.fetched(rows.iter().map(|row| row.body.len()).sum::<usize>() / rows.len().max(1));
        hints.pages.list_answered();
        // By what this list could hold: the page may have been found to be smaller while it was under way.
        let cut_short = count >= SMALLEST_PAGE && i64::from(count) < span(asked);
        let (beyond, lacking): (Vec<&ObjectId>, Vec<&ObjectId>) = asked
            .iter()
            .filter(|id| !got.contains(id))
            .partition(|id| cut_short && last.is_some_and(|last| *id > last));
        if !beyond.is_empty() {
            hints.pages.cut_short(count);
        }
        hints.pages.note_individually(lacking.into_iter().cloned());
    }

    /// A list that is refused or unusable says nothing about its objects: narrower lists are tried, and in the end
    /// each object by itself. If only lists make the store fail, they are narrowed once a single call has shown that
    /// it is up.
    async fn list_failed(&self, claims: Vec<Claim>, error: CallError) {
        let ids: Vec<ObjectId> = claims.iter().map(|claim| claim.key.id.clone()).collect();
        self.blame_list(&ids, error);
        self.release(claims).await;
    }

    pub(super) fn blame_list(&self, ids: &[ObjectId], error: CallError) {
        let Some((link, _)) = self.link() else { return };
        match link.source.blame(error.failure) {
            FetchBlame::Quota => {}
            FetchBlame::Store | FetchBlame::Credentials => {
                self.outage(Side::Store, None, error);
            }
            FetchBlame::Object | FetchBlame::Missing => {
                let mut hints = self.hints();
                if !hints.pages.narrow() {
                    hints.pages.note_individually(ids.iter().cloned());
                }
            }
        }
    }

    /// Releases claims: their objects are due as before.
    pub(super) async fn release(&self, claims: Vec<Claim>) {
        stream::iter(claims)
            .for_each_concurrent(None, |claim| async move {
                let id = claim.key.id.clone();
                self.settle(claim, Outcome::Released).await;
                self.under_way().remove(&id);
            })
            .await;
    }

    /// Whether the connection is still as this lane knows it.
    fn is_current(&self) -> bool {
        let now = self.shared.catalog.get(self.connection.id);
        now.is_some_and(|connection| Arc::ptr_eq(&connection, &self.connection))
    }

    async fn forward(&self, claim: &Claim, snapshot: Snapshot, fetched_at: Timestamp, is_probe: bool) -> Outcome {
        // Objects for callbacks are delivered by `notify`.
        let Some((link, Destination::OneTribe(one_tribe))) = self.link() else { return Outcome::Released };
        // Paused, ended or changed meanwhile; or what is forwarded could not be settled, and would be forwarded again.
        if !self.is_current() || self.unsettled.is_any() {
            return Outcome::Released;
        }
        if link.skips(&snapshot) {
            return Outcome::Skipped { fetched_at };
        }
        let digest = Digest::of(&snapshot.body);
        if !claim.force && claim.digest == Some(digest) {
            return Outcome::Delivered { digest: Some(digest), fetched_at, forwarded: false };
        }
        let is_permitted = is_probe || link.breaker(Side::Destination).permit(Instant::now()) == Permit::Go;
        // No call may outlast the lease: another process may send a newer state from then on.
        let is_in_time = Timestamp::now().after(self.shared.settings.forward_timeout) <= claim.lease_until;
        if !is_permitted || !is_in_time {
            return Outcome::Released;
        }
        let began = Instant::now();
        match one_tribe.deliver(&claim.key.id, digest, snapshot.body, claim.lease_until).await {
            Ok(()) => {
                let has_recovered = link.breaker(Side::Destination).succeeded(Instant::now());
                self.hints().forwarded(&claim.key.id, began.elapsed());
                self.recover(has_recovered, Side::Destination).await;
                Outcome::Delivered { digest: Some(digest), fetched_at, forwarded: true }
            }
            Err(Undelivered::TooLate) => Outcome::Released,
            Err(Undelivered::Failed(error)) => match retry::blame_forward(error.failure) {
                ForwardBlame::Object => {
                    // It answered, and rejected only this object: it is up.
                    let has_recovered = link.breaker(Side::Destination).succeeded(Instant::now());
                    self.recover(has_recovered, Side::Destination).await;
                    let failed = Failed { side: Side::Destination, failure: error.failure };
                    self.refused(claim, failed, error.retry_after)
                }
                ForwardBlame::Destination => self.outage(Side::Destination, Some(claim), error),
            },
        }
    }

    /// Stores how a claim ended, and retries while the inbox cannot be written: an unsettled forward would be
    /// forwarded again.
    pub(super) async fn settle(&self, claim: Claim, outcome: Outcome) {
        let id = claim.key.id.clone();
        let lease_until = claim.lease_until;
        let waited = Timestamp::now().since(claim.waiting_since);
        let label = log_outcome(&claim, &outcome, waited);
        let has_arrived = matches!(outcome, Outcome::Delivered { forwarded: true, .. });
        let mut settlement = Settlement { claim, outcome, at: Timestamp::now() };
        let mut failing = None;
        loop {
            match self.shared.inbox.settle(settlement.clone()).await {
                Ok(true) => break,
                Ok(false) => {
                    tracing::warn!(order_id = %id, "order {id}: its lease had ended before it was settled");
                    self.send_newest(&settlement).await;
                    break;
                }
                Err(error) if Timestamp::now() < lease_until => {
                    failing.get_or_insert_with(|| self.unsettled.begin());
                    tracing::error!(order_id = %id, %error, "order {id}: cannot be settled yet: {error}");
                    tokio::time::sleep(SETTLE_PAUSE).await;
                    settlement.at = Timestamp::now();
                }
                Err(error) => {
                    tracing::error!(order_id = %id, %error, "order {id}: not settled, it will be looked at again: {error}");
                    break;
                }
            }
        }
        self.shared.metrics.settled(label, has_arrived.then_some(waited));
    }

    /// What was forwarded under an expired lease (by a process that was suspended, for example) may have arrived
    /// after another process's newer state: the newest state is sent once more, so that it arrives last.
    async fn send_newest(&self, late: &Settlement) {
        if !may_have_arrived(&late.outcome) {
            return;
        }
        let ObjectKey { connection, resource, id } = late.claim.key.clone();
        let wanted = vec![Wanted::updated(id.clone())];
        if let Err(error) = self.shared.inbox.want(connection, resource, wanted, true, Timestamp::now()).await {
            tracing::error!(order_id = %id, %error, "order {id}: an older state may have come last: {error}");
        }
    }
}

/// Whether the destination may have received what was forwarded.
fn may_have_arrived(outcome: &Outcome) -> bool {
    match *outcome {
        Outcome::Delivered { forwarded, .. } => forwarded,
        Outcome::Deferred { failed, .. } | Outcome::Refused { failed, .. } => failed.side == Side::Destination,
        _ => false,
    }
}

/// Logs how a claim ended, and returns the label for the metrics.
fn log_outcome(claim: &Claim, outcome: &Outcome, waited: Duration) -> &'static str {
    let (connection, id) = (claim.key.connection, &claim.key.id);
    let lag_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Outcome::Delivered { forwarded: true, .. } => {
            tracing::info!(%connection, order_id = %id, lag_ms, "order {id}: delivered");
            "delivered"
        }
        Outcome::Delivered { .. } => {
            tracing::debug!(%connection, order_id = %id, "order {id}: unchanged since it was delivered");
            "unchanged"
        }
        Outcome::Skipped { .. } => {
            tracing::info!(%connection, order_id = %id, "order {id}: not forwarded, by its status");
            "skipped"
        }
        Outcome::Refused { retry_at, failed } => {
            tracing::warn!(%connection, order_id = %id, attempt = claim.attempts + 1, %retry_at, %failed, "order {id}: refused");
            "refused"
        }
        Outcome::Missing { retry_at, failed } => {
            tracing::warn!(%connection, order_id = %id, %retry_at, %failed, "order {id}: not found");
            "missing"
        }
        Outcome::Deferred { failed, .. } => {
            tracing::debug!(%connection, order_id = %id, %failed, "order {id}: waits");
            "deferred"
        }
        Outcome::Released => {
            tracing::debug!(%connection, order_id = %id, "order {id}: not tried, waits for its turn");
            "released"
        }
        Outcome::Failed { failed } => {
            tracing::error!(%connection, order_id = %id, %failed, "order {id}: failed; it can be resent");
            "failed"
        }
        Outcome::Gone { failed } => {
            tracing::warn!(%connection, order_id = %id, %failed, "order {id}: gone; it can be resent");
            "gone"
        }
    }
}

/// How many objects lie between the first and the last of these, both included.
fn span(ids: &[ObjectId]) -> i64 {
    let numbers = || ids.iter().filter_map(ObjectId::number);
    numbers().max().zip(numbers().min()).map_or(0, |(last, first)| last - first + 1)
}
