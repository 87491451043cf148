//! Notifications to Cloud Elements callbacks: ids, kinds and times only; the rows themselves are fetched afresh.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    http::Failure,
    object::{ChangeKind, ConnectionId, ObjectId, ResourceName},
};

/// One object within a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifiedObject {
    /// Which one.
    pub id: ObjectId,
    /// What happened to it.
    pub change: ChangeKind,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

/// Where a notification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationStatus {
    /// It has failed and will be tried again.
    Retry,
    /// It waits until the queue is released.
    Queued,
    /// The callback has taken it.
    Notified,
}

impl NotificationStatus {
    /// As the database keeps it.
    pub fn code(self) -> i16 {
        match self {
            Self::Retry => 0,
            Self::Queued => 1,
            Self::Notified => 2,
        }
    }

    /// Reads the code back.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Retry, Self::Queued, Self::Notified].into_iter().find(|status| status.code() == code)
    }
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id, the same on every retry.
    pub id: String,
    /// Whose it is.
    pub connection: ConnectionId,
    /// Of which resource.
    pub resource: ResourceName,
    /// Its objects.
    pub objects: Vec<NotifiedObject>,
    /// Where it stands.
    pub status: NotificationStatus,
    /// Tries that have failed.
    pub attempts: u32,
    /// When it failed first, in the schedule that counts from there.
    pub failed_at: Option<Timestamp>,
    /// The next try, while there is one.
    pub retry_at: Option<Timestamp>,
    /// What was seen last.
    pub last_failure: Option<Failure>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was taken.
    pub notified_at: Option<Timestamp>,
}
