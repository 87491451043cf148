//! The body of a notification. Pure.
//!
//! Source: Cloud Elements, "Events: polling" (the newer of the two documented shapes) and the assets of its test suite.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    clock::Timestamp,
    elements::{instance::show, rows},
    inbox::{Notification, NotificationStatus},
    object::{ChangeKind, ConnectionId, ObjectId, ResourceName},
    spec::CallbackSpec,
};

/// The instance that a notification is sent for.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The element's key: `bigcommerce` or `woocommercerest`.
    pub element_key: &'a str,
    /// The instance's number.
    pub instance: ConnectionId,
    /// The instance's name.
    pub name: &'a str,
    /// The instance's tags.
    pub tags: &'a [String],
}

/// One object within a notification.
#[derive(Debug, Clone)]
pub struct Event {
    /// The object's id at the store.
    pub id: ObjectId,
    /// Whether it was created, updated or deleted.
    pub change: ChangeKind,
    /// When it changed: the row's own date, or when the relay learned of it.
    pub at: Timestamp,
    /// The row as the store sent it; `None` for an object that is gone.
    pub row: Option<Bytes>,
}

/// A new id, shared by a notification and its event: 32 hexadecimal digits.
pub fn new_event_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    element_key: &'a str,
    event_id: &'a str,
    instance_id: ConnectionId,
    instance_name: &'a str,
    instance_tags: &'a [String],
    events: Vec<MessageEvent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageEvent<'a> {
    element_key: &'a str,
    event_type: ChangeKind,
    object_type: &'a ResourceName,
    object_id: String,
    date: String,
}

impl Envelope<'_> {
    /// The body of a notification about objects of one resource. Rows keep their bytes, unless the instance wants
    /// nulls left out.
    pub fn body(&self, callback: &CallbackSpec, event_id: &str, resource: &ResourceName, events: &[Event]) -> Bytes {
        let told = |event: &Event| MessageEvent {
            element_key: self.element_key,
            event_type: event.change,
            object_type: resource,
            object_id: event.id.to_string(),
            date: show::date(event.at),
        };
        let message = Message {
            element_key: self.element_key,
            event_id,
            instance_id: self.instance,
            instance_name: self.name,
            instance_tags: self.tags,
            events: events.iter().map(told).collect(),
        };
        let mut message = serde_json::to_vec(&message).expect("texts and numbers are always JSON");
        if callback.has_raw {
            let raw = self.raw(callback.drops_nulls, resource, events);
            // Replaces the closing brace.
            message.pop();
            message.extend_from_slice(b",\"raw\":");
            message.extend_from_slice(&raw);
            message.push(b'}');
        }
        let mut body = Vec::with_capacity(message.len() + 16);
        body.extend_from_slice(b"{\"message\":");
        body.extend_from_slice(&message);
        body.push(b'}');
        body.into()
    }

    fn raw(&self, drops_nulls: bool, resource: &ResourceName, events: &[Event]) -> Vec<u8> {
        let shown = |row: &Bytes| if drops_nulls { rows::without_nulls(row).into() } else { row.clone() };
        let shown: Vec<Bytes> = events.iter().filter_map(|event| event.row.as_ref()).map(shown).collect();
        let name = Value::from(resource.as_str());
        let mut raw = format!("{{\"instance_id\":{},\"objectType\":{name},{name}:", self.instance).into_bytes();
        raw.extend_from_slice(&rows::list(shown.iter().map(|row| &**row)));
        raw.push(b'}');
        raw
    }
}

/// A notification as `GET /instances/{id}/events[/{eventId}]` shows it: ids, kinds and times, no rows.
pub fn event_record(notification: &Notification, element_key: &str) -> Value {
    let objects: Vec<Value> = notification
        .objects
        .iter()
        .map(|object| {
            json!({
                "elementKey": element_key,
                "eventType": object.change,
                "objectType": notification.resource,
                "objectId": object.id.to_string(),
                "date": show::date(Timestamp::from_millis(object.at))
            })
        })
        .collect();
    let status = match notification.status {
        NotificationStatus::Notified => "NOTIFIED",
        NotificationStatus::Retry => "DISPATCHED",
        NotificationStatus::Queued => "RECEIVED",
    };
    let provided = json!({ "objectType": notification.resource, "instance_id": notification.connection });
    let mut record = json!({
        "id": notification.id,
        "eventDate": show::date(notification.created_at),
        "status": status,
        "providerData": provided.to_string()
    });
    let key = if notification.status == NotificationStatus::Notified { "notifiedData" } else { "pendingData" };
    record[key] = objects.into();
    record
}
