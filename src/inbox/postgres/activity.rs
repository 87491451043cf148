//! When each connection last received an event and last forwarded an object. If every batch updated its connections'
//! rows, the batches of all relays would wait for each other there; so each relay keeps these times in memory and
//! writes them shortly afterwards.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::Serialize;
use sqlx::PgPool;

use super::rows::json;
use crate::{clock::Timestamp, object::ConnectionId};

/// The activity of one connection, by the server's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Activity {
    pub last_event_at: Option<Timestamp>,
    pub last_delivered_at: Option<Timestamp>,
}

impl Activity {
    fn latest(self, other: Self) -> Self {
        Self {
            last_event_at: self.last_event_at.max(other.last_event_at),
            last_delivered_at: self.last_delivered_at.max(other.last_delivered_at),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    known: Activity,
    written: Activity,
}

/// The activity that this relay knows of, and the part that has been written.
#[derive(Debug, Default)]
pub(super) struct ActivityCache(Mutex<HashMap<ConnectionId, Entry>>);

impl ActivityCache {
    pub fn note_event(&self, connection: ConnectionId, at: Timestamp) {
        self.note(connection, Activity { last_event_at: Some(at), ..Activity::default() });
    }

    pub fn note_delivery(&self, connection: ConnectionId, at: Timestamp) {
        self.note(connection, Activity { last_delivered_at: Some(at), ..Activity::default() });
    }

    fn note(&self, connection: ConnectionId, activity: Activity) {
        let mut entries = self.0.lock();
        let entry = entries.entry(connection).or_default();
        entry.known = entry.known.latest(activity);
    }

    pub fn known(&self, connection: ConnectionId) -> Activity {
        self.0.lock().get(&connection).map(|entry| entry.known).unwrap_or_default()
    }

    fn unwritten(&self) -> Vec<(ConnectionId, Activity)> {
        let entries = self.0.lock();
        let unwritten = entries.iter().filter(|(_, entry)| entry.known != entry.written);
        let mut unwritten: Vec<_> = unwritten.map(|(id, entry)| (*id, entry.known)).collect();
        unwritten.sort_unstable_by_key(|(id, _)| *id);
        unwritten
    }

    /// Writes what has not been written yet, without a sync: objects have times of their own, and if the server
    /// crashes within the second, the connection's times are merely older until its next event.
    pub async fn write(&self, db: &PgPool) -> Result<(), sqlx::Error> {
        #[derive(Serialize)]
        struct ActivityRow {
            connection_id: ConnectionId,
            last_event_at: Option<i64>,
            last_delivered_at: Option<i64>,
        }
        let unwritten = self.unwritten();
        if unwritten.is_empty() {
            return Ok(());
        }
        let row = |(connection_id, activity): &(ConnectionId, Activity)| ActivityRow {
            connection_id: *connection_id,
            last_event_at: activity.last_event_at.map(Timestamp::millis),
            last_delivered_at: activity.last_delivered_at.map(Timestamp::millis),
        };
        let sql = "INSERT INTO activity AS a (connection_id, last_event_at, last_delivered_at)
                   SELECT * FROM json_to_recordset($1::text::json)
                       AS b(connection_id bigint, last_event_at bigint, last_delivered_at bigint)
                   WHERE set_config('synchronous_commit', 'off', true) = 'off'
                   ORDER BY connection_id
                   ON CONFLICT (connection_id) DO UPDATE SET
                       last_event_at = greatest(a.last_event_at, excluded.last_event_at),
                       last_delivered_at = greatest(a.last_delivered_at, excluded.last_delivered_at)";
        let batch: Vec<ActivityRow> = unwritten.iter().map(row).collect();
        sqlx::query(sql).bind(json(batch)).execute(db).await?;
        let mut entries = self.0.lock();
        for (connection, activity) in unwritten {
            entries.entry(connection).or_default().written = activity;
        }
        Ok(())
    }
}
