//! The events of a store: scopes, and the light payload that announces each event.
//!
//! Shapes: BigCommerce, "Webhook events" (orders). `sender` delivers them, and `callback` makes single callbacks.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

/// The order scopes that BigCommerce documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are BigCommerce's own")]
pub enum Scope {
    Created,
    Updated,
    Archived,
    StatusUpdated,
    MessageCreated,
    RefundCreated,
    TransactionCreated,
    TransactionUpdated,
    MetafieldCreated,
    MetafieldUpdated,
    MetafieldDeleted,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 11] = [
        Self::Created,
        Self::Updated,
        Self::Archived,
        Self::StatusUpdated,
        Self::MessageCreated,
        Self::RefundCreated,
        Self::TransactionCreated,
        Self::TransactionUpdated,
        Self::MetafieldCreated,
        Self::MetafieldUpdated,
        Self::MetafieldDeleted,
    ];

    /// The scope's name in a payload.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "store/order/created",
            Self::Updated => "store/order/updated",
            Self::Archived => "store/order/archived",
            Self::StatusUpdated => "store/order/statusUpdated",
            Self::MessageCreated => "store/order/message/created",
            Self::RefundCreated => "store/order/refund/created",
            Self::TransactionCreated => "store/order/transaction/created",
            Self::TransactionUpdated => "store/order/transaction/updated",
            Self::MetafieldCreated => "store/order/metafield/created",
            Self::MetafieldUpdated => "store/order/metafield/updated",
            Self::MetafieldDeleted => "store/order/metafield/deleted",
        }
    }

    fn data(self, order: i64) -> String {
        match self {
            Self::Created | Self::Updated | Self::Archived | Self::StatusUpdated => {
                format!(r#"{{"type":"order","id":{order}}}"#)
            }
            Self::MessageCreated => format!(r#"{{"type":"order","id":{order},"message":{{"order_message_id":3}}}}"#),
            Self::RefundCreated => format!(r#"{{"type":"order","id":{order},"refund":{{"refund_id":5}}}}"#),
            Self::TransactionCreated | Self::TransactionUpdated => {
                format!(r#"{{"type":"transaction","id":77,"order_id":"{order}"}}"#)
            }
            Self::MetafieldCreated | Self::MetafieldUpdated | Self::MetafieldDeleted => {
                format!(r#"{{"type":"metafield","metafield_id":9,"resource_id":"{order}"}}"#)
            }
        }
    }
}

/// One event, as it will be sent.
#[derive(Debug, Clone)]
pub struct Event {
    scope: Cow<'static, str>,
    order: i64,
    data: String,
    store_hash: String,
    store_id: Cow<'static, str>,
    hash: Option<String>,
    created_at: Option<i64>,
    webhook_id: Option<String>,
}

impl Event {
    /// An event of the store `abcde` that happened now, in the shape its scope has.
    pub fn new(scope: Scope, order: i64) -> Self {
        Self::other(scope.as_str(), order, &scope.data(order))
    }

    /// An event of any scope, `data` being the JSON text of its `data` field.
    pub fn other(scope: impl Into<Cow<'static, str>>, order: i64, data: &str) -> Self {
        Self {
            scope: scope.into(),
            order,
            data: data.to_owned(),
            store_hash: "abcde".to_owned(),
            store_id: Cow::Borrowed("\"11111\""),
            hash: None,
            created_at: Some(crate::clock::system_clock()),
            webhook_id: None,
        }
    }

    /// Includes the old and the new status, as BigCommerce sometimes does with `statusUpdated`.
    #[must_use]
    pub fn with_status(mut self, previous: u8, new: u8) -> Self {
        let (order, scope) = (self.order, r#""status":{"previous_status_id":"#);
        self.data = format!(r#"{{"type":"order","id":{order},{scope}{previous},"new_status_id":{new}}}}}"#);
        self
    }

    /// Makes it an event of another store.
    #[must_use]
    pub fn of_store(mut self, hash: &str) -> Self {
        hash.clone_into(&mut self.store_hash);
        self
    }

    /// Sends `store_id` as a number, as One Tribe's page shows it (BigCommerce's own pages show a string).
    #[must_use]
    pub fn with_numeric_store_id(mut self) -> Self {
        self.store_id = Cow::Borrowed("11111");
        self
    }

    /// Sets `hash`; by default it is derived from scope, data and time.
    #[must_use]
    pub fn with_hash(mut self, hash: &str) -> Self {
        self.hash = Some(hash.to_owned());
        self
    }

    /// Sets `created_at` (unix seconds); `None` leaves it out.
    #[must_use]
    pub fn at(mut self, created_at: Option<i64>) -> Self {
        self.created_at = created_at;
        self
    }

    /// Sets the `webhook-id`; by default each delivery gets a new one.
    #[must_use]
    pub fn with_webhook_id(mut self, id: &str) -> Self {
        self.webhook_id = Some(id.to_owned());
        self
    }

    /// The event's scope.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The id of the order it is about.
    pub fn order(&self) -> i64 {
        self.order
    }

    /// The `webhook-id` that was set, or a new one.
    pub fn webhook_id(&self) -> String {
        self.webhook_id.clone().unwrap_or_else(|| format!("msg_{:032x}", rand::random::<u128>()))
    }

    /// The JSON payload.
    pub fn body(&self) -> Bytes {
        let Self { scope, data, store_hash, store_id, .. } = self;
        let hash = self.hash.clone().unwrap_or_else(|| self.digest());
        let created_at = self.created_at.map(|at| format!(r#","created_at":{at}"#)).unwrap_or_default();
        format!(
            r#"{{"store_id":{store_id},"producer":"stores/{store_hash}","scope":"{scope}","data":{data},"hash":"{hash}"{created_at}}}"#
        )
        .into()
    }

    /// Forty hexadecimal digits, equal for equal events: two changes of one kind within one second share them.
    fn digest(&self) -> String {
        let part = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, &self.scope, &self.data, self.created_at).hash(&mut hasher);
            hasher.finish()
        };
        format!("{:016x}{:016x}{:08x}", part(0), part(1), part(2) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_names_its_order() {
        for scope in Scope::ALL {
            for event in [Event::new(scope, 173_331), Event::new(scope, 173_331).with_numeric_store_id().at(None)] {
                let told: serde_json::Value = serde_json::from_slice(&event.body()).expect("JSON");
                let ids = [&told["data"]["id"], &told["data"]["order_id"], &told["data"]["resource_id"]];
                assert!(ids.iter().any(|id| **id == 173_331 || **id == "173331"), "{scope:?}");
                assert_eq!(told["created_at"].as_i64(), event.created_at);
                assert_eq!(told["hash"].as_str().map(str::len), Some(40));
            }
        }
    }

    #[test]
    fn the_page_s_own_payload_comes_out_the_same() {
        let event = Event::new(Scope::StatusUpdated, 173_331)
            .with_numeric_store_id()
            .with_hash("3f9ea420af83450d7ef9f78b08c8af25b2213637")
            .at(None);
        let ours: serde_json::Value = serde_json::from_slice(&event.body()).expect("JSON");
        let page: serde_json::Value = serde_json::from_str(crate::order::PAYLOAD_FIXTURE).expect("JSON");
        assert_eq!(ours, page);
        let status = Event::new(Scope::StatusUpdated, 5).with_status(1, 11);
        let told: serde_json::Value = serde_json::from_slice(&status.body()).expect("JSON");
        assert_eq!(told["data"]["status"]["new_status_id"], 11);
    }
}
