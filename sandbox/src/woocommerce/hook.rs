//! One webhook of a shop.

use serde_json::{Value, json};

use super::order::date;

/// A webhook whose failures in a row exceed this is disabled.
pub(super) const MOST_FAILURES: u32 = 5;

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopHook {
    /// The webhook's id.
    pub id: i64,
    /// The name that the merchant sees.
    pub name: String,
    /// `active`, `paused` or `disabled`.
    pub status: String,
    /// The topic, such as `order.updated`.
    pub topic: String,
    /// The URL that it posts to.
    pub delivery_url: String,
    /// The secret that signs deliveries; the API never returns it.
    pub secret: String,
    /// Failed deliveries in a row.
    pub failures: u32,
    /// Whether no ping has been answered with 200 yet.
    pub is_pending: bool,
    /// The consumer key that it was created with: bodies are built with the rights of that key's user.
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
