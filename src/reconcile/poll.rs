//! Walks through a list of changes, and copes with moving pages, changes in the same second, pages that are too
//! large, and rows that cannot be listed.

mod met;

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    http::{CallError, Failure},
    humanize,
    inbox::InboxError,
    object::{Digest, ObjectId, Snapshot},
    source::{Sort, plan::PageSize},
};
use met::Met;

/// How far before the last row seen each poll begins: the store's clock may jump, and rows may show up late.
pub(super) const OVERLAP: Duration = Duration::from_secs(120);
/// The resolution of dates in answers. Whether a filter includes the second it names is not documented.
const RESOLUTION: Duration = Duration::from_secs(1);
/// A date further ahead than this is the store's mistake: the row counts as changed now.
const MAX_AHEAD: Duration = Duration::from_secs(300);
/// Most consecutive rows that cannot be listed; if there are more, the store is at fault.
const MOST_PASSED: u32 = 5;
/// The documented default page size: no store's pages are smaller.
const SMALLEST_PAGE: u32 = 50;
/// Most consecutive numbered pages with nothing but rows of earlier ones, which happens when changed rows push others
/// on.
const MOST_REPEATED: u32 = 3;
/// How often a row is handed on once more. A store whose lists write orders in another way than it does alone costs no
/// more than so many calls for each.
const MOST_AGAIN: u8 = 3;

/// Why a poll ended early. What it had handed on until then stays.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// A call to the store failed.
    #[error("{}", humanize::store_failure(.0.failure))]
    Call(#[from] CallError),
    /// The inbox cannot be read or written.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// The list has rows that were not asked for.
    #[error("the list is not filtered and sorted by date as it was asked to be")]
    NotAsAsked,
    /// The next page numbers bring nothing new: the store ignores them.
    #[error("the list shows the same rows on one page after the other")]
    Repeated,
}

impl PollError {
    /// The store's failure to record; `None` if the inbox was at fault.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Call(error) => Some(error.failure),
            Self::NotAsAsked | Self::Repeated => Some(Failure::NotJson),
            Self::Inbox(_) => None,
        }
    }
}

/// Whether a call for fewer rows may succeed. A store that cannot handle large pages answers in many ways: only
/// refused credentials, the quota and an unreachable store are certain not to depend on the page size.
fn may_be_too_much(failure: Failure) -> bool {
    match failure {
        Failure::Status(401 | 403 | 404 | 410 | 429) => false,
        Failure::Status(_) | Failure::Html(_) => true,
        Failure::TooLarge | Failure::Timeout | Failure::Broken | Failure::NotJson | Failure::AnotherObject => true,
        Failure::Dns | Failure::Connect | Failure::Tls | Failure::PrivateAddress => false,
    }
}

/// Whether a page of a single row may fail because of that row: the store answered, but with something unusable.
fn may_be_the_row(failure: Failure) -> bool {
    may_be_too_much(failure) && !matches!(failure, Failure::Timeout | Failure::Broken)
}

/// One row of a list of changes.
#[derive(Debug, Clone)]
pub struct Row {
    /// When the object last changed.
    pub modified: Timestamp,
    /// Distinguishes states of an object: two changes may share a second.
    pub digest: Digest,
    /// The row itself.
    pub snapshot: Snapshot,
}

/// A request for one page of the changes since `since`.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Changes from this time on.
    pub since: Timestamp,
    /// The order of the rows.
    pub sort: Sort,
    /// The page number, from 1.
    pub number: u32,
    /// Most rows on the page.
    pub limit: u32,
}

/// A list of changes that can be walked through.
#[async_trait]
pub trait Walk: Send + Sync {
    /// The time up to which all changes have been handed on.
    async fn watermark(&self) -> Result<Timestamp, InboxError>;

    /// Stores that all changes up to `watermark` have been handed on.
    async fn keep_watermark(&self, watermark: Timestamp) -> Result<(), InboxError>;

    /// Fetches one page, when the quota allows.
    async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError>;

    /// Hands on once more those of `rows`, all handed on before, of which another state was delivered since: a store
    /// that lags behind itself may have given an older one. Returns their ids.
    async fn take_again(&self, _rows: Vec<Row>) -> Result<Vec<ObjectId>, InboxError> {
        Ok(Vec::new())
    }

    /// Hands on those of `rows` that the inbox lacks. Returns how many.
    async fn take(&self, rows: Vec<Row>) -> Result<usize, InboxError>;

    /// Looks one by one for rows that cannot be listed; `neighbours` are the ids listed around them. Returns how many
    /// were found.
    async fn look_for_passed(&self, neighbours: Vec<ObjectId>) -> Result<usize, PollError>;
}

/// The result of one poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Polled {
    /// How many calls were made.
    pub calls: u32,
    /// How many objects had been missed.
    pub missed: usize,
    /// How many rows could not be listed.
    pub passed: u32,
}

/// Polls one list.
pub struct Poll<W> {
    walk: W,
    /// The rows of earlier polls within the overlap, which are not new.
    seen: HashMap<ObjectId, Seen>,
    size: PageSize,
}

/// A row of an earlier poll.
struct Seen {
    modified: Timestamp,
    digest: Digest,
    /// How often it was handed on once more.
    again: u8,
}

/// Where a poll ends: changes up to `until` count, and none can be later than `now`.
#[derive(Clone, Copy)]
struct End {
    until: Timestamp,
    now: Timestamp,
}

/// The result of asking for a page.
enum Asked {
    Rows(Vec<Row>),
    /// The page size was reduced, so page numbers start over.
    Narrowed,
    /// Not even a single row can be listed here.
    CannotBeListed(CallError),
}

impl<W: Walk> Poll<W> {
    /// Polls one list, with pages of this size.
    pub fn new(walk: W, size: PageSize) -> Self {
        Self { walk, seen: HashMap::new(), size }
    }

    /// The list that is polled.
    pub fn walk(&self) -> &W {
        &self.walk
    }

    /// The page size, if it is smaller than usual.
    pub fn page_size(&self) -> Option<u32> {
        self.size.to_keep()
    }

    /// Polls once, up to changes at `until`. Asks for the newest changes first: if they reach back to what is already
    /// known, that call is all. Otherwise walks through the list from its oldest change to its end.
    ///
    /// # Errors
    /// [`PollError`]; the watermark is at the last page that was handed on whole.
    pub async fn once(&mut self, until: Timestamp) -> Result<Polled, PollError> {
        let since = self.walk.watermark().await?.before(OVERLAP);
        let (mut polled, end) = (Polled::default(), End { until, now: until });
        match self.ask(since, Sort::NewestFirst, 1, end, &mut polled).await? {
            Asked::Rows(newest) if newest.last().is_none_or(|oldest| self.has_seen(oldest)) => {
                polled.missed += self.take(newest, since, until).await?;
            }
            _ => self.go_through(since, end, &mut polled).await?,
        }
        self.size.answered();
        Ok(polled)
    }

    /// Hands on every change from the watermark up to `until`, at most `now`, the oldest first.
    ///
    /// # Errors
    /// [`PollError`]; the watermark is at the last page that was handed on whole.
    pub async fn all(&mut self, until: Timestamp, now: Timestamp) -> Result<Polled, PollError> {
        let since = self.walk.watermark().await?.before(OVERLAP);
        let mut polled = Polled::default();
        self.go_through(since, End { until, now }, &mut polled).await?;
        Ok(polled)
    }

    /// Walks from the oldest change to the newest, and ends on an empty page. In a list that moves, page numbers skip
    /// rows, so each page begins at the last row of the one before; numbers are used only within one second, and past
    /// rows that cannot be listed.
    async fn go_through(&mut self, since: Timestamp, end: End, polled: &mut Polled) -> Result<(), PollError> {
        let (mut since, mut page, mut passed) = (since, 1, 0);
        // Whether a full page was read by number, so that rows may have moved.
        let mut is_whole = false;
        let mut neighbours = Vec::new();
        let mut met = Met::default();
        loop {
            let rows = match self.ask(since, Sort::OldestFirst, page, end, polled).await? {
                Asked::Rows(rows) => rows,
                Asked::Narrowed => {
                    (page, met) = (1, Met::default());
                    continue;
                }
                Asked::CannotBeListed(error) if passed >= MOST_PASSED => return Err(error.into()),
                Asked::CannotBeListed(_) => {
                    (page, passed) = (page + 1, passed + 1);
                    continue;
                }
            };
            if passed > 0 {
                polled.passed += std::mem::take(&mut passed);
                neighbours.extend(rows.iter().map(|row| row.snapshot.id.clone()));
            }
            neighbours.extend(rows.last().map(|row| row.snapshot.id.clone()));
            let last = rows.last().map(|row| row.modified);
            if met.again(&rows) >= MOST_REPEATED {
                return Err(PollError::Repeated);
            }
            is_whole |= rows.len() >= self.size.rows().min(SMALLEST_PAGE) as usize;
            polled.missed += self.take(rows, since, end.until).await?;
            let anchor = last.map_or(since, |last| last.before(RESOLUTION));
            let has_ended = last.is_none_or(|last| last > end.until);
            if !has_ended && anchor <= since {
                page += 1;
                continue;
            }
            if is_whole && !self.go_back(since, end, page, polled).await? {
                (page, met) = (1, Met::default());
                continue;
            }
            if has_ended {
                break;
            }
            (since, page, is_whole, met) = (anchor, 1, false, Met::default());
            self.size.answered();
        }
        if polled.passed > 0 {
            polled.missed += self.walk.look_for_passed(neighbours).await?;
        }
        Ok(())
    }

    /// Reads numbered pages again, backwards: a row that changed meanwhile has moved those after it towards the
    /// front, perhaps onto a page already read. They move in that direction only, so going back finds them all. False
    /// if the page size was reduced meanwhile.
    async fn go_back(&mut self, since: Timestamp, end: End, page: u32, polled: &mut Polled) -> Result<bool, PollError> {
        for again in (1..page).rev() {
            match self.ask(since, Sort::OldestFirst, again, end, polled).await? {
                Asked::Rows(rows) => polled.missed += self.take(rows, since, end.until).await?,
                Asked::Narrowed => return Ok(false),
                Asked::CannotBeListed(_) => {}
            }
        }
        Ok(true)
    }

    /// Fetches one page. If the store or the relay cannot handle so many rows at once, the page size is reduced, down
    /// to a single row, before the store is blamed.
    async fn ask(
        &mut self,
        since: Timestamp,
        sort: Sort,
        number: u32,
        end: End,
        polled: &mut Polled,
    ) -> Result<Asked, PollError> {
        loop {
            polled.calls += 1;
            let limit = self.size.rows();
            let error = match self.walk.page(Page { since, sort, number, limit }).await {
                Ok(rows) => return dated(rows, since, sort, end.now).map(Asked::Rows),
                Err(error) => error,
            };
            if !may_be_too_much(error.failure) {
                return Err(error.into());
            }
            if !self.size.narrow() {
                if may_be_the_row(error.failure) {
                    return Ok(Asked::CannotBeListed(error));
                }
                // Not even a single row is answered: the store is at fault, and the page size is not.
                self.size.forget();
                return Err(error.into());
            }
            if number > 1 {
                return Ok(Asked::Narrowed);
            }
        }
    }

    fn has_seen(&self, row: &Row) -> bool {
        let is_same = |seen: &Seen| (seen.modified, seen.digest) == (row.modified, row.digest);
        self.seen.get(&row.snapshot.id).is_some_and(is_same)
    }

    /// Hands on what is new in `rows` up to `until`, and moves the watermark. Changes from `since` on may be read
    /// again.
    async fn take(&mut self, rows: Vec<Row>, since: Timestamp, until: Timestamp) -> Result<usize, PollError> {
        let in_time = rows.into_iter().filter(|row| row.modified <= until);
        let (known, fresh): (Vec<_>, Vec<_>) = in_time.partition(|row| self.has_seen(row));
        self.take_again(known).await?;
        let Some(reached) = fresh.iter().map(|row| row.modified).max() else { return Ok(0) };
        let seen = |row: &Row| Seen { modified: row.modified, digest: row.digest, again: 0 };
        let seen: Vec<_> = fresh.iter().map(|row| (row.snapshot.id.clone(), seen(row))).collect();
        let missed = self.walk.take(fresh).await?;
        let known = self.walk.watermark().await?;
        let watermark = known.max(reached);
        if watermark > known {
            self.walk.keep_watermark(watermark).await?;
        }
        self.seen.extend(seen);
        let horizon = watermark.before(OVERLAP).min(since).before(RESOLUTION);
        self.seen.retain(|_, seen| seen.modified >= horizon);
        Ok(missed)
    }

    async fn take_again(&mut self, mut rows: Vec<Row>) -> Result<(), PollError> {
        rows.retain(|row| self.seen.get(&row.snapshot.id).is_some_and(|seen| seen.again < MOST_AGAIN));
        if rows.is_empty() {
            return Ok(());
        }
        for id in self.walk.take_again(rows).await? {
            if let Some(seen) = self.seen.get_mut(&id) {
                seen.again += 1;
            }
        }
        Ok(())
    }
}

/// The rows of a list sorted by date. A row without a date gets its neighbour's, so that it holds up no other. One
/// with a date far ahead of the present counts as changed now.
fn dated(rows: Vec<Snapshot>, since: Timestamp, sort: Sort, now: Timestamp) -> Result<Vec<Row>, PollError> {
    let Some(first) = rows.iter().find_map(|row| row.modified) else {
        return if rows.is_empty() { Ok(Vec::new()) } else { Err(PollError::NotAsAsked) };
    };
    let mut last = first;
    let dates: Vec<Timestamp> = rows
        .iter()
        .map(|row| {
            last = row.modified.unwrap_or(last);
            last
        })
        .collect();
    let is_sorted = match sort {
        Sort::OldestFirst => dates.is_sorted(),
        Sort::NewestFirst => dates.is_sorted_by_key(|date| std::cmp::Reverse(*date)),
    };
    // A filter that the store does not understand is ignored silently.
    let is_filtered = dates.iter().all(|date| date.after(RESOLUTION) >= since);
    if !is_sorted || !is_filtered {
        return Err(PollError::NotAsAsked);
    }
    let row = |(snapshot, date): (Snapshot, Timestamp)| {
        let modified = if date > now.after(MAX_AHEAD) { now } else { date };
        Row { modified, digest: Digest::of(&snapshot.body), snapshot }
    };
    Ok(rows.into_iter().zip(dates).map(row).collect())
}

#[cfg(test)]
mod tests;
