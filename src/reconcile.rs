//! Reconciliation: polls a resource for what changed, and hands on what webhooks did not bring.
//!
//! `Poll` walks any list that can be asked for changes since a time; `Orders` is the store's list, looked at every few
//! minutes. `backfill` walks the same list over a span of the past.

mod orders;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{
    bigcommerce::orders::{PAGE, SMALLEST_PAGE, Sort},
    clock::Timestamp,
    connection::{Connection, Outage},
    http::{CallError, Seen, Transport, Unusable},
    inbox::{Inbox, InboxError},
    one_tribe::Digest,
};

pub use orders::Orders;
pub(crate) use orders::{Notes, Stands, changed_orders};

/// How far behind the last row seen each poll begins: the store's clock may jump, and rows may show up late.
const OVERLAP: Duration = Duration::from_secs(120);
/// So many small pages are read before wider ones are tried again.
const WIDEN_AFTER: u32 = 20;
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

/// Whether a call for fewer rows may do better.
fn may_be_too_much(seen: Seen) -> bool {
    matches!(seen, Seen::Unusable(Unusable::TooLarge) | Seen::Transport(Transport::Timeout | Transport::Broken))
}

/// The inbox's note of since when (milliseconds since 1970) polling does not work, and why.
const TROUBLE: &str = "polling:trouble";

/// Notes how the last poll went.
async fn tell(connection: &Connection, inbox: &dyn Inbox, failed: Option<PollError>) -> Result<(), InboxError> {
    let noted = inbox.note(connection.id, TROUBLE).await?;
    let now = match (failed, &noted) {
        (None, None) => return Ok(()),
        (None, Some(_)) => None,
        // The inbox has told of itself.
        (Some(PollError::Inbox(_)), _) => return Ok(()),
        (Some(error), noted) => {
            let since = noted.as_ref().and_then(|noted| noted.split_once(' ')).map(|(since, _)| since.to_owned());
            Some(format!("{} {error}", since.unwrap_or_else(|| Timestamp::now().millis().to_string())))
        }
    };
    if now == noted { Ok(()) } else { inbox.keep_note(connection.id, TROUBLE, now).await }
}

/// Removes the note of trouble, where no relay runs that could do so.
///
/// # Errors
/// When the inbox cannot be written.
pub async fn forget_trouble(connection: &Connection, inbox: &dyn Inbox) -> Result<(), InboxError> {
    inbox.keep_note(connection.id, TROUBLE, None).await
}

/// For how long polling has not worked, and why, if so; nothing where it is switched off.
///
/// # Errors
/// When the inbox cannot be read.
pub async fn trouble(connection: &Connection, inbox: &dyn Inbox) -> Result<Option<Outage>, InboxError> {
    if connection.config.reconcile_interval.is_none() {
        return Ok(None);
    }
    let read = |noted: String| {
        let (since, why) = noted.split_once(' ')?;
        Some((Timestamp::now().since(Timestamp::from_millis(since.parse().ok()?)), why.to_owned()))
    };
    Ok(inbox.note(connection.id, TROUBLE).await?.and_then(read))
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
    /// How many rows a page asks for: fewer where a whole page is more than the store, or the relay, can take.
    limit: u32,
}

impl<F: Feed> Poll<F> {
    /// Of one connection's feed.
    pub fn new(feed: F, connection: Arc<Connection>, inbox: Arc<dyn Inbox>) -> Self {
        Self { feed, connection, inbox, seen: HashMap::new(), limit: PAGE }
    }

    /// Polls at `interval` until told to stop.
    pub async fn run(mut self, interval: Duration, stop: CancellationToken) {
        let grace = (interval / 15).clamp(SETTLING, WEBHOOK_FIRST);
        loop {
            let polled = tokio::select! {
                () = stop.cancelled() => return,
                polled = self.once(Timestamp::now().before(grace)) => polled,
            };
            match &polled {
                Ok(Polled { missed: 0, calls }) => tracing::debug!(calls, "polled: nothing was missed"),
                Ok(Polled { missed, calls }) => {
                    tracing::info!(missed, calls, "polled: found {missed} that no webhook brought");
                }
                Err(error) => tracing::warn!(%error, "polling stopped early, and goes on next time: {error}"),
            }
            if let Err(error) = tell(&self.connection, self.inbox.as_ref(), polled.err()).await {
                tracing::debug!(%error, "how polling went could not be noted: {error}");
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
        let mut polled = Polled::default();
        let newest = self.page(since, Sort::NewestFirst, 1, &mut polled).await?;
        if newest.last().is_none_or(|oldest| self.has_seen(oldest)) {
            polled.missed += self.take(newest, since, until).await?;
        } else {
            self.walk(since, until, &mut polled).await?;
        }
        self.widen();
        Ok(polled)
    }

    /// What kept the pages small may be over.
    fn widen(&mut self) {
        self.limit = (self.limit * 2).min(PAGE);
    }

    /// Every change from the watermark up to `until`, the oldest first.
    ///
    /// # Errors
    /// [`PollError`]; the watermark stands at the last page that was taken whole.
    pub async fn all(&mut self, until: Timestamp) -> Result<Polled, PollError> {
        let since = self.watermark().await?.before(OVERLAP);
        let mut polled = Polled::default();
        self.walk(since, until, &mut polled).await?;
        Ok(polled)
    }

    /// From the oldest change to the newest, ending on an empty page. Page numbers over a list that moves skip rows, so each
    /// page begins at the last row of the one before; pages are counted only through rows that share one second.
    async fn walk(&mut self, since: Timestamp, until: Timestamp, polled: &mut Polled) -> Result<(), PollError> {
        let (mut since, mut page, mut steps) = (since, 1, 0);
        // Whether more may stand behind a page that was counted.
        let mut is_whole = false;
        'pages: loop {
            let limit = self.limit;
            let rows = self.page(since, Sort::OldestFirst, page, polled).await?;
            if self.limit != limit && page > 1 {
                // Smaller pages are counted anew.
                page = 1;
                continue 'pages;
            }
            let last = rows.last().map(|row| row.modified);
            is_whole |= rows.len() >= self.limit.min(SMALLEST_PAGE) as usize;
            polled.missed += self.take(rows, since, until).await?;
            let anchor = last.map_or(since, |last| last.before(RESOLUTION));
            let ended = last.is_none_or(|last| last > until);
            if !ended && anchor <= since {
                page += 1;
                continue;
            }
            // A row that changed while whole pages were counted has moved those behind it up, perhaps into a page that was read
            // before. They move up only, so going back meets them all.
            for again in (1..page).rev().take_while(|_| is_whole) {
                let rows = self.page(since, Sort::OldestFirst, again, polled).await?;
                polled.missed += self.take(rows, since, until).await?;
                if self.limit != limit {
                    page = 1;
                    continue 'pages;
                }
            }
            if ended {
                return Ok(());
            }
            (since, page, is_whole) = (anchor, 1, false);
            steps += 1;
            if steps % WIDEN_AFTER == 0 {
                self.widen();
            }
        }
    }

    /// One page, or a smaller one where the store, or the relay, cannot take so many rows at once. Then `page` is counted in
    /// smaller pages as well: see [`Poll::walk`].
    async fn page(
        &mut self,
        since: Timestamp,
        sort: Sort,
        page: u32,
        polled: &mut Polled,
    ) -> Result<Vec<Row<F::Value>>, PollError> {
        let whole = self.limit;
        let rows = loop {
            polled.calls += 1;
            match self.feed.page(since, sort, page, self.limit).await {
                Ok(rows) => break rows,
                Err(PollError::Call(error)) if self.limit > 1 && may_be_too_much(error.seen) => {
                    self.limit = (self.limit / 4).max(1);
                }
                Err(error) => {
                    // What happens to a single row as well is no matter of how many there are.
                    self.limit = whole;
                    return Err(error);
                }
            }
        };
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

    /// Hands on what is new of `rows` up to `until`, and moves the watermark. What changed from `since` on may be read again.
    async fn take(&mut self, rows: Vec<Row<F::Value>>, since: Timestamp, until: Timestamp) -> Result<usize, PollError> {
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
        let horizon = watermark.before(OVERLAP).min(since).before(RESOLUTION);
        self.seen.retain(|_, (modified, _)| *modified >= horizon);
        Ok(missed)
    }
}
