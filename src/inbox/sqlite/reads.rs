//! Reads objects.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use super::rows::{digest, failed, object_id, resource, state, time};
use crate::{
    clock::Timestamp,
    inbox::{Hour, Known, ObjectQuery, ObjectRow, ObjectState, Summary, hour_of},
    object::{ChangeKind, ConnectionId, Due, ObjectId, ResourceName},
};

/// Objects that may be claimed now: those never tried first, then those due longest.
pub(super) fn due(connection: &Connection, id: ConnectionId, now: Timestamp, limit: u32) -> rusqlite::Result<Vec<Due>> {
    let sql = "SELECT resource, id, due_at, has_failed, change FROM objects
               WHERE connection_id = ?1 AND has_failed = ?2 AND due_at IS NOT NULL AND due_at <= ?3
               ORDER BY due_at, id LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for has_failed in [false, true] {
        let left = usize::try_from(limit).unwrap_or(usize::MAX) - found.len();
        let rows = statement.query_map((id.0, has_failed, now.millis(), left), |row| {
            Ok(Due {
                resource: resource(row, 0)?,
                id: object_id(row, 1)?,
                at: Timestamp::from_millis(row.get(2)?),
                has_failed: row.get(3)?,
                change: ChangeKind::from_code(row.get(4)?),
            })
        })?;
        for due in rows {
            found.push(due?);
        }
    }
    Ok(found)
}

/// When the next object becomes due, of those that are not due yet.
pub(super) fn next_due(
    connection: &Connection,
    id: ConnectionId,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT min(due_at) FROM objects WHERE connection_id = ?1 AND has_failed = ?2 AND due_at IS NOT NULL
               AND due_at > ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut next = |has_failed: bool| statement.query_row((id.0, has_failed, now.millis()), |row| time(row, 0));
    let (untried, tried) = (next(false)?, next(true)?);
    Ok(untried.into_iter().chain(tried).min())
}

/// Every connection with waiting objects, and when the first of them is due.
pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<Vec<(ConnectionId, Timestamp)>> {
    let sql = "SELECT connection_id, min(due_at) FROM objects WHERE due_at IS NOT NULL GROUP BY connection_id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((ConnectionId(row.get(0)?), Timestamp::from_millis(row.get(1)?))))?;
    rows.collect()
}

/// Objects in the order asked for. Pending ones are in the index of due objects, the other rare states in one of their own:
/// SQLite uses a partial index only if the query repeats its condition.
pub(super) fn objects(
    connection: &Connection,
    id: ConnectionId,
    query: &ObjectQuery,
) -> rusqlite::Result<Vec<ObjectRow>> {
    let mut sql = "SELECT resource, id, state, change, attempts, last_failure, first_event_at, last_event_at,
                       waiting_since, due_at, delivered_at, lease_owner IS NOT NULL
                   FROM objects WHERE connection_id = ?1"
        .to_owned();
    let (name, before) =
        (query.resource.as_ref().map(ResourceName::as_str), query.before.as_ref().map(ObjectId::sort_key));
    let only = query.id.as_ref().map(ObjectId::sort_key);
    let mut parameters: Vec<&dyn ToSql> = vec![&id.0];
    if let Some(name) = &name {
        parameters.push(name);
        sql.push_str(" AND resource = ?2");
    }
    for (condition, value) in [(" AND id < ?", &before), (" AND id = ?", &only)] {
        if let Some(value) = value {
            parameters.push(value);
            sql.push_str(&format!("{condition}{}", parameters.len()));
        }
    }
    sql.push_str(match query.state {
        None => "",
        Some(ObjectState::Pending) => " AND due_at IS NOT NULL",
        Some(ObjectState::Delivered) => " AND state = 1",
        Some(ObjectState::Failed) => " AND state IN (2, 3, 4) AND state = 2",
        Some(ObjectState::Gone) => " AND state IN (2, 3, 4) AND state = 3",
        Some(ObjectState::Skipped) => " AND state IN (2, 3, 4) AND state = 4",
    });
    if query.only_in_trouble {
        sql.push_str(" AND due_at IS NOT NULL AND (refused_ms > 0 OR missing_ms > 0)");
    }
    let limit = i64::from(query.limit);
    parameters.push(&limit);
    let order = if query.longest_waiting_first { "waiting_since, id" } else { "id DESC" };
    sql.push_str(&format!(" ORDER BY {order}, resource LIMIT ?{}", parameters.len()));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(parameters.as_slice(), object_row)?;
    rows.collect()
}

fn object_row(row: &Row<'_>) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        resource: resource(row, 0)?,
        id: object_id(row, 1)?,
        state: state(row, 2)?,
        change: ChangeKind::from_code(row.get(3)?),
        attempts: row.get(4)?,
        last_failure: failed(row, 5)?,
        first_event_at: Timestamp::from_millis(row.get(6)?),
        last_event_at: Timestamp::from_millis(row.get(7)?),
        waiting_since: time(row, 8)?,
        next_attempt_at: time(row, 9)?,
        delivered_at: time(row, 10)?,
        is_claimed: row.get(11)?,
    })
}

/// What is known of the snapshots last forwarded.
pub(super) fn known(
    connection: &Connection,
    id: ConnectionId,
    resource: &ResourceName,
    ids: &[ObjectId],
) -> rusqlite::Result<Vec<Known>> {
    let sql = "SELECT id, digest, state, settled_at FROM objects
               WHERE connection_id = ?1 AND resource = ?2 AND id = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for object in ids {
        let known = statement.query_row((id.0, resource.as_str(), object.sort_key()), |row| {
            Ok(Known {
                id: object_id(row, 0)?,
                digest: digest(row, 1)?,
                state: state(row, 2)?,
                settled_at: time(row, 3)?,
            })
        });
        found.extend(known.optional()?);
    }
    Ok(found)
}

/// Counts and times of one connection.
pub(super) fn summary(connection: &Connection, id: ConnectionId) -> rusqlite::Result<Summary> {
    let sql = "SELECT count(*), min(waiting_since), coalesce(sum(refused_ms > 0 OR missing_ms > 0), 0)
               FROM objects WHERE connection_id = ?1 AND due_at IS NOT NULL";
    let mut summary = connection.prepare_cached(sql)?.query_row([id.0], |row| {
        Ok(Summary { waiting: row.get(0)?, oldest_waiting: time(row, 1)?, refused: row.get(2)?, ..Summary::default() })
    })?;
    let sql = "SELECT state, count(*) FROM objects WHERE connection_id = ?1 AND state IN (2, 3, 4) GROUP BY state";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id.0])?;
    while let Some(row) = rows.next()? {
        count_state(&mut summary, row.get(0)?, row.get(1)?);
    }
    let sql = "SELECT c.created_at, a.last_event_at, a.last_delivered_at
               FROM connections AS c LEFT JOIN activity AS a ON a.connection_id = c.id WHERE c.id = ?1";
    let dates =
        connection.prepare_cached(sql)?.query_row([id.0], |row| Ok((time(row, 0)?, time(row, 1)?, time(row, 2)?)));
    (summary.created_at, summary.last_event_at, summary.last_delivered_at) = dates.optional()?.unwrap_or_default();
    Ok(summary)
}

fn count_state(summary: &mut Summary, state: i16, count: u64) {
    match ObjectState::from_code(state) {
        Some(ObjectState::Failed) => summary.failed = count,
        Some(ObjectState::Gone) => summary.gone = count,
        _ => {}
    }
}

/// The summaries of all connections that have waiting, failed or gone objects.
pub(super) fn summaries(connection: &Connection) -> rusqlite::Result<HashMap<ConnectionId, Summary>> {
    let mut summaries: HashMap<ConnectionId, Summary> = HashMap::new();
    let sql = "SELECT connection_id, count(*), min(waiting_since), sum(refused_ms > 0 OR missing_ms > 0)
               FROM objects WHERE due_at IS NOT NULL GROUP BY connection_id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let summary = summaries.entry(ConnectionId(row.get(0)?)).or_default();
        (summary.waiting, summary.oldest_waiting, summary.refused) = (row.get(1)?, time(row, 2)?, row.get(3)?);
    }
    let sql =
        "SELECT connection_id, state, count(*) FROM objects WHERE state IN (2, 3, 4) GROUP BY connection_id, state";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let summary = summaries.entry(ConnectionId(row.get(0)?)).or_default();
        count_state(summary, row.get(1)?, row.get(2)?);
    }
    let sql = "SELECT c.id, c.created_at, a.last_event_at, a.last_delivered_at
               FROM connections AS c LEFT JOIN activity AS a ON a.connection_id = c.id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let summary = summaries.entry(ConnectionId(row.get(0)?)).or_default();
        (summary.created_at, summary.last_event_at, summary.last_delivered_at) =
            (time(row, 1)?, time(row, 2)?, time(row, 3)?);
    }
    Ok(summaries)
}

/// The hours from `since` on that have something recorded.
pub(super) fn history(connection: &Connection, id: ConnectionId, since: Timestamp) -> rusqlite::Result<Vec<Hour>> {
    let sql = "SELECT hour, forwarded, waiting FROM hours WHERE connection_id = ?1 AND hour >= ?2 ORDER BY hour";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((id.0, hour_of(since)), |row| {
        Ok(Hour { number: row.get(0)?, forwarded: row.get(1)?, waiting: row.get(2)? })
    })?;
    rows.collect()
}
