//! The SQL of the SQLite inbox, one function a statement or what always goes together. Batches travel as rows of values where
//! every event counts, as one JSON text elsewhere.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::script::Script;
use crate::{
    clock::Timestamp,
    event::OrderId,
    inbox::{
        Claim, ConnectionId, OrderState,
        rows::{Numbered, SettleRow},
    },
    one_tribe::Digest,
};

pub(super) fn json<T: Serialize>(rows: T) -> String {
    serde_json::to_string(&rows).expect("rows are plain structs of numbers and texts")
}

/// Where a batch of events lies while it is taken in: the same few statements then do for every batch. `standing` is 0 for
/// what is met for the first time, 1 for a doubt, 2 for a duplicate.
const BATCH: &str = "
    CREATE TEMP TABLE batch (
        number INTEGER PRIMARY KEY,
        connection_id INTEGER NOT NULL,
        order_id INTEGER NOT NULL,
        key INTEGER,
        twin INTEGER,
        unless_fetched_at INTEGER NOT NULL,
        at INTEGER NOT NULL,
        standing INTEGER NOT NULL
    ) STRICT";

/// Makes a new connection ready for [`accept`].
pub(super) async fn prepare(db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query(BATCH).execute(db).await.map(drop)
}

/// How an order becomes wanted. A look that nobody insists on leaves the next try of an order that waits already where it is.
const RAISE: &str = "
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
        last_event_at = excluded.last_event_at";

/// Keeps the receipts of a batch of events and makes their orders wanted. The script's next rows tell of those events that
/// are not met for the first time, which are few: see [`standing`].
pub(super) fn accept(script: &mut Script<'_>, events: &[Numbered]) {
    let query = script.then("INSERT INTO temp.batch SELECT * FROM (");
    query.rows_of(8, events, |row, Numbered { number, event, again }| {
        row.value(number).value(event.connection.0).value(event.order.get());
        row.value(event.receipt.map(|receipt| receipt.key)).value(event.receipt.map(|receipt| receipt.twin));
        row.value(event.unless_fetched_at).value(event.at.millis()).value(again);
    });
    query.push(") WHERE column1 IS NOT NULL");
    script.then(
        "UPDATE batch AS b SET standing = 1 WHERE standing = 0 AND EXISTS (
             SELECT 1 FROM receipts AS r
             WHERE r.connection_id = b.connection_id AND r.order_id = b.order_id AND (r.key = b.key OR r.twin = b.twin))",
    );
    script.then(
        "UPDATE batch AS b SET standing = 2 WHERE standing = 1 AND EXISTS (
             SELECT 1 FROM orders AS o
             WHERE o.connection_id = b.connection_id AND o.order_id = b.order_id AND o.fetched_at >= b.unless_fetched_at)",
    );
    script.then("SELECT number, standing = 2 FROM batch WHERE standing > 0");
    let query = script.then(
        "INSERT INTO orders (connection_id, order_id, state, wanted, insisted, due_at, waiting_since,
                             first_event_at, last_event_at)
         SELECT connection_id, order_id, 0, 1, standing = 0, at, at, at, at FROM batch WHERE standing < 2",
    );
    query.push(RAISE);
    script.then(
        "INSERT INTO receipts (connection_id, order_id, key, twin)
         SELECT connection_id, order_id, key, twin FROM batch WHERE key IS NOT NULL
         ON CONFLICT DO NOTHING",
    );
    script.then(
        "UPDATE connections SET last_event_at = max(coalesce(last_event_at, 0), latest)
         FROM (SELECT connection_id, max(at) AS latest FROM batch GROUP BY connection_id) WHERE id = connection_id",
    );
    script.then("DELETE FROM batch");
}

/// A row of what [`accept`] asks for: the number, and whether there is nothing more to do.
pub(super) fn standing(row: &SqliteRow) -> Result<(i64, bool), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Makes orders wanted.
pub(super) fn want(
    script: &mut Script<'_>,
    connection: ConnectionId,
    orders: &[OrderId],
    insist: bool,
    now: Timestamp,
) {
    let query = script.then(
        "INSERT INTO orders (connection_id, order_id, state, wanted, insisted, due_at, waiting_since,
                             first_event_at, last_event_at) SELECT ",
    );
    query.bind(connection.0).push(", value, 0, 1, ").bind(insist);
    for _ in 0..4 {
        query.push(", ").bind(now.millis());
    }
    let orders: HashSet<&OrderId> = orders.iter().collect();
    query.push(" FROM json_each(").bind(json(orders)).push(") WHERE TRUE").push(RAISE);
}

fn pairs(rows: &[SqliteRow]) -> Result<HashSet<(i64, i64)>, sqlx::Error> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

pub(super) fn touch_forwarded(script: &mut Script<'_>, connection: i64, at: i64) {
    let query = script.then("UPDATE connections SET last_forwarded_at = max(coalesce(last_forwarded_at, 0), ");
    query.bind(at).push(") WHERE id = ").bind(connection);
}

pub(super) async fn want_all(
    script: &mut Script<'_>,
    connection: ConnectionId,
    state: OrderState,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let query = script.then("UPDATE orders SET state = 0, wanted = wanted + 1, insisted = wanted + 1, due_at = ");
    query.bind(now.millis()).push(", waiting_since = ").bind(now.millis());
    query.push(", attempts = 0, refused_since = NULL, missing_since = NULL, settled_at = NULL WHERE connection_id = ");
    query.bind(connection.0).push(" AND state IN (2, 3, 4) AND state = ").bind(state.code());
    script.changed().await
}

/// Claims those of `orders` that are due.
pub(super) async fn claim(
    script: &mut Script<'_>,
    connection: ConnectionId,
    orders: &[OrderId],
    until: Timestamp,
    now: Timestamp,
) -> Result<Vec<Claim>, sqlx::Error> {
    let owner: i64 = rand::random();
    let query = script.then("UPDATE orders SET lease_owner = ");
    query.bind(owner).push(", due_at = ").bind(until.millis());
    query.push(" WHERE connection_id = ").bind(connection.0);
    query.push(" AND order_id IN (SELECT value FROM json_each(").bind(json(orders));
    query.push(")) AND due_at <= ").bind(now.millis()).push(
        " RETURNING order_id, wanted, insisted > delivered, digest, attempts, refused_since, missing_since, waiting_since",
    );
    let rows = script.rows().await?;
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

/// Ends claims, of each order one; returns the orders whose claim was still the owner's.
pub(super) async fn settle(script: &mut Script<'_>, rows: &[SettleRow]) -> Result<HashSet<(i64, i64)>, sqlx::Error> {
    let lost = script.then("WITH s (connection_id, order_id, owner) AS (");
    lost.rows_of(3, rows, |values, row| {
        values.value(row.connection_id).value(row.order_id).value(row.owner);
    });
    lost.push(
        ") SELECT s.connection_id, s.order_id
         FROM s LEFT JOIN orders AS o ON o.connection_id = s.connection_id AND o.order_id = s.order_id
         WHERE s.owner IS NOT NULL AND o.lease_owner IS NOT s.owner",
    );
    let query = script.then(
        "WITH s (connection_id, order_id, owner, seen, at, state, done, forwarded, retry_at, deferred, tried, untouched,
                 refused, missing, error, digest, fetched_at) AS (",
    );
    query.rows_of(17, rows, |values, row| {
        values
            .value(row.connection_id)
            .value(row.order_id)
            .value(row.owner)
            .value(row.seen)
            .value(row.at)
            .value(row.state);
        values
            .value(row.done)
            .value(row.forwarded)
            .value(row.retry_at)
            .value(row.deferred)
            .value(row.tried)
            .value(row.untouched);
        values.value(row.refused).value(row.missing).value(&row.error).value(&row.digest).value(row.fetched_at);
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
    let lost = pairs(&script.rows().await?)?;
    let orders = rows.iter().map(|row| (row.connection_id, row.order_id));
    Ok(orders.filter(|order| !lost.contains(order)).collect())
}

pub(super) async fn recover(script: &mut Script<'_>, connection: ConnectionId) -> Result<u64, sqlx::Error> {
    let query = script.then("UPDATE orders SET deferred = 0, due_at = waiting_since WHERE connection_id = ");
    query.bind(connection.0);
    query.push(" AND due_at IS NOT NULL AND deferred = 1 AND state = 0 AND lease_owner IS NULL");
    script.changed().await
}

pub(super) async fn connection(
    script: &mut Script<'_>,
    kind: &str,
    name: &str,
    now: Timestamp,
) -> Result<ConnectionId, sqlx::Error> {
    let query = script.then("INSERT INTO connections (kind, name, first_start) VALUES (");
    query.bind(kind).push(", ").bind(name).push(", ").bind(now.millis());
    query.push(") ON CONFLICT DO NOTHING");
    let query = script.then("SELECT id FROM connections WHERE kind = ");
    query.bind(kind).push(" AND name = ").bind(name);
    let rows = script.rows().await?;
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0).map(ConnectionId)
}

pub(super) fn keep_note(script: &mut Script<'_>, connection: ConnectionId, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let query = script.then("INSERT INTO notes (connection_id, name, value) VALUES (");
        query.bind(connection.0).push(", ").bind(name).push(", ").bind(value);
        query.push(") ON CONFLICT (connection_id, name) DO UPDATE SET value = excluded.value");
    } else {
        let query = script.then("DELETE FROM notes WHERE connection_id = ");
        query.bind(connection.0).push(" AND name = ").bind(name);
    }
}

/// Failed orders stay until somebody resends them: they are a list of what is still to be done. Receipts go with their order.
pub(super) async fn prune(script: &mut Script<'_>, before: Timestamp, limit: u32) -> Result<u64, sqlx::Error> {
    for table in ["receipts", "orders"] {
        let query = script.then("DELETE FROM ");
        query.push(table).push(" WHERE (connection_id, order_id) IN (SELECT connection_id, order_id FROM orders");
        query.push(" WHERE settled_at < ").bind(before.millis());
        query.push(" AND state <> 2 ORDER BY settled_at, connection_id, order_id LIMIT ").bind(limit).push(")");
    }
    script.changed().await
}
