//! Queued webhook deliveries, and those that were made.

use std::time::Instant;

/// A delivery in the queue: a webhook, and the object it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub hook: i64,
    pub id: i64,
}

/// A delivery that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopDelivery {
    /// The webhook's id.
    pub hook: i64,
    /// The webhook's topic.
    pub topic: String,
    /// The id of the object.
    pub id: i64,
    /// The order's revision when the body was built; 0 if the body is no order.
    pub revision: u64,
    /// The status of the answer; `None` without one.
    pub status: Option<u16>,
    /// When the answer came.
    pub at: Instant,
}

impl ShopDelivery {
    /// Whether WooCommerce counts it as a success.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..303).contains(&status))
    }
}
