//! Rows that polls have just read, kept until they are notified: a notification that follows at once then costs no
//! call. In memory only, and limited; a row that is not here is fetched.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{clock::Timestamp, object::ObjectKey};

/// Memory for all rows together, in bytes.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Rows older than this are dropped when others need the room.
const STALE: Duration = Duration::from_secs(300);

/// A row, and when it was read.
#[derive(Debug, Clone)]
pub struct PolledRow {
    /// The row as the store sent it; contains personal data.
    pub row: Bytes,
    /// When the call that read it began.
    pub read_at: Timestamp,
}

/// The latest row of each object.
#[derive(Debug, Default)]
pub struct PolledRows(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    rows: HashMap<ObjectKey, (PolledRow, Instant)>,
    bytes: usize,
}

impl Rows {
    fn remove(&mut self, key: &ObjectKey) -> Option<PolledRow> {
        let (row, _) = self.rows.remove(key)?;
        self.bytes -= row.row.len();
        Some(row)
    }
}

impl PolledRows {
    /// Keeps a row, if there is room; an older row of the object is dropped in any case.
    pub fn put(&self, key: ObjectKey, row: &[u8], read_at: Timestamp) {
        let now = Instant::now();
        let mut rows = self.0.lock();
        rows.remove(&key);
        if rows.bytes + row.len() > MOST_BYTES {
            let is_stale = |kept: &Instant| now.saturating_duration_since(*kept) > STALE;
            let stale: Vec<ObjectKey> =
                rows.rows.iter().filter(|(_, (_, kept))| is_stale(kept)).map(|(key, _)| key.clone()).collect();
            for key in stale {
                rows.remove(&key);
            }
        }
        if rows.bytes + row.len() <= MOST_BYTES {
            rows.bytes += row.len();
            // Copied: a slice would keep the whole page in memory.
            rows.rows.insert(key, (PolledRow { row: Bytes::copy_from_slice(row), read_at }, now));
        }
    }

    /// Whether the object's row is kept.
    pub fn has(&self, key: &ObjectKey) -> bool {
        self.0.lock().rows.contains_key(key)
    }

    /// Removes and returns the object's row.
    pub fn take(&self, key: &ObjectKey) -> Option<PolledRow> {
        self.0.lock().remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ConnectionId, ObjectId, ResourceName};

    fn key(id: i64) -> ObjectKey {
        ObjectKey { connection: ConnectionId(1), resource: ResourceName::orders(), id: ObjectId::Number(id) }
    }

    #[test]
    fn the_latest_state_is_kept_and_memory_is_bounded() {
        let (rows, at) = (PolledRows::default(), Timestamp::from_seconds(1));
        rows.put(key(1), b"old", at);
        rows.put(key(1), b"new", at);
        assert!(rows.has(&key(1)));
        assert_eq!(rows.take(&key(1)).map(|row| row.row), Some(Bytes::from_static(b"new")));
        assert!(rows.take(&key(1)).is_none() && rows.0.lock().bytes == 0);
        let large = vec![0; MOST_BYTES / 2];
        for id in 1..=3 {
            rows.put(key(id), &large, at);
        }
        assert!(rows.has(&key(2)) && !rows.has(&key(3)), "no room");
        rows.put(key(2), &vec![0; MOST_BYTES], at);
        assert!(!rows.has(&key(2)), "an older state is no longer true");
    }
}
