//! The light webhook payload: which order it is about, or what else. Pure.
//!
//! Format: BigCommerce, "Webhook events" (orders).

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
    /// The order's id.
    pub order: ObjectId,
    /// The kind of change.
    pub change: ChangeKind,
    /// The payload's `hash`: equal for equal events; it proves nothing.
    pub hash: Option<String>,
    /// The payload's `created_at` in Unix seconds, if it has one.
    pub created_at: Option<i64>,
}

/// The content of a genuine payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// An order changed.
    Order(OrderEvent),
    /// The scope is not about orders.
    NotAboutOrders {
        /// The scope, shortened for the log.
        scope: String,
    },
    /// The event belongs to another store.
    ForeignStore,
    /// The scope is an unknown one about orders, and the payload has no recognisable order id.
    Unreadable {
        /// The scope, shortened for the log.
        scope: String,
    },
}

/// Why a genuine payload cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The body is not a JSON object with a `scope` and a `producer`.
    #[error("the body is not a JSON object with `scope` and `producer`")]
    Malformed,
    /// The scope is a known one, but there is no usable order id.
    #[error("the order id is missing or not a positive whole number")]
    NoOrderId,
}

/// The raw values of the named fields of a JSON object; of a repeated field, the last. Everything else only has to be
/// valid JSON: since it is skipped without recursion, no number is too large, no escape too odd and no nesting too
/// deep.
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

/// Parses a raw value; `None` if it has another type. `serde_json` refuses nesting deeper than 128 levels here.
fn read<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// The fields of `data` that may hold the order's id.
#[derive(Default)]
struct Data<'a> {
    kind: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    order_id: Option<&'a RawValue>,
    resource_id: Option<&'a RawValue>,
}

impl<'a> Data<'a> {
    /// Anything but an object has no fields.
    fn of(raw: Option<&'a RawValue>) -> Self {
        let fields = raw.and_then(|raw| Fields(["type", "id", "order_id", "resource_id"]).of(raw.get()).ok());
        let [kind, id, order_id, resource_id] = fields.unwrap_or_default();
        Self { kind, id, order_id, resource_id }
    }
}

/// The field that holds the order's id, depending on the scope.
#[derive(Clone, Copy)]
enum IdField {
    Id,
    OrderId,
    ResourceId,
}

/// The part of a scope after `store/order/` or `store/channel/{id}/order/`, and whether it was the latter.
fn order_event(scope: &str) -> Option<(&str, bool)> {
    if let Some(event) = scope.strip_prefix("store/order/") {
        return Some((event, false));
    }
    let (channel, event) = scope.strip_prefix("store/channel/")?.split_once("/order/")?;
    channel.bytes().all(|b| b.is_ascii_digit()).then_some((event, true))
}

impl IdField {
    /// The field for a scope; `None` if the relay does not know the scope.
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

/// A positive whole number up to 2⁶³−1, also as a string.
fn order_id(raw: &RawValue) -> Option<ObjectId> {
    match read(raw)? {
        Value::Number(number) => number.as_i64().and_then(ObjectId::from_number),
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().ok().and_then(ObjectId::from_number)
        }
        _ => None,
    }
}

/// `data.id` counts only if `data.type` is `order` or missing.
fn guess_order_id(data: &Data<'_>) -> Option<ObjectId> {
    let about_an_order = data.kind.is_none_or(|kind| read::<String>(kind).as_deref() == Some("order"));
    IdField::OrderId
        .read(data)
        .or_else(|| IdField::ResourceId.read(data))
        .or_else(|| IdField::Id.read(data).filter(|_| about_an_order))
}

/// Unix seconds, as a number or a string.
fn seconds(raw: &RawValue) -> Option<i64> {
    match read(raw)? {
        Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    }
}

/// Longest part of a sender's text that is logged.
const LOGGED_SCOPE: usize = 80;

/// Parses a genuine payload that came to the connection of `store` (a hash). Never panics, whatever the bytes.
///
/// # Errors
/// [`PayloadError`] if it cannot be used, whichever store it is from.
pub fn parse(store: &str, body: &[u8]) -> Result<Payload, PayloadError> {
    // Checked here because skipped values are not: JSON must be UTF-8 throughout.
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

/// What follows `store/product/` and `store/customer/` in scopes about the product or customer itself, whose id is
/// then `data.id`. Source: BigCommerce, "Webhook events" (products, customers).
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

/// Parses a genuine payload about a product or a customer, for connections that watch them. Returns `products` or
/// `customers`, and the event.
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
