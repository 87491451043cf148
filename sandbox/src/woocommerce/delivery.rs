//! What a webhook is to be told of, and what came of it.

use std::time::Instant;

/// An object that a webhook is to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub hook: i64,
    pub id: i64,
}

/// One delivery that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopDelivery {
    /// The webhook.
    pub hook: i64,
    /// Its topic.
    pub topic: String,
    /// The object.
    pub id: i64,
    /// The order's revision when the body was built; 0 for a body without an order.
    pub revision: u64,
    /// How it was answered; none if it was not.
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
