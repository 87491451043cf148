//! Backfill: walks through the store's past orders and puts into the inbox those that the destination does not have.
//! `poll` does the walking; this file decides about each order, and counts.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use super::{
    orders::OrderFeed,
    poll::{Page, Poll, PollError, Row, Walk},
    standing::Standing,
};
use crate::{
    clock::Timestamp,
    connection::Connection,
    http::CallError,
    inbox::{Inbox, InboxError, ObjectQuery, ObjectState, Wanted},
    object::{ObjectId, Snapshot},
    source::plan::PageSize,
};

/// New orders should not wait behind years of old ones: at most this many are in the inbox without having been tried.
const AHEAD: usize = 500;
/// Most waiting orders read to see how many have not been tried yet.
const LOOKED_AT: u32 = 2000;
/// The pause between checks for room.
const ROOM_PAUSE: Duration = Duration::from_millis(500);

/// The part of the past to walk through.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Orders changed from this time on.
    pub since: Timestamp,
    /// Orders changed up to this time; `None` for now.
    pub until: Option<Timestamp>,
    /// Only count; change nothing.
    pub dry_run: bool,
}

/// What became of the orders so far. They add up to `seen`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Orders that changed within the span.
    pub seen: u64,
    /// Put into the inbox (or that would have been, when nothing is changed).
    #[serde(rename = "to_relay")]
    pub wanted: u64,
    /// The destination already has this state.
    pub relayed: u64,
    /// Already waiting in the inbox.
    pub waiting: u64,
    /// Failed or gone before, and not changed since: only a resend delivers them.
    pub given_up: u64,
    /// Their status excludes them from being forwarded.
    pub skipped: u64,
    /// Changed after the connection was made, but so long ago that their rows have been removed: they count as relayed.
    pub presumed: u64,
    /// The latest change looked at so far.
    pub reached: Option<Timestamp>,
}

/// One walk through a span of the past.
pub struct Backfill {
    poll: Poll<Arc<PastOrders>>,
    until: Timestamp,
    /// When it was prepared.
    now: Timestamp,
    /// Whether the feed stays after the walk, with the time of its end.
    keeps_end: bool,
}

impl Backfill {
    /// Prepares the walk; makes no call. `retention` is how long the inbox keeps settled orders.
    pub fn new(connection: Arc<Connection>, inbox: Arc<dyn Inbox>, span: Span, retention: Duration) -> Self {
        let until = span.until.map_or_else(|| "now".to_owned(), |until| until.to_string());
        let name = format!("backfill:{}..{until}", span.since);
        Self::named(name, connection, inbox, span, retention)
    }

    /// A walk up to now whose feed, with this name, stays and records when the walk ended.
    pub(super) fn kept(
        connection: Arc<Connection>,
        inbox: Arc<dyn Inbox>,
        name: String,
        since: Timestamp,
        retention: Duration,
    ) -> Self {
        let span = Span { since, until: None, dry_run: false };
        Self { keeps_end: true, ..Self::named(name, connection, inbox, span, retention) }
    }

    fn named(
        name: String,
        connection: Arc<Connection>,
        inbox: Arc<dyn Inbox>,
        span: Span,
        retention: Duration,
    ) -> Self {
        let now = Timestamp::now();
        let widest = connection.link.as_ref().map_or(1, |link| link.source.widest_page());
        let feed = OrderFeed { connection, inbox, retention, name, turn: None };
        let walk = Arc::new(PastOrders { feed, span, tally: Mutex::default(), reached: Mutex::default() });
        let until = span.until.unwrap_or(now).min(now);
        Self { poll: Poll::new(walk, PageSize::new(widest)), until, now, keeps_end: false }
    }

    /// The time up to which an earlier, interrupted walk over the same span came.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn resumes_at(&self) -> Result<Option<Timestamp>, InboxError> {
        let walk = self.poll.walk();
        if walk.span.dry_run {
            return Ok(None);
        }
        Ok(walk.feed.state().await?.watermark)
    }

    /// A function that reads the count while the walk goes on.
    pub fn tally(&self) -> impl Fn() -> Tally + Send + 'static {
        let walk = self.poll.walk().clone();
        move || *walk.tally()
    }

    /// The end of the span.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Walks to the end. If interrupted, the next walk over the same span continues there.
    ///
    /// # Errors
    /// [`PollError`]; what has been put into the inbox stays there.
    pub async fn run(&mut self) -> Result<Tally, PollError> {
        self.poll.all(self.until, self.now).await?;
        let walk = self.poll.walk();
        if self.keeps_end {
            walk.feed.keep(|feed| feed.polled_at = Some(Timestamp::now())).await?;
        } else if !walk.span.dry_run {
            walk.feed.inbox.remove_feed(walk.feed.connection.id, &walk.feed.name).await?;
        }
        Ok(*walk.tally())
    }
}

/// The store's orders that changed within a span.
struct PastOrders {
    feed: OrderFeed,
    span: Span,
    tally: Mutex<Tally>,
    /// How far a dry run has come, which is not stored.
    reached: Mutex<Option<Timestamp>>,
}

impl PastOrders {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock()
    }

    /// Counts one order. True if it is to be put into the inbox.
    fn judge(&self, row: &Row, standing: Standing, tally: &mut Tally) -> bool {
        tally.seen += 1;
        tally.reached = tally.reached.max(Some(row.modified));
        let (count, wanted) = match standing {
            _ if self.feed.is_skipped(&row.snapshot) => (&mut tally.skipped, false),
            Standing::Missed => (&mut tally.wanted, true),
            Standing::Waiting => (&mut tally.waiting, true),
            Standing::Presumed => (&mut tally.presumed, false),
            Standing::GivenUp => (&mut tally.given_up, false),
            Standing::Relayed => (&mut tally.relayed, false),
        };
        *count += 1;
        wanted
    }

    /// Waits until few orders are untried. Refused orders wait for days, and hold up nothing.
    async fn wait_for_room(&self) -> Result<(), InboxError> {
        while self.untried().await? >= AHEAD {
            tokio::time::sleep(ROOM_PAUSE).await;
        }
        Ok(())
    }

    async fn untried(&self) -> Result<usize, InboxError> {
        let query = ObjectQuery { state: Some(ObjectState::Pending), limit: LOOKED_AT, ..ObjectQuery::default() };
        let pending = self.feed.inbox.objects(self.feed.connection.id, query).await?;
        Ok(pending.iter().filter(|order| order.attempts == 0).count())
    }
}

#[async_trait]
impl Walk for Arc<PastOrders> {
    async fn watermark(&self) -> Result<Timestamp, InboxError> {
        let kept = if self.span.dry_run { *self.reached.lock() } else { self.feed.state().await?.watermark };
        Ok(kept.unwrap_or(self.span.since))
    }

    async fn keep_watermark(&self, watermark: Timestamp) -> Result<(), InboxError> {
        if self.span.dry_run {
            *self.reached.lock() = Some(watermark);
            return Ok(());
        }
        self.feed.keep(|feed| feed.watermark = Some(watermark)).await
    }

    async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError> {
        self.feed.page(page).await
    }

    async fn take(&self, rows: Vec<Row>) -> Result<usize, InboxError> {
        let rows: Vec<_> = rows.into_iter().filter(|row| row.modified >= self.span.since).collect();
        let known = self.feed.known(rows.iter().map(|row| row.snapshot.id.clone())).await?;
        let pruned = known.pruned(Timestamp::now().before(self.feed.retention));
        let standing = |row: &Row| known.standing(&row.snapshot.id, row.modified, row.digest, &pruned);
        // Counted only once it is stored: a walk that is interrupted here reads the page again.
        let mut tally = *self.tally();
        let wanted: Vec<Wanted> = rows
            .iter()
            .filter(|row| self.judge(row, standing(row), &mut tally))
            .map(|row| Wanted { id: row.snapshot.id.clone(), change: OrderFeed::change_of(&row.snapshot) })
            .collect();
        let count = wanted.len();
        if count > 0 && !self.span.dry_run {
            self.wait_for_room().await?;
            self.feed.want(wanted).await?;
        }
        *self.tally() = tally;
        Ok(count)
    }

    async fn look_for_passed(&self, neighbours: Vec<ObjectId>) -> Result<usize, PollError> {
        if self.span.dry_run { Ok(0) } else { self.feed.look_for_passed(neighbours).await }
    }
}
