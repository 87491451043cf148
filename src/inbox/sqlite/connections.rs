//! Connections as rows. Each change gets a revision higher than all before.

use rusqlite::{Connection, Row, params};

use super::{
    rows::{time, unreadable},
    transaction::Transaction,
};
use crate::{
    clock::Timestamp,
    inbox::{ConnectionRecord, ConnectionState, ConnectionUpdate, NewConnection, PauseReason},
    object::ConnectionId,
    spec::{DestinationKind, Origin, SourceKind, keyring::Sealed},
};

/// The newest revision.
pub(super) fn revision(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT revision FROM catalog")?.query_row([], |row| row.get(0))
}

/// The random bytes that identify this database.
pub(super) fn identity(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    connection.prepare_cached("SELECT identity FROM catalog")?.query_row([], |row| row.get(0))
}

/// Whether the connection has ended.
pub(super) fn has_ended(connection: &Connection, id: ConnectionId) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM connections WHERE id = ?1 AND state = ?2)";
    let parameters = (id.0, ConnectionState::Disconnected.code());
    connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0))
}

/// Every connection changed after `revision`, by revision.
pub(super) fn changed(connection: &Connection, revision: i64) -> rusqlite::Result<Vec<ConnectionRecord>> {
    let sql = "SELECT c.id, origin, state, pause_reason, name, source_kind, store, destination_kind, destination_host,
                   destination_mark, hook_key, token_digest, key_id, sealed, created_at, begins_at, revision,
                   a.last_event_at, a.last_delivered_at
               FROM connections AS c LEFT JOIN activity AS a ON a.connection_id = c.id
               WHERE revision > ?1 ORDER BY revision";
    let mut statement = connection.prepare_cached(sql)?;
    let records = statement.query_map([revision], record)?;
    records.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<ConnectionRecord> {
    let required = |column: usize| Ok::<_, rusqlite::Error>(Timestamp::from_millis(row.get(column)?));
    let (key_id, sealed): (Option<i64>, Option<Vec<u8>>) = (row.get(12)?, row.get(13)?);
    Ok(ConnectionRecord {
        id: ConnectionId(row.get(0)?),
        origin: Origin::from_code(row.get(1)?).ok_or_else(|| unreadable(1))?,
        state: ConnectionState::from_code(row.get(2)?).ok_or_else(|| unreadable(2))?,
        pause_reason: row.get::<_, Option<i16>>(3)?.and_then(PauseReason::from_code),
        name: row.get(4)?,
        source_kind: SourceKind::from_code(row.get(5)?).ok_or_else(|| unreadable(5))?,
        store: row.get(6)?,
        destination_kind: row.get::<_, Option<i16>>(7)?.and_then(DestinationKind::from_code),
        destination_host: row.get(8)?,
        destination_mark: row.get(9)?,
        hook_key: row.get(10)?,
        token_digest: row.get(11)?,
        sealed: key_id.zip(sealed).map(|(key_id, bytes)| Sealed { key_id, bytes }),
        created_at: required(14)?,
        begins_at: required(15)?,
        revision: row.get(16)?,
        last_event_at: time(row, 17)?,
        last_delivered_at: time(row, 18)?,
    })
}

/// Takes the next revision. `None` if a connection has changed since the revision that the caller knows.
fn next_revision(transaction: &Transaction<'_>, known: Option<i64>) -> rusqlite::Result<Option<i64>> {
    if let Some(known) = known {
        let sql = "SELECT EXISTS (SELECT 1 FROM connections WHERE revision > ?1)";
        if transaction.prepare(sql)?.query_row([known], |row| row.get(0))? {
            return Ok(None);
        }
    }
    let sql = "UPDATE catalog SET revision = revision + 1 RETURNING revision";
    transaction.prepare(sql)?.query_row([], |row| row.get(0)).map(Some)
}

/// Stores a new connection. `None` if its decision is superseded.
pub(super) fn create(
    transaction: &mut Transaction<'_>,
    new: &NewConnection,
    now: Timestamp,
) -> rusqlite::Result<Option<ConnectionId>> {
    let Some(revision) = next_revision(transaction, new.known_revision)? else { return Ok(None) };
    let sql = "INSERT INTO connections (origin, state, name, source_kind, store, destination_kind, destination_host,
                   destination_mark, hook_key, token_digest, key_id, sealed, created_at, begins_at, revision)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14)";
    transaction.prepare(sql)?.execute(params![
        new.origin.code(),
        new.state.code(),
        new.name,
        new.source_kind.code(),
        new.store,
        new.destination_kind.map(DestinationKind::code),
        new.destination_host,
        new.destination_mark,
        new.hook_key,
        new.token_digest,
        new.sealed.as_ref().map(|sealed| sealed.key_id),
        new.sealed.as_ref().map(|sealed| &sealed.bytes),
        now.millis(),
        revision,
    ])?;
    Ok(Some(ConnectionId(transaction.connection().last_insert_rowid())))
}

/// Changes a connection. False if there is none with this id, `None` if the decision is superseded.
pub(super) fn update(
    transaction: &mut Transaction<'_>,
    id: ConnectionId,
    update: &ConnectionUpdate,
) -> rusqlite::Result<Option<bool>> {
    let Some(revision) = next_revision(transaction, update.known_revision)? else { return Ok(None) };
    let sql = "UPDATE connections SET revision = ?2 WHERE id = ?1";
    if transaction.prepare(sql)?.execute((id.0, revision))? == 0 {
        return Ok(Some(false));
    }
    if let Some((state, reason)) = update.state {
        let sql = "UPDATE connections SET state = ?2, pause_reason = ?3 WHERE id = ?1";
        transaction.prepare(sql)?.execute((id.0, state.code(), reason.map(PauseReason::code)))?;
        transaction.brings_work(id);
    }
    if let Some(name) = &update.name {
        transaction.prepare("UPDATE connections SET name = ?2 WHERE id = ?1")?.execute((id.0, name))?;
    }
    if let Some(destination) = &update.destination {
        let sql =
            "UPDATE connections SET destination_kind = ?2, destination_host = ?3, destination_mark = ?4 WHERE id = ?1";
        let kind = destination.as_ref().map(|(kind, ..)| kind.code());
        let host = destination.as_ref().map(|(_, host, _)| host);
        let mark = destination.as_ref().map(|(.., mark)| mark);
        transaction.prepare(sql)?.execute((id.0, kind, host, mark))?;
    }
    if let Some(sealed) = &update.sealed {
        let sql = "UPDATE connections SET key_id = ?2, sealed = ?3 WHERE id = ?1";
        let (key_id, bytes) =
            (sealed.as_ref().map(|sealed| sealed.key_id), sealed.as_ref().map(|sealed| &sealed.bytes));
        transaction.prepare(sql)?.execute((id.0, key_id, bytes))?;
    }
    if let Some(digest) = &update.token_digest {
        transaction.prepare("UPDATE connections SET token_digest = ?2 WHERE id = ?1")?.execute((id.0, digest))?;
    }
    if let Some((origin, hook_key)) = &update.identity {
        let sql = "UPDATE connections SET origin = ?2, hook_key = ?3 WHERE id = ?1";
        transaction.prepare(sql)?.execute((id.0, origin.code(), hook_key))?;
    }
    if let Some(begins_at) = update.begins_at {
        let sql = "UPDATE connections SET begins_at = ?2 WHERE id = ?1";
        transaction.prepare(sql)?.execute((id.0, begins_at.millis()))?;
    }
    Ok(Some(true))
}
