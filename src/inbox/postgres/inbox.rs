//! Implements [`Inbox`] with the statements of the other modules.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{
    PostgresInbox,
    accept::{self, Accept},
    announce,
    claims::ClaimRequest,
    connections,
    notifications::{self, Which},
    peers, reads, session, tables,
    upkeep::{self, Changed},
};
use crate::{
    clock::Timestamp,
    inbox::{
        Accepted, Arrival, Claim, ConnectionRecord, ConnectionUpdate, Epoch, Feed, Heartbeat, HookRow, Hour, Inbox,
        InboxError, Known, NewConnection, Notification, ObjectQuery, ObjectRow, ObjectState, Outage, Settlement, Side,
        Summary, Wanted, WorkSignal, shard_of, state::Reason,
    },
    object::{ConnectionId, Digest, Due, ObjectId, ObjectKey, ResourceName},
};

/// Objects per transaction.
const WANTED_STEP: usize = 1000;

impl PostgresInbox {
    fn signalled(&self, (count, connections): Changed) -> u64 {
        self.shared.signal_work(connections);
        count
    }

    /// The summary, with the activity that this relay has not written yet.
    fn with_activity(&self, connection: ConnectionId, summary: Summary) -> Summary {
        let known = self.shared.activity.known(connection);
        let outward = |time: Option<Timestamp>| time.map(|time| self.shared.clock.outward(time.millis()));
        Summary {
            last_event_at: summary.last_event_at.max(outward(known.last_event_at)),
            last_delivered_at: summary.last_delivered_at.max(outward(known.last_delivered_at)),
            ..summary
        }
    }
}

#[async_trait]
impl Inbox for PostgresInbox {
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, InboxError> {
        self.events.ask(|reply| Accept { arrival, reply }).await
    }

    async fn want(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        objects: Vec<Wanted>,
        force: bool,
        now: Timestamp,
    ) -> Result<(), InboxError> {
        let now = self.shared.clock.inward(now);
        let reason = if force { Reason::Force } else { Reason::Look };
        let wanted = self.changes.run(move |db| {
            Box::pin(async move {
                for step in objects.chunks(WANTED_STEP) {
                    session::transaction!(db, |transaction| {
                        accept::want(&mut transaction, connection, &resource, step, reason, now).await?;
                    })?;
                }
                Ok(())
            })
        });
        wanted.await?;
        self.shared.signal_work([connection].into());
        Ok(())
    }

    async fn remember(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        states: Vec<(ObjectId, Digest)>,
        now: Timestamp,
    ) -> Result<(), InboxError> {
        let now = self.shared.clock.inward(now);
        let remembered = self.changes.run(move |db| {
            Box::pin(async move {
                for step in states.chunks(WANTED_STEP) {
                    accept::remember(db, connection, &resource, step, now).await?;
                }
                Ok(())
            })
        });
        remembered.await
    }

    async fn want_all(&self, connection: ConnectionId, state: ObjectState, now: Timestamp) -> Result<u64, InboxError> {
        let now = self.shared.clock.inward(now);
        let changed = self.changes.run(move |db| Box::pin(upkeep::want_all(db, connection, state, now))).await?;
        Ok(self.signalled(changed))
    }

    async fn due(&self, connection: ConnectionId, now: Timestamp, limit: u32) -> Result<Vec<Due>, InboxError> {
        Ok(reads::due(&self.readers, &self.shared.clock, connection, now, limit).await?)
    }

    async fn next_due(&self, connection: ConnectionId, now: Timestamp) -> Result<Option<Timestamp>, InboxError> {
        Ok(reads::next_due(&self.readers, &self.shared.clock, connection, now).await?)
    }

    async fn waiting(&self) -> Result<Vec<(ConnectionId, Timestamp)>, InboxError> {
        Ok(reads::waiting(&self.readers, &self.shared.clock).await?)
    }

    async fn claim(
        &self,
        connection: ConnectionId,
        objects: Vec<(ResourceName, ObjectId)>,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<Claim>, InboxError> {
        let key = |(resource, id)| ObjectKey { connection, resource, id };
        let objects = objects.into_iter().map(key).collect();
        self.claims.ask(|reply| ClaimRequest::Claim { objects, lease, now, reply }).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<bool, InboxError> {
        self.claims.ask(|reply| ClaimRequest::Settle { settlement, reply }).await
    }

    async fn recover(&self, connection: ConnectionId) -> Result<u64, InboxError> {
        let changed = self.changes.run(move |db| Box::pin(upkeep::recover(db, connection))).await?;
        Ok(self.signalled(changed))
    }

    async fn repair_deadlines(&self, now: Timestamp) -> Result<u64, InboxError> {
        let now = self.shared.clock.inward(now);
        let changed = self.changes.run(move |db| Box::pin(upkeep::repair_deadlines(db, now))).await?;
        Ok(self.signalled(changed))
    }

    async fn free_claims(&self, now: Timestamp) -> Result<u64, InboxError> {
        let (relay, now) = (self.shared.relay.number(), self.shared.clock.inward(now));
        let changed = self.changes.run(move |db| Box::pin(upkeep::free_claims(db, relay, now))).await?;
        Ok(self.signalled(changed))
    }

    async fn begin_forward(&self, claims: Vec<Claim>) -> Result<(), InboxError> {
        self.claims.ask(|reply| ClaimRequest::BeginForward { claims, reply }).await
    }

    async fn objects(&self, connection: ConnectionId, query: ObjectQuery) -> Result<Vec<ObjectRow>, InboxError> {
        Ok(reads::objects(&self.readers, &self.shared.clock, connection, &query).await?)
    }

    async fn known(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        ids: Vec<ObjectId>,
    ) -> Result<Vec<Known>, InboxError> {
        Ok(reads::known(&self.readers, &self.shared.clock, connection, &resource, &ids).await?)
    }

    async fn summary(&self, connection: ConnectionId) -> Result<Summary, InboxError> {
        let summary = reads::summary(&self.readers, &self.shared.clock, connection).await?;
        Ok(self.with_activity(connection, summary))
    }

    async fn summaries(&self) -> Result<HashMap<ConnectionId, Summary>, InboxError> {
        let summaries = reads::summaries(&self.readers, &self.shared.clock).await?;
        Ok(summaries.into_iter().map(|(id, summary)| (id, self.with_activity(id, summary))).collect())
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, InboxError> {
        let before = self.shared.clock.inward(before);
        self.changes.run(move |db| Box::pin(upkeep::prune(db, before, limit))).await
    }

    async fn sample(&self, now: Timestamp) -> Result<(), InboxError> {
        let now = self.shared.clock.inward(now);
        self.changes.run(move |db| Box::pin(upkeep::sample(db, now))).await
    }

    async fn history(&self, connection: ConnectionId, since: Timestamp) -> Result<Vec<Hour>, InboxError> {
        Ok(reads::history(&self.readers, &self.shared.clock, connection, since).await?)
    }

    async fn connections(&self, revision: i64) -> Result<Vec<ConnectionRecord>, InboxError> {
        let mut records = connections::since(&self.readers, &self.shared.clock, revision).await?;
        let mut shards = self.shared.shards.lock();
        for record in &mut records {
            shards.insert(record.id, shard_of(record.source_kind, &record.store));
            let kept = Summary {
                last_event_at: record.last_event_at,
                last_delivered_at: record.last_delivered_at,
                ..Summary::default()
            };
            let newest = self.with_activity(record.id, kept);
            (record.last_event_at, record.last_delivered_at) = (newest.last_event_at, newest.last_delivered_at);
        }
        Ok(records)
    }

    async fn create_connection(&self, connection: NewConnection, now: Timestamp) -> Result<ConnectionId, InboxError> {
        let now = self.shared.clock.inward(now);
        let shard = shard_of(connection.source_kind, &connection.store);
        let create =
            self.changes.run(move |db| Box::pin(async move { connections::create(db, &connection, now).await }));
        let id = create.await?.ok_or(InboxError::Superseded)?;
        self.shared.shards.lock().insert(id, shard);
        self.shared.signal_change(id);
        Ok(id)
    }

    async fn update_connection(&self, id: ConnectionId, update: ConnectionUpdate) -> Result<bool, InboxError> {
        let begins_at = update.begins_at.map(|at| self.shared.clock.inward(at));
        let update =
            self.changes.run(move |db| Box::pin(async move { connections::update(db, id, &update, begins_at).await }));
        let is_there = update.await?.ok_or(InboxError::Superseded)?;
        if is_there {
            self.shared.signal_change(id);
        }
        Ok(is_there)
    }

    async fn has_ended(&self, id: ConnectionId) -> Result<bool, InboxError> {
        Ok(connections::has_ended(&self.readers, id).await?)
    }

    async fn feed(&self, connection: ConnectionId, name: &str) -> Result<Option<Feed>, InboxError> {
        Ok(tables::feeds(&self.readers, &self.shared.clock, connection, Some(name)).await?.pop())
    }

    async fn feeds(&self, connection: ConnectionId) -> Result<Vec<Feed>, InboxError> {
        Ok(tables::feeds(&self.readers, &self.shared.clock, connection, None).await?)
    }

    async fn save_feed(&self, connection: ConnectionId, feed: Feed) -> Result<(), InboxError> {
        let shared = self.shared.clone();
        let save = self
            .changes
            .run(move |db| Box::pin(async move { tables::save_feed(db, &shared.clock, connection, &feed).await }));
        save.await
    }

    async fn remove_feed(&self, connection: ConnectionId, name: &str) -> Result<(), InboxError> {
        let name = name.to_owned();
        self.changes.run(move |db| Box::pin(async move { tables::remove_feed(db, connection, &name).await })).await
    }

    async fn hooks(&self, connection: ConnectionId) -> Result<Vec<HookRow>, InboxError> {
        Ok(tables::hooks(&self.readers, connection).await?)
    }

    async fn save_hook(&self, connection: ConnectionId, hook: HookRow) -> Result<(), InboxError> {
        self.changes.run(move |db| Box::pin(async move { tables::save_hook(db, connection, &hook).await })).await
    }

    async fn remove_hook(&self, connection: ConnectionId, topic: &str) -> Result<(), InboxError> {
        let topic = topic.to_owned();
        self.changes.run(move |db| Box::pin(async move { tables::remove_hook(db, connection, &topic).await })).await
    }

    async fn outages(&self, connection: ConnectionId) -> Result<Vec<Outage>, InboxError> {
        Ok(tables::outages(&self.readers, &self.shared.clock, connection).await?)
    }

    async fn save_outage(
        &self,
        connection: ConnectionId,
        side: Side,
        outage: Option<Outage>,
    ) -> Result<(), InboxError> {
        let shared = self.shared.clone();
        let save = self.changes.run(move |db| {
            Box::pin(async move { tables::save_outage(db, &shared.clock, connection, side, outage.as_ref()).await })
        });
        save.await
    }

    async fn alerts(&self) -> Result<Vec<(ConnectionId, String)>, InboxError> {
        Ok(tables::alerts(&self.readers).await?)
    }

    async fn save_alert(&self, connection: ConnectionId, code: &str, is_open: bool) -> Result<(), InboxError> {
        let code = code.to_owned();
        let save = self
            .changes
            .run(move |db| Box::pin(async move { tables::save_alert(db, connection, &code, is_open).await }));
        save.await
    }

    async fn save_notification(&self, notification: Notification) -> Result<(), InboxError> {
        let shared = self.shared.clone();
        let save = self
            .changes
            .run(move |db| Box::pin(async move { notifications::save(db, &shared.clock, &notification).await }));
        save.await
    }

    async fn notification(&self, connection: ConnectionId, id: &str) -> Result<Option<Notification>, InboxError> {
        let found = notifications::read(&self.readers, &self.shared.clock, connection, Which::One(id)).await?;
        Ok(found.into_iter().next())
    }

    async fn notifications(&self, connection: ConnectionId, limit: u32) -> Result<Vec<Notification>, InboxError> {
        Ok(notifications::read(&self.readers, &self.shared.clock, connection, Which::Newest(limit)).await?)
    }

    async fn outstanding(&self, connection: ConnectionId) -> Result<Vec<Notification>, InboxError> {
        Ok(notifications::read(&self.readers, &self.shared.clock, connection, Which::Outstanding).await?)
    }

    async fn identity(&self) -> Result<Vec<u8>, InboxError> {
        Ok(sqlx::query_scalar("SELECT identity FROM catalog").fetch_one(&self.readers).await?)
    }

    async fn probe(&self, now: Timestamp) -> Result<(), InboxError> {
        let now = self.shared.clock.inward(now);
        self.changes.run(move |db| Box::pin(upkeep::probe(db, now))).await
    }

    fn work(&self) -> WorkSignal {
        self.shared.work.clone()
    }

    async fn heartbeat(&self, span: Duration) -> Result<Heartbeat, InboxError> {
        let (asked, began) = (Timestamp::now(), Instant::now());
        let beat = peers::heartbeat(&self.leases, self.shared.relay.number(), span);
        let beat = session::in_time(beat).await?;
        Ok(self.shared.learn(asked, began, span, beat))
    }

    async fn release_shards(&self) -> Result<(), InboxError> {
        *self.shared.held.lock() = (HashSet::new(), Instant::now());
        let released = peers::release_shards(&self.leases, self.shared.relay.number());
        Ok(session::in_time(released).await?)
    }

    async fn is_served(&self) -> Result<bool, InboxError> {
        Ok(session::in_time(peers::is_served(&self.leases, self.shared.relay.number())).await?)
    }

    async fn lock_hooks(&self, connection: ConnectionId, span: Duration) -> Result<Option<Epoch>, InboxError> {
        let lock = peers::lock_hooks(&self.leases, connection, self.shared.relay.number(), span);
        Ok(session::in_time(lock).await?)
    }

    async fn unlock_hooks(&self, connection: ConnectionId) -> Result<(), InboxError> {
        let unlock = peers::unlock_hooks(&self.leases, connection, self.shared.relay.number());
        Ok(session::in_time(unlock).await?)
    }

    async fn superseded(&self) -> InboxError {
        let mut superseded = self.shared.superseded.subscribe();
        match superseded.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }

    async fn close(&self) {
        self.events.close().await;
        self.claims.close().await;
        self.changes.close().await;
        if let Some(announcer) = self.announcer.lock().await.take() {
            announcer.abort();
            // The task was asked to end, or had nothing more to do.
            drop(announcer.await);
            announce::last_word(&self.shared, &self.readers).await;
        }
        // Closing a pool waits for each of its connections, and one to a server that hangs never ends.
        for pool in [&self.leases, &self.readers] {
            drop(tokio::time::timeout(session::DISCONNECT_TIMEOUT, pool.close()).await);
        }
    }
}
