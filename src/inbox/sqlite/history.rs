//! The SQL of the hours that the status page draws.

use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::script::Script;
use crate::{
    clock::Timestamp,
    inbox::{ConnectionId, HISTORY, Hour, hour_of},
};

/// Counts orders forwarded in an hour.
pub(super) fn count_forwarded(script: &mut Script<'_>, connection: i64, hour: i64, orders: i64) {
    let query = script.then("INSERT INTO hours (connection_id, hour, forwarded) VALUES (");
    query.bind(connection).push(", ").bind(hour).push(", ").bind(orders);
    query.push(") ON CONFLICT (connection_id, hour) DO UPDATE SET forwarded = forwarded + excluded.forwarded");
}

/// Notes the most that wait at once in this hour, and drops what is too old.
pub(super) fn sample(script: &mut Script<'_>, connection: ConnectionId, now: Timestamp) {
    let query = script.then("INSERT INTO hours (connection_id, hour, waiting) SELECT ");
    query.bind(connection.0).push(", ").bind(hour_of(now));
    query
        .push(", count(*) FROM orders WHERE due_at IS NOT NULL AND connection_id = ")
        .bind(connection.0)
        .push(" ON CONFLICT (connection_id, hour) DO UPDATE SET waiting = max(coalesce(waiting, 0), excluded.waiting)");
    let query = script.then("DELETE FROM hours WHERE connection_id = ");
    query.bind(connection.0).push(" AND hour < ").bind(hour_of(now.before(HISTORY)));
}

/// The hours from `since` on.
pub(super) async fn read(
    pool: &SqlitePool,
    connection: ConnectionId,
    since: Timestamp,
) -> Result<Vec<Hour>, sqlx::Error> {
    let sql = "SELECT hour, forwarded, waiting FROM hours WHERE connection_id = ?1 AND hour >= ?2 ORDER BY hour";
    let rows = sqlx::query(sql).bind(connection.0).bind(hour_of(since)).fetch_all(pool).await?;
    let hour = |row: &SqliteRow| {
        let waiting: Option<i64> = row.try_get(2)?;
        Ok(Hour {
            number: row.try_get(0)?,
            forwarded: row.try_get::<i64, _>(1)?.unsigned_abs(),
            waiting: waiting.map(i64::unsigned_abs),
        })
    };
    rows.iter().map(hour).collect()
}
