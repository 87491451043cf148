//! Fetches one page of changes. Lists of `any` status leave out the trash, so that is asked for separately, and both
//! are merged into one list with pages.
//!
//! `modified_after` exists since WooCommerce 5.8 and excludes the second it names; older shops ignore it silently, so
//! each row is checked. A UTC time without a zone, together with `dates_are_gmt`, is the only form that finds the
//! right rows in every time zone. `older` handles shops that cannot filter, or not even sort.

use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};

use super::{
    Code, DateSupport, Operation, Permit, Refusal, Shop,
    call::{Ask, MAX_LIST},
    objects::{ORDERS, PAGE, TRASH, format_gmt, pairs, read_objects},
};
use crate::{
    clock::Timestamp,
    http::CallError,
    object::Snapshot,
    source::{ChangesRequest, Sort},
};

/// The resolution of dates.
const SECOND: Duration = Duration::from_secs(1);
/// A missing feature of a shop is tried again after this long.
const RETRY: Duration = Duration::from_secs(86_400);

/// The sort order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// By the last change.
    ByChange(Sort),
    /// By creation, the newest first.
    ByCreation,
}

/// A part of a list to ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub resource: &'a str,
    pub status: &'a str,
    pub listed: Listed,
    /// Changes from this time on, if the shop can filter.
    pub since: Option<Timestamp>,
    /// How many rows to skip.
    pub offset: u64,
    pub limit: u32,
}

/// A part of a list as received.
pub(super) struct Rows {
    pub rows: Vec<Snapshot>,
    /// How many rows the whole list has, if the shop says so.
    pub total: Option<u64>,
}

/// Why a list of changes cannot be read in the usual way.
pub(super) enum Unlisted {
    /// The shop ignores the filter.
    NotFiltered,
    /// The shop cannot sort by the last change.
    NotSorted,
    Refused(Refusal),
}

impl From<Refusal> for Unlisted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Shop {
    /// Fetches one page of the orders that changed from `since` on (that second included), with those in the trash,
    /// and with drafts if the shop lists them: see [`super::objects::is_draft`].
    ///
    /// The first page takes two requests; later pages, and shops before WooCommerce 5.8, take more.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not a list of orders.
    pub async fn changes(&self, permit: Permit, request: &ChangesRequest) -> Result<Vec<Snapshot>, CallError> {
        self.changes_of(permit, ORDERS, request).await
    }

    /// Like [`Shop::changes`] for `products` and `coupons`, whose trash cannot be listed. `customers` have no list of
    /// changes: see [`Shop::walk`].
    ///
    /// # Errors
    /// The call's failure, or why the answer is not a list.
    pub async fn changes_of(
        &self,
        permit: Permit,
        resource: &str,
        request: &ChangesRequest,
    ) -> Result<Vec<Snapshot>, CallError> {
        let request = ChangesRequest { page: request.page.max(1), limit: request.limit.clamp(1, PAGE), ..*request };
        let support = self.date_support();
        if support.sorts != Some(false) && support.filters != Some(false) {
            match self.filtered(&permit, resource, &request).await {
                Ok(rows) => return Ok(rows),
                Err(Unlisted::Refused(refusal)) => return Err(refusal.error),
                Err(lack) => self.note_lack(&lack),
            }
        }
        if self.date_support().sorts != Some(false) {
            match self.unfiltered(&permit, resource, &request).await {
                Ok(rows) => return Ok(rows),
                Err(Unlisted::Refused(refusal)) => return Err(refusal.error),
                Err(lack) => self.note_lack(&lack),
            }
        }
        Ok(self.unsorted(&permit, resource, &request).await?)
    }

    /// Fetches a page from a shop that filters and sorts.
    async fn filtered(
        &self,
        permit: &Permit,
        resource: &str,
        request: &ChangesRequest,
    ) -> Result<Vec<Snapshot>, Unlisted> {
        let ChangesRequest { since, sort, limit, .. } = *request;
        let since = Timestamp::from_seconds(since.millis().div_euclid(1000));
        let part = |status, offset| Part {
            resource,
            status,
            listed: Listed::ByChange(sort),
            since: Some(since),
            offset,
            limit,
        };
        let checked = |rows: Rows| {
            let is_filtered = rows.rows.iter().filter_map(|row| row.modified).all(|modified| modified >= since);
            if is_filtered { Ok(rows.rows) } else { Err(Unlisted::NotFiltered) }
        };
        let mut trash = Vec::new();
        for page in 0..if has_trash(resource) { request.page } else { 0 } {
            let rows = match self.part(permit, &part(TRASH, u64::from(page) * u64::from(limit))).await {
                // A shop that has no trash has nothing in it; if it cannot sort, the list below fails in the same way.
                Err(Unlisted::NotSorted) => Vec::new(),
                rows => checked(rows?)?,
            };
            let is_last = rows.len() < limit as usize;
            trash.extend(rows);
            if is_last {
                break;
            }
        }
        let window = Window::of(request, trash.len());
        let mut rows = Vec::new();
        for page in window.pages() {
            let more = checked(self.part(permit, &part("any", page * u64::from(limit))).await?)?;
            let is_last = more.len() < limit as usize;
            rows.extend(more);
            if is_last {
                break;
            }
        }
        self.state.lock().dates.sorts = Some(true);
        Ok(window.merge(rows, trash, sort))
    }

    /// What is known of the shop's lists. Missing features are tried again after a while: shops are updated.
    fn date_support(&self) -> DateSupport {
        let mut state = self.state.lock();
        if state.dates_known.is_some_and(|known| known.elapsed() > RETRY) {
            (state.dates, state.dates_known) = (DateSupport::default(), None);
        }
        state.dates
    }

    fn note_lack(&self, lack: &Unlisted) {
        let mut state = self.state.lock();
        match lack {
            Unlisted::NotFiltered => state.dates.filters = Some(false),
            Unlisted::NotSorted => state.dates.sorts = Some(false),
            Unlisted::Refused(_) => return,
        }
        state.dates_known = Some(Instant::now());
    }

    /// Fetches a part of a list.
    pub(super) async fn part(&self, permit: &Permit, part: &Part<'_>) -> Result<Rows, Unlisted> {
        let (orderby, order) = match part.listed {
            Listed::ByChange(Sort::OldestFirst) => ("modified", "asc"),
            Listed::ByChange(Sort::NewestFirst) => ("modified", "desc"),
            Listed::ByCreation => ("date", "desc"),
        };
        let limit = part.limit.to_string();
        let mut query =
            pairs([("status", part.status), ("orderby", orderby), ("order", order), ("per_page", limit.as_str())]);
        let page = part.offset / u64::from(part.limit) + 1;
        if part.offset.is_multiple_of(u64::from(part.limit)) {
            query.extend(pairs([("page", page.to_string().as_str())]));
        } else {
            query.extend(pairs([("offset", part.offset.to_string().as_str())]));
        }
        if let Some(since) = part.since {
            let after = format_gmt(since.before(SECOND));
            query.extend(pairs([("dates_are_gmt", "true"), ("modified_after", after.as_str())]));
        }
        let operation = if part.resource == ORDERS { Operation::Orders } else { Operation::Resource };
        match self.call(permit, &Ask::get(operation, part.resource, query, MAX_LIST)).await {
            Ok(reply) => {
                let total = reply.total();
                let rows = read_objects(&reply.body).map_err(Refusal::from)?;
                Ok(Rows { rows, total })
            }
            Err(Refusal { code: Code::InvalidParameter, .. }) if part.listed != Listed::ByCreation => {
                Err(Unlisted::NotSorted)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// The position of a page in the merged list, and what it needs of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    page: u64,
    limit: u64,
    /// Pages of the long list with rows that the trash may have pushed into this page.
    before: u64,
}

impl Window {
    fn of(request: &ChangesRequest, trash: usize) -> Self {
        let limit = u64::from(request.limit);
        let page = u64::from(request.page) - 1;
        Self { page, limit, before: (trash as u64).div_ceil(limit).min(page) }
    }

    /// The pages of the long list that are needed, counted from 0.
    fn pages(self) -> std::ops::RangeInclusive<u64> {
        self.page - self.before..=self.page
    }

    /// The rows of this page of the merged list. `rows` begins at the first of [`Window::pages`], `trash` at its
    /// beginning.
    fn merge(self, rows: Vec<Snapshot>, trash: Vec<Snapshot>, sort: Sort) -> Vec<Snapshot> {
        let from = self.page * self.limit;
        let mut at = (self.page - self.before) * self.limit;
        let (mut rows, mut trash) = (rows.into_iter().peekable(), trash.into_iter().peekable());
        let mut window: Vec<Snapshot> = Vec::new();
        while at < from + self.limit {
            let is_trash_next = match (rows.peek(), trash.peek()) {
                (Some(row), Some(trashed)) => compare(trashed, row, sort) == Ordering::Less,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            let Some(row) = (if is_trash_next { trash.next() } else { rows.next() }) else { break };
            if at >= from {
                window.push(row);
            }
            at += 1;
        }
        without_doubles(window)
    }
}

/// Whether the trash of a resource can be listed. Where `status` is not supported it is ignored, and all rows are
/// returned.
pub(super) fn has_trash(resource: &str) -> bool {
    matches!(resource, ORDERS | "products")
}

/// Compares by change; equal seconds by id, as WooCommerce does.
pub(super) fn compare(a: &Snapshot, b: &Snapshot, sort: Sort) -> Ordering {
    let by_change = (a.modified, &a.id).cmp(&(b.modified, &b.id));
    match sort {
        Sort::OldestFirst => by_change,
        Sort::NewestFirst => by_change.reverse(),
    }
}

/// An order that went to the trash between two calls is in both lists: the later state counts.
fn without_doubles(rows: Vec<Snapshot>) -> Vec<Snapshot> {
    let latest = |row: &Snapshot| {
        let others = rows.iter().filter(|other| other.id == row.id);
        others.map(|other| (other.modified, other.is_deleted)).max() == Some((row.modified, row.is_deleted))
    };
    let keep: Vec<bool> = rows.iter().map(latest).collect();
    rows.into_iter().zip(keep).filter_map(|(row, keep)| keep.then_some(row)).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::object::ObjectId;

    fn row(id: i64, second: i64, is_deleted: bool) -> Snapshot {
        let modified = Some(Timestamp::from_seconds(second));
        Snapshot { id: ObjectId::Number(id), status: None, created: None, modified, is_deleted, body: Bytes::new() }
    }

    fn numbers(rows: &[Snapshot]) -> Vec<i64> {
        rows.iter().filter_map(|row| row.id.number()).collect()
    }

    #[test]
    fn an_order_that_is_in_both_lists_is_there_once() {
        let rows = vec![row(1, 5, false), row(2, 5, true), row(2, 5, false), row(3, 6, false), row(1, 7, true)];
        let rows = without_doubles(rows);
        assert_eq!(numbers(&rows), [2, 3, 1]);
        assert!(rows[0].is_deleted && rows[2].is_deleted);
    }

    proptest! {
        #[test]
        fn pages_of_the_merged_list_are_the_pages_of_both(
            any in prop::collection::vec(0..40i64, 0..60),
            trash in prop::collection::vec(0..40i64, 0..40),
            limit in 1..12u32,
            newest: bool,
        ) {
            let sort = if newest { Sort::NewestFirst } else { Sort::OldestFirst };
            let sorted = |seconds: &[i64], first: i64, is_deleted| {
                let rows = seconds.iter().zip(first..).map(|(second, id)| row(id, *second, is_deleted));
                let mut rows: Vec<_> = rows.collect();
                rows.sort_by(|a, b| compare(a, b, sort));
                rows
            };
            let (any, trash) = (sorted(&any, 1, false), sorted(&trash, 1000, true));
            let mut all = [any.clone(), trash.clone()].concat();
            all.sort_by(|a, b| compare(a, b, sort));
            let mut paged = Vec::new();
            for page in 1.. {
                let request = ChangesRequest { since: Timestamp::from_seconds(0), sort, page, limit };
                // As much as would be asked for: the trash up to this page, and the pages of the window.
                let trash: Vec<_> = trash.iter().take((page * limit) as usize).cloned().collect();
                let window = Window::of(&request, trash.len());
                let pages = window.pages();
                let skipped = *pages.start() as usize * limit as usize;
                let wanted = pages.count() * limit as usize;
                let rows = any.iter().skip(skipped).take(wanted).cloned().collect();
                let rows = window.merge(rows, trash, sort);
                if rows.is_empty() {
                    break;
                }
                prop_assert!(rows.len() <= limit as usize);
                paged.extend(rows);
            }
            prop_assert_eq!(numbers(&paged), numbers(&all));
        }
    }
}
