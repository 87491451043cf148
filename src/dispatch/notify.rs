//! Delivery to a Cloud Elements callback: objects of one resource go out together, as one notification.
//!
//! This file decides what goes out when; `rows` fetches what a notification carries, `judge` decides what to report
//! of each claim, `send` sends and settles. A failed notification is retried on a schedule of its own; until it has
//! arrived, later ones wait behind it.

mod judge;
mod rows;
mod send;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::lane::{Gate, LEASE_SLACK, Lane, OTHERS_PAUSE, Slot, Wait};
use crate::{
    clock::Timestamp,
    connection::Link,
    destination::{
        Destination,
        cloud_elements::{Callback, Watched, batches},
    },
    inbox::{Claim, InboxError, Notification, NotificationStatus, ObjectState, Outcome, Side},
    object::{Due, ObjectId, ObjectKey, ResourceName},
    source::{CallPermit, plan::Call},
};

/// Most waiting objects read to put notifications together.
const LOOKED_AT: u32 = 500;
/// The pause while another process still holds objects of an outstanding notification.
const HELD_PAUSE: Duration = Duration::from_secs(1);

/// One notification to be made.
struct Batch {
    resource: ResourceName,
    due: Vec<Due>,
    /// Calls for objects whose rows were not read by a poll.
    calls: Vec<Call>,
}

/// A notification with its objects claimed.
struct Work {
    resource: ResourceName,
    claims: Vec<Claim>,
    calls: Vec<(Call, Option<CallPermit>)>,
    /// The stored notification, if this is a retry.
    retried: Option<Notification>,
    is_probe: bool,
}

impl Lane {
    /// The callback of the connection, if that is where its objects go.
    pub(super) fn callback(&self) -> Option<(&Link, &Callback)> {
        match self.link()? {
            (link, Destination::CloudElements(callback)) => Some((link, callback)),
            (_, Destination::OneTribe(_)) => None,
        }
    }

    /// Begins the notifications that may begin now. `None` means there may be more at once.
    pub(super) async fn step_notifications(self: &Arc<Self>) -> Result<Option<Wait>, InboxError> {
        let Some((link, callback)) = self.callback() else { return Ok(Some(Wait::Idle)) };
        let wall = Timestamp::now();
        if self.slots.available_permits() == 0 || self.notifying().is_closed() {
            return Ok(Some(Wait::Moved));
        }
        let outstanding = self.shared.inbox.outstanding(self.connection.id).await?;
        let (mut failed, mut begun): (Option<&Notification>, Option<&Notification>) = (None, None);
        let is_under_way = !self.notifying().notifications.is_empty();
        for notification in &outstanding {
            if self.notifying().notifications.contains(&notification.id) {
                continue;
            }
            let has_failed = notification.attempts > 0 || notification.status == NotificationStatus::Queued;
            let first = if has_failed { &mut failed } else { &mut begun };
            first.get_or_insert(notification);
        }
        if let Some(failed) = failed {
            let at = retry_at(failed, wall);
            return match () {
                () if is_under_way => Ok(Some(Wait::Moved)),
                () if at > wall => Ok(Some(Wait::For(at.since(wall)))),
                () => self.begin_retry(link, callback, failed, wall).await,
            };
        }
        // A notification that a killed process had begun to send goes out again under its own id.
        if let Some(begun) = begun.filter(|begun| retry_at(begun, wall) <= wall) {
            return self.begin_retry(link, callback, begun, wall).await;
        }
        self.begin_new(link, callback, &outstanding, wall).await
    }

    /// Begins new notifications for the objects that are due.
    async fn begin_new(
        self: &Arc<Self>,
        link: &Link,
        callback: &Callback,
        outstanding: &[Notification],
        wall: Timestamp,
    ) -> Result<Option<Wait>, InboxError> {
        let held: HashSet<(ResourceName, ObjectId)> = outstanding
            .iter()
            .flat_map(|one| one.objects.iter().map(|object| (one.resource.clone(), object.id.clone())))
            .collect();
        let mut due = self.shared.inbox.due(self.connection.id, wall, LOOKED_AT).await?;
        {
            let notifying = self.notifying();
            due.retain(|due| {
                let object = (due.resource.clone(), due.id.clone());
                !notifying.objects.contains(&object) && !held.contains(&object)
            });
        }
        if due.is_empty() {
            return self.nothing_due(link, wall).await.map(Some);
        }
        let (ready, unread): (Vec<Due>, Vec<Due>) = due.into_iter().partition(|due| self.has_row(callback, due));
        let free = self.slots.available_permits();
        let mut planned = batches_of(ready, callback.batch());
        planned.truncate(free);
        let (mut permits, mut is_probe) = (Vec::new(), false);
        if planned.len() < free && !unread.is_empty() {
            let wait = match self.gate(link, unread.iter().any(|due| !due.has_failed), &[Side::Store]) {
                Gate::Closed(wait) => Some(wait),
                open => {
                    is_probe = matches!(open, Gate::Probe);
                    match self.plan_calls(link, callback, unread, free - planned.len(), is_probe) {
                        Ok((batches, taken)) => {
                            permits = taken;
                            planned.extend(batches);
                            None
                        }
                        Err(until) => Some(Wait::Until(until)),
                    }
                }
            };
            if planned.is_empty() {
                return Ok(Some(wait.unwrap_or(Wait::For(OTHERS_PAUSE))));
            }
        }
        self.begin_batches(link, planned, permits, is_probe, wall).await
    }

    /// Whether the poll that found an object has left its row here.
    fn has_row(&self, callback: &Callback, due: &Due) -> bool {
        let key = ObjectKey { connection: self.connection.id, resource: due.resource.clone(), id: due.id.clone() };
        callback.takes_polled_rows() && self.shared.rows.has(&key)
    }

    /// Plans the calls for notifications whose rows have to be fetched, as far as the store's quota allows.
    fn plan_calls(
        &self,
        link: &Link,
        callback: &Callback,
        due: Vec<Due>,
        most: usize,
        is_probe: bool,
    ) -> Result<(Vec<Batch>, Vec<CallPermit>), Instant> {
        let (limit, most) = if is_probe { (1, 1) } else { (callback.batch(), most) };
        let mut planned = batches_of(due, limit);
        planned.truncate(most);
        for batch in &mut planned {
            batch.calls = self.calls_for(link, callback.watched(&batch.resource), &batch.due);
        }
        let wanted: usize = planned.iter().map(|batch| batch.calls.len()).sum();
        if wanted == 0 {
            return Ok((planned, Vec::new()));
        }
        // One call of each batch is that of its slot.
        let mut further = self.shared.capacity.spare(wanted - 1);
        let permits = link.source.try_take(u32::try_from(wanted).unwrap_or(u32::MAX))?;
        let (mut permits, mut counted) = (permits.into_iter(), Vec::new());
        for batch in planned.iter_mut().filter(|batch| !batch.calls.is_empty()) {
            let most = permits.len().min(1 + further.len());
            batch.calls.truncate(most);
            let served: HashSet<&ObjectId> = batch.calls.iter().flat_map(Call::ids).collect();
            batch.due.retain(|due| served.contains(&due.id));
            let own = permits.by_ref().take(batch.calls.len()).enumerate();
            counted.extend(own.map(|(at, permit)| if at == 0 { permit } else { permit.counted(further.pop()) }));
        }
        planned.retain(|batch| !batch.due.is_empty());
        Ok((planned, counted))
    }

    /// The calls that fetch these objects; none for objects that cannot be asked for by id.
    fn calls_for(&self, link: &Link, watched: Option<&Watched>, due: &[Due]) -> Vec<Call> {
        match watched {
            Some(watched) if watched.is_orders() => link.source.plan(due, &self.hints().pages, due.len(), due.len()),
            Some(watched) if watched.is_addressable() => due.iter().map(|due| Call::Single(due.id.clone())).collect(),
            _ => Vec::new(),
        }
    }

    async fn begin_batches(
        self: &Arc<Self>,
        link: &Link,
        mut planned: Vec<Batch>,
        permits: Vec<CallPermit>,
        is_probe: bool,
        wall: Timestamp,
    ) -> Result<Option<Wait>, InboxError> {
        let slots = self.take_slots(planned.len()).await;
        planned.truncate(slots.len());
        let claimed = join_all(planned.iter().map(|batch| {
            let objects = batch.due.iter().map(|due| (batch.resource.clone(), due.id.clone())).collect();
            let lease = self.notification_lease(u32::from(!batch.calls.is_empty()));
            self.shared.claim(self.connection.id, objects, lease, wall)
        }))
        .await;
        let mut claims = Vec::with_capacity(claimed.len());
        let mut failed = None;
        for claimed in claimed {
            match claimed {
                Ok(taken) => claims.push(taken),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            self.give_back(claims.into_iter().flatten().collect()).await;
            return Err(error);
        }
        if claims.iter().all(Vec::is_empty) {
            return Ok(Some(Wait::For(OTHERS_PAUSE)));
        }
        // The permits were taken before a pause that the store has asked for meanwhile.
        let has_calls = planned.iter().any(|batch| !batch.calls.is_empty());
        if let Some(until) = link.source.pause(Instant::now()).filter(|_| has_calls) {
            self.give_back(claims.into_iter().flatten().collect()).await;
            return Ok(Some(Wait::Until(until)));
        }
        if is_probe {
            link.breaker(Side::Store).begin_probe(Instant::now());
        }
        let mut permits = permits.into_iter();
        for ((batch, claims), slot) in planned.into_iter().zip(claims).zip(slots) {
            let calls: Vec<_> = batch.calls.into_iter().map(|call| (call, permits.next())).collect();
            if !claims.is_empty() {
                let is_probe = is_probe && !calls.is_empty();
                self.begin_work(slot, Work { resource: batch.resource, claims, calls, retried: None, is_probe });
            }
        }
        Ok(None)
    }

    /// Tries a notification again.
    async fn begin_retry(
        self: &Arc<Self>,
        link: &Link,
        callback: &Callback,
        notification: &Notification,
        wall: Timestamp,
    ) -> Result<Option<Wait>, InboxError> {
        let is_probe = match self.gate(link, false, &[Side::Store]) {
            Gate::Open => false,
            Gate::Probe => true,
            Gate::Closed(wait) => return Ok(Some(wait)),
        };
        let Some(slot) = self.take_slots(1).await.pop() else { return Ok(Some(Wait::Moved)) };
        let (connection, resource) = (self.connection.id, &notification.resource);
        let objects = notification.objects.iter().map(|object| (resource.clone(), object.id.clone())).collect();
        let claims = self.shared.claim(connection, objects, self.notification_lease(2), wall).await?;
        let claimed: HashSet<&ObjectId> = claims.iter().map(|claim| &claim.key.id).collect();
        let others: Vec<ObjectId> =
            notification.objects.iter().map(|object| object.id.clone()).filter(|id| !claimed.contains(id)).collect();
        let known = self.shared.inbox.known(connection, resource.clone(), others).await;
        let is_held = known.as_ref().is_ok_and(|known| known.iter().any(|one| one.state == ObjectState::Pending));
        if is_held || known.is_err() {
            self.give_back(claims).await;
            return known.map(|_| Some(Wait::For(HELD_PAUSE)));
        }
        if claims.is_empty() {
            // It has arrived and its objects are settled; only its own row was not updated.
            self.save_arrived(notification.clone()).await?;
            return Ok(None);
        }
        if is_probe {
            link.breaker(Side::Store).begin_probe(Instant::now());
        }
        let calls = self.calls_for(link, callback.watched(resource), &waiting(&claims));
        let calls = calls.into_iter().map(|call| (call, None)).collect();
        let retried = Some(restarted(notification.clone()));
        self.notifying().is_retrying = true;
        self.begin_work(slot, Work { resource: resource.clone(), claims, calls, retried, is_probe });
        Ok(None)
    }

    fn begin_work(self: &Arc<Self>, slot: Slot, work: Work) {
        let objects: Vec<(ResourceName, ObjectId)> =
            work.claims.iter().map(|claim| (claim.key.resource.clone(), claim.key.id.clone())).collect();
        self.notifying().objects.extend(objects.iter().cloned());
        let this = self.clone();
        self.spawn(async move {
            let is_retry = work.retried.is_some();
            this.notify(slot, work).await;
            {
                let mut notifying = this.notifying();
                for object in &objects {
                    notifying.objects.remove(object);
                }
                if is_retry {
                    notifying.is_retrying = false;
                }
            }
            this.shared.moved.add([this.connection.id]);
        });
    }

    /// How long claims are held: for fetches one after the other, each up to `fetch_timeout`, and for sending.
    fn notification_lease(&self, fetches: u32) -> Duration {
        let settings = &self.shared.settings;
        settings.fetch_timeout * fetches + settings.forward_timeout + LEASE_SLACK
    }

    /// Settles claims concurrently: the inbox writes them together.
    async fn settle_all(&self, outcomes: Vec<(Claim, Outcome)>) {
        join_all(outcomes.into_iter().map(|(claim, outcome)| self.settle(claim, outcome))).await;
    }
}

/// When a notification is tried next. One that was queued, or whose connection has been resumed, is due now.
fn retry_at(notification: &Notification, now: Timestamp) -> Timestamp {
    match notification.status {
        NotificationStatus::Retry => notification.retry_at.unwrap_or(now),
        NotificationStatus::Queued | NotificationStatus::Notified => now,
    }
}

/// A queued notification starts its retry schedule anew.
fn restarted(mut notification: Notification) -> Notification {
    if notification.status == NotificationStatus::Queued {
        (notification.status, notification.attempts) = (NotificationStatus::Retry, 0);
        notification.failed_at = None;
    }
    notification
}

fn batches_of(due: Vec<Due>, limit: usize) -> Vec<Batch> {
    let batches = batches(due, |due| due.resource.clone(), limit);
    batches.into_iter().map(|(resource, due)| Batch { resource, due, calls: Vec::new() }).collect()
}

/// Claims in the form of waiting objects, to plan calls for them.
fn waiting(claims: &[Claim]) -> Vec<Due> {
    let due = |claim: &Claim| Due {
        resource: claim.key.resource.clone(),
        id: claim.key.id.clone(),
        at: claim.waiting_since,
        has_failed: claim.attempts > 0,
        change: claim.change,
    };
    claims.iter().map(due).collect()
}
