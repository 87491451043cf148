//! The store's recent changes to orders, polled every few minutes.

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

/// Most orders missing from the list that are fetched one by one after a poll.
const MOST_CANDIDATES: usize = 50;

/// What all walks over a store's orders share.
pub struct OrderFeed {
    /// The connection whose orders are read.
    pub connection: Arc<Connection>,
    /// The inbox that the orders are put into.
    pub inbox: Arc<dyn Inbox>,
    /// How long the inbox keeps settled orders.
    pub retention: Duration,
    /// The name of the feed that stores how far the list has been read.
    pub name: String,
    /// The turn of this poll, if it takes turns with others.
    pub turn: Option<Arc<Turn>>,
}

impl OrderFeed {
    /// The stored state of the feed.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn state(&self) -> Result<Feed, InboxError> {
        let kept = self.inbox.feed(self.connection.id, &self.name).await?;
        Ok(kept.unwrap_or_else(|| Feed::new(&self.name)))
    }

    /// Applies a change to the feed, and stores it if anything changed.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub async fn keep(&self, change: impl FnOnce(&mut Feed)) -> Result<(), InboxError> {
        let kept = self.state().await?;
        let mut feed = kept.clone();
        change(&mut feed);
        if feed == kept { Ok(()) } else { self.inbox.save_feed(self.connection.id, feed).await }
    }

    /// The connection's link; fails if the connection has ended meanwhile.
    pub(super) fn link(&self) -> Result<&Link, CallError> {
        self.connection.link.as_ref().ok_or_else(|| Failure::Status(401).into())
    }

    async fn take(&self, link: &Link) -> CallPermit {
        match &self.turn {
            Some(turn) => turn.take(&link.source).await,
            None => link.source.take().await,
        }
    }

    /// Fetches one page of changes, when the quota allows.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError> {
        let link = self.link()?;
        let Page { since, sort, number, limit } = page;
        let permit = self.take(link).await;
        link.source.changes(permit, &ChangesRequest { since, sort, page: number, limit }).await
    }

    /// What the inbox knows of these orders.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn known(&self, ids: impl Iterator<Item = ObjectId> + Send) -> Result<KnownOrders, InboxError> {
        let ids: Vec<ObjectId> = ids.collect();
        KnownOrders::read(self.inbox.as_ref(), self.connection.id, self.connection.begins_at, ids.into_iter()).await
    }

    /// Whether an order's status excludes it from being forwarded.
    pub fn is_skipped(&self, snapshot: &Snapshot) -> bool {
        self.connection.link.as_ref().is_some_and(|link| link.skips(snapshot))
    }

    /// Makes orders due in the inbox.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub async fn want(&self, wanted: Vec<Wanted>) -> Result<(), InboxError> {
        let now = Timestamp::now();
        self.inbox.want(self.connection.id, ResourceName::orders(), wanted, false, now).await
    }

    /// The kind of change that a row shows.
    pub fn change_of(snapshot: &Snapshot) -> ChangeKind {
        match (snapshot.is_deleted, snapshot.created, snapshot.modified) {
            (true, _, _) => ChangeKind::Deleted,
            (false, Some(created), Some(modified)) if created == modified => ChangeKind::Created,
            _ => ChangeKind::Updated,
        }
    }

    /// Fetches one by one the orders that the list leaves out: those whose numbers lie between the neighbours' and
    /// that no webhook has announced. One that cannot be fetched either is put into the inbox, where it is listed
    /// with the reason.
    ///
    /// # Errors
    /// [`PollError`] if the inbox or the store cannot be used.
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

/// Orders that changed recently.
pub struct LatestOrders(pub OrderFeed);

impl LatestOrders {
    /// The recent orders of one connection, polled in turns with others.
    pub fn new(connection: Arc<Connection>, inbox: Arc<dyn Inbox>, retention: Duration, turn: Arc<Turn>) -> Self {
        let name = ResourceName::orders().to_string();
        Self(OrderFeed { connection, inbox, retention, name, turn: Some(turn) })
    }
}

#[async_trait]
impl Walk for LatestOrders {
    async fn watermark(&self) -> Result<Timestamp, InboxError> {
        // Changes from before the connection are left to `backfill`.
        Ok(self.0.state().await?.watermark.unwrap_or(self.0.connection.begins_at))
    }

    async fn keep_watermark(&self, watermark: Timestamp) -> Result<(), InboxError> {
        self.0.keep(|feed| feed.watermark = Some(watermark)).await
    }

    async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError> {
        self.0.page(page).await
    }

    async fn take_again(&self, mut rows: Vec<Row>) -> Result<Vec<ObjectId>, InboxError> {
        rows.retain(|row| !self.0.is_skipped(&row.snapshot));
        let known = self.0.known(rows.iter().map(|row| row.snapshot.id.clone())).await?;
        rows.retain(|row| known.is_delivered_otherwise(&row.snapshot.id, row.digest));
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = |row: &Row| Wanted { change: OrderFeed::change_of(&row.snapshot), id: row.snapshot.id.clone() };
        self.0.want(rows.iter().map(wanted).collect()).await?;
        Ok(rows.into_iter().map(|row| row.snapshot.id).collect())
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
