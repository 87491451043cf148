//! The store's orders as they changed lately, walked every few minutes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    poll::{Page, PollError, Row, Walk},
    standing::{KnownOrders, Standing},
    turn::Turn,
};
use crate::{
    clock::Timestamp,
    connection::{Connection, Link},
    http::{CallError, Failure},
    inbox::{Feed, Inbox, InboxError, Wanted},
    object::{ChangeKind, ObjectId, ResourceName, Snapshot},
    retry::FetchBlame,
    source::{CallPermit, ChangesRequest},
};

/// How many orders that cannot be listed are looked for after one poll.
const MOST_CANDIDATES: usize = 50;

/// What walks over a store's orders have in common.
pub struct OrderFeed {
    /// Whose orders.
    pub connection: Arc<Connection>,
    /// Where they are handed on to.
    pub inbox: Arc<dyn Inbox>,
    /// Rows of orders are kept this long after the last that happened to them.
    pub retention: Duration,
    /// The name under which it is kept how far the list has been read.
    pub name: String,
    /// The poll's turn, if it takes turns with others.
    pub turn: Option<Arc<Turn>>,
}

impl OrderFeed {
    /// How far the list has been read, and how reading goes.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn state(&self) -> Result<Feed, InboxError> {
        let kept = self.inbox.feed(self.connection.id, &self.name).await?;
        Ok(kept.unwrap_or_else(|| Feed::new(&self.name)))
    }

    /// Keeps how far the list has been read, if that is news.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub async fn keep(&self, change: impl FnOnce(&mut Feed)) -> Result<(), InboxError> {
        let kept = self.state().await?;
        let mut feed = kept.clone();
        change(&mut feed);
        if feed == kept { Ok(()) } else { self.inbox.save_feed(self.connection.id, feed).await }
    }

    /// The connection's link; a connection that has ended meanwhile is polled no further.
    pub(super) fn link(&self) -> Result<&Link, CallError> {
        self.connection.link.as_ref().ok_or_else(|| Failure::Status(401).into())
    }

    async fn take(&self, link: &Link) -> CallPermit {
        match &self.turn {
            Some(turn) => turn.take(&link.source).await,
            None => link.source.take().await,
        }
    }

    /// One page of what changed, in its turn at the quota.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError> {
        let link = self.link()?;
        let Page { since, sort, number, limit } = page;
        let permit = self.take(link).await;
        link.source.changes(permit, &ChangesRequest { since, sort, page: number, limit }).await
    }

    /// What the inbox knows of some orders.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn known(&self, ids: impl Iterator<Item = ObjectId> + Send) -> Result<KnownOrders, InboxError> {
        let ids: Vec<ObjectId> = ids.collect();
        KnownOrders::read(self.inbox.as_ref(), self.connection.id, self.connection.begins_at, ids.into_iter()).await
    }

    /// Whether an order is not forwarded, since its status says so.
    pub fn is_skipped(&self, snapshot: &Snapshot) -> bool {
        self.connection.link.as_ref().is_some_and(|link| link.skips(snapshot))
    }

    /// Makes orders wait to be looked at.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub async fn want(&self, wanted: Vec<Wanted>) -> Result<(), InboxError> {
        let now = Timestamp::now();
        self.inbox.want(self.connection.id, ResourceName::orders(), wanted, false, now).await
    }

    /// What kind of change a row tells of.
    pub fn change_of(snapshot: &Snapshot) -> ChangeKind {
        match (snapshot.is_deleted, snapshot.created, snapshot.modified) {
            (true, _, _) => ChangeKind::Deleted,
            (false, Some(created), Some(modified)) if created == modified => ChangeKind::Created,
            _ => ChangeKind::Updated,
        }
    }

    /// Looks one by one for orders that cannot be listed: those whose numbers lie between the neighbours' and that
    /// nobody has told of. One that cannot be fetched either is handed on, and so listed with its reason.
    ///
    /// # Errors
    /// [`PollError`]
    pub async fn look_for_passed(&self, neighbours: Vec<ObjectId>) -> Result<usize, PollError> {
        let numbers: BTreeSet<i64> = neighbours.iter().filter_map(ObjectId::number).collect();
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(0) };
        let between = (first.saturating_sub(1).max(1)..=last.saturating_add(1)).filter(|id| !numbers.contains(id));
        let candidates: Vec<ObjectId> = between.take(MOST_CANDIDATES).map(ObjectId::Number).collect();
        let known = self.known(candidates.iter().cloned()).await?;
        let now = Timestamp::now();
        let mut wanted = Vec::new();
        for id in candidates {
            if known.is_known(&id) {
                continue;
            }
            let link = self.link()?;
            let permit = self.take(link).await;
            let is_there = match link.source.order(permit, &id).await {
                Ok(_) => true,
                Err(error) => match link.source.blame(error.failure) {
                    FetchBlame::Missing => false,
                    FetchBlame::Quota | FetchBlame::Credentials => return Err(error.into()),
                    FetchBlame::Store | FetchBlame::Object => true,
                },
            };
            if is_there {
                tracing::warn!(order_id = %id, "order {id}: the store cannot list it; it is fetched by itself");
                wanted.push(Wanted::updated(id));
            }
        }
        let count = wanted.len();
        if count > 0 {
            self.inbox.want(self.connection.id, ResourceName::orders(), wanted, false, now).await?;
        }
        Ok(count)
    }
}

/// The orders that changed lately.
pub struct LatestOrders(pub OrderFeed);

impl LatestOrders {
    /// Of one connection, polled in turns with others.
    pub fn new(connection: Arc<Connection>, inbox: Arc<dyn Inbox>, retention: Duration, turn: Arc<Turn>) -> Self {
        let name = ResourceName::orders().to_string();
        Self(OrderFeed { connection, inbox, retention, name, turn: Some(turn) })
    }
}

#[async_trait]
impl Walk for LatestOrders {
    async fn watermark(&self) -> Result<Timestamp, InboxError> {
        // What is older than the connection is for `backfill`.
        Ok(self.0.state().await?.watermark.unwrap_or(self.0.connection.begins_at))
    }

    async fn keep_watermark(&self, watermark: Timestamp) -> Result<(), InboxError> {
        self.0.keep(|feed| feed.watermark = Some(watermark)).await
    }

    async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError> {
        self.0.page(page).await
    }

    async fn take(&self, rows: Vec<Row>) -> Result<usize, InboxError> {
        let rows: Vec<Row> = rows.into_iter().filter(|row| !self.0.is_skipped(&row.snapshot)).collect();
        if rows.is_empty() {
            return Ok(0);
        }
        let known = self.0.known(rows.iter().map(|row| row.snapshot.id.clone())).await?;
        let pruned = known.pruned(Timestamp::now().before(self.0.retention));
        let (mut wanted, mut missed, mut presumed) = (Vec::new(), 0, 0);
        for Row { modified, digest, snapshot } in rows {
            match known.standing(&snapshot.id, modified, digest, &pruned) {
                Standing::Missed => missed += 1,
                Standing::Waiting => {}
                Standing::Presumed => {
                    presumed += 1;
                    continue;
                }
                Standing::GivenUp | Standing::Relayed => continue,
            }
            wanted.push(Wanted { change: OrderFeed::change_of(&snapshot), id: snapshot.id });
        }
        if presumed > 0 {
            tracing::warn!(
                connection = %self.0.connection.id,
                presumed,
                "polled: {presumed} orders changed longer ago than EVENT_RETENTION and have no row any more: they count as relayed"
            );
        }
        if !wanted.is_empty() {
            self.0.want(wanted).await?;
        }
        Ok(missed)
    }

    async fn look_for_passed(&self, neighbours: Vec<ObjectId>) -> Result<usize, PollError> {
        self.0.look_for_passed(neighbours).await
    }
}
