//! Lists of changes from older shops: those before WooCommerce 5.8 cannot filter by change, and those before 4.4
//! cannot even sort by it.

use super::{
    Permit, Refusal, Shop,
    changes::{Listed, Part, Unlisted, compare, has_trash},
    objects::TRASH,
};
use crate::{
    clock::Timestamp,
    object::{ObjectId, Snapshot},
    source::{ChangesRequest, Sort},
};

/// How many rows before the place found are read as well: others may have moved during the search.
const MARGIN: u64 = 10;
/// Fewest pages of the newest orders to look through where lists cannot be sorted by change: older orders change
/// seldom, and then bring a webhook.
const LEAST_PAGES: u64 = 5;
/// Most pages to look through.
const MOST_PAGES: u64 = 50;

impl Shop {
    /// Fetches a page from a shop that sorts by change but does not filter.
    pub(super) async fn unfiltered(
        &self,
        permit: &Permit,
        resource: &str,
        request: &ChangesRequest,
    ) -> Result<Vec<Snapshot>, Unlisted> {
        let mut rows = Vec::new();
        for status in statuses(resource) {
            match self.unfiltered_by_status(permit, resource, status, request).await {
                Err(Unlisted::NotSorted) if *status == TRASH => {}
                found => rows.extend(found?),
            }
        }
        rows.sort_by(|a, b| compare(a, b, request.sort));
        Ok(whole_page(rows, request))
    }

    /// The first rows of one status, as many as fit on the pages up to the one asked for.
    async fn unfiltered_by_status(
        &self,
        permit: &Permit,
        resource: &str,
        status: &str,
        request: &ChangesRequest,
    ) -> Result<Vec<Snapshot>, Unlisted> {
        let ChangesRequest { since, sort, limit, .. } = *request;
        let wanted = request.page as usize * limit as usize;
        let part = |listed, offset, limit| Part { resource, status, listed, since: None, offset, limit };
        let mut offset = match sort {
            Sort::NewestFirst => 0,
            Sort::OldestFirst => self.place_of(permit, &part, since, limit).await?,
        };
        let (mut rows, mut before) = (Vec::new(), Vec::new());
        while rows.len() < wanted {
            let page = self.part(permit, &part(Listed::ByChange(sort), offset, limit)).await?.rows;
            if is_repeated(&mut before, &page) {
                break;
            }
            let is_last = page.len() < limit as usize;
            let has_older = page.iter().any(|row| is_older(row, since));
            rows.extend(page.into_iter().filter(|row| !is_older(row, since)).map(by_itself));
            if is_last || (has_older && sort == Sort::NewestFirst) {
                break;
            }
            offset += u64::from(limit);
        }
        Ok(rows)
    }

    /// The offset at which the rows from `since` on begin in a list sorted by change, the oldest first, or up to a
    /// page before. Searches from the end, since most requests are for recent changes.
    async fn place_of<'a>(
        &self,
        permit: &Permit,
        part: &impl Fn(Listed, u64, u32) -> Part<'a>,
        since: Timestamp,
        limit: u32,
    ) -> Result<u64, Unlisted> {
        let step = u64::from(limit / 2).max(1);
        // Counted from the end: the row at `low - 1` is recent enough, the one at `high` is not.
        let (mut low, mut high, mut total) = (0, step, u64::MAX);
        let mut is_bounded = false;
        while !is_bounded || high.saturating_sub(low) > step {
            let at = if is_bounded { low + (high - low) / 2 } else { high };
            let found = self.part(permit, &part(Listed::ByChange(Sort::NewestFirst), at, 1)).await?;
            // Without a total, the list is read from its beginning, which is slow but correct.
            let Some(known) = found.total else { return Ok(0) };
            total = known;
            match found.rows.first() {
                Some(row) if !is_older(row, since) && at < total => {
                    low = at + 1;
                    if !is_bounded {
                        // There is nothing beyond the end, whatever a shop that ignores offsets returns there.
                        is_bounded = high.saturating_mul(4) >= total;
                        high = high.saturating_mul(4).min(total);
                    }
                }
                _ => (high, is_bounded) = (at, true),
            }
        }
        Ok(total.saturating_sub(high + MARGIN.min(step)))
    }

    /// Fetches a page from a shop that cannot sort by change: looks through the newest orders, and sorts them here.
    pub(super) async fn unsorted(
        &self,
        permit: &Permit,
        resource: &str,
        request: &ChangesRequest,
    ) -> Result<Vec<Snapshot>, Refusal> {
        let limit = super::objects::PAGE;
        let wanted = request.page as usize * request.limit as usize;
        let mut rows: Vec<Snapshot> = Vec::new();
        for status in statuses(resource) {
            let mut before = Vec::new();
            for page in 0..MOST_PAGES {
                let part = Part {
                    resource,
                    status,
                    listed: Listed::ByCreation,
                    since: Some(request.since),
                    offset: page * u64::from(limit),
                    limit,
                };
                let found = match self.part(permit, &part).await {
                    Ok(found) => found.rows,
                    Err(Unlisted::Refused(refusal)) => return Err(refusal),
                    Err(Unlisted::NotFiltered | Unlisted::NotSorted) => break,
                };
                if is_repeated(&mut before, &found) {
                    break;
                }
                let is_last = found.len() < limit as usize;
                let is_past = found.iter().all(|row| is_older(row, request.since)) && page + 1 >= LEAST_PAGES;
                rows.extend(found.into_iter().filter(|row| !is_older(row, request.since)).map(by_itself));
                rows.sort_by(|a, b| compare(a, b, request.sort));
                rows.truncate(wanted);
                if is_last || is_past {
                    break;
                }
            }
        }
        Ok(whole_page(rows, request))
    }
}

fn statuses(resource: &str) -> &'static [&'static str] {
    if has_trash(resource) { &["any", TRASH] } else { &["any"] }
}

/// Whether a page repeats the one before, as from shops that ignore both page and offset: there is no more to read
/// then. Stores the page's ids in `before`.
fn is_repeated(before: &mut Vec<ObjectId>, page: &[Snapshot]) -> bool {
    let ids: Vec<ObjectId> = page.iter().map(|row| row.id.clone()).collect();
    let is_repeated = !ids.is_empty() && ids == *before;
    *before = ids;
    is_repeated
}

/// Whether a row changed before the second of `since`.
fn is_older(row: &Snapshot, since: Timestamp) -> bool {
    row.modified.is_some_and(|modified| modified.millis().div_euclid(1000) < since.millis().div_euclid(1000))
}

/// The row with a copy of its bytes, so that it does not keep a whole page in memory.
fn by_itself(row: Snapshot) -> Snapshot {
    Snapshot { body: bytes::Bytes::copy_from_slice(&row.body), ..row }
}

fn whole_page(rows: Vec<Snapshot>, request: &ChangesRequest) -> Vec<Snapshot> {
    let before = (request.page as usize - 1) * request.limit as usize;
    rows.into_iter().skip(before).take(request.limit as usize).collect()
}
