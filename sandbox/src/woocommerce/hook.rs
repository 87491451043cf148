//! One webhook of a shop.

use serde_json::{Value, json};

use super::order::date;

/// A webhook is disabled when one more delivery fails after this many in a row.
pub(super) const MOST_FAILURES: u32 = 5;

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopHook {
    /// Its number.
    pub id: i64,
    /// What it is called.
    pub name: String,
    /// `active`, `paused` or `disabled`.
    pub status: String,
    /// Such as `order.updated`.
    pub topic: String,
    /// Where it posts to.
    pub delivery_url: String,
    /// Signs; never shown by the API.
    pub secret: String,
    /// Failed deliveries in a row.
    pub failures: u32,
    /// Whether no ping has got 200 yet.
    pub is_pending: bool,
    /// The key it was made with: its user builds the bodies.
    pub(super) maker: String,
    pub(super) created: i64,
}

impl ShopHook {
    /// Whether events are queued for it.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }

    pub(super) fn show(&self) -> Value {
        let (resource, event) = self.topic.split_once('.').unwrap_or_default();
        let date = date(self.created);
        json!({
            "id": self.id, "name": self.name, "status": self.status, "topic": self.topic, "resource": resource,
            "event": event, "hooks": [], "delivery_url": self.delivery_url, "date_created": date,
            "date_created_gmt": date, "date_modified": date, "date_modified_gmt": date,
        })
    }
}
