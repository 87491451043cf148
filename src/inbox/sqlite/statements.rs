//! The SQL of the SQLite inbox, one function a statement. Batches travel as rows of values where every event counts, as one
//! JSON text elsewhere.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::{QueryBuilder, Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    clock::Timestamp,
    event::OrderId,
    inbox::{
        Claim, ConnectionId, OrderState,
        rows::{Raise, Receipt, SettleRow},
    },
    one_tribe::Digest,
};

/// Rows in one statement: SQLite takes 32,766 values at most.
const MOST_ROWS: usize = 1000;

pub(super) fn json<T: Serialize>(rows: T) -> String {
    serde_json::to_string(&rows).expect("rows are plain structs of numbers and texts")
}

/// Keeps receipts; returns those that were known before by one of their marks. They are few: every row that comes back costs
/// more than one that does not.
pub(super) async fn keep_receipts(
    db: &mut SqliteConnection,
    receipts: HashSet<Receipt>,
    seen_at: Timestamp,
) -> Result<Vec<Receipt>, sqlx::Error> {
    if receipts.is_empty() {
        return Ok(Vec::new());
    }
    let mut known = QueryBuilder::new("WITH j (connection_id, order_id, key, twin) AS (");
    known.push_values(&receipts, |mut row, receipt| {
        row.push_bind(receipt.connection_id).push_bind(receipt.order_id).push_bind(receipt.key).push_bind(receipt.twin);
    });
    known.push(
        ") SELECT r.connection_id, r.order_id, r.key, r.twin
         FROM j CROSS JOIN receipts AS r ON r.connection_id = j.connection_id AND r.order_id = j.order_id
         WHERE r.key = j.key OR r.twin = j.twin",
    );
    let known = known.build().fetch_all(&mut *db).await?;
    let mut keep = QueryBuilder::new("INSERT INTO receipts (connection_id, order_id, key, twin, seen_at) ");
    keep.push_values(&receipts, |mut row, receipt| {
        row.push_bind(receipt.connection_id).push_bind(receipt.order_id);
        row.push_bind(receipt.key).push_bind(receipt.twin).push_bind(seen_at.millis());
    });
    keep.push(" ON CONFLICT DO NOTHING");
    keep.build().execute(db).await?;
    let receipt = |row: &SqliteRow| {
        let (connection_id, order_id) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Receipt { connection_id, order_id, key: row.try_get(2)?, twin: row.try_get(3)? })
    };
    known.iter().map(receipt).collect()
}

/// Makes orders wanted; returns those for which there was anything to do.
pub(super) async fn raise(
    db: &mut SqliteConnection,
    mut raises: Vec<Raise>,
) -> Result<HashSet<(i64, i64)>, sqlx::Error> {
    let doubts: Vec<&Raise> = raises.iter().filter(|raise| !raise.insist).collect();
    if !doubts.is_empty() {
        let rows = sqlx::query(
            "SELECT o.connection_id, o.order_id
             FROM json_each(?1) AS j JOIN orders AS o
                 ON o.connection_id = j.value ->> 'connection_id' AND o.order_id = j.value ->> 'order_id'
             WHERE o.fetched_at >= j.value ->> 'unless_fetched_at'",
        )
        .bind(json(&doubts))
        .fetch_all(&mut *db)
        .await?;
        let idle = pairs(&rows)?;
        raises.retain(|raise| raise.insist || !idle.contains(&(raise.connection_id, raise.order_id)));
    }
    for some in raises.chunks(MOST_ROWS) {
        insert(db, some).await?;
    }
    Ok(raises.iter().map(|raise| (raise.connection_id, raise.order_id)).collect())
}

async fn insert(db: &mut SqliteConnection, raises: &[Raise]) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::new(
        "INSERT INTO orders (connection_id, order_id, state, wanted, insisted, due_at, waiting_since,
                             first_event_at, last_event_at) ",
    );
    query.push_values(raises, |mut row, raise| {
        row.push_bind(raise.connection_id).push_bind(raise.order_id).push("0, 1").push_bind(raise.insist);
        row.push_bind(raise.at).push_bind(raise.at).push_bind(raise.at).push_bind(raise.at);
    });
    // A look that nobody insists on leaves the next try of an order that waits already where it is.
    query.push(
        "
         ON CONFLICT (connection_id, order_id) DO UPDATE SET
             state = 0,
             wanted = wanted + 1,
             insisted = CASE WHEN excluded.insisted = 1 THEN wanted + 1 ELSE insisted END,
             due_at = CASE
                 WHEN lease_owner IS NOT NULL THEN due_at
                 WHEN state = 0 AND excluded.insisted = 0 THEN due_at
                 ELSE min(coalesce(due_at, excluded.due_at), excluded.due_at) END,
             waiting_since = CASE WHEN state = 0 THEN waiting_since ELSE excluded.waiting_since END,
             attempts = CASE WHEN state = 0 AND excluded.insisted = 0 THEN attempts ELSE 0 END,
             refused_since = CASE WHEN state = 0 AND excluded.insisted = 0 THEN refused_since END,
             missing_since = CASE WHEN state = 0 AND excluded.insisted = 0 THEN missing_since END,
             settled_at = NULL,
             last_event_at = excluded.last_event_at",
    );
    query.build().execute(db).await.map(drop)
}

fn pairs(rows: &[SqliteRow]) -> Result<HashSet<(i64, i64)>, sqlx::Error> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

pub(super) async fn touch_event(db: &mut SqliteConnection, connection: i64, at: i64) -> Result<(), sqlx::Error> {
    let sql = "UPDATE connections SET last_event_at = max(coalesce(last_event_at, 0), ?2) WHERE id = ?1";
    sqlx::query(sql).bind(connection).bind(at).execute(db).await.map(drop)
}

pub(super) async fn touch_forwarded(db: &mut SqliteConnection, connection: i64, at: i64) -> Result<(), sqlx::Error> {
    let sql = "UPDATE connections SET last_forwarded_at = max(coalesce(last_forwarded_at, 0), ?2) WHERE id = ?1";
    sqlx::query(sql).bind(connection).bind(at).execute(db).await.map(drop)
}

pub(super) async fn want_all(
    db: &mut SqliteConnection,
    connection: ConnectionId,
    state: OrderState,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE orders SET state = 0, wanted = wanted + 1, insisted = wanted + 1, due_at = ?3, waiting_since = ?3,
             attempts = 0, refused_since = NULL, missing_since = NULL, settled_at = NULL
         WHERE connection_id = ?1 AND state IN (2, 3, 4) AND state = ?2",
    )
    .bind(connection.0)
    .bind(state.code())
    .bind(now.millis())
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Claims those of `orders` that are due.
pub(super) async fn claim(
    db: &mut SqliteConnection,
    connection: ConnectionId,
    orders: &[OrderId],
    until: Timestamp,
    now: Timestamp,
) -> Result<Vec<Claim>, sqlx::Error> {
    let owner: i64 = rand::random();
    let rows = sqlx::query(
        "UPDATE orders SET lease_owner = ?3, due_at = ?4
         WHERE connection_id = ?1 AND order_id IN (SELECT value FROM json_each(?2)) AND due_at <= ?5
         RETURNING order_id, wanted, insisted > delivered, digest, attempts, refused_since, missing_since, waiting_since",
    )
    .bind(connection.0)
    .bind(json(orders))
    .bind(owner)
    .bind(until.millis())
    .bind(now.millis())
    .fetch_all(db)
    .await?;
    let claim = |row: &SqliteRow| {
        let time = |at: Option<i64>| at.map(Timestamp::from_millis);
        Ok(Claim {
            connection,
            order: order_id(row, 0)?,
            owner,
            seen: row.try_get(1)?,
            insist: row.try_get(2)?,
            digest: digest(row, 3)?,
            attempts: row.try_get(4)?,
            refused_since: time(row.try_get(5)?),
            missing_since: time(row.try_get(6)?),
            waiting_since: time(row.try_get(7)?).unwrap_or(now),
            lease_until: until,
        })
    };
    rows.iter().map(claim).collect()
}

pub(super) fn order_id(row: &SqliteRow, column: usize) -> Result<OrderId, sqlx::Error> {
    OrderId::new(row.try_get(column)?).ok_or_else(|| sqlx::Error::Decode("an order id below one".into()))
}

pub(super) fn digest(row: &SqliteRow, column: usize) -> Result<Option<Digest>, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(Digest))
}

/// Ends claims; returns the orders whose claim was still the owner's.
pub(super) async fn settle(db: &mut SqliteConnection, rows: &[SettleRow]) -> Result<HashSet<(i64, i64)>, sqlx::Error> {
    let mut lost = QueryBuilder::new("WITH s (connection_id, order_id, owner) AS (");
    lost.push_values(rows, |mut values, row| {
        values.push_bind(row.connection_id).push_bind(row.order_id).push_bind(row.owner);
    });
    lost.push(
        ") SELECT s.connection_id, s.order_id
         FROM s LEFT JOIN orders AS o ON o.connection_id = s.connection_id AND o.order_id = s.order_id
         WHERE o.lease_owner IS NOT s.owner",
    );
    let lost = lost.build().fetch_all(&mut *db).await?;
    let lost = pairs(&lost)?;
    let mut query = QueryBuilder::new(
        "WITH s (connection_id, order_id, owner, seen, at, state, done, forwarded, retry_at, deferred, tried, untouched,
                 refused, missing, error, digest, fetched_at) AS (",
    );
    query.push_values(rows, |mut values, row| {
        values.push_bind(row.connection_id).push_bind(row.order_id).push_bind(row.owner).push_bind(row.seen);
        values.push_bind(row.at).push_bind(row.state).push_bind(row.done).push_bind(row.forwarded);
        values.push_bind(row.retry_at).push_bind(row.deferred).push_bind(row.tried).push_bind(row.untouched);
        values.push_bind(row.refused).push_bind(row.missing).push_bind(&row.error).push_bind(&row.digest);
        values.push_bind(row.fetched_at);
    });
    query.push(
        ")
         UPDATE orders SET
             state = CASE WHEN wanted > s.seen THEN 0 ELSE s.state END,
             delivered = CASE WHEN s.done THEN s.seen ELSE delivered END,
             due_at = CASE
                 WHEN s.state = 0 AND s.retry_at IS NULL THEN waiting_since
                 WHEN s.state = 0 AND (s.deferred OR wanted = s.seen) THEN s.retry_at
                 WHEN wanted > s.seen THEN s.at END,
             waiting_since = CASE
                 WHEN s.state = 0 THEN waiting_since
                 WHEN wanted > s.seen THEN orders.last_event_at END,
             lease_owner = NULL,
             deferred = s.deferred,
             attempts = CASE WHEN s.state <> 0 AND wanted > s.seen THEN 0 ELSE attempts + s.tried END,
             refused_since = CASE
                 WHEN s.refused THEN coalesce(refused_since, s.at)
                 WHEN s.untouched THEN refused_since END,
             missing_since = CASE
                 WHEN s.missing THEN coalesce(missing_since, s.at)
                 WHEN s.untouched THEN missing_since END,
             last_error = CASE WHEN s.done THEN NULL ELSE coalesce(s.error, last_error) END,
             digest = coalesce(unhex(s.digest), orders.digest),
             fetched_at = coalesce(s.fetched_at, orders.fetched_at),
             delivered_at = CASE WHEN s.forwarded THEN s.at ELSE delivered_at END,
             settled_at = CASE WHEN s.state <> 0 AND wanted = s.seen THEN s.at END
         FROM s
         WHERE orders.connection_id = s.connection_id AND orders.order_id = s.order_id AND orders.lease_owner = s.owner",
    );
    query.build().execute(db).await?;
    let orders = rows.iter().map(|row| (row.connection_id, row.order_id));
    Ok(orders.filter(|order| !lost.contains(order)).collect())
}

pub(super) async fn recover(db: &mut SqliteConnection, connection: ConnectionId) -> Result<u64, sqlx::Error> {
    let sql = "UPDATE orders SET deferred = 0, due_at = waiting_since
               WHERE connection_id = ?1 AND deferred = 1 AND state = 0 AND lease_owner IS NULL";
    Ok(sqlx::query(sql).bind(connection.0).execute(db).await?.rows_affected())
}

pub(super) async fn connection(
    db: &mut SqliteConnection,
    kind: &str,
    name: &str,
    now: Timestamp,
) -> Result<ConnectionId, sqlx::Error> {
    sqlx::query("INSERT INTO connections (kind, name, first_start) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
        .bind(kind)
        .bind(name)
        .bind(now.millis())
        .execute(&mut *db)
        .await?;
    let sql = "SELECT id FROM connections WHERE kind = ?1 AND name = ?2";
    sqlx::query_scalar(sql).bind(kind).bind(name).fetch_one(db).await.map(ConnectionId)
}

pub(super) async fn keep_note(
    db: &mut SqliteConnection,
    connection: ConnectionId,
    name: &str,
    value: Option<&str>,
) -> Result<(), sqlx::Error> {
    let query = match value {
        Some(value) => sqlx::query(
            "INSERT INTO notes (connection_id, name, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (connection_id, name) DO UPDATE SET value = excluded.value",
        )
        .bind(connection.0)
        .bind(name)
        .bind(value),
        None => sqlx::query("DELETE FROM notes WHERE connection_id = ?1 AND name = ?2").bind(connection.0).bind(name),
    };
    query.execute(db).await.map(drop)
}

/// Failed orders stay until somebody resends them: they are a list of what is still to be done.
pub(super) async fn prune(db: &mut SqliteConnection, before: Timestamp, limit: u32) -> Result<u64, sqlx::Error> {
    let receipts = sqlx::query(
        "DELETE FROM receipts WHERE (connection_id, order_id, key, twin) IN
             (SELECT connection_id, order_id, key, twin FROM receipts WHERE seen_at < ?1 ORDER BY seen_at LIMIT ?2)",
    )
    .bind(before.millis())
    .bind(limit)
    .execute(&mut *db)
    .await?;
    let orders = sqlx::query(
        "DELETE FROM orders WHERE (connection_id, order_id) IN
             (SELECT connection_id, order_id FROM orders
              WHERE settled_at < ?1 AND state <> 2 ORDER BY settled_at LIMIT ?2)",
    )
    .bind(before.millis())
    .bind(limit)
    .execute(db)
    .await?;
    Ok(receipts.rows_affected() + orders.rows_affected())
}
