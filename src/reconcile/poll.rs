//! The walk through a list of changes: pages that move, equal seconds, pages that are too much, rows that cannot be
//! listed.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    http::{CallError, Failure},
    humanize,
    inbox::InboxError,
    object::{Digest, ObjectId, Snapshot},
    source::{Sort, plan::PageSize},
};

/// How far behind the last row seen each poll begins: the store's clock may jump, and rows may show up late.
pub(super) const OVERLAP: Duration = Duration::from_secs(120);
/// Dates in answers have a resolution of one second, and whether a filter includes the second it names is not
/// documented.
const RESOLUTION: Duration = Duration::from_secs(1);
/// A date that lies further ahead than this is a mistake of the store's: the row counts as changed now.
const MAX_AHEAD: Duration = Duration::from_secs(300);
/// Rows in a row that cannot be listed; more of them are the store's trouble.
const MOST_PASSED: u32 = 5;
/// The documented default: no store's page holds fewer.
const SMALLEST_PAGE: u32 = 50;
/// Counted pages in a row that may hold nothing but rows of earlier ones: rows that change push others on.
const MOST_REPEATED: u32 = 3;

/// Why a poll ended early. What was handed on before stays handed on.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The store did not answer as it should.
    #[error("the store does not answer as it should ({})", humanize::failure(.0.failure))]
    Call(#[from] CallError),
    /// What was found cannot be kept.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// Rows came back that were not asked for.
    #[error("the list is not filtered and sorted by date as it was asked to be")]
    NotAsAsked,
    /// Counting pages brings nothing new: the store does not know them.
    #[error("the list shows the same rows on one page after the other")]
    Repeated,
}

impl PollError {
    /// What is to be noted of it; nothing of the inbox's own trouble.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Call(error) => Some(error.failure),
            Self::NotAsAsked | Self::Repeated => Some(Failure::NotJson),
            Self::Inbox(_) => None,
        }
    }
}

/// Whether a call for fewer rows may do better. A store that cannot take wide pages answers in many ways: only refused
/// credentials, the quota and a store that cannot be reached at all are certain to be no matter of width.
fn may_be_too_much(failure: Failure) -> bool {
    match failure {
        Failure::Status(401 | 403 | 404 | 410 | 429) => false,
        Failure::Status(_) | Failure::Html(_) => true,
        Failure::TooLarge | Failure::Timeout | Failure::Broken | Failure::NotJson | Failure::AnotherObject => true,
        Failure::Dns | Failure::Connect | Failure::Tls | Failure::PrivateAddress => false,
    }
}

/// Whether a page of a single row fails because of that row: the store answered, and its answer is of no use.
fn may_be_the_row(failure: Failure) -> bool {
    may_be_too_much(failure) && !matches!(failure, Failure::Timeout | Failure::Broken)
}

/// One row of a list of changes.
#[derive(Debug, Clone)]
pub struct Row {
    /// When it last changed.
    pub modified: Timestamp,
    /// Tells this state of it from others: two changes may share a second.
    pub digest: Digest,
    /// The row itself.
    pub snapshot: Snapshot,
}

/// One page of what changed from `since` on.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// From when on.
    pub since: Timestamp,
    /// In which order.
    pub sort: Sort,
    /// Which page, from 1.
    pub number: u32,
    /// At most so many rows.
    pub limit: u32,
}

/// A list that can be walked for what changed.
#[async_trait]
pub trait Walk: Send + Sync {
    /// Where the walk stands.
    async fn watermark(&self) -> Result<Timestamp, InboxError>;

    /// Everything that changed up to `watermark` has been handed on.
    async fn keep_watermark(&self, watermark: Timestamp) -> Result<(), InboxError>;

    /// One page, in its turn at the store's quota.
    async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError>;

    /// Hands on what is missing of `rows`. Returns how many that were.
    async fn take(&self, rows: Vec<Row>) -> Result<usize, InboxError>;

    /// Rows that cannot be listed lie among those with these ids: looks for them one by one. Returns how many were
    /// found.
    async fn look_for_passed(&self, neighbours: Vec<ObjectId>) -> Result<usize, PollError>;
}

/// What one poll came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Polled {
    /// Calls it cost.
    pub calls: u32,
    /// Rows that had been missed.
    pub missed: usize,
    /// Rows that could not be listed.
    pub passed: u32,
}

/// Polls one list.
pub struct Poll<W> {
    walk: W,
    /// The rows of earlier polls that lie within the overlap: not news.
    seen: HashMap<ObjectId, (Timestamp, Digest)>,
    size: PageSize,
}

/// What came of asking for a page.
enum Asked {
    Rows(Vec<Row>),
    /// Pages are narrower from now on, and counted anew.
    Narrowed,
    /// Not even a single row can be listed here.
    CannotBeListed(CallError),
}

/// The rows of the pages that have been counted from one moment on.
#[derive(Default)]
struct Met {
    rows: HashSet<(ObjectId, Digest)>,
    repeated: u32,
}

impl Met {
    /// Takes in a page. How many pages in a row have brought nothing else than pages before them.
    fn again(&mut self, page: &[Row]) -> u32 {
        let mut is_new = page.is_empty();
        for row in page {
            is_new |= self.rows.insert((row.snapshot.id.clone(), row.digest));
        }
        self.repeated = if is_new { 0 } else { self.repeated + 1 };
        self.repeated
    }
}

impl<W: Walk> Poll<W> {
    /// Of one list, with pages of this size.
    pub fn new(walk: W, size: PageSize) -> Self {
        Self { walk, seen: HashMap::new(), size }
    }

    /// The list itself.
    pub fn walk(&self) -> &W {
        &self.walk
    }

    /// How many rows a page asks for, where that is less than usual.
    pub fn page_size(&self) -> Option<u32> {
        self.size.to_keep()
    }

    /// One poll, up to changes at `until`. The newest changes come first: when they reach back to what is known
    /// already, one call was enough. Otherwise the list is walked from its oldest change to its end.
    ///
    /// # Errors
    /// [`PollError`]; the watermark stands at the last page that was taken whole.
    pub async fn once(&mut self, until: Timestamp) -> Result<Polled, PollError> {
        let since = self.walk.watermark().await?.before(OVERLAP);
        let mut polled = Polled::default();
        match self.ask(since, Sort::NewestFirst, 1, until, &mut polled).await? {
            Asked::Rows(newest) if newest.last().is_none_or(|oldest| self.has_seen(oldest)) => {
                polled.missed += self.take(newest, since, until).await?;
            }
            _ => self.go_through(since, until, &mut polled).await?,
        }
        self.size.answered();
        Ok(polled)
    }

    /// Every change from the watermark up to `until`, the oldest first.
    ///
    /// # Errors
    /// [`PollError`]; the watermark stands at the last page that was taken whole.
    pub async fn all(&mut self, until: Timestamp) -> Result<Polled, PollError> {
        let since = self.walk.watermark().await?.before(OVERLAP);
        let mut polled = Polled::default();
        self.go_through(since, until, &mut polled).await?;
        Ok(polled)
    }

    /// From the oldest change to the newest, ending on an empty page. Page numbers over a list that moves skip rows, so
    /// each page begins at the last row of the one before; pages are counted only through rows that share one second,
    /// and past rows that cannot be listed.
    async fn go_through(&mut self, since: Timestamp, until: Timestamp, polled: &mut Polled) -> Result<(), PollError> {
        let (mut since, mut page, mut passed) = (since, 1, 0);
        // Whether more may stand behind a page that was counted.
        let mut is_whole = false;
        let mut neighbours = Vec::new();
        let mut met = Met::default();
        loop {
            let rows = match self.ask(since, Sort::OldestFirst, page, until, polled).await? {
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
            polled.missed += self.take(rows, since, until).await?;
            let anchor = last.map_or(since, |last| last.before(RESOLUTION));
            let has_ended = last.is_none_or(|last| last > until);
            if !has_ended && anchor <= since {
                page += 1;
                continue;
            }
            if is_whole && !self.go_back(since, until, page, polled).await? {
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

    /// A row that changed while whole pages were counted has moved those behind it up, perhaps into a page that was
    /// read before. They move up only, so going back meets them all. False if pages have become narrower meanwhile.
    async fn go_back(
        &mut self,
        since: Timestamp,
        until: Timestamp,
        page: u32,
        polled: &mut Polled,
    ) -> Result<bool, PollError> {
        for again in (1..page).rev() {
            match self.ask(since, Sort::OldestFirst, again, until, polled).await? {
                Asked::Rows(rows) => polled.missed += self.take(rows, since, until).await?,
                Asked::Narrowed => return Ok(false),
                Asked::CannotBeListed(_) => {}
            }
        }
        Ok(true)
    }

    /// One page. Where the store, or the relay, cannot take so many rows at once, pages become narrower, down to a
    /// single row, before the store is blamed.
    async fn ask(
        &mut self,
        since: Timestamp,
        sort: Sort,
        number: u32,
        until: Timestamp,
        polled: &mut Polled,
    ) -> Result<Asked, PollError> {
        loop {
            polled.calls += 1;
            let limit = self.size.rows();
            let error = match self.walk.page(Page { since, sort, number, limit }).await {
                Ok(rows) => return dated(rows, since, sort, until).map(Asked::Rows),
                Err(error) => error,
            };
            if !may_be_too_much(error.failure) {
                return Err(error.into());
            }
            if !self.size.narrow() {
                if may_be_the_row(error.failure) {
                    return Ok(Asked::CannotBeListed(error));
                }
                // A single row is not answered either: that is the store, and says nothing about wide pages.
                self.size.forget();
                return Err(error.into());
            }
            if number > 1 {
                return Ok(Asked::Narrowed);
            }
        }
    }

    fn has_seen(&self, row: &Row) -> bool {
        self.seen.get(&row.snapshot.id) == Some(&(row.modified, row.digest))
    }

    /// Hands on what is new of `rows` up to `until`, and moves the watermark. What changed from `since` on may be read
    /// again.
    async fn take(&mut self, rows: Vec<Row>, since: Timestamp, until: Timestamp) -> Result<usize, PollError> {
        let fresh: Vec<_> = rows.into_iter().filter(|row| row.modified <= until && !self.has_seen(row)).collect();
        let Some(reached) = fresh.iter().map(|row| row.modified).max() else { return Ok(0) };
        let seen: Vec<_> = fresh.iter().map(|row| (row.snapshot.id.clone(), (row.modified, row.digest))).collect();
        let missed = self.walk.take(fresh).await?;
        let known = self.walk.watermark().await?;
        let watermark = known.max(reached);
        if watermark > known {
            self.walk.keep_watermark(watermark).await?;
        }
        self.seen.extend(seen);
        let horizon = watermark.before(OVERLAP).min(since).before(RESOLUTION);
        self.seen.retain(|_, (modified, _)| *modified >= horizon);
        Ok(missed)
    }
}

/// Rows of a list that is sorted by date. One without a date holds up no other: it stands beside its neighbour. One
/// whose date lies far ahead counts as changed at `until`.
fn dated(rows: Vec<Snapshot>, since: Timestamp, sort: Sort, until: Timestamp) -> Result<Vec<Row>, PollError> {
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
    // A filter that was not understood is silently ignored.
    let is_filtered = dates.iter().all(|date| date.after(RESOLUTION) >= since);
    if !is_sorted || !is_filtered {
        return Err(PollError::NotAsAsked);
    }
    let row = |(snapshot, date): (Snapshot, Timestamp)| {
        let modified = if date > until.after(MAX_AHEAD) { until } else { date };
        Row { modified, digest: Digest::of(&snapshot.body), snapshot }
    };
    Ok(rows.into_iter().zip(dates).map(row).collect())
}

#[cfg(test)]
mod tests;
