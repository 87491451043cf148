//! Takes one notification from its claims to its end: judge, send, settle.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::join;

use super::{
    Lane, Slot, Work,
    judge::{self, Judgement},
    rows::Fetched,
};
use crate::{
    clock::Timestamp,
    connection::Link,
    destination::cloud_elements::{Callback, Event, NextTry, new_event_id, next_try},
    elements::change::RowFacts,
    http::CallError,
    inbox::{
        Claim, ConnectionState, ConnectionUpdate, Failed, InboxError, Notification, NotificationStatus, NotifiedObject,
        Outcome, PauseReason, Side,
    },
    object::{ChangeKind, Digest, ObjectId},
    spec::SourceKind,
};

/// Statuses of WooCommerce carts at checkout, which are not orders yet.
const DRAFTS: [&str; 2] = ["checkout-draft", "auto-draft"];

/// An object to be reported.
struct Told {
    claim: Claim,
    change: ChangeKind,
    at: Timestamp,
    row: Option<Bytes>,
    digest: Option<Digest>,
    fetched_at: Timestamp,
    /// The row is newer than what the notification says: the object stays due for another one.
    has_more: bool,
}

impl Told {
    fn delivered(self) -> (Claim, Outcome) {
        let outcome = match self.has_more {
            true => Outcome::Released,
            false => Outcome::Delivered { digest: self.digest, fetched_at: self.fetched_at, forwarded: true },
        };
        (self.claim, outcome)
    }
}

/// Claims to be reported, and claims that end otherwise.
#[derive(Default)]
struct Sorted {
    told: Vec<Told>,
    ended: Vec<(Claim, Outcome)>,
}

impl Sorted {
    fn add(&mut self, claim: Claim, judgement: Judgement, row: Option<(Bytes, Digest)>, fetched_at: Timestamp) {
        let (row, digest) = row.unzip();
        match judgement {
            Judgement::Tell(change, at) => {
                self.told.push(Told { claim, change, at, row, digest, fetched_at, has_more: false });
            }
            Judgement::Silent => {
                self.ended.push((claim, Outcome::Delivered { digest, fetched_at, forwarded: false }));
            }
        }
    }
}

impl Lane {
    /// Makes one notification of its claims, and settles all of them.
    pub(super) async fn notify(&self, slot: Slot, mut work: Work) {
        let Some((link, callback)) = self.callback() else { return };
        let rows = self.rows(link, callback, &mut work).await;
        let (told, ended) = match &work.retried {
            Some(retried) => tell_again(callback, retried, work.claims, rows),
            None => self.tell(link, callback, work.claims, rows),
        };
        let retried = work.retried;
        let ((), ()) = join(self.settle_all(ended), async {
            if !told.is_empty() {
                self.send(callback, told, retried).await;
            }
        })
        .await;
        drop(slot);
        if work.is_probe {
            link.breaker(Side::Store).probe_undecided();
        }
    }

    /// Sorts new claims into those to be reported and those that end otherwise.
    fn tell(
        &self,
        link: &Link,
        callback: &Callback,
        claims: Vec<Claim>,
        mut rows: HashMap<ObjectId, Fetched>,
    ) -> (Vec<Told>, Vec<(Claim, Outcome)>) {
        // The earlier of the stored time and the same by the store's clock: this machine's clock may have been right
        // then and be wrong now.
        let begins_at = self.connection.begins_at;
        let begins_at = begins_at.min(link.source.stores_time(begins_at));
        let mut sorted = Sorted::default();
        for claim in claims {
            let now = Timestamp::now();
            let Some(watched) = callback.watched(&claim.key.resource) else {
                // The resource is no longer watched.
                sorted.ended.push((claim, Outcome::Skipped { fetched_at: now }));
                continue;
            };
            match rows.remove(&claim.key.id).unwrap_or(Fetched::Later) {
                Fetched::Row(row, fetched_at) => {
                    let (facts, digest) = (watched.poller.read(&row).ok(), Digest::of(&row));
                    if self.is_skipped(facts.as_ref()) {
                        sorted.ended.push((claim, Outcome::Skipped { fetched_at }));
                    } else {
                        let judgement = judge::with_row(&claim, facts.as_ref(), digest, begins_at);
                        sorted.add(claim, judgement, Some((row, digest)), fetched_at);
                    }
                }
                Fetched::Missing(error) => match judge::without_object(&claim, watched.has_foreign_deletions()) {
                    Some(judgement) => sorted.add(claim, judgement, None, now),
                    None => {
                        let failed = Failed { side: Side::Store, failure: error.failure };
                        let outcome = self.missing(&claim, failed);
                        sorted.ended.push((claim, outcome));
                    }
                },
                Fetched::Unseen => {
                    let judgement = judge::unseen(&claim);
                    sorted.add(claim, judgement, None, now);
                }
                Fetched::Later => sorted.ended.push((claim, Outcome::Released)),
                Fetched::Ended(outcome) => sorted.ended.push((claim, outcome)),
            }
        }
        (sorted.told, sorted.ended)
    }

    /// Whether an object's status excludes it from being reported.
    fn is_skipped(&self, facts: Option<&RowFacts>) -> bool {
        let skipped = self.connection.link.as_ref().map(|link| &link.spec.skip_statuses);
        let status = facts.and_then(|facts| facts.status.as_ref());
        let is_draft =
            |status: &String| self.connection.source_kind == SourceKind::WooCommerce && DRAFTS.contains(&&**status);
        status.is_some_and(|status| is_draft(status) || skipped.is_some_and(|skipped| skipped.contains(status)))
    }

    async fn send(&self, callback: &Callback, told: Vec<Told>, retried: Option<Notification>) {
        let lease_until = told.iter().map(|told| told.claim.lease_until).min().unwrap_or(Timestamp::now());
        let is_retry = retried.as_ref().is_some_and(|retried| retried.attempts > 0);
        let mut notification = retried.unwrap_or_else(|| self.notification_of(&told));
        if !is_retry {
            notification.retry_at = Some(lease_until);
        }
        let claims: Vec<Claim> = told.iter().map(|told| told.claim.clone()).collect();
        self.notifying().notifications.insert(notification.id.clone());
        let begun = match is_retry {
            true => self.shared.inbox.begin_forward(claims).await,
            // Stored first: should the process die, the same notification goes out again.
            false => {
                let save = self.shared.inbox.save_notification(notification.clone());
                let (saved, begun) = join(save, self.shared.inbox.begin_forward(claims)).await;
                saved.and(begun)
            }
        };
        let id = notification.id.clone();
        match begun {
            // No call may outlast the lease.
            Ok(()) if Timestamp::now().after(self.shared.settings.forward_timeout) <= lease_until => {
                self.send_begun(callback, told, notification).await;
            }
            begun => {
                if let Err(error) = begun {
                    tracing::error!(%error, "what is about to be told cannot be noted: {error}");
                }
                self.settle_all(told.into_iter().map(|told| (told.claim, Outcome::Released)).collect()).await;
            }
        }
        self.notifying().notifications.remove(&id);
    }

    fn notification_of(&self, told: &[Told]) -> Notification {
        let object =
            |told: &Told| NotifiedObject { id: told.claim.key.id.clone(), change: told.change, at: told.at.millis() };
        let resource = told.first().map(|told| told.claim.key.resource.clone());
        Notification {
            id: new_event_id(),
            connection: self.connection.id,
            resource: resource.unwrap_or_else(crate::object::ResourceName::orders),
            objects: told.iter().map(object).collect(),
            status: NotificationStatus::Retry,
            attempts: 0,
            failed_at: None,
            retry_at: None,
            last_failure: None,
            created_at: Timestamp::now(),
            notified_at: None,
        }
    }

    async fn send_begun(&self, callback: &Callback, told: Vec<Told>, notification: Notification) {
        let rows: HashMap<&ObjectId, &Bytes> =
            told.iter().filter_map(|told| Some((&told.claim.key.id, told.row.as_ref()?))).collect();
        let event = |object: &NotifiedObject| Event {
            id: object.id.clone(),
            change: object.change,
            at: Timestamp::from_millis(object.at),
            row: rows.get(&object.id).map(|row| (*row).clone()),
        };
        let events: Vec<Event> = notification.objects.iter().map(event).collect();
        let body = callback.body(self.connection.id, &notification.id, &notification.resource, &events);
        drop(rows);
        match callback.deliver(&notification.id, body).await {
            Ok(()) => self.arrived(told, notification).await,
            Err(error) => {
                self.notifying().failing += 1;
                self.refused_by_callback(told, notification, error).await;
                self.notifying().failing -= 1;
            }
        }
    }

    async fn arrived(&self, told: Vec<Told>, notification: Notification) {
        let has_failed = notification.attempts > 0;
        let (connection, id) = (self.connection.id, notification.id.clone());
        let count = notification.objects.len();
        let settle = self.settle_all(told.into_iter().map(Told::delivered).collect());
        let ((), saved) = join(settle, self.save_arrived(notification)).await;
        if let Err(error) = saved {
            tracing::error!(%connection, %error, "notification {id} has arrived; that could not be kept: {error}");
        }
        tracing::debug!(%connection, notification = %id, count, "notification {id} has arrived");
        let Some((link, _)) = self.callback() else { return };
        let has_recovered = link.breaker(Side::Destination).succeeded(std::time::Instant::now());
        self.recover(has_recovered || has_failed, Side::Destination).await;
    }

    pub(super) async fn save_arrived(&self, mut notification: Notification) -> Result<(), InboxError> {
        notification.status = NotificationStatus::Notified;
        (notification.retry_at, notification.notified_at) = (None, Some(Timestamp::now()));
        self.shared.inbox.save_notification(notification).await
    }

    /// The callback did not take it: it is retried on schedule, and after the last retry the connection is paused.
    async fn refused_by_callback(&self, told: Vec<Told>, mut notification: Notification, error: CallError) {
        let now = Timestamp::now();
        notification.attempts += 1;
        notification.last_failure = Some(error.failure);
        let first = *notification.failed_at.get_or_insert(now);
        let (connection, id) = (self.connection.id, notification.id.clone());
        let (attempts, failure) = (notification.attempts, error.failure);
        let seen = crate::humanize::failure(failure);
        let reason = match next_try(first, attempts, &error, now) {
            NextTry::At(at) => {
                notification.retry_at = Some(at);
                tracing::warn!(
                    %connection, notification = %id, attempts, %failure, retry_at = %at,
                    "connection {connection}: its callback has not taken notification {id} ({seen}); it is tried again"
                );
                None
            }
            NextTry::Exhausted => Some(PauseReason::RetriesExhausted),
            NextTry::Gone => Some(PauseReason::CallbackGone),
        };
        if reason.is_some() {
            (notification.status, notification.retry_at) = (NotificationStatus::Queued, None);
        }
        let retry_at = notification.retry_at.unwrap_or(now);
        let failed = Failed { side: Side::Destination, failure };
        let deferred = || Outcome::Deferred { retry_at, failed, until_recovery: true };
        if let Some((link, _)) = self.callback() {
            // No object waits for this breaker: it shows the trouble to pages and checks.
            link.breaker(Side::Destination).failed(std::time::Instant::now(), failure, None, 0.0);
        }
        if let Some(reason) = reason {
            self.pause(reason, &id, &seen).await;
        }
        // The notification is stored first: it must list an object before that is due again.
        if let Err(error) = self.shared.inbox.save_notification(notification).await {
            tracing::error!(%connection, %error, "notification {id}: its failure could not be kept: {error}");
        }
        self.settle_all(told.into_iter().map(|told| (told.claim, deferred())).collect()).await;
    }

    /// The callback takes nothing any more: the connection is paused, and its events wait for their release.
    async fn pause(&self, reason: PauseReason, id: &str, seen: &str) {
        let connection = self.connection.id;
        let why = match reason {
            PauseReason::CallbackGone => "its callback is gone for good",
            PauseReason::RetriesExhausted | PauseReason::Asked => "the last retry has failed",
        };
        tracing::error!(
            %connection, notification = %id,
            "connection {connection} ({}) is paused: {why} ({seen}). Its events wait; mend the callback, then release them: \
             PUT /notifications/subscriptions/deliveries?where=status='queued'",
            self.connection.name
        );
        if let Err(error) = self.pause_active(reason).await {
            tracing::error!(%connection, %error, "connection {connection} could not be paused: {error}");
            tokio::time::sleep(super::super::delivery::SETTLE_PAUSE).await;
        }
    }

    /// A connection that has been paused or ended meanwhile, perhaps by another replica, stays so.
    async fn pause_active(&self, reason: PauseReason) -> Result<(), InboxError> {
        let (catalog, inbox) = (&self.shared.catalog, self.shared.inbox.as_ref());
        loop {
            catalog.refresh(inbox).await?;
            let known_revision = Some(catalog.revision().await);
            let connection = self.connection.id;
            if catalog.get(connection).is_none_or(|now| now.state != ConnectionState::Active) {
                return Ok(());
            }
            let state = Some((ConnectionState::Paused, Some(reason)));
            let update = ConnectionUpdate { state, known_revision, ..ConnectionUpdate::default() };
            match inbox.update_connection(connection, update).await {
                Err(InboxError::Superseded) => {}
                done => return done.map(drop).and(catalog.refresh(inbox).await),
            }
        }
    }
}

/// What a retry reports: the same events, with the rows as they are now. If a row cannot be had because of the store,
/// nothing is sent.
fn tell_again(
    callback: &Callback,
    retried: &Notification,
    claims: Vec<Claim>,
    mut rows: HashMap<ObjectId, Fetched>,
) -> (Vec<Told>, Vec<(Claim, Outcome)>) {
    let is_lacking = |fetched: Option<&Fetched>| match fetched {
        Some(Fetched::Row(..) | Fetched::Missing(_) | Fetched::Unseen) => false,
        Some(Fetched::Ended(Outcome::Refused { .. } | Outcome::Failed { .. })) => false,
        Some(Fetched::Ended(_) | Fetched::Later) => true,
        // The resource is no longer watched.
        None => callback.watched(&retried.resource).is_some(),
    };
    if claims.iter().any(|claim| is_lacking(rows.get(&claim.key.id))) {
        let end = |claim: Claim| match rows.remove(&claim.key.id) {
            Some(Fetched::Ended(outcome)) => (claim, outcome),
            _ => (claim, Outcome::Released),
        };
        return (Vec::new(), claims.into_iter().map(end).collect());
    }
    let again = |claim: Claim| {
        let before = retried.objects.iter().find(|object| object.id == claim.key.id);
        let (change, at) = before
            .map_or((claim.change, claim.waiting_since), |object| (object.change, Timestamp::from_millis(object.at)));
        let (row, fetched_at) = match rows.remove(&claim.key.id) {
            Some(Fetched::Row(row, fetched_at)) => (Some(row), fetched_at),
            _ => (None, Timestamp::now()),
        };
        let facts = row.as_ref().and_then(|row| callback.watched(&claim.key.resource)?.poller.read(row).ok());
        let is_deleted =
            claim.change == ChangeKind::Deleted || facts.is_some_and(|facts| facts.change == ChangeKind::Deleted);
        let has_more = is_deleted && change != ChangeKind::Deleted;
        let digest = row.as_ref().map(|row| Digest::of(row));
        Told { claim, change, at, row, digest, fetched_at, has_more }
    };
    (claims.into_iter().map(again).collect(), Vec::new())
}
