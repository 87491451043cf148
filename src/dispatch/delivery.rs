//! One claim taken to its end: fetched, forwarded, settled. Whose fault a failure is, `retry` says.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Dispatch;
use crate::{
    bigcommerce::{
        Token,
        orders::{MAX_ORDER, PAGE, SMALLEST_PAGE, Selection, Snapshot},
    },
    clock::Timestamp,
    connection::Side,
    event::OrderId,
    http::{CallError, Seen, Unusable},
    inbox::{Claim, Outcome, Settlement},
    one_tribe::Digest,
    retry::{self, Blame, Permit, Verdict},
};

/// The pause before a settling that could not be stored is tried again.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// What was seen of a side, as an order's row tells it.
fn said(side: Side, seen: Seen) -> String {
    match side {
        Side::Store => format!("store: {seen}"),
        Side::Destination => format!("destination: {seen}"),
    }
}

impl Dispatch {
    /// Fetches one order and takes it to its end, all under one slot.
    pub(super) async fn deliver_single(&self, slot: OwnedSemaphorePermit, token: Token, claim: Claim, probing: bool) {
        let order = claim.order;
        let fetched_at = Timestamp::now();
        let outcome = match self.connection.api.order(token, order).await {
            Ok(snapshot) => {
                self.store_answered().await;
                self.learned().single_answered();
                self.forward(&claim, snapshot, fetched_at, probing).await
            }
            Err(error) => self.fetch_failed(&claim, error).await,
        };
        // Nothing is under way to the far sides any more: while this is stored, the next order may go out.
        drop(slot);
        self.settle(claim, outcome).await;
        if probing {
            self.connection.store_breaker().probe_undecided();
            self.connection.destination_breaker().probe_undecided();
        }
        self.under_way().remove(&order);
    }

    /// Fetches a window of orders with one call and takes each to its end, each under a slot of its own.
    /// Once the relay is stopping, those that have not begun are given back.
    pub(super) async fn deliver_list(
        &self,
        slot: OwnedSemaphorePermit,
        token: Token,
        claims: Vec<Claim>,
        stop: &CancellationToken,
    ) {
        let ids = || claims.iter().map(|claim| claim.order);
        let (Some(min), Some(max)) = (ids().min(), ids().max()) else { return };
        let limit = u32::try_from(max.get() - min.get() + 1).unwrap_or(PAGE);
        let fetched_at = Timestamp::now();
        let fetched = self.connection.api.orders(token, &Selection::Ids { min, max }, 1, limit).await;
        drop(slot);
        match fetched {
            Ok(rows) => {
                self.store_answered().await;
                self.learned().list_answered();
                self.learn_page(&rows, ids(), limit);
                // What is too large for an order is refused where it is fetched singly.
                let (taken, large): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.body.len() <= MAX_ORDER);
                self.learned().note_singly(large.into_iter().map(|row| row.id));
                let mut rows: HashMap<OrderId, Snapshot> = taken.into_iter().map(|row| (row.id, row)).collect();
                let found: Vec<_> = claims.into_iter().map(|claim| (rows.remove(&claim.order), claim)).collect();
                stream::iter(found)
                    .for_each_concurrent(None, |(snapshot, claim)| async move {
                        let slot = self.slots.acquire().await.expect("the semaphore is never closed");
                        let order = claim.order;
                        let outcome = match snapshot {
                            Some(snapshot) if !stop.is_cancelled() => {
                                self.forward(&claim, snapshot, fetched_at, false).await
                            }
                            _ => Outcome::Released,
                        };
                        drop(slot);
                        self.settle(claim, outcome).await;
                        self.under_way().remove(&order);
                        self.moved.notify_one();
                    })
                    .await;
            }
            Err(error) => self.list_failed(claims, error).await,
        }
    }

    /// A list that lacks orders was cut short by the store's own page limit, or the orders are archived or deleted.
    fn learn_page(&self, rows: &[Snapshot], wanted: impl Iterator<Item = OrderId>, limit: u32) {
        let got: HashSet<OrderId> = rows.iter().map(|row| row.id).collect();
        let last = got.iter().max().copied();
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let cut_short = (SMALLEST_PAGE..limit).contains(&count);
        let (beyond, lacking): (Vec<_>, Vec<_>) = wanted
            .filter(|order| !got.contains(order))
            .partition(|order| cut_short && last.is_some_and(|last| *order > last));
        let mut learned = self.learned();
        if !beyond.is_empty() {
            learned.cut_short(count);
        }
        learned.note_singly(lacking);
    }

    /// A list that is refused or unusable says nothing of its orders: they are fetched singly.
    async fn list_failed(&self, claims: Vec<Claim>, error: CallError) {
        match retry::blame_fetch(error.seen) {
            Blame::Quota => {}
            Blame::Store => {
                self.outage(Side::Store, None, error);
            }
            Blame::Order | Blame::Missing | Blame::Destination => {
                self.store_answered().await;
                let mut learned = self.learned();
                if error.seen == Seen::Unusable(Unusable::TooLarge) && learned.page() > 2 {
                    learned.halve();
                } else {
                    learned.note_singly(claims.iter().map(|claim| claim.order));
                }
            }
        }
        self.release(claims).await;
    }

    /// Gives claims back: their orders are due as before.
    pub(super) async fn release(&self, claims: Vec<Claim>) {
        stream::iter(claims)
            .for_each_concurrent(None, |claim| async move {
                let order = claim.order;
                self.settle(claim, Outcome::Released).await;
                self.under_way().remove(&order);
            })
            .await;
    }

    async fn store_answered(&self) {
        let recovered = self.connection.store_breaker().succeeded();
        if recovered {
            self.learned().store_is_back();
        }
        self.recover(recovered, "BigCommerce answers again").await;
    }

    async fn recover(&self, recovered: bool, said: &str) {
        if recovered {
            tracing::info!("{said}: what waited for it is due at once");
            if let Err(error) = self.inbox.recover(self.connection.id).await {
                tracing::error!(%error, "waiting orders keep their own times: {error}");
            }
        }
    }

    async fn fetch_failed(&self, claim: &Claim, error: CallError) -> Outcome {
        let said = said(Side::Store, error.seen);
        let blame = retry::blame_fetch(error.seen);
        if matches!(blame, Blame::Missing | Blame::Order) {
            // It answers, and it judged the order: it is up.
            self.store_answered().await;
        }
        match blame {
            Blame::Quota => Outcome::Released,
            Blame::Missing => {
                let now = Timestamp::now();
                let age = claim.missing_since.map_or(Duration::ZERO, |since| now.since(since));
                match retry::next_try(
                    retry::MISSING,
                    claim.attempts + 1,
                    age,
                    retry::MISSING_MAX_AGE,
                    None,
                    rand::random(),
                ) {
                    Verdict::Retry(wait) => Outcome::Missing { retry_at: now.after(wait), error: said },
                    Verdict::GiveUp => Outcome::Gone { error: said },
                }
            }
            Blame::Order => self.refused(claim, said, error.retry_after),
            Blame::Store | Blame::Destination => self.outage(Side::Store, Some(claim.order), error),
        }
    }

    fn refused(&self, claim: &Claim, error: String, asked: Option<Duration>) -> Outcome {
        let now = Timestamp::now();
        let age = claim.refused_since.map_or(Duration::ZERO, |since| now.since(since));
        let max_age = self.connection.config.retry_max_age;
        match retry::next_try(retry::REFUSED, claim.attempts + 1, age, max_age, asked, rand::random()) {
            Verdict::Retry(wait) => Outcome::Refused { retry_at: now.after(wait), error },
            Verdict::GiveUp => Outcome::Failed { error },
        }
    }

    /// One side is down: its breaker opens, and the order waits for its recovery. An order that begins one outage after
    /// another, which others end, is what the side cannot take: it gets a backoff of its own and holds up nobody.
    fn outage(&self, side: Side, order: Option<OrderId>, error: CallError) -> Outcome {
        let now = Instant::now();
        let (opened, permit) = {
            let mut breaker = self.connection.breaker(side);
            (breaker.failed(now, error.seen, error.retry_after, rand::random()), breaker.permit(now))
        };
        let said = said(side, error.seen);
        if opened {
            tracing::warn!("{said}: waiting for it to come back");
        }
        if side == Side::Store && (opened || order.is_some()) {
            self.learned().store_failed(opened.then_some(order.is_none()));
        }
        let wait = match permit {
            Permit::Until(at) => at.saturating_duration_since(now),
            Permit::Go | Permit::Probe | Permit::AfterProbe => Duration::ZERO,
        };
        let times = order.filter(|_| opened).map_or(0, |order| self.learned().note_suspect(order));
        let suspect = times >= 2;
        let own = if suspect { retry::SUSPECT.wait(times - 1, rand::random()) } else { Duration::ZERO };
        Outcome::Deferred { retry_at: Timestamp::now().after(wait.max(own)), error: said, until_recovery: !suspect }
    }

    async fn forward(&self, claim: &Claim, snapshot: Snapshot, fetched_at: Timestamp, probing: bool) -> Outcome {
        let config = &self.connection.config;
        if snapshot.status.is_some_and(|status| config.skip_statuses.contains(&status)) {
            return Outcome::Skipped { fetched_at };
        }
        let digest = Digest::of(&snapshot.body);
        if !claim.insist && claim.digest == Some(digest) {
            return Outcome::Delivered { digest, fetched_at, forwarded: false };
        }
        let permitted = probing || self.connection.destination_breaker().permit(Instant::now()) == Permit::Go;
        // Nothing may still be on its way when the lease ends: somebody else may send a newer state from then on.
        let in_time = Timestamp::now().after(config.forward_timeout) <= claim.lease_until;
        if !permitted || !in_time {
            return Outcome::Released;
        }
        self.send(claim, digest, snapshot.body, fetched_at).await
    }

    async fn send(&self, claim: &Claim, digest: Digest, body: Bytes, fetched_at: Timestamp) -> Outcome {
        let began = Instant::now();
        match self.connection.destination.forward(claim.order, digest, body).await {
            Ok(()) => {
                let recovered = self.connection.destination_breaker().succeeded();
                {
                    let mut learned = self.learned();
                    learned.took(began.elapsed());
                    learned.forget(claim.order);
                }
                self.recover(recovered, "the destination takes orders again").await;
                Outcome::Delivered { digest, fetched_at, forwarded: true }
            }
            Err(error) => match retry::blame_forward(error.seen) {
                Blame::Order => {
                    let said = said(Side::Destination, error.seen);
                    // It answers, and it judged the order: it is up.
                    let recovered = self.connection.destination_breaker().succeeded();
                    self.recover(recovered, "the destination answers again").await;
                    self.refused(claim, said, error.retry_after)
                }
                _ => self.outage(Side::Destination, Some(claim.order), error),
            },
        }
    }

    /// Stores how a claim ended. While the inbox cannot be written it tries again: a forward that is not settled is
    /// forwarded once more.
    async fn settle(&self, claim: Claim, outcome: Outcome) {
        let order = claim.order;
        let lease_until = claim.lease_until;
        let waited = Timestamp::now().since(claim.waiting_since);
        let label = tell(&claim, &outcome, waited);
        let arrived = matches!(outcome, Outcome::Delivered { forwarded: true, .. });
        let mut settlement = Settlement { claim, outcome, at: Timestamp::now() };
        loop {
            match self.inbox.settle(settlement.clone()).await {
                Ok(true) => break,
                Ok(false) => {
                    tracing::warn!(order_id = %order, "order {order}: its lease had ended before it was settled");
                    break;
                }
                Err(error) if Timestamp::now() < lease_until => {
                    tracing::error!(order_id = %order, %error, "order {order}: cannot be settled yet: {error}");
                    tokio::time::sleep(SETTLE_PAUSE).await;
                    settlement.at = Timestamp::now();
                }
                Err(error) => {
                    tracing::error!(order_id = %order, %error, "order {order}: not settled, it will be forwarded again: {error}");
                    break;
                }
            }
        }
        self.metrics.settled(label, arrived.then_some(waited));
    }
}

/// Logs how a claim ended, and names it for the metrics.
fn tell(claim: &Claim, outcome: &Outcome, waited: Duration) -> &'static str {
    let order = claim.order;
    let lag_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Outcome::Delivered { forwarded: true, .. } => {
            tracing::info!(order_id = %order, lag_ms, "order {order}: delivered");
            "delivered"
        }
        Outcome::Delivered { .. } => {
            tracing::debug!(order_id = %order, "order {order}: unchanged since it was delivered");
            "unchanged"
        }
        Outcome::Skipped { .. } => {
            tracing::info!(order_id = %order, "order {order}: not forwarded, by its status");
            "skipped"
        }
        Outcome::Refused { retry_at, error } => {
            tracing::warn!(order_id = %order, attempt = claim.attempts + 1, %retry_at, error, "order {order}: refused ({error}), next try {retry_at}");
            "refused"
        }
        Outcome::Missing { retry_at, error } => {
            tracing::warn!(order_id = %order, %retry_at, error, "order {order}: not found ({error}), next look {retry_at}");
            "missing"
        }
        Outcome::Deferred { error, .. } => {
            tracing::info!(order_id = %order, error, "order {order}: waits ({error})");
            "deferred"
        }
        Outcome::Released => {
            tracing::debug!(order_id = %order, "order {order}: not tried, waits for its turn");
            "released"
        }
        Outcome::Failed { error } => {
            tracing::error!(order_id = %order, error, "order {order}: failed ({error}); it can be resent");
            "failed"
        }
        Outcome::Gone { error } => {
            tracing::warn!(order_id = %order, error, "order {order}: gone ({error}); it can be resent");
            "gone"
        }
    }
}
