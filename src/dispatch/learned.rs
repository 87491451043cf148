//! What dispatch has learned of the two sides since the start: page sizes, orders that lists lack, orders that cannot be taken.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::event::OrderId;

/// What clients ask for; the store's own maximum is not documented.
pub(super) const PAGE: u32 = 250;
/// The documented default: no store's page holds fewer.
pub(super) const SMALLEST_PAGE: u32 = 50;
/// More than this many notes on single orders are not worth keeping: they only save a call each.
const MOST_NOTES: usize = 10_000;

/// What has been learned of the two sides since the start. Losing it costs a few calls.
#[derive(Debug)]
pub(super) struct Learned {
    page: u32,
    singly: HashSet<OrderId>,
    /// How often an order's failure began an outage that others ended.
    suspects: HashMap<OrderId, u32>,
    forward_time: Duration,
}

impl Default for Learned {
    fn default() -> Self {
        Self { page: PAGE, singly: HashSet::new(), suspects: HashMap::new(), forward_time: Duration::from_millis(100) }
    }
}

impl Learned {
    pub fn page(&self) -> u32 {
        self.page
    }

    /// The store's pages hold no more than this.
    pub fn narrow(&mut self, page: u32) {
        self.page = self.page.min(page);
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
