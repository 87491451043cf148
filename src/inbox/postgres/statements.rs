//! The changing SQL of the PostgreSQL inbox, one function a statement. Batches travel as one JSON text.
//!
//! Relays change the same rows at the same time. Every statement that locks several of them does so in the order of
//! (connection, order), or passes over the locked ones, so that none waits in a circle; what the server breaks off all the
//! same begins again.
//!
//! A plan is kept as long as the connection, and what the planner knew of a table when it was nearly empty must not decide
//! how a backlog is gone through. So batches leave it no choice: each row is sought by its key in a `LATERAL` of its own,
//! and changed by its place (`ctid`); `coalesce` hides a condition from the indexes.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool, Row, postgres::PgRow};

use super::dates::Dates;

use crate::{
    clock::Timestamp,
    event::OrderId,
    inbox::{
        ConnectionId, OrderState,
        rows::{Numbered, SettleRow},
    },
    one_tribe::Digest,
};

/// Where relays tell each other of work.
pub(super) const CHANNEL: &str = "onetribe_relay";

pub(super) fn json<T: Serialize>(rows: T) -> String {
    serde_json::to_string(&rows).expect("rows are plain structs of numbers and texts")
}

/// How an order becomes wanted. A look that nobody insists on leaves the next try of an order that waits already where it is.
const RAISE: &str = "
    ON CONFLICT (connection_id, order_id) DO UPDATE SET
        state = 0,
        wanted = o.wanted + 1,
        insisted = CASE WHEN excluded.insisted = 1 THEN o.wanted + 1 ELSE o.insisted END,
        due_at = CASE
            WHEN o.lease_owner IS NOT NULL THEN o.due_at
            WHEN o.state = 0 AND excluded.insisted = 0 THEN o.due_at
            ELSE least(o.due_at, excluded.due_at) END,
        waiting_since = CASE WHEN o.state = 0 THEN o.waiting_since ELSE excluded.waiting_since END,
        attempts = CASE WHEN o.state = 0 AND excluded.insisted = 0 THEN o.attempts ELSE 0 END,
        refused_since = CASE WHEN o.state = 0 AND excluded.insisted = 0 THEN o.refused_since END,
        missing_since = CASE WHEN o.state = 0 AND excluded.insisted = 0 THEN o.missing_since END,
        settled_at = NULL,
        last_event_at = excluded.last_event_at";

/// The orders `$2` of the connection `$1`, which are locked already.
const THESE: &str = "
    FROM unnest($2) AS locked(order_id)
    CROSS JOIN LATERAL (SELECT ctid FROM orders AS k WHERE k.connection_id = $1 AND k.order_id = locked.order_id
                        OFFSET 0) AS held
    WHERE o.ctid = held.ctid";

/// One event, as its row in the batch has it.
#[derive(Serialize)]
struct EventRow {
    number: i64,
    connection_id: i64,
    order_id: i64,
    key: Option<i64>,
    twin: Option<i64>,
    unless_fetched_at: i64,
    at: i64,
    again: bool,
}

/// Keeps the receipts of a batch of events and makes their orders wanted, in one statement: one way to the server and back.
/// Returns the numbers of those events that are not met for the first time, each with whether there is nothing more to do.
///
/// Each mark is unique for its order: of two relays that are told one thing at once, the later one waits here for the
/// earlier one's commit. What two hooks tell of one event shares its twin, so by that they are kept in order.
pub(super) async fn accept(db: &mut PgConnection, events: &[Numbered]) -> Result<Vec<(i64, bool)>, sqlx::Error> {
    let row = |Numbered { number, event, again }: &Numbered| EventRow {
        number: *number,
        connection_id: event.connection.0,
        order_id: event.order.get(),
        key: event.receipt.map(|receipt| receipt.key),
        twin: event.receipt.map(|receipt| receipt.twin),
        unless_fetched_at: event.unless_fetched_at,
        at: event.at.millis(),
        again: *again,
    };
    let sql = format!(
        "WITH batch AS MATERIALIZED (
             SELECT * FROM json_to_recordset($1::text::json) AS b(number bigint, connection_id bigint, order_id bigint,
                 key bigint, twin bigint, unless_fetched_at bigint, at bigint, again boolean)),
         kept AS (
             INSERT INTO receipts (connection_id, order_id, key, twin)
             SELECT connection_id, order_id, key, twin FROM batch WHERE key IS NOT NULL AND NOT again
             ORDER BY connection_id, order_id, twin, key
             ON CONFLICT DO NOTHING
             RETURNING connection_id, order_id, key, twin),
         judged AS (
             SELECT b.*, again OR key IS NOT NULL AND NOT (connection_id, order_id, key, twin) IN
                 (SELECT connection_id, order_id, key, twin FROM kept) AS doubt
             FROM batch AS b),
         standing AS MATERIALIZED (
             SELECT j.*, j.doubt AND coalesce((SELECT o.fetched_at FROM orders AS o
                 WHERE (o.connection_id, o.order_id) = (j.connection_id, j.order_id)) >= j.unless_fetched_at, FALSE) AS idle
             FROM judged AS j),
         raised AS (
             INSERT INTO orders AS o (connection_id, order_id, state, wanted, insisted, due_at, waiting_since,
                                      first_event_at, last_event_at)
             SELECT connection_id, order_id, 0, 1, CASE WHEN bool_or(NOT doubt) THEN 1 ELSE 0 END,
                    min(at), min(at), min(at), max(at)
             FROM standing WHERE NOT idle
             GROUP BY connection_id, order_id ORDER BY connection_id, order_id
             {RAISE})
         SELECT number, idle FROM standing WHERE doubt"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(json(events.iter().map(row).collect::<Vec<_>>()))
        .fetch_all(db)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Makes orders wanted.
pub(super) async fn want(
    db: &mut PgConnection,
    connection: ConnectionId,
    orders: &[OrderId],
    insist: bool,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO orders AS o (connection_id, order_id, state, wanted, insisted, due_at, waiting_since,
                                  first_event_at, last_event_at)
         SELECT DISTINCT $1, order_id, 0, 1, CASE WHEN $3 THEN 1 ELSE 0 END, $4, $4, $4, $4
         FROM unnest($2) AS wanted(order_id) ORDER BY order_id
         {RAISE}"
    );
    let orders: Vec<i64> = orders.iter().map(|order| order.get()).collect();
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(connection.0).bind(orders);
    query.bind(insist).bind(now.millis()).execute(db).await.map(drop)
}

fn pairs(rows: &[PgRow]) -> Result<HashSet<(i64, i64)>, sqlx::Error> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Dates a connection, and syncs nothing for it: its orders have their own dates, and a server that crashes within the second
/// may have an older one for the connection until the next event.
pub(super) async fn date(db: &PgPool, connection: i64, dates: Dates) -> Result<(), sqlx::Error> {
    let sql = "UPDATE connections SET last_event_at = greatest(last_event_at, $2),
                                      last_forwarded_at = greatest(last_forwarded_at, $3)
               WHERE id = $1 AND set_config('synchronous_commit', 'off', true) = 'off'";
    let query = sqlx::query(sql).bind(connection).bind(dates.last_event_at).bind(dates.last_forwarded_at);
    query.execute(db).await.map(drop)
}

/// Tells the other relays that there may be work, once this is committed.
pub(super) async fn announce<'c>(db: impl PgExecutor<'c>, relay: i64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(relay.to_string()).execute(db).await.map(drop)
}

/// Claims those of `orders` that are due and that nobody is changing just now, unless another relay has the lead. One that was
/// changed since this statement began is left for the next. The rows are those of [`super::reads::claim`].
pub(super) async fn claim(
    db: &mut PgConnection,
    connection: ConnectionId,
    orders: &[OrderId],
    (owner, relay): (i64, i64),
    until: Timestamp,
    now: Timestamp,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut orders: Vec<i64> = orders.iter().map(|order| order.get()).collect();
    orders.sort_unstable();
    sqlx::query(
        "UPDATE orders SET lease_owner = $3, due_at = $4
         WHERE coalesce(due_at <= $5, FALSE) AND ctid = ANY (ARRAY(
             SELECT free.ctid FROM unnest($2) AS asked(order_id)
             CROSS JOIN LATERAL (
                 SELECT ctid FROM orders
                 WHERE connection_id = $1 AND order_id = asked.order_id AND coalesce(due_at <= $5, FALSE)
                 FOR UPDATE SKIP LOCKED) AS free
             WHERE NOT EXISTS (
                 SELECT 1 FROM leases WHERE connection_id = $1 AND name = 'lead' AND owner <> $6
                        AND until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)))
         RETURNING order_id, wanted, insisted > delivered, digest, attempts, refused_since, missing_since, waiting_since",
    )
    .bind(connection.0)
    .bind(orders)
    .bind(owner)
    .bind(until.millis())
    .bind(now.millis())
    .bind(relay)
    .fetch_all(db)
    .await
}

/// Ends claims; returns the orders whose claim was still the owner's.
pub(super) async fn settle(db: &mut PgConnection, rows: &[SettleRow]) -> Result<HashSet<(i64, i64)>, sqlx::Error> {
    let rows = json(rows);
    // Locked first and in order; the update then sees what the last holder left.
    sqlx::query(
        "SELECT 1 FROM (SELECT * FROM json_to_recordset($1::text::json) AS b(connection_id bigint, order_id bigint)
                        ORDER BY connection_id, order_id) AS s
         CROSS JOIN LATERAL (SELECT 1 FROM orders AS o
                             WHERE (o.connection_id, o.order_id) = (s.connection_id, s.order_id) FOR UPDATE) AS locked",
    )
    .bind(&rows)
    .execute(&mut *db)
    .await?;
    let rows = sqlx::query(
        "UPDATE orders AS o SET
             state = CASE WHEN o.wanted > s.seen THEN 0 ELSE s.state END,
             delivered = CASE WHEN s.done THEN s.seen ELSE o.delivered END,
             due_at = CASE
                 WHEN s.state = 0 AND s.retry_at IS NULL THEN o.waiting_since
                 WHEN s.state = 0 AND (s.deferred OR o.wanted = s.seen) THEN s.retry_at
                 WHEN o.wanted > s.seen THEN s.at END,
             waiting_since = CASE
                 WHEN s.state = 0 THEN o.waiting_since
                 WHEN o.wanted > s.seen THEN o.last_event_at END,
             lease_owner = NULL,
             deferred = s.deferred,
             attempts = CASE
                 WHEN s.state <> 0 AND o.wanted > s.seen THEN 0
                 ELSE o.attempts + CASE WHEN s.tried THEN 1 ELSE 0 END END,
             refused_since = CASE
                 WHEN s.refused THEN coalesce(o.refused_since, s.at)
                 WHEN s.untouched THEN o.refused_since END,
             missing_since = CASE
                 WHEN s.missing THEN coalesce(o.missing_since, s.at)
                 WHEN s.untouched THEN o.missing_since END,
             last_error = CASE WHEN s.done THEN NULL ELSE coalesce(s.error, o.last_error) END,
             digest = coalesce(decode(s.digest, 'hex'), o.digest),
             fetched_at = coalesce(s.fetched_at, o.fetched_at),
             delivered_at = CASE WHEN s.forwarded THEN s.at ELSE o.delivered_at END,
             settled_at = CASE WHEN s.state <> 0 AND o.wanted = s.seen THEN s.at END
         FROM json_to_recordset($1::text::json)
              AS s(connection_id bigint, order_id bigint, owner bigint, seen bigint, at bigint, state smallint,
                   done boolean, forwarded boolean, retry_at bigint, deferred boolean, tried boolean,
                   untouched boolean, refused boolean, missing boolean, error text, digest text, fetched_at bigint)
         CROSS JOIN LATERAL (
             SELECT ctid FROM orders AS k
             WHERE (k.connection_id, k.order_id) = (s.connection_id, s.order_id) AND k.lease_owner = s.owner
             OFFSET 0) AS held
         WHERE o.ctid = held.ctid
         RETURNING o.connection_id, o.order_id",
    )
    .bind(&rows)
    .fetch_all(db)
    .await?;
    pairs(&rows)
}

pub(super) async fn want_all(
    db: &mut PgConnection,
    connection: ConnectionId,
    state: OrderState,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let lock = "SELECT order_id FROM orders WHERE connection_id = $1 AND state IN (2, 3, 4) AND state = $2
                ORDER BY order_id FOR UPDATE";
    let lock = sqlx::query_scalar(lock).bind(connection.0).bind(state.code());
    let locked: Vec<i64> = lock.fetch_all(&mut *db).await?;
    let sql = format!(
        "UPDATE orders AS o SET state = 0, wanted = wanted + 1, insisted = wanted + 1, due_at = $3, waiting_since = $3,
             attempts = 0, refused_since = NULL, missing_since = NULL, settled_at = NULL {THESE}"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(connection.0).bind(locked).bind(now.millis());
    Ok(query.execute(db).await?.rows_affected())
}

pub(super) async fn recover(db: &mut PgConnection, connection: ConnectionId) -> Result<u64, sqlx::Error> {
    let lock = "SELECT order_id FROM orders WHERE connection_id = $1 AND deferred AND due_at IS NOT NULL AND lease_owner IS NULL
                ORDER BY order_id FOR UPDATE";
    let locked: Vec<i64> = sqlx::query_scalar(lock).bind(connection.0).fetch_all(&mut *db).await?;
    let sql = format!("UPDATE orders AS o SET deferred = FALSE, due_at = waiting_since {THESE}");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(connection.0).bind(locked);
    Ok(query.execute(db).await?.rows_affected())
}

pub(super) async fn connection(
    db: &mut PgConnection,
    kind: &str,
    name: &str,
    now: Timestamp,
) -> Result<ConnectionId, sqlx::Error> {
    sqlx::query(
        "INSERT INTO connections (kind, name, first_start) SELECT $1, $2, $3
         WHERE NOT EXISTS (SELECT 1 FROM connections WHERE kind = $1 AND name = $2) ON CONFLICT DO NOTHING",
    )
    .bind(kind)
    .bind(name)
    .bind(now.millis())
    .execute(&mut *db)
    .await?;
    let sql = "SELECT id FROM connections WHERE kind = $1 AND name = $2";
    sqlx::query_scalar(sql).bind(kind).bind(name).fetch_one(db).await.map(ConnectionId)
}

pub(super) async fn keep_note(
    db: &mut PgConnection,
    connection: ConnectionId,
    name: &str,
    value: Option<&str>,
) -> Result<(), sqlx::Error> {
    let query = match value {
        Some(value) => sqlx::query(
            "INSERT INTO notes (connection_id, name, value) VALUES ($1, $2, $3)
             ON CONFLICT (connection_id, name) DO UPDATE SET value = excluded.value",
        )
        .bind(connection.0)
        .bind(name)
        .bind(value),
        None => sqlx::query("DELETE FROM notes WHERE connection_id = $1 AND name = $2").bind(connection.0).bind(name),
    };
    query.execute(db).await.map(drop)
}

/// Failed orders stay until somebody resends them: they are a list of what is still to be done. Receipts go with their order.
pub(super) async fn prune(db: &mut PgConnection, before: Timestamp, limit: u32) -> Result<u64, sqlx::Error> {
    let pruned: i64 = sqlx::query_scalar(
        "WITH old AS (
             DELETE FROM orders WHERE coalesce(settled_at < $1, FALSE) AND ctid = ANY (ARRAY(
                 SELECT ctid FROM orders
                 WHERE settled_at < $1 AND state <> 2 ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED))
             RETURNING connection_id, order_id),
         forgotten AS (
             DELETE FROM receipts WHERE ctid = ANY (ARRAY(
                 SELECT theirs.ctid FROM old
                 CROSS JOIN LATERAL (SELECT ctid FROM receipts AS r
                                     WHERE (r.connection_id, r.order_id) = (old.connection_id, old.order_id)
                                     OFFSET 0) AS theirs)))
         SELECT count(*) FROM old",
    )
    .bind(before.millis())
    .bind(i64::from(limit))
    .fetch_one(db)
    .await?;
    Ok(pruned.unsigned_abs())
}

pub(super) fn order_id(row: &PgRow, column: usize) -> Result<OrderId, sqlx::Error> {
    OrderId::new(row.try_get(column)?).ok_or_else(|| sqlx::Error::Decode("an order id below one".into()))
}

pub(super) fn digest(row: &PgRow, column: usize) -> Result<Option<Digest>, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(Digest))
}
