//! What dispatch has learned of the two sides since the start: page sizes, orders that lists lack, orders that cannot be taken.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::{bigcommerce::orders::PAGE, event::OrderId};

/// So many lists are answered before wider ones are tried again.
const LISTS: u32 = 20;
/// So many single calls, where no lists are left.
const SINGLES: u32 = 200;
/// More than this many notes on single orders are not worth keeping: they only save a call each.
const MOST_NOTES: usize = 10_000;

/// What has been learned of the two sides since the start. Losing it costs a few calls.
#[derive(Debug)]
pub(super) struct Learned {
    /// The widest window that lists ask for now.
    page: u32,
    /// The most that the store's pages hold.
    most: u32,
    /// How many rows the last list had that seemed to be cut short.
    cut_at: Option<u32>,
    /// Set while the store is down since a list, and nothing but lists, has failed.
    list_failed: bool,
    /// Calls that have been answered since the page last changed.
    answered: u32,
    singly: HashSet<OrderId>,
    /// How often an order's failure began an outage that others ended.
    suspects: HashMap<OrderId, u32>,
    forward_time: Duration,
}

impl Default for Learned {
    fn default() -> Self {
        Self {
            page: PAGE,
            most: PAGE,
            cut_at: None,
            list_failed: false,
            answered: 0,
            singly: HashSet::new(),
            suspects: HashMap::new(),
            forward_time: Duration::from_millis(100),
        }
    }
}

impl Learned {
    pub fn page(&self) -> u32 {
        self.page
    }

    /// A list had so many rows and lacked the last ones: the store's pages hold no more, or those orders are archived or
    /// deleted. Two lists of just as many rows are no chance.
    pub fn cut_short(&mut self, rows: u32) {
        if self.cut_at.replace(rows) == Some(rows) {
            self.most = self.most.min(rows);
            self.page = self.page.min(rows);
        }
    }

    /// A list was more than the store, or the relay, can take.
    pub fn halve(&mut self) {
        self.page = (self.page / 2).max(1);
        self.answered = 0;
    }

    /// A list was answered. A narrow page widens again after many: what kept it narrow may be over.
    pub fn list_answered(&mut self) {
        self.widen_after(LISTS);
    }

    /// A single call was answered. It counts where lists are as narrow as that.
    pub fn single_answered(&mut self) {
        if self.page == 1 {
            self.widen_after(SINGLES);
        }
    }

    fn widen_after(&mut self, answers: u32) {
        self.answered += 1;
        if self.answered >= answers {
            self.page = (self.page * 2).min(self.most);
            self.answered = 0;
        }
    }

    /// The store has failed. `by_list` if it was a list that began it, `None` if it goes on for whatever else.
    pub fn store_failed(&mut self, by_list: Option<bool>) {
        self.list_failed = by_list.unwrap_or(false);
    }

    /// The store is back. If nothing but a list had failed, lists are too much for it.
    pub fn store_is_back(&mut self) {
        if std::mem::take(&mut self.list_failed) {
            self.halve();
        }
    }

    /// One forward took this long.
    pub fn took(&mut self, time: Duration) {
        self.forward_time = self.forward_time.mul_f64(0.9) + time.mul_f64(0.1);
    }

    /// How long one forward takes of late.
    pub fn forward_time(&self) -> Duration {
        self.forward_time
    }

    /// Whether a list has lacked this order.
    pub fn fetch_singly(&self, order: OrderId) -> bool {
        self.singly.contains(&order)
    }

    /// Lists lack these: they are fetched singly from now on.
    pub fn note_singly(&mut self, orders: impl IntoIterator<Item = OrderId>) {
        if self.singly.len() > MOST_NOTES {
            self.singly.clear();
        }
        self.singly.extend(orders);
    }

    /// How often this order has begun an outage by now.
    pub fn note_suspect(&mut self, order: OrderId) -> u32 {
        if self.suspects.len() > MOST_NOTES {
            self.suspects.clear();
        }
        let count = self.suspects.entry(order).or_default();
        *count += 1;
        *count
    }

    /// It has arrived.
    pub fn forget(&mut self, order: OrderId) {
        self.singly.remove(&order);
        self.suspects.remove(&order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_any_width_widens_again() {
        let mut learned = Learned::default();
        for _ in 0..9 {
            learned.store_failed(Some(true));
            learned.store_is_back();
        }
        assert_eq!(learned.page(), 1);
        // Lists of two are tried after many single calls, and wider ones after each twenty.
        (0..SINGLES).for_each(|_| learned.single_answered());
        assert_eq!(learned.page(), 2);
        (0..SINGLES * 2).for_each(|_| learned.single_answered());
        assert_eq!(learned.page(), 2, "single calls prove nothing of lists");
        (0..LISTS * 7).for_each(|_| learned.list_answered());
        assert_eq!(learned.page(), PAGE);
    }

    #[test]
    fn an_outage_is_the_lists_fault_only_if_nothing_else_fails() {
        let mut learned = Learned::default();
        learned.store_failed(Some(true));
        learned.store_failed(None);
        learned.store_is_back();
        learned.store_failed(Some(false));
        learned.store_is_back();
        assert_eq!(learned.page(), PAGE);
    }

    #[test]
    fn a_store_with_smaller_pages_is_known_by_two_lists_that_end_alike() {
        let mut learned = Learned::default();
        learned.cut_short(60);
        assert_eq!(learned.page(), PAGE, "the last orders may be archived");
        learned.cut_short(100);
        learned.cut_short(100);
        assert_eq!(learned.page(), 100);
        (0..LISTS).for_each(|_| learned.list_answered());
        assert_eq!(learned.page(), 100, "it never holds more");
    }
}
