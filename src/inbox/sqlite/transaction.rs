//! One transaction, and what is written once at its end for all of its changes.

use std::collections::{HashMap, HashSet};

use rusqlite::{CachedStatement, Connection};

use crate::{clock::Timestamp, inbox::hour_of, object::ConnectionId};

/// A transaction, and what its changes add up to so far.
pub(super) struct Transaction<'c> {
    connection: &'c Connection,
    work: HashSet<ConnectionId>,
    last_event_at: HashMap<ConnectionId, Timestamp>,
    last_delivered_at: HashMap<ConnectionId, Timestamp>,
    forwarded: HashMap<(ConnectionId, i64), i64>,
}

fn latest(times: &mut HashMap<ConnectionId, Timestamp>, id: ConnectionId, at: Timestamp) {
    let known = times.entry(id).or_insert(at);
    *known = at.max(*known);
}

impl<'c> Transaction<'c> {
    pub fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            work: HashSet::new(),
            last_event_at: HashMap::new(),
            last_delivered_at: HashMap::new(),
            forwarded: HashMap::new(),
        }
    }

    pub fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// A statement, compiled once per connection.
    pub fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql)
    }

    /// Records that this connection may have work once the transaction is committed.
    pub fn brings_work(&mut self, id: ConnectionId) {
        self.work.insert(id);
    }

    /// Records that an event came.
    pub fn heard(&mut self, id: ConnectionId, at: Timestamp) {
        latest(&mut self.last_event_at, id, at);
    }

    /// Records that an object was forwarded.
    pub fn forwarded(&mut self, id: ConnectionId, at: Timestamp) {
        latest(&mut self.last_delivered_at, id, at);
        *self.forwarded.entry((id, hour_of(at))).or_default() += 1;
    }

    /// Writes what all changes add up to. Returns the connections that may have new work.
    pub fn finish(self) -> rusqlite::Result<HashSet<ConnectionId>> {
        for (times, sql) in [
            (
                &self.last_event_at,
                "INSERT INTO activity (connection_id, last_event_at) VALUES (?1, ?2) ON CONFLICT (connection_id)
                 DO UPDATE SET last_event_at = max(coalesce(last_event_at, 0), excluded.last_event_at)",
            ),
            (
                &self.last_delivered_at,
                "INSERT INTO activity (connection_id, last_delivered_at) VALUES (?1, ?2) ON CONFLICT (connection_id)
                 DO UPDATE SET last_delivered_at = max(coalesce(last_delivered_at, 0), excluded.last_delivered_at)",
            ),
        ] {
            for (id, at) in times {
                self.prepare(sql)?.execute((id.0, at.millis()))?;
            }
        }
        let count = "INSERT INTO hours (connection_id, hour, forwarded) VALUES (?1, ?2, ?3)
                     ON CONFLICT (connection_id, hour) DO UPDATE SET forwarded = forwarded + excluded.forwarded";
        for ((id, hour), count_of) in &self.forwarded {
            self.prepare(count)?.execute((id.0, hour, count_of))?;
        }
        Ok(self.work)
    }
}
