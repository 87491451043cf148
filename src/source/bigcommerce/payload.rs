//! The light webhook payload: which order it is about, or why it is about none. Pure.
//!
//! Shapes: BigCommerce, "Webhook events" (orders), and `reference/bigcommerce` of the project's fact sheets.

use std::fmt;

use serde::{
    Deserializer as _,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::object::{ChangeKind, ObjectId};

/// One event about one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvent {
    /// Which order.
    pub order: ObjectId,
    /// What kind of change.
    pub change: ChangeKind,
    /// The payload's `hash`: equal for equal events, and proof of nothing else.
    pub hash: Option<String>,
    /// The payload's `created_at`, unix seconds, if it came.
    pub created_at: Option<i64>,
}

/// What a genuine payload turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// An order changed.
    Order(OrderEvent),
    /// A scope that is not about orders.
    NotAboutOrders {
        /// The scope, cut to a length fit for a log.
        scope: String,
    },
    /// The event belongs to another store.
    ForeignStore,
    /// An order scope that the relay does not know, in a shape it does not know either.
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
}

/// The named fields of a JSON object, each as it is written there; of one that is repeated, the last. What else there
/// is only has to be JSON: no number is too large, no escape too odd, and nothing nested too deep, since it is skipped
/// without recursion.
struct Fields<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let name: Option<String> = read(name);
            if let Some(at) = self.0.iter().position(|wanted| Some(*wanted) == name.as_deref()) {
                found[at] = Some(value);
            }
        }
        Ok(found)
    }
}

impl<const N: usize> Fields<'_, N> {
    fn of(self, text: &str) -> serde_json::Result<[Option<&RawValue>; N]> {
        let mut json = serde_json::Deserializer::from_str(text);
        let found = json.deserialize_map(self)?;
        json.end()?;
        Ok(found)
    }
}

/// A value that is used; `None` when it is not what it should be. `serde_json` takes nothing nested deeper than 128
/// here.
fn read<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// Where an event names its order.
#[derive(Default)]
struct Data<'a> {
    kind: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    order_id: Option<&'a RawValue>,
    resource_id: Option<&'a RawValue>,
}

impl<'a> Data<'a> {
    /// Anything but an object holds nothing.
    fn of(raw: Option<&'a RawValue>) -> Self {
        let fields = raw.and_then(|raw| Fields(["type", "id", "order_id", "resource_id"]).of(raw.get()).ok());
        let [kind, id, order_id, resource_id] = fields.unwrap_or_default();
        Self { kind, id, order_id, resource_id }
    }
}

/// Where a scope keeps the order's id.
#[derive(Clone, Copy)]
enum IdField {
    Id,
    OrderId,
    ResourceId,
}

/// What follows `store/order/`, or `store/channel/{id}/order/`, in a scope.
fn order_event(scope: &str) -> Option<(&str, bool)> {
    if let Some(event) = scope.strip_prefix("store/order/") {
        return Some((event, false));
    }
    let (channel, event) = scope.strip_prefix("store/channel/")?.split_once("/order/")?;
    channel.bytes().all(|b| b.is_ascii_digit()).then_some((event, true))
}

impl IdField {
    /// `None` for a scope the relay does not know.
    fn of_scope(event: &str, is_channel: bool) -> Option<Self> {
        Some(match event {
            "created" | "updated" | "archived" | "statusUpdated" | "message/created" | "refund/created" => {
                if is_channel { Self::OrderId } else { Self::Id }
            }
            "transaction/created" | "transaction/updated" if !is_channel => Self::OrderId,
            "metafield/created" | "metafield/updated" | "metafield/deleted" if !is_channel => Self::ResourceId,
            _ => return None,
        })
    }

    fn read(self, data: &Data<'_>) -> Option<ObjectId> {
        let field = match self {
            Self::Id => data.id,
            Self::OrderId => data.order_id,
            Self::ResourceId => data.resource_id,
        };
        field.and_then(order_id)
    }
}

/// A positive whole number up to 2⁶³−1, also as a text.
fn order_id(raw: &RawValue) -> Option<ObjectId> {
    match read(raw)? {
        Value::Number(number) => number.as_i64().and_then(ObjectId::from_number),
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().ok().and_then(ObjectId::from_number)
        }
        _ => None,
    }
}

/// `data.id` is the order's only where `data` says it speaks of an order, or says nothing.
fn guess_order_id(data: &Data<'_>) -> Option<ObjectId> {
    let about_an_order = data.kind.is_none_or(|kind| read::<String>(kind).as_deref() == Some("order"));
    IdField::OrderId
        .read(data)
        .or_else(|| IdField::ResourceId.read(data))
        .or_else(|| IdField::Id.read(data).filter(|_| about_an_order))
}

/// Unix seconds, as a number or as text.
fn seconds(raw: &RawValue) -> Option<i64> {
    match read(raw)? {
        Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    }
}

/// Longest piece of a sender's text that goes into a log.
const LOGGED_SCOPE: usize = 80;

/// Reads a genuine payload that came to the connection of `store` (a hash). Never panics, whatever the bytes.
///
/// # Errors
/// [`PayloadError`], also where the payload is another store's.
pub fn parse(store: &str, body: &[u8]) -> Result<Payload, PayloadError> {
    // What is skipped is not looked at for this: JSON is UTF-8 throughout.
    let text = std::str::from_utf8(body).map_err(|_| PayloadError::Malformed)?;
    let fields = Fields(["scope", "producer", "data", "hash", "created_at"]);
    let [scope, producer, data, hash, created_at] = fields.of(text).map_err(|_| PayloadError::Malformed)?;
    let text = |field: Option<&RawValue>| field.and_then(read::<String>);
    let (Some(scope), Some(producer)) = (text(scope), text(producer)) else { return Err(PayloadError::Malformed) };
    let data = Data::of(data);
    let event = order_event(&scope);
    let order = match event {
        None => None,
        Some((event, is_channel)) => match IdField::of_scope(event, is_channel) {
            Some(field) => Some(field.read(&data).ok_or(PayloadError::NoOrderId)?),
            None => guess_order_id(&data),
        },
    };
    if producer.strip_prefix("stores/") != Some(store) {
        return Ok(Payload::ForeignStore);
    }
    let logged = || scope.chars().filter(|c| !c.is_control()).take(LOGGED_SCOPE).collect();
    Ok(match (order, event) {
        (Some(order), _) => Payload::Order(OrderEvent {
            order,
            change: if event.is_some_and(|(event, _)| event == "created") {
                ChangeKind::Created
            } else {
                ChangeKind::Updated
            },
            hash: text(hash).filter(|hash| !hash.is_empty()),
            created_at: created_at.and_then(seconds),
        }),
        (None, Some(_)) => Payload::Unreadable { scope: logged() },
        (None, None) => Payload::NotAboutOrders { scope: logged() },
    })
}

/// What follows `store/product/` and `store/customer/` in scopes that are about the product or customer itself, whose
/// id is `data.id` then. Source: BigCommerce, "Webhook events" (products, customers).
fn aside_event(scope: &str) -> Option<(&'static str, ChangeKind)> {
    let (topic, event) = match scope.strip_prefix("store/")?.split_once('/')? {
        ("product", event) => ("products", event),
        ("customer", event) => ("customers", event),
        _ => return None,
    };
    match (topic, event) {
        (_, "created") => Some((topic, ChangeKind::Created)),
        (_, "updated") | ("products", "inventory/updated" | "inventory/order/updated") => {
            Some((topic, ChangeKind::Updated))
        }
        (_, "deleted") => Some((topic, ChangeKind::Deleted)),
        _ => None,
    }
}

/// Reads a genuine payload about a product or a customer, for those who want to hear of them: which of `products` and
/// `customers` it is, and what happened.
pub fn parse_aside(store: &str, body: &[u8]) -> Option<(&'static str, OrderEvent)> {
    let text = std::str::from_utf8(body).ok()?;
    let fields = Fields(["scope", "producer", "data", "hash", "created_at"]);
    let [scope, producer, data, hash, created_at] = fields.of(text).ok()?;
    let (scope, producer): (String, String) = (read(scope?)?, read(producer?)?);
    let (topic, change) = aside_event(&scope).filter(|_| producer.strip_prefix("stores/") == Some(store))?;
    let event = OrderEvent {
        order: IdField::Id.read(&Data::of(data))?,
        change,
        hash: hash.and_then(read::<String>).filter(|hash| !hash.is_empty()),
        created_at: created_at.and_then(seconds),
    };
    Some((topic, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_customers_are_read_for_those_who_ask() {
        let payload = |scope: &str, data: &str| {
            format!(r#"{{"scope":"{scope}","producer":"stores/abcde","data":{data},"hash":"h","created_at":7}}"#)
        };
        let read = |scope, data| {
            let event = parse_aside("abcde", payload(scope, data).as_bytes());
            event.map(|(topic, event)| (topic, event.order.to_string(), event.change))
        };
        let id = r#"{"type":"product","id":205}"#;
        let found = |topic, change| Some((topic, "205".to_owned(), change));
        assert_eq!(read("store/product/created", id), found("products", ChangeKind::Created));
        assert_eq!(read("store/product/inventory/updated", id), found("products", ChangeKind::Updated));
        assert_eq!(read("store/customer/deleted", id), found("customers", ChangeKind::Deleted));
        for other in ["store/customer/address/created", "store/order/created", "store/sku/updated", "store/product"] {
            assert_eq!(read(other, id), None, "{other}");
        }
        assert_eq!(read("store/product/updated", r#"{"type":"product"}"#), None);
        assert_eq!(parse_aside("other", payload("store/product/updated", id).as_bytes()), None);
    }
}
