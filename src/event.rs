//! The light webhook payload and the names of what it speaks of: stores, orders, scopes, events. Pure.
//!
//! Shapes: BigCommerce, "Webhook events" (orders), and `reference/bigcommerce` of the project's fact sheets.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A store's hash, `abcde` in `stores/abcde`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StoreHash(String);

impl StoreHash {
    /// Takes letters and digits only: the hash becomes part of a path.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_owned()))
    }

    /// The hash itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How a payload's `producer` names this store: `stores/<hash>`.
    pub fn is_producer(&self, producer: &str) -> bool {
        producer.strip_prefix("stores/") == Some(self.as_str())
    }
}

impl fmt::Display for StoreHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An order's number in its store: positive, up to 2⁶³−1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct OrderId(i64);

impl OrderId {
    /// `None` unless positive.
    pub fn new(id: i64) -> Option<Self> {
        (id > 0).then_some(Self(id))
    }

    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }

    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().and_then(Self::new),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl std::str::FromStr for OrderId {
    type Err = NotAnOrderId;

    fn from_str(text: &str) -> Result<Self, NotAnOrderId> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().and_then(Self::new).ok_or(NotAnOrderId)
    }
}

/// Said of a text that is no order id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order id is a positive whole number")]
pub struct NotAnOrderId;

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing BigCommerce told us about one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvent {
    /// Which order.
    pub order: OrderId,
    /// The payload's `hash`: equal for equal events, and proof of nothing else.
    pub hash: Option<String>,
    /// The payload's `created_at`, unix seconds, if it came.
    pub created_at: Option<i64>,
}

/// What a genuine payload of this store turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// An order changed.
    Order(OrderEvent),
    /// A scope that is not about orders.
    NotAboutOrders {
        /// The scope, cut to a length fit for a log.
        scope: String,
    },
    /// A `store/order/…` scope the relay does not know, in a shape it does not know either.
    Unreadable {
        /// The scope, cut to a length fit for a log.
        scope: String,
    },
}

/// Why a genuine payload cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The body is no JSON object with a `scope` and a `producer`.
    #[error("the body is not a JSON object with `scope` and `producer`")]
    Malformed,
    /// A known order scope without a usable order id.
    #[error("the order id is missing or not a positive whole number")]
    NoOrderId,
    /// The payload is another store's.
    #[error("the event belongs to another store")]
    AnotherStore,
}

#[derive(Deserialize)]
struct LightPayload {
    scope: String,
    producer: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    hash: Value,
    #[serde(default)]
    created_at: Value,
}

/// Where a scope keeps the order's id.
#[derive(Clone, Copy)]
enum IdField {
    Id,
    OrderId,
    ResourceId,
}

impl IdField {
    /// `None` for a scope the relay does not know.
    fn of_scope(event: &str) -> Option<Self> {
        Some(match event {
            "created" | "updated" | "archived" | "statusUpdated" | "message/created" | "refund/created" => Self::Id,
            "transaction/created" | "transaction/updated" => Self::OrderId,
            "metafield/created" | "metafield/updated" | "metafield/deleted" => Self::ResourceId,
            _ => return None,
        })
    }

    fn read(self, data: &Value) -> Option<OrderId> {
        let name = match self {
            Self::Id => "id",
            Self::OrderId => "order_id",
            Self::ResourceId => "resource_id",
        };
        data.get(name).and_then(OrderId::from_json)
    }
}

/// `data.id` is the order's only where `data` says it speaks of an order, or says nothing.
fn guess_order_id(data: &Value) -> Option<OrderId> {
    let about_an_order = data.get("type").is_none_or(|kind| kind == "order");
    IdField::OrderId
        .read(data)
        .or_else(|| IdField::ResourceId.read(data))
        .or_else(|| IdField::Id.read(data).filter(|_| about_an_order))
}

/// Longest piece of a sender's text that goes into a log.
const LOGGED_SCOPE: usize = 80;

/// Reads a genuine payload. Never panics, whatever the bytes.
///
/// # Errors
/// [`PayloadError`], in the order of the contract: malformed (or a known order scope without an id) before another store's.
pub fn parse(store: &StoreHash, body: &[u8]) -> Result<Payload, PayloadError> {
    // An array of the right values in the right order would be read as an object too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(PayloadError::Malformed);
    }
    let light: LightPayload = serde_json::from_slice(body).map_err(|_| PayloadError::Malformed)?;
    let order = match light.scope.strip_prefix("store/order/") {
        None => None,
        Some(event) => match IdField::of_scope(event) {
            Some(field) => Some(field.read(&light.data).ok_or(PayloadError::NoOrderId)?),
            None => guess_order_id(&light.data),
        },
    };
    if !store.is_producer(&light.producer) {
        return Err(PayloadError::AnotherStore);
    }
    let scope = || light.scope.chars().filter(|c| !c.is_control()).take(LOGGED_SCOPE).collect();
    Ok(match order {
        Some(order) => Payload::Order(OrderEvent {
            order,
            hash: light.hash.as_str().filter(|hash| !hash.is_empty()).map(str::to_owned),
            created_at: match &light.created_at {
                Value::String(text) => text.parse().ok(),
                number => number.as_i64(),
            },
        }),
        None if light.scope.starts_with("store/order/") => Payload::Unreadable { scope: scope() },
        None => Payload::NotAboutOrders { scope: scope() },
    })
}
