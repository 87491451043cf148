//! The store's orders: compact rows, rendered only when they are fetched. No HTTP, no events.

use std::collections::{BTreeMap, BTreeSet};

use super::filter::{Filter, SortKey};
use crate::order::{Order, STATUSES};

#[derive(Debug, Clone, Copy)]
struct Row {
    order: Order,
    archived: bool,
    deleted: bool,
}

#[derive(Debug)]
pub(crate) struct Orders {
    rows: BTreeMap<i64, Row>,
    /// `(date_modified, id)`, so that a page of a large store needs no sorting.
    by_modified: BTreeSet<(i64, i64)>,
    next_id: i64,
}

impl Orders {
    pub(crate) fn new(next_id: i64) -> Self {
        Self { rows: BTreeMap::new(), by_modified: BTreeSet::new(), next_id }
    }

    /// Places an order under this id, or under the next free one. An order that had the id is replaced.
    pub(crate) fn place(&mut self, id: Option<i64>, status_id: u8, now: i64) -> i64 {
        let id = id.unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id.saturating_add(1));
        let order = Order { id, revision: 1, status_id, created: now, modified: now };
        if let Some(old) = self.rows.insert(id, Row { order, archived: false, deleted: false }) {
            self.by_modified.remove(&(old.order.modified, id));
        }
        self.by_modified.insert((now, id));
        id
    }

    /// Raises the revision and sets the status; returns the former status. `None` if there is no such order.
    pub(crate) fn change(&mut self, id: i64, status_id: u8, now: i64) -> Option<u8> {
        let row = self.rows.get_mut(&id).filter(|row| !row.deleted)?;
        self.by_modified.remove(&(row.order.modified, id));
        self.by_modified.insert((now, id));
        let before = std::mem::replace(&mut row.order.status_id, status_id);
        row.order.modified = now;
        row.order.revision += 1;
        Some(before)
    }

    /// Returns whether there is such an order.
    pub(crate) fn archive(&mut self, id: i64) -> bool {
        self.rows.get_mut(&id).map(|row| row.archived = true).is_some()
    }

    /// Returns whether there was such an order.
    pub(crate) fn delete(&mut self, id: i64) -> bool {
        self.rows.get_mut(&id).map(|row| row.deleted = true).is_some()
    }

    /// The order, archived or not, unless deleted.
    pub(crate) fn get(&self, id: i64) -> Option<Order> {
        self.rows.get(&id).filter(|row| !row.deleted).map(|row| row.order)
    }

    /// Every order that is not deleted, by id.
    pub(crate) fn all(&self) -> impl Iterator<Item = Order> {
        self.rows.values().filter(|row| !row.deleted).map(|row| row.order)
    }

    /// One page of a list. Archived orders are left out.
    pub(crate) fn list(&self, filter: &Filter) -> Vec<Order> {
        let (modified, ids) = (filter.modified, filter.ids);
        if ids.0 > ids.1 || modified.0 > modified.1 {
            return Vec::new();
        }
        let fits = |row: &&Row| {
            let order = row.order;
            !row.archived
                && !row.deleted
                && (ids.0..=ids.1).contains(&order.id)
                && (modified.0..=modified.1).contains(&order.modified)
                && filter.status_id.is_none_or(|status_id| status_id == order.status_id)
        };
        let by_id = || self.rows.range(ids.0..=ids.1).map(|(_, row)| row);
        let by_modified =
            || self.by_modified.range((modified.0, i64::MIN)..=(modified.1, i64::MAX)).map(|(_, id)| &self.rows[id]);
        match (filter.sort, filter.descending) {
            (SortKey::Id, false) => page(by_id().filter(fits), filter),
            (SortKey::Id, true) => page(by_id().rev().filter(fits), filter),
            (SortKey::DateModified, false) => page(by_modified().filter(fits), filter),
            (SortKey::DateModified, true) => page(by_modified().rev().filter(fits), filter),
        }
    }

    /// How many listed orders have each status.
    pub(crate) fn counts(&self) -> [usize; STATUSES.len()] {
        let mut counts = [0; STATUSES.len()];
        for row in self.rows.values().filter(|row| !row.archived && !row.deleted) {
            if let Some(count) = counts.get_mut(usize::from(row.order.status_id)) {
                *count += 1;
            }
        }
        counts
    }
}

fn page<'a>(rows: impl Iterator<Item = &'a Row>, filter: &Filter) -> Vec<Order> {
    rows.skip(filter.skip()).take(filter.limit).map(|row| row.order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(orders: &Orders, query: &str) -> Vec<i64> {
        orders.list(&Filter::parse(query, 250, false)).iter().map(|order| order.id).collect()
    }

    #[test]
    fn lists_filter_sort_and_page() {
        let mut orders = Orders::new(218);
        for (id, now) in [(1, 100), (2, 200), (3, 300), (4, 400), (5, 500)] {
            orders.place(Some(id), 0, now);
        }
        assert_eq!(orders.change(2, 11, 450), Some(0));
        assert!(orders.archive(3));
        assert_eq!(ids(&orders, ""), [1, 2, 4, 5]);
        assert_eq!(ids(&orders, "min_id=2&max_id=4"), [2, 4]);
        assert_eq!(ids(&orders, "min_id=4&max_id=2"), [0; 0]);
        assert_eq!(ids(&orders, "sort=id:desc&limit=2"), [5, 4]);
        assert_eq!(ids(&orders, "sort=date_modified:asc"), [1, 4, 2, 5]);
        assert_eq!(ids(&orders, "sort=date_modified:desc&limit=2&page=2"), [4, 1]);
        let window = "min_date_modified=1970-01-01T00:06:40Z&max_date_modified=1970-01-01T00:07:30Z";
        assert_eq!(ids(&orders, window), [2, 4]);
        assert_eq!(ids(&orders, "status_id=11"), [2]);
        assert_eq!(orders.counts()[0], 3);
        assert!(orders.delete(1));
        assert_eq!(ids(&orders, "limit=1"), [2]);
        assert!(orders.get(1).is_none());
        assert!(orders.get(3).is_some());
        assert_eq!(orders.place(None, 0, 600), 218);
    }
}
