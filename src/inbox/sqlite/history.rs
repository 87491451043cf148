//! The SQL of the hours that the status page draws.

use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use crate::{
    clock::Timestamp,
    inbox::{ConnectionId, HISTORY, Hour, hour_of},
};

/// Counts orders forwarded in an hour.
pub(super) async fn count_forwarded(
    db: &mut SqliteConnection,
    connection: i64,
    hour: i64,
    orders: i64,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO hours (connection_id, hour, forwarded) VALUES (?1, ?2, ?3)
               ON CONFLICT (connection_id, hour) DO UPDATE SET forwarded = forwarded + excluded.forwarded";
    sqlx::query(sql).bind(connection).bind(hour).bind(orders).execute(db).await.map(drop)
}

/// Notes the most that wait at once in this hour, and drops what is too old.
pub(super) async fn sample(
    db: &mut SqliteConnection,
    connection: ConnectionId,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO hours (connection_id, hour, waiting)
         SELECT ?1, ?2, count(*) FROM orders WHERE connection_id = ?1 AND due_at IS NOT NULL
         ON CONFLICT (connection_id, hour) DO UPDATE SET waiting = max(coalesce(waiting, 0), excluded.waiting)",
    )
    .bind(connection.0)
    .bind(hour_of(now))
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM hours WHERE connection_id = ?1 AND hour < ?2")
        .bind(connection.0)
        .bind(hour_of(now.before(HISTORY)))
        .execute(db)
        .await
        .map(drop)
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
