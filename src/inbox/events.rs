//! Notifications to Cloud Elements callbacks: ids, kinds and times only; the rows themselves are fetched again.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    http::Failure,
    object::{ChangeKind, ConnectionId, ObjectId, ResourceName},
};

/// One object within a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifiedObject {
    /// The object's id at the store.
    pub id: ObjectId,
    /// Whether it was created, updated or deleted.
    pub change: ChangeKind,
    /// When it changed, in milliseconds since 1970.
    pub at: i64,
}

/// The state of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationStatus {
    /// It has failed and is to be tried again.
    Retry,
    /// It waits until the queue is released.
    Queued,
    /// The callback has taken it.
    Notified,
}

impl NotificationStatus {
    /// The number that the database stores.
    pub fn code(self) -> i16 {
        match self {
            Self::Retry => 0,
            Self::Queued => 1,
            Self::Notified => 2,
        }
    }

    /// The status with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Retry, Self::Queued, Self::Notified].into_iter().find(|status| status.code() == code)
    }
}

/// A notification as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The id sent to the callback, the same on every retry.
    pub id: String,
    /// The connection it belongs to.
    pub connection: ConnectionId,
    /// The resource it is about.
    pub resource: ResourceName,
    /// The objects it reports.
    pub objects: Vec<NotifiedObject>,
    /// Whether it has arrived, waits for a retry, or is queued.
    pub status: NotificationStatus,
    /// How many tries have failed.
    pub attempts: u32,
    /// When it first failed; the retry schedule counts from here.
    pub failed_at: Option<Timestamp>,
    /// When it is tried next, if it is.
    pub retry_at: Option<Timestamp>,
    /// The last failure.
    pub last_failure: Option<Failure>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the callback took it.
    pub notified_at: Option<Timestamp>,
}
