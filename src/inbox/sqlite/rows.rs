//! Converts an object's row between the table and `inbox::state`.

use rusqlite::{OptionalExtension, Row as SqlRow, params, types::Type};

use super::transaction::Transaction;
use crate::{
    clock::Timestamp,
    inbox::{Failed, ObjectState, state::Row},
    object::{ChangeKind, ConnectionId, Digest, ObjectId, ObjectKey, ResourceName},
};

/// The columns of [`read_row`], in its order.
pub(super) const COLUMNS: &str = "state, version, forced_version, event_version, delivered, change, was_told, due_at,
    wait_ms, waiting_since, lease_owner, is_forwarding, is_deferred, has_failed, attempts, refused_ms, missing_ms, tried_at,
    pause_ms, last_failure, digest, fetched_at, delivered_at, settled_at, first_event_at, last_event_at";

/// The error for a value that the relay cannot have written.
pub(super) fn unreadable(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, "an unknown value".into())
}

pub(super) fn time(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn state(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<ObjectState> {
    ObjectState::from_code(row.get(column)?).ok_or_else(|| unreadable(column))
}

pub(super) fn object_id(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<ObjectId> {
    let key = row.get_ref(column)?.as_str()?;
    ObjectId::from_sort_key(key).ok_or_else(|| unreadable(column))
}

pub(super) fn resource(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<ResourceName> {
    let name = row.get_ref(column)?.as_str()?;
    if name == ResourceName::orders().as_str() {
        return Ok(ResourceName::orders());
    }
    ResourceName::new(name).ok_or_else(|| unreadable(column))
}

pub(super) fn digest(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<Digest>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Digest))
}

pub(super) fn failed(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<Failed>> {
    let code: Option<String> = row.get(column)?;
    Ok(code.as_deref().and_then(Failed::from_code))
}

/// Reads [`COLUMNS`], beginning at column `from`.
pub(super) fn read_row(row: &SqlRow<'_>, from: usize) -> rusqlite::Result<Row> {
    let required = |column: usize| Ok::<_, rusqlite::Error>(Timestamp::from_millis(row.get(column)?));
    Ok(Row {
        state: state(row, from)?,
        version: row.get(from + 1)?,
        forced_version: row.get(from + 2)?,
        event_version: row.get(from + 3)?,
        delivered: row.get(from + 4)?,
        change: ChangeKind::from_code(row.get(from + 5)?),
        was_told: row.get(from + 6)?,
        due_at: time(row, from + 7)?,
        wait_ms: row.get(from + 8)?,
        waiting_since: time(row, from + 9)?,
        lease_owner: row.get(from + 10)?,
        is_forwarding: row.get(from + 11)?,
        is_deferred: row.get(from + 12)?,
        has_failed: row.get(from + 13)?,
        attempts: row.get(from + 14)?,
        refused_ms: row.get(from + 15)?,
        missing_ms: row.get(from + 16)?,
        tried_at: time(row, from + 17)?,
        pause_ms: row.get(from + 18)?,
        last_failure: failed(row, from + 19)?,
        digest: digest(row, from + 20)?,
        fetched_at: time(row, from + 21)?,
        delivered_at: time(row, from + 22)?,
        settled_at: time(row, from + 23)?,
        first_event_at: required(from + 24)?,
        last_event_at: required(from + 25)?,
    })
}

/// The row of an object, if there is one.
pub(super) fn load(transaction: &Transaction<'_>, key: &ObjectKey, sort_key: &str) -> rusqlite::Result<Option<Row>> {
    let sql = "SELECT state, version, forced_version, event_version, delivered, change, was_told, due_at, wait_ms,
                   waiting_since, lease_owner, is_forwarding, is_deferred, has_failed, attempts, refused_ms, missing_ms,
                   tried_at, pause_ms, last_failure, digest, fetched_at, delivered_at, settled_at, first_event_at,
                   last_event_at
               FROM objects WHERE connection_id = ?1 AND resource = ?2 AND id = ?3";
    let mut statement = transaction.prepare(sql)?;
    let parameters = (key.connection.0, key.resource.as_str(), sort_key);
    statement.query_row(parameters, |row| read_row(row, 0)).optional()
}

/// Inserts or replaces a row.
pub(super) fn save(
    transaction: &Transaction<'_>,
    key: &ObjectKey,
    sort_key: &str,
    row: &Row,
    is_new: bool,
) -> rusqlite::Result<()> {
    let sql = if is_new {
        "INSERT INTO objects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
             ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)"
    } else {
        "UPDATE objects SET state = ?4, version = ?5, forced_version = ?6, event_version = ?7, delivered = ?8, change = ?9,
             was_told = ?10, due_at = ?11, wait_ms = ?12, waiting_since = ?13, lease_owner = ?14, is_forwarding = ?15,
             is_deferred = ?16, has_failed = ?17, attempts = ?18, refused_ms = ?19, missing_ms = ?20, tried_at = ?21,
             pause_ms = ?22, last_failure = ?23, digest = ?24, fetched_at = ?25, delivered_at = ?26, settled_at = ?27,
             first_event_at = ?28, last_event_at = ?29
         WHERE connection_id = ?1 AND resource = ?2 AND id = ?3"
    };
    let millis = |at: Option<Timestamp>| at.map(Timestamp::millis);
    transaction.prepare(sql)?.execute(params![
        key.connection.0,
        key.resource.as_str(),
        sort_key,
        row.state.code(),
        row.version,
        row.forced_version,
        row.event_version,
        row.delivered,
        row.change.code(),
        row.was_told,
        millis(row.due_at),
        row.wait_ms,
        millis(row.waiting_since),
        row.lease_owner,
        row.is_forwarding,
        row.is_deferred,
        row.has_failed,
        row.attempts,
        row.refused_ms,
        row.missing_ms,
        millis(row.tried_at),
        row.pause_ms,
        row.last_failure.map(|failed| failed.to_string()),
        row.digest.map(|digest| digest.0),
        millis(row.fetched_at),
        millis(row.delivered_at),
        millis(row.settled_at),
        row.first_event_at.millis(),
        row.last_event_at.millis(),
    ])?;
    Ok(())
}

/// Applies `change` to the rows of a connection that match a condition, and stores those for which it returns true.
/// Returns how many.
pub(super) fn change_where(
    transaction: &mut Transaction<'_>,
    condition: &str,
    parameters: &[&dyn rusqlite::ToSql],
    mut change: impl FnMut(&mut Row) -> bool,
) -> rusqlite::Result<u64> {
    let sql = format!("SELECT connection_id, resource, id, {COLUMNS} FROM objects WHERE {condition}");
    let mut statement = transaction.prepare(&sql)?;
    let found = statement.query_map(parameters, |row| {
        let (resource, id) = (resource(row, 1)?, object_id(row, 2)?);
        let key = ObjectKey { connection: ConnectionId(row.get(0)?), resource, id };
        Ok((key, read_row(row, 3)?))
    })?;
    let found: Vec<(ObjectKey, Row)> = found.collect::<rusqlite::Result<_>>()?;
    let mut count = 0;
    for (key, mut row) in found {
        if change(&mut row) {
            save(transaction, &key, &key.id.sort_key(), &row, false)?;
            transaction.brings_work(key.connection);
            count += 1;
        }
    }
    Ok(count)
}
