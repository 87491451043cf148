//! What is read from PostgreSQL: the SQL, and the way from rows to the inbox's types. Times are turned to this machine's
//! clock on the way.

use sqlx::{PgPool, Row, postgres::PgRow};

use super::{
    session::ServerClock,
    statements::{digest, order_id},
};
use crate::{
    clock::Timestamp,
    event::OrderId,
    inbox::{Claim, ConnectionId, Due, Known, OrderQuery, OrderRow, OrderState, Summary},
};

fn time(clock: &ServerClock, row: &PgRow, column: usize) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(|millis| clock.outward(millis)))
}

fn state(row: &PgRow, column: usize) -> Result<OrderState, sqlx::Error> {
    let code: i16 = row.try_get(column)?;
    OrderState::from_code(code.into()).ok_or_else(|| sqlx::Error::Decode("an unknown state".into()))
}

fn attempts(row: &PgRow, column: usize) -> Result<u32, sqlx::Error> {
    row.try_get::<i32, _>(column).map(i32::unsigned_abs)
}

/// A row that [`super::statements::claim`] returned; the claim itself says whose it is and until when.
pub(super) fn claim(clock: &ServerClock, row: &PgRow, claim: Claim) -> Result<Claim, sqlx::Error> {
    Ok(Claim {
        order: order_id(row, 0)?,
        seen: row.try_get(1)?,
        insist: row.try_get(2)?,
        digest: digest(row, 3)?,
        attempts: attempts(row, 4)?,
        refused_since: time(clock, row, 5)?,
        missing_since: time(clock, row, 6)?,
        waiting_since: time(clock, row, 7)?.unwrap_or(claim.waiting_since),
        ..claim
    })
}

pub(super) async fn due(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Due>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT order_id, due_at FROM orders WHERE connection_id = $1 AND due_at <= $2 ORDER BY due_at, order_id LIMIT $3",
    )
    .bind(connection.0)
    .bind(clock.inward(now).millis())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok(Due { order: order_id(row, 0)?, at: clock.outward(row.try_get(1)?) })).collect()
}

pub(super) async fn next_due(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let sql = "SELECT min(due_at) FROM orders WHERE connection_id = $1 AND due_at > $2";
    let query = sqlx::query(sql).bind(connection.0).bind(clock.inward(now).millis());
    time(clock, &query.fetch_one(db).await?, 0)
}

pub(super) async fn orders(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    query: OrderQuery,
) -> Result<Vec<OrderRow>, sqlx::Error> {
    // Rare states have a partial index; the planner uses it where the query repeats its condition.
    let condition = match query.state {
        None => "",
        Some(OrderState::Pending) => " AND due_at IS NOT NULL",
        Some(OrderState::Delivered) => " AND state = 1",
        Some(OrderState::Failed) => " AND state IN (2, 3, 4) AND state = 2",
        Some(OrderState::Gone) => " AND state IN (2, 3, 4) AND state = 3",
        Some(OrderState::Skipped) => " AND state IN (2, 3, 4) AND state = 4",
    };
    let sql = format!(
        "SELECT order_id, state, attempts, last_error, first_event_at, last_event_at, waiting_since, due_at, delivered_at
         FROM orders WHERE connection_id = $1 AND order_id <= $2{condition} ORDER BY order_id DESC LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(connection.0)
        .bind(query.last())
        .bind(i64::from(query.limit))
        .fetch_all(db)
        .await?;
    let order_row = |row: &PgRow| {
        Ok(OrderRow {
            order_id: order_id(row, 0)?,
            state: state(row, 1)?,
            attempts: attempts(row, 2)?,
            last_error: row.try_get(3)?,
            first_event_at: clock.outward(row.try_get(4)?),
            last_event_at: clock.outward(row.try_get(5)?),
            waiting_since: time(clock, row, 6)?,
            next_attempt_at: time(clock, row, 7)?,
            delivered_at: time(clock, row, 8)?,
        })
    };
    rows.iter().map(order_row).collect()
}

pub(super) async fn known(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    orders: Vec<OrderId>,
) -> Result<Vec<Known>, sqlx::Error> {
    let orders: Vec<i64> = orders.into_iter().map(OrderId::get).collect();
    let sql = "SELECT order_id, digest, state, settled_at FROM orders WHERE connection_id = $1 AND order_id = ANY($2)";
    let rows = sqlx::query(sql).bind(connection.0).bind(orders).fetch_all(db).await?;
    let known = |row: &PgRow| {
        Ok(Known {
            order: order_id(row, 0)?,
            digest: digest(row, 1)?,
            state: state(row, 2)?,
            settled_at: time(clock, row, 3)?,
        })
    };
    rows.iter().map(known).collect()
}

pub(super) async fn summary(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
) -> Result<Summary, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM orders WHERE connection_id = c.id AND due_at IS NOT NULL),
                (SELECT min(waiting_since) FROM orders WHERE connection_id = c.id AND due_at IS NOT NULL),
                (SELECT count(*) FROM orders WHERE connection_id = c.id AND state IN (2, 3, 4) AND state = 2),
                (SELECT count(*) FROM orders WHERE connection_id = c.id AND state IN (2, 3, 4) AND state = 3),
                last_event_at, last_forwarded_at, first_start
         FROM connections AS c WHERE id = $1",
    )
    .bind(connection.0)
    .fetch_one(db)
    .await?;
    let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(Summary {
        waiting: count(0)?,
        oldest_waiting: time(clock, &row, 1)?,
        failed: count(2)?,
        gone: count(3)?,
        last_event_at: time(clock, &row, 4)?,
        last_forwarded_at: time(clock, &row, 5)?,
        first_start: time(clock, &row, 6)?,
    })
}

pub(super) async fn note(db: &PgPool, connection: ConnectionId, name: &str) -> Result<Option<String>, sqlx::Error> {
    let sql = "SELECT value FROM notes WHERE connection_id = $1 AND name = $2";
    sqlx::query_scalar(sql).bind(connection.0).bind(name).fetch_optional(db).await
}
