//! Backfill: walks the store's past orders and puts into the inbox what the destination does not have. The walk itself is
//! `reconcile`'s; here is what becomes of each order, and the count of it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    bigcommerce::orders::{Snapshot, Sort},
    clock::Timestamp,
    connection::Connection,
    event::OrderId,
    inbox::{Inbox, InboxError, OrderQuery, OrderState},
    reconcile::{Feed, Notes, Poll, PollError, Row, Stands, changed_orders},
};

/// New orders should not wait behind years of old ones: no more than this many are put into the inbox ahead.
const AHEAD: usize = 500;
/// Waiting orders that are looked at to see how many have not been tried yet.
const LOOKED_AT: u32 = 2000;
/// Between looks at whether there is room for more.
const ROOM_PAUSE: Duration = Duration::from_millis(500);

/// Which part of the past.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The earliest change.
    pub since: Timestamp,
    /// The latest change; `None` is now.
    pub until: Option<Timestamp>,
    /// Only count, change nothing.
    pub dry_run: bool,
}

/// What became of the orders so far. They add up to `seen`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Orders that changed within the span.
    pub seen: u64,
    /// Put into the inbox (or that would have been, when nothing is changed).
    pub wanted: u64,
    /// The destination has just this state.
    pub relayed: u64,
    /// There was work for them already.
    pub waiting: u64,
    /// Failed or gone before, and not changed since: only a resend brings them back.
    pub given_up: u64,
    /// Of a status that is not forwarded.
    pub skipped: u64,
    /// Changed after the relay's first start, so long ago that its notes on them are cleared out: they count as relayed.
    pub presumed: u64,
    /// The change that was looked at last.
    pub reached: Option<Timestamp>,
}

/// One walk through the past.
pub struct Backfill {
    feed: Arc<PastOrders>,
    poll: Poll<Arc<PastOrders>>,
    until: Timestamp,
}

impl Backfill {
    /// Prepares the walk; asks the inbox, calls nobody.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn new(
        connection: Arc<Connection>,
        inbox: Arc<dyn Inbox>,
        span: Span,
        retention: Duration,
    ) -> Result<Self, InboxError> {
        let now = Timestamp::now();
        let until = span.until.map_or_else(|| "now".to_owned(), |until| until.to_string());
        let feed = Arc::new(PastOrders {
            connection: connection.clone(),
            inbox: inbox.clone(),
            span,
            note: format!("backfill:{}..{until}", span.since),
            retention,
            tally: Mutex::default(),
        });
        let until = span.until.unwrap_or(now).min(now);
        Ok(Self { poll: Poll::new(feed.clone(), connection, inbox), feed, until })
    }

    /// Where an earlier walk over the same span was broken off, if it was.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn resumes_at(&self) -> Result<Option<Timestamp>, InboxError> {
        if self.feed.span.dry_run {
            return Ok(None);
        }
        let kept = self.feed.inbox.note(self.feed.connection.id, &self.feed.note).await?;
        Ok(kept.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis))
    }

    /// Reads the count while the walk goes on.
    pub fn tally(&self) -> impl Fn() -> Tally + Send + 'static {
        let feed = self.feed.clone();
        move || *feed.tally()
    }

    /// The latest change that is looked at.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Walks to the end. Broken off, it is taken up there by the next walk over the same span.
    ///
    /// # Errors
    /// [`PollError`]; what was put into the inbox stays there.
    pub async fn run(&mut self) -> Result<Tally, PollError> {
        self.poll.all(self.until).await?;
        if !self.feed.span.dry_run {
            self.feed.inbox.keep_note(self.feed.connection.id, &self.feed.note, None).await?;
        }
        Ok(*self.feed.tally())
    }
}

/// The store's orders that changed within a span.
struct PastOrders {
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
    span: Span,
    note: String,
    retention: Duration,
    tally: Mutex<Tally>,
}

impl PastOrders {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one order. True if it is to be put into the inbox.
    fn judge(&self, row: &Row<Snapshot>, stands: Stands, tally: &mut Tally) -> bool {
        tally.seen += 1;
        tally.reached = tally.reached.max(Some(row.modified));
        let skipped = row.value.status.is_some_and(|status| self.connection.config.skip_statuses.contains(&status));
        let (count, wanted) = match stands {
            _ if skipped => (&mut tally.skipped, false),
            Stands::Missed => (&mut tally.wanted, true),
            Stands::Waiting => (&mut tally.waiting, true),
            Stands::Presumed => (&mut tally.presumed, false),
            Stands::GivenUp => (&mut tally.given_up, false),
            Stands::Relayed => (&mut tally.relayed, false),
        };
        *count += 1;
        wanted
    }

    /// Waits until few orders wait for their first try. Those that were refused wait for days, and hold up no others.
    async fn wait_for_room(&self) -> Result<(), InboxError> {
        while self.untried().await? >= AHEAD {
            tokio::time::sleep(ROOM_PAUSE).await;
        }
        Ok(())
    }

    async fn untried(&self) -> Result<usize, InboxError> {
        let query = OrderQuery { state: Some(OrderState::Pending), limit: LOOKED_AT, before: None };
        let pending = self.inbox.orders(self.connection.id, query).await?;
        Ok(pending.iter().filter(|order| order.attempts == 0).count())
    }
}

#[async_trait]
impl Feed for Arc<PastOrders> {
    type Value = Snapshot;

    fn watermark(&self) -> Option<&str> {
        (!self.span.dry_run).then_some(&self.note)
    }

    fn begin(&self) -> Option<Timestamp> {
        Some(self.span.since)
    }

    async fn page(&self, since: Timestamp, sort: Sort, page: u32, limit: u32) -> Result<Vec<Row<Snapshot>>, PollError> {
        changed_orders(&self.connection, since, sort, page, limit).await
    }

    async fn take(&self, rows: Vec<Row<Snapshot>>) -> Result<usize, PollError> {
        let rows: Vec<_> = rows.into_iter().filter(|row| row.modified >= self.span.since).collect();
        let ids = rows.iter().map(|row| row.value.id);
        let notes = Notes::read(self.inbox.as_ref(), self.connection.id, ids).await?;
        let pruned = notes.pruned(Timestamp::now().before(self.retention));
        let stands = |row: &Row<Snapshot>| notes.standing(row.value.id, row.modified, row.digest, &pruned);
        // Counted only once it is kept: a walk that is broken off here looks at the page again.
        let mut tally = *self.tally();
        let wanted: Vec<OrderId> =
            rows.iter().filter(|row| self.judge(row, stands(row), &mut tally)).map(|row| row.value.id).collect();
        let count = wanted.len();
        if count > 0 && !self.span.dry_run {
            self.wait_for_room().await?;
            self.inbox.want(self.connection.id, wanted, false, Timestamp::now()).await?;
        }
        *self.tally() = tally;
        Ok(count)
    }
}
