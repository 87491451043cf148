//! Implements [`Inbox`]: reads on the readers, changes on the writer.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::{SqliteInbox, claims, connections, events, reads, serve_lock, tables, transaction::Transaction};
use crate::{
    clock::Timestamp,
    inbox::{
        Accepted, Arrival, Claim, ConnectionRecord, ConnectionUpdate, Epoch, Feed, Heartbeat, HookRow, Hour, Inbox,
        InboxError, Known, NewConnection, Notification, ObjectQuery, ObjectRow, ObjectState, Outage, SHARDS,
        Settlement, Side, Summary, Wanted, WorkSignal,
    },
    object::{ConnectionId, Digest, Due, ObjectId, ResourceName},
};

#[async_trait]
impl Inbox for SqliteInbox {
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, InboxError> {
        self.writer.record(move |transaction| events::accept(transaction, &arrival)).await
    }

    async fn want(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        objects: Vec<Wanted>,
        force: bool,
        now: Timestamp,
    ) -> Result<(), InboxError> {
        let want = move |transaction: &mut Transaction<'_>| {
            events::want(transaction, connection, &resource, &objects, force, now)
        };
        self.writer.change(want).await
    }

    async fn remember(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        states: Vec<(ObjectId, Digest)>,
        now: Timestamp,
    ) -> Result<(), InboxError> {
        let remember =
            move |transaction: &mut Transaction<'_>| events::remember(transaction, connection, &resource, &states, now);
        self.writer.change(remember).await
    }

    async fn want_all(&self, connection: ConnectionId, state: ObjectState, now: Timestamp) -> Result<u64, InboxError> {
        self.writer.change(move |transaction| events::want_all(transaction, connection, state, now)).await
    }

    async fn due(&self, connection: ConnectionId, now: Timestamp, limit: u32) -> Result<Vec<Due>, InboxError> {
        self.readers.read(move |db| reads::due(db, connection, now, limit)).await
    }

    async fn next_due(&self, connection: ConnectionId, now: Timestamp) -> Result<Option<Timestamp>, InboxError> {
        self.readers.read(move |db| reads::next_due(db, connection, now)).await
    }

    async fn waiting(&self) -> Result<Vec<(ConnectionId, Timestamp)>, InboxError> {
        self.readers.read(reads::waiting).await
    }

    async fn claim(
        &self,
        connection: ConnectionId,
        objects: Vec<(ResourceName, ObjectId)>,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<Claim>, InboxError> {
        let (owner, until) = (rand::random(), now.after(lease));
        let claim = move |transaction: &mut Transaction<'_>| {
            claims::claim(transaction, connection, &objects, until, now, owner)
        };
        self.writer.change(claim).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<bool, InboxError> {
        self.writer.record(move |transaction| claims::settle(transaction, &settlement)).await
    }

    async fn recover(&self, connection: ConnectionId) -> Result<u64, InboxError> {
        self.writer.change(move |transaction| claims::recover(transaction, connection)).await
    }

    async fn repair_deadlines(&self, now: Timestamp) -> Result<u64, InboxError> {
        self.writer.change(move |transaction| claims::repair_deadlines(transaction, now)).await
    }

    async fn free_claims(&self, now: Timestamp) -> Result<u64, InboxError> {
        self.writer.change(move |transaction| claims::free_claims(transaction, now)).await
    }

    async fn begin_forward(&self, claims: Vec<Claim>) -> Result<(), InboxError> {
        self.writer.change(move |transaction| claims::begin_forward(transaction, &claims)).await
    }

    async fn objects(&self, connection: ConnectionId, query: ObjectQuery) -> Result<Vec<ObjectRow>, InboxError> {
        self.readers.read(move |db| reads::objects(db, connection, &query)).await
    }

    async fn known(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        ids: Vec<ObjectId>,
    ) -> Result<Vec<Known>, InboxError> {
        self.readers.read(move |db| reads::known(db, connection, &resource, &ids)).await
    }

    async fn summary(&self, connection: ConnectionId) -> Result<Summary, InboxError> {
        self.readers.read(move |db| reads::summary(db, connection)).await
    }

    async fn summaries(&self) -> Result<HashMap<ConnectionId, Summary>, InboxError> {
        self.readers.read(reads::summaries).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, InboxError> {
        self.writer.change(move |transaction| tables::prune(transaction, before, limit)).await
    }

    async fn sample(&self, now: Timestamp) -> Result<(), InboxError> {
        self.writer.change(move |transaction| tables::sample(transaction, now)).await
    }

    async fn history(&self, connection: ConnectionId, since: Timestamp) -> Result<Vec<Hour>, InboxError> {
        self.readers.read(move |db| reads::history(db, connection, since)).await
    }

    async fn connections(&self, revision: i64) -> Result<Vec<ConnectionRecord>, InboxError> {
        self.readers.read(move |db| connections::changed(db, revision)).await
    }

    async fn create_connection(&self, connection: NewConnection, now: Timestamp) -> Result<ConnectionId, InboxError> {
        let made = self.writer.change(move |transaction| connections::create(transaction, &connection, now)).await?;
        made.ok_or(InboxError::Superseded)
    }

    async fn update_connection(&self, id: ConnectionId, update: ConnectionUpdate) -> Result<bool, InboxError> {
        let done = self.writer.change(move |transaction| connections::update(transaction, id, &update)).await?;
        done.ok_or(InboxError::Superseded)
    }

    async fn has_ended(&self, id: ConnectionId) -> Result<bool, InboxError> {
        self.readers.read(move |db| connections::has_ended(db, id)).await
    }

    async fn feed(&self, connection: ConnectionId, name: &str) -> Result<Option<Feed>, InboxError> {
        let name = name.to_owned();
        self.readers.read(move |db| tables::feed(db, connection, &name)).await
    }

    async fn feeds(&self, connection: ConnectionId) -> Result<Vec<Feed>, InboxError> {
        self.readers.read(move |db| tables::feeds(db, connection)).await
    }

    async fn save_feed(&self, connection: ConnectionId, feed: Feed) -> Result<(), InboxError> {
        self.writer.change(move |transaction| tables::save_feed(transaction, connection, &feed)).await
    }

    async fn remove_feed(&self, connection: ConnectionId, name: &str) -> Result<(), InboxError> {
        let name = name.to_owned();
        self.writer.change(move |transaction| tables::remove_feed(transaction, connection, &name)).await
    }

    async fn hooks(&self, connection: ConnectionId) -> Result<Vec<HookRow>, InboxError> {
        self.readers.read(move |db| tables::hooks(db, connection)).await
    }

    async fn save_hook(&self, connection: ConnectionId, hook: HookRow) -> Result<(), InboxError> {
        self.writer.record(move |transaction| tables::save_hook(transaction, connection, &hook)).await
    }

    async fn remove_hook(&self, connection: ConnectionId, topic: &str) -> Result<(), InboxError> {
        let topic = topic.to_owned();
        self.writer.record(move |transaction| tables::remove_hook(transaction, connection, &topic)).await
    }

    async fn outages(&self, connection: ConnectionId) -> Result<Vec<Outage>, InboxError> {
        self.readers.read(move |db| tables::outages(db, connection)).await
    }

    async fn save_outage(
        &self,
        connection: ConnectionId,
        side: Side,
        outage: Option<Outage>,
    ) -> Result<(), InboxError> {
        let save = move |transaction: &mut Transaction<'_>| {
            tables::save_outage(transaction, connection, side, outage.as_ref())
        };
        self.writer.change(save).await
    }

    async fn alerts(&self) -> Result<Vec<(ConnectionId, String)>, InboxError> {
        self.readers.read(tables::alerts).await
    }

    async fn save_alert(&self, connection: ConnectionId, code: &str, is_open: bool) -> Result<(), InboxError> {
        let code = code.to_owned();
        self.writer.record(move |transaction| tables::save_alert(transaction, connection, &code, is_open)).await
    }

    async fn save_notification(&self, notification: Notification) -> Result<(), InboxError> {
        self.writer.record(move |transaction| tables::save_notification(transaction, &notification)).await
    }

    async fn notification(&self, connection: ConnectionId, id: &str) -> Result<Option<Notification>, InboxError> {
        let id = id.to_owned();
        self.readers.read(move |db| tables::notification(db, connection, &id)).await
    }

    async fn notifications(&self, connection: ConnectionId, limit: u32) -> Result<Vec<Notification>, InboxError> {
        self.readers.read(move |db| tables::notifications(db, connection, limit)).await
    }

    async fn outstanding(&self, connection: ConnectionId) -> Result<Vec<Notification>, InboxError> {
        self.readers.read(move |db| tables::outstanding(db, connection)).await
    }

    async fn identity(&self) -> Result<Vec<u8>, InboxError> {
        self.readers.read(connections::identity).await
    }

    async fn probe(&self, now: Timestamp) -> Result<(), InboxError> {
        self.writer.change(move |transaction| tables::probe(transaction, now)).await
    }

    fn work(&self) -> WorkSignal {
        self.work.clone()
    }

    /// The file's lock decides who serves it, so this process has all shards. Also checks the file itself.
    async fn heartbeat(&self, _: Duration) -> Result<Heartbeat, InboxError> {
        if let Err(error) = self.file.check() {
            self.superseded.send_replace(Some(error.clone()));
            return Err(error);
        }
        let revision = self.readers.read(connections::revision).await?;
        Ok(Heartbeat { shards: (0..SHARDS).collect(), revision })
    }

    async fn release_shards(&self) -> Result<(), InboxError> {
        Ok(())
    }

    async fn is_served(&self) -> Result<bool, InboxError> {
        Ok(serve_lock::is_taken(&self.file.probe))
    }

    async fn lock_hooks(&self, connection: ConnectionId, span: Duration) -> Result<Option<Epoch>, InboxError> {
        let (owner, now) = (self.owner, Timestamp::now());
        let lock = move |transaction: &mut super::transaction::Transaction<'_>| {
            tables::lock_hooks(transaction, connection, owner, now.after(span), now)
        };
        self.writer.change(lock).await
    }

    async fn unlock_hooks(&self, connection: ConnectionId) -> Result<(), InboxError> {
        let owner = self.owner;
        self.writer.change(move |transaction| tables::unlock_hooks(transaction, connection, owner)).await
    }

    async fn superseded(&self) -> InboxError {
        let mut superseded = self.superseded.subscribe();
        match superseded.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }

    async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}
