//! Reconciliation: polls a resource for what changed, and hands on what webhooks did not bring.
//!
//! `Poll` walks any list that can be asked for changes since a time; `Orders` is the store's list, looked at every few
//! minutes. `backfill` walks the same list over a span of the past.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{
    bigcommerce::orders::{Selection, Snapshot, Sort},
    clock::Timestamp,
    connection::Connection,
    event::OrderId,
    http::CallError,
    inbox::{Inbox, InboxError, Known, OrderState},
    one_tribe::Digest,
};

/// How far behind the last row seen each poll begins: the store's clock may jump, and rows may show up late.
const OVERLAP: Duration = Duration::from_secs(120);
/// What clients ask for; the store's own maximum is not documented, and nothing here relies on one.
const PAGE: u32 = 250;
/// A change this fresh is left to its webhook, if the interval is long enough for that.
const WEBHOOK_FIRST: Duration = Duration::from_secs(60);
/// A second has to be over before it counts as seen.
const SETTLING: Duration = Duration::from_secs(2);
/// Dates in answers have a resolution of one second, and whether a filter includes the second it names is not documented.
const RESOLUTION: Duration = Duration::from_secs(1);

/// Why a poll ended early. What was handed on before stays handed on.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The store did not answer as it should.
    #[error("BigCommerce: {0}")]
    Call(#[from] CallError),
    /// What was found cannot be kept.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// Rows came back that were not asked for.
    #[error("the list is not filtered and sorted by date as it was asked to be")]
    NotAsAsked,
}

/// One row of a list of changes.
#[derive(Debug, Clone)]
pub struct Row<T> {
    /// Its id in its resource.
    pub id: i64,
    /// When it last changed.
    pub modified: Timestamp,
    /// Tells this state of it from others: two changes may share a second.
    pub digest: Digest,
    /// The rest of it.
    pub value: T,
}

/// A list that can be asked for what changed.
#[async_trait]
pub trait Feed: Send + Sync {
    /// What a row holds beside id and date.
    type Value: Send;

    /// The note under which the watermark is kept; `None` keeps none.
    fn watermark(&self) -> Option<&str>;

    /// Where the walk begins while no watermark is kept; `None` is the relay's first start.
    fn begin(&self) -> Option<Timestamp> {
        None
    }

    /// One page of what changed from `since` on.
    async fn page(
        &self,
        since: Timestamp,
        sort: Sort,
        page: u32,
        limit: u32,
    ) -> Result<Vec<Row<Self::Value>>, PollError>;

    /// Hands on what is missing of `rows`. Returns how many that were.
    async fn take(&self, rows: Vec<Row<Self::Value>>) -> Result<usize, PollError>;
}

/// What one poll came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Polled {
    /// Calls it cost.
    pub calls: u32,
    /// Rows that had been missed.
    pub missed: usize,
}

/// Polls one feed.
pub struct Poll<F> {
    feed: F,
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
    /// The rows of earlier polls that lie within the overlap: not news.
    seen: HashMap<i64, (Timestamp, Digest)>,
}

impl<F: Feed> Poll<F> {
    /// Of one connection's feed.
    pub fn new(feed: F, connection: Arc<Connection>, inbox: Arc<dyn Inbox>) -> Self {
        Self { feed, connection, inbox, seen: HashMap::new() }
    }

    /// Polls at `interval` until told to stop.
    pub async fn run(mut self, interval: Duration, stop: CancellationToken) {
        let grace = (interval / 15).clamp(SETTLING, WEBHOOK_FIRST);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                polled = self.once(Timestamp::now().before(grace)) => match polled {
                    Ok(Polled { missed: 0, calls }) => tracing::debug!(calls, "polled: nothing was missed"),
                    Ok(Polled { missed, calls }) => tracing::info!(missed, calls, "polled: found {missed} that no webhook brought"),
                    Err(error) => tracing::warn!(%error, "polling stopped early, and goes on next time: {error}"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    async fn watermark(&self) -> Result<Timestamp, InboxError> {
        let kept = match self.feed.watermark() {
            Some(name) => self.inbox.note(self.connection.id, name).await?,
            None => None,
        };
        let kept = kept.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis);
        match kept.or_else(|| self.feed.begin()) {
            Some(watermark) => Ok(watermark),
            // The first start ever: what is older is for `backfill`.
            None => Ok(self.inbox.summary(self.connection.id).await?.first_start.unwrap_or_else(Timestamp::now)),
        }
    }

    /// One poll, up to changes at `until`. The newest changes come first: when they reach back to what is known already,
    /// one call was enough. Otherwise the list is walked from its oldest change to its end.
    ///
    /// # Errors
    /// [`PollError`]; the watermark stands at the last page that was taken whole.
    pub async fn once(&mut self, until: Timestamp) -> Result<Polled, PollError> {
        let since = self.watermark().await?.before(OVERLAP);
        let newest = self.page(since, Sort::NewestFirst, 1).await?;
        if newest.last().is_none_or(|oldest| self.has_seen(oldest)) {
            return Ok(Polled { calls: 1, missed: self.take(newest, until).await? });
        }
        let walked = self.walk(since, until).await?;
        Ok(Polled { calls: walked.calls + 1, ..walked })
    }

    /// Every change from the watermark up to `until`, the oldest first.
    ///
    /// # Errors
    /// [`PollError`]; the watermark stands at the last page that was taken whole.
    pub async fn all(&mut self, until: Timestamp) -> Result<Polled, PollError> {
        let since = self.watermark().await?.before(OVERLAP);
        self.walk(since, until).await
    }

    /// From the oldest change to the newest, ending on an empty page. Page numbers over a list that moves skip rows, so each
    /// page begins at the last row of the one before; pages are counted only through rows that share one second.
    async fn walk(&mut self, since: Timestamp, until: Timestamp) -> Result<Polled, PollError> {
        let (mut since, mut page) = (since, 1);
        let mut polled = Polled::default();
        loop {
            let rows = self.page(since, Sort::OldestFirst, page).await?;
            polled.calls += 1;
            let Some(last) = rows.last().map(|row| row.modified) else { return Ok(polled) };
            polled.missed += self.take(rows, until).await?;
            if last > until {
                return Ok(polled);
            }
            let anchor = last.before(RESOLUTION);
            (since, page) = if anchor > since { (anchor, 1) } else { (since, page + 1) };
        }
    }

    async fn page(&self, since: Timestamp, sort: Sort, page: u32) -> Result<Vec<Row<F::Value>>, PollError> {
        let rows = self.feed.page(since, sort, page, PAGE).await?;
        let sorted = match sort {
            Sort::OldestFirst => rows.is_sorted_by_key(|row| row.modified),
            Sort::NewestFirst => rows.is_sorted_by_key(|row| std::cmp::Reverse(row.modified)),
        };
        // A filter that was not understood is silently ignored.
        let filtered = rows.iter().all(|row| row.modified.after(RESOLUTION) >= since);
        if sorted && filtered { Ok(rows) } else { Err(PollError::NotAsAsked) }
    }

    fn has_seen(&self, row: &Row<F::Value>) -> bool {
        self.seen.get(&row.id) == Some(&(row.modified, row.digest))
    }

    /// Hands on what is new of `rows` up to `until`, and moves the watermark.
    async fn take(&mut self, rows: Vec<Row<F::Value>>, until: Timestamp) -> Result<usize, PollError> {
        let fresh: Vec<_> = rows.into_iter().filter(|row| row.modified <= until && !self.has_seen(row)).collect();
        let Some(reached) = fresh.iter().map(|row| row.modified).max() else { return Ok(0) };
        let seen: Vec<_> = fresh.iter().map(|row| (row.id, (row.modified, row.digest))).collect();
        let missed = self.feed.take(fresh).await?;
        let watermark = self.watermark().await?.max(reached);
        if let Some(name) = self.feed.watermark() {
            let kept = watermark.millis().to_string();
            self.inbox.keep_note(self.connection.id, name, Some(kept)).await?;
        }
        self.seen.extend(seen);
        let horizon = watermark.before(OVERLAP + RESOLUTION);
        self.seen.retain(|_, (modified, _)| *modified >= horizon);
        Ok(missed)
    }
}

/// The store's orders.
pub struct Orders {
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
}

impl Orders {
    /// Of one connection.
    pub fn new(connection: Arc<Connection>, inbox: Arc<dyn Inbox>) -> Self {
        Self { connection, inbox }
    }
}

#[async_trait]
impl Feed for Orders {
    type Value = Snapshot;

    fn watermark(&self) -> Option<&str> {
        Some("orders:watermark")
    }

    async fn page(&self, since: Timestamp, sort: Sort, page: u32, limit: u32) -> Result<Vec<Row<Snapshot>>, PollError> {
        changed_orders(&self.connection, since, sort, page, limit).await
    }

    async fn take(&self, rows: Vec<Row<Snapshot>>) -> Result<usize, PollError> {
        let skipped = &self.connection.config.skip_statuses;
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|row| row.value.status.is_none_or(|status| !skipped.contains(&status)))
            .map(|row| (row.value.id, row.modified, row.digest))
            .collect();
        if rows.is_empty() {
            return Ok(0);
        }
        let known = self.inbox.known(self.connection.id, rows.iter().map(|row| row.0).collect()).await?;
        let known: HashMap<OrderId, Known> = known.into_iter().map(|known| (known.order, known)).collect();
        let missed: Vec<OrderId> = rows
            .into_iter()
            .filter(|(id, modified, digest)| known.get(id).is_none_or(|known| is_missed(known, *modified, *digest)))
            .map(|row| row.0)
            .collect();
        if !missed.is_empty() {
            self.inbox.want(self.connection.id, missed.clone(), false, Timestamp::now()).await?;
        }
        Ok(missed.len())
    }
}

/// One page of the orders that changed from `since` on, in its turn at the quota.
pub(crate) async fn changed_orders(
    connection: &Connection,
    since: Timestamp,
    sort: Sort,
    page: u32,
    limit: u32,
) -> Result<Vec<Row<Snapshot>>, PollError> {
    let token = connection.api.take().await;
    let rows = connection.api.orders(token, &Selection::Modified { since, sort }, page, limit).await?;
    rows.into_iter()
        .map(|value| {
            let modified = value.modified.ok_or(PollError::NotAsAsked)?;
            Ok(Row { id: value.id.get(), modified, digest: Digest::of(&value.body), value })
        })
        .collect()
}

/// An order that the relay knows is missed if there is no work for it, the destination has another state, and the relay has
/// not given up on (or found gone) just this state well after it had come to be.
pub(crate) fn is_missed(known: &Known, modified: Timestamp, digest: Digest) -> bool {
    match known.state {
        OrderState::Pending => false,
        OrderState::Delivered | OrderState::Skipped => known.digest != Some(digest),
        OrderState::Failed | OrderState::Gone => known.settled_at.is_none_or(|at| at <= modified.after(OVERLAP)),
    }
}
