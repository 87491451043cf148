//! Walks through a list's pages while the list changes, without skipping a row that stays in it. Pure.
//!
//! BigCommerce v2's main lists are sorted by id and take `min_id`: each page begins after the last row of the one
//! before. Other lists have numbered pages, and a row that leaves the list moves all later ones forward: if the
//! list's total has shrunk meanwhile, reading starts over. Rows read twice do no harm.

use crate::object::ObjectId;
use crate::resource::{StoreApi, StoreRequest};

/// How often one poll starts over before it accepts what it gets.
const MAX_RESTARTS: u8 = 3;
/// Highest page number that is read.
const MAX_PAGE: u32 = 100_000;

/// The position of reading within a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    size: u32,
    place: Place,
    total: Option<u64>,
    restarts: u8,
    limit: &'static str,
    /// The ids of the previous page.
    before: Vec<ObjectId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The page with this number, from 1.
    Page(u32),
    /// The page after this id.
    Behind(i64),
}

/// What to do after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Read another page.
    Next,
    /// The list has been read to its end.
    Done,
}

impl Cursor {
    /// Starts at the beginning of a list. `page_size` is limited to what the store allows; `has_id` says that rows
    /// are identified by the store's own `id`.
    pub fn new(request: &StoreRequest, page_size: Option<u32>, has_id: bool) -> Self {
        let most = request.api.max_page_size();
        let is_by_id = has_id
            && request.api == StoreApi::BigCommerceV2
            && matches!(request.path.as_str(), "orders" | "products" | "customers")
            && request.query.iter().all(|(name, _)| name != "min_id");
        Self {
            size: page_size.unwrap_or(most).clamp(1, most),
            place: if is_by_id { Place::Behind(0) } else { Place::Page(1) },
            total: None,
            restarts: 0,
            limit: if request.api == StoreApi::WooCommerceV3 { "per_page" } else { "limit" },
            before: Vec::new(),
        }
    }

    /// The request for the current page.
    pub fn page_of(&self, request: &StoreRequest) -> StoreRequest {
        let mut request = request.clone();
        match self.place {
            Place::Page(page) => request.query.push(("page".to_owned(), page.to_string())),
            Place::Behind(0) => {}
            Place::Behind(id) => request.query.push(("min_id".to_owned(), id.saturating_add(1).to_string())),
        }
        request.query.push((self.limit.to_owned(), self.size.to_string()));
        request
    }

    /// Moves on after the current page, which held these ids. `total` is how many rows the whole list has, if the
    /// store says so (`meta.pagination.total`, `X-WP-Total`); if it does not, an empty page is the last.
    pub fn advance(&mut self, ids: &[ObjectId], total: Option<u64>) -> Step {
        match self.place {
            _ if ids.is_empty() && self.has_shrunk(total) => self.restart(total),
            _ if ids.is_empty() => Step::Done,
            Place::Behind(last) => {
                let greatest = ids.iter().filter_map(ObjectId::number).max().unwrap_or(0);
                // A store that ignores `min_id` would return the first page for ever.
                self.place = if greatest > last { Place::Behind(greatest) } else { Place::Page(2) };
                Step::Next
            }
            Place::Page(_) if self.has_shrunk(total) => self.restart(total),
            // A list without pages (BigCommerce's order statuses, for one) is the same under every page number.
            Place::Page(page) if page > 1 && self.before == ids => Step::Done,
            Place::Page(page) => {
                self.before = ids.to_vec();
                self.total = total.or(self.total);
                let is_last = total.is_some_and(|total| u64::from(page) * u64::from(self.size) >= total);
                self.place = Place::Page(page.saturating_add(1));
                if is_last || page >= MAX_PAGE { Step::Done } else { Step::Next }
            }
        }
    }

    fn has_shrunk(&self, total: Option<u64>) -> bool {
        total.zip(self.total).is_some_and(|(now, before)| now < before) && self.restarts < MAX_RESTARTS
    }

    fn restart(&mut self, total: Option<u64>) -> Step {
        self.restarts += 1;
        self.place = Place::Page(1);
        self.before.clear();
        self.total = total;
        Step::Next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn request(api: StoreApi, path: &str) -> StoreRequest {
        StoreRequest { api, path: path.to_owned(), query: Vec::new() }
    }

    fn ids(ids: &[i64]) -> Vec<ObjectId> {
        ids.iter().map(|id| ObjectId::Number(*id)).collect()
    }

    #[test]
    fn a_list_that_knows_no_pages_is_read_twice_and_no_more() {
        let list = request(StoreApi::BigCommerceV2, "order_statuses");
        let mut cursor = Cursor::new(&list, None, true);
        assert_eq!(cursor.advance(&ids(&[1, 2]), None), Step::Next);
        assert_eq!(cursor.advance(&ids(&[2, 3]), None), Step::Next);
        assert_eq!(cursor.advance(&ids(&[2, 3]), None), Step::Done);
    }

    #[test]
    fn bigcommerce_s_main_lists_are_read_by_id() {
        let list = request(StoreApi::BigCommerceV2, "orders");
        let mut cursor = Cursor::new(&list, None, true);
        assert_eq!(cursor.page_of(&list).query, [("limit".to_owned(), "250".to_owned())]);
        assert_eq!(cursor.advance(&ids(&[3, 9]), None), Step::Next);
        let query = [("min_id".to_owned(), "10".to_owned()), ("limit".to_owned(), "250".to_owned())];
        assert_eq!(cursor.page_of(&list).query, query);
        assert_eq!(cursor.advance(&ids(&[3, 9]), None), Step::Next);
        assert_eq!(cursor.page_of(&list).query[0], ("page".to_owned(), "2".to_owned()), "min_id is passed over");
        assert_eq!(cursor.advance(&[], None), Step::Done);
    }

    #[test]
    fn an_empty_first_page_costs_one_call() {
        for api in [StoreApi::BigCommerceV2, StoreApi::BigCommerceV3, StoreApi::WooCommerceV3] {
            let list = request(api, "products");
            assert_eq!(Cursor::new(&list, Some(20), true).advance(&[], Some(0)), Step::Done);
        }
        let list = request(StoreApi::WooCommerceV3, "orders");
        let mut cursor = Cursor::new(&list, Some(500), true);
        assert_eq!(cursor.page_of(&list).query[1], ("per_page".to_owned(), "100".to_owned()));
        assert_eq!(cursor.advance(&ids(&[1]), Some(1)), Step::Done, "the total says that there is no more");
    }

    proptest! {
        /// Rows leave the list and are added at its end while it is read; those that stay are all read.
        #[test]
        fn rows_that_stay_are_seen(
            rows in prop::collection::btree_set(1_i64..60, 0..40),
            size in 1_u32..9,
            leaving in prop::collection::vec(prop::option::of(1_i64..60), 0..3),
            is_by_id: bool,
        ) {
            let api = if is_by_id { StoreApi::BigCommerceV2 } else { StoreApi::WooCommerceV3 };
            let list = request(api, "orders");
            let mut cursor = Cursor::new(&list, Some(size), true);
            let (mut present, mut seen) = (rows.clone(), BTreeSet::new());
            let mut leaving = leaving.into_iter();
            for _ in 0..500 {
                let page = cursor.page_of(&list);
                let value = |name: &str| {
                    page.query.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.parse::<i64>().ok())
                };
                let skipped = value("page").map_or(0, |page| (page - 1) as usize * size as usize);
                let from = value("min_id").unwrap_or(0);
                let found: Vec<i64> =
                    present.iter().copied().filter(|id| *id >= from).skip(skipped).take(size as usize).collect();
                seen.extend(found.iter().copied());
                let total = (!is_by_id).then_some(present.len() as u64);
                if cursor.advance(&ids(&found), total) == Step::Done {
                    prop_assert!(present.iter().all(|id| seen.contains(id)), "{present:?} {seen:?}");
                    return Ok(());
                }
                if let Some(Some(id)) = leaving.next() {
                    present.remove(&id);
                }
            }
            prop_assert!(false, "it never ends");
        }
    }
}
