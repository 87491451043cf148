//! Reads objects: the SQL, and the conversion of rows to the inbox's types, with times converted to this machine's
//! clock.

use std::collections::HashMap;

use sqlx::{PgPool, Postgres, QueryBuilder, Row, postgres::PgRow};

use super::{
    rows::{change, count, digest, failed, object_id, resource, state},
    session::ServerClock,
};
use crate::{
    clock::Timestamp,
    inbox::{Claim, Hour, Known, ObjectQuery, ObjectRow, ObjectState, Summary, hour_of},
    object::{ConnectionId, Due, ObjectId, ResourceName},
};

pub(super) fn time(clock: &ServerClock, row: &PgRow, column: usize) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(|millis| clock.outward(millis)))
}

fn number(row: &PgRow, column: usize) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>(column).map(i64::unsigned_abs)
}

/// A claim with its times converted to this machine's clock.
pub(super) fn claim(clock: &ServerClock, claim: Claim) -> Claim {
    let outward = |time: Timestamp| clock.outward(time.millis());
    Claim {
        first_event_at: outward(claim.first_event_at),
        waiting_since: outward(claim.waiting_since),
        lease_until: outward(claim.lease_until),
        ..claim
    }
}

/// The index on due objects begins with whether an object has failed: each half is read in its order, and no further
/// than needed.
pub(super) async fn due(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Due>, sqlx::Error> {
    let half = |condition| {
        format!(
            "(SELECT resource, id, due_at, has_failed, change FROM objects
              WHERE connection_id = $1 AND {condition} AND due_at <= $2 ORDER BY due_at LIMIT $3)"
        )
    };
    let sql = format!(
        "SELECT * FROM ({} UNION ALL {}) AS due ORDER BY has_failed, due_at, resource, id LIMIT $3",
        half("has_failed = FALSE"),
        half("has_failed = TRUE")
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(connection.0).bind(clock.inward(now).millis());
    let rows = query.bind(i64::from(limit)).fetch_all(db).await?;
    let due = |row: &PgRow| {
        Ok(Due {
            resource: resource(row, 0)?,
            id: object_id(row, 1)?,
            at: clock.outward(row.try_get(2)?),
            has_failed: row.try_get(3)?,
            change: change(row, 4)?,
        })
    };
    rows.iter().map(due).collect()
}

pub(super) async fn next_due(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let half = |condition| {
        format!(
            "(SELECT due_at FROM objects WHERE connection_id = $1 AND {condition} AND due_at > $2
              ORDER BY due_at LIMIT 1)"
        )
    };
    let sql = format!("SELECT least({}, {})", half("has_failed = FALSE"), half("has_failed = TRUE"));
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(connection.0).bind(clock.inward(now).millis());
    time(clock, &query.fetch_one(db).await?, 0)
}

/// Goes from connection to connection in the index on due objects, reading only the first entries of each.
pub(super) async fn waiting(db: &PgPool, clock: &ServerClock) -> Result<Vec<(ConnectionId, Timestamp)>, sqlx::Error> {
    let half = |condition| {
        format!(
            "(SELECT due_at FROM objects AS o
              WHERE o.connection_id = w.connection_id AND {condition} AND due_at IS NOT NULL ORDER BY due_at LIMIT 1)"
        )
    };
    let sql = format!(
        "WITH RECURSIVE waiting AS (
             (SELECT connection_id FROM objects WHERE due_at IS NOT NULL ORDER BY connection_id LIMIT 1)
             UNION ALL
             SELECT (SELECT o.connection_id FROM objects AS o
                     WHERE o.due_at IS NOT NULL AND o.connection_id > w.connection_id
                     ORDER BY o.connection_id LIMIT 1)
             FROM waiting AS w WHERE w.connection_id IS NOT NULL)
         SELECT connection_id, least({}, {}) FROM waiting AS w WHERE connection_id IS NOT NULL",
        half("has_failed = FALSE"),
        half("has_failed = TRUE")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(db).await?;
    let mut waiting = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(at) = time(clock, row, 1)? {
            waiting.push((ConnectionId(row.try_get(0)?), at));
        }
    }
    Ok(waiting)
}

const OBJECT_ROW: &str =
    "resource, id, state, change, attempts, last_failure, first_event_at, last_event_at, waiting_since,
                          due_at, delivered_at, lease_owner IS NOT NULL AS is_claimed";

/// Adds the conditions of a query, after `connection_id = …`.
fn conditions(sql: &mut QueryBuilder<Postgres>, query: &ObjectQuery) {
    // Rare states have a partial index, which the planner uses only if the query repeats its condition.
    sql.push(match query.state {
        None => "",
        Some(ObjectState::Pending) => " AND due_at IS NOT NULL",
        Some(ObjectState::Delivered) => " AND state = 1",
        Some(ObjectState::Failed) => " AND state IN (2, 3, 4) AND state = 2",
        Some(ObjectState::Gone) => " AND state IN (2, 3, 4) AND state = 3",
        Some(ObjectState::Skipped) => " AND state IN (2, 3, 4) AND state = 4",
    });
    if query.only_in_trouble {
        sql.push(" AND due_at IS NOT NULL AND (refused_ms > 0 OR missing_ms > 0)");
    }
    if let Some(id) = &query.id {
        sql.push(" AND id = ").push_bind(id.sort_key());
    }
    if let Some(before) = &query.before {
        sql.push(" AND id < ").push_bind(before.sort_key());
    }
}

/// Pages without a filter are read from the primary key, resource by resource; rare states from their own index.
pub(super) async fn objects(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    query: &ObjectQuery,
) -> Result<Vec<ObjectRow>, sqlx::Error> {
    let limit = i64::from(query.limit);
    let is_rare = query.only_in_trouble || !matches!(query.state, None | Some(ObjectState::Delivered));
    let mut sql = QueryBuilder::new("");
    match &query.resource {
        None if !is_rare => {
            sql.push("WITH RECURSIVE names AS ((SELECT resource FROM objects WHERE connection_id = ");
            sql.push_bind(connection.0)
                .push(" ORDER BY resource LIMIT 1) UNION ALL SELECT (SELECT o.resource FROM objects");
            sql.push(" AS o WHERE o.connection_id = ").push_bind(connection.0);
            sql.push(" AND o.resource > n.resource ORDER BY o.resource LIMIT 1) FROM names AS n");
            sql.push(" WHERE n.resource IS NOT NULL)");
            sql.push(format!(" SELECT page.* FROM names CROSS JOIN LATERAL (SELECT {OBJECT_ROW} FROM objects AS o"));
            sql.push(" WHERE o.resource = names.resource AND connection_id = ").push_bind(connection.0);
            conditions(&mut sql, query);
            sql.push(" ORDER BY id DESC LIMIT ").push_bind(limit).push(") AS page");
        }
        resource => {
            // Rare rows are found first and sorted afterwards; common ones are read in order.
            sql.push(if is_rare { "SELECT * FROM (" } else { "" });
            sql.push(format!("SELECT {OBJECT_ROW} FROM objects WHERE connection_id = ")).push_bind(connection.0);
            if let Some(resource) = resource {
                sql.push(" AND resource = ").push_bind(resource.as_str().to_owned());
            }
            conditions(&mut sql, query);
            sql.push(if is_rare { " OFFSET 0) AS rare" } else { "" });
        }
    }
    sql.push(if query.longest_waiting_first { " ORDER BY waiting_since, id" } else { " ORDER BY id DESC" });
    sql.push(", resource LIMIT ").push_bind(limit);
    let rows = sql.build().fetch_all(db).await?;
    rows.iter().map(|row| object_row(clock, row)).collect()
}

fn object_row(clock: &ServerClock, row: &PgRow) -> Result<ObjectRow, sqlx::Error> {
    Ok(ObjectRow {
        resource: resource(row, 0)?,
        id: object_id(row, 1)?,
        state: state(row, 2)?,
        change: change(row, 3)?,
        attempts: count(row, 4)?,
        last_failure: failed(row, 5)?,
        first_event_at: clock.outward(row.try_get(6)?),
        last_event_at: clock.outward(row.try_get(7)?),
        waiting_since: time(clock, row, 8)?,
        next_attempt_at: time(clock, row, 9)?,
        delivered_at: time(clock, row, 10)?,
        is_claimed: row.try_get(11)?,
    })
}

pub(super) async fn known(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    of: &ResourceName,
    ids: &[ObjectId],
) -> Result<Vec<Known>, sqlx::Error> {
    let ids: Vec<String> = ids.iter().map(ObjectId::sort_key).collect();
    let sql = "SELECT o.id, digest, state, settled_at FROM unnest($3::text[]) AS asked(id)
               CROSS JOIN LATERAL (SELECT * FROM objects AS o WHERE connection_id = $1 AND resource = $2
                                   AND o.id = asked.id OFFSET 0) AS o";
    let rows = sqlx::query(sql).bind(connection.0).bind(of.as_str()).bind(ids).fetch_all(db).await?;
    let known = |row: &PgRow| {
        Ok(Known {
            id: object_id(row, 0)?,
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
        "SELECT w.waiting, w.oldest, w.refused,
                (SELECT count(*) FROM objects WHERE connection_id = $1 AND state IN (2, 3, 4) AND state = 2),
                (SELECT count(*) FROM objects WHERE connection_id = $1 AND state IN (2, 3, 4) AND state = 3),
                (SELECT last_event_at FROM activity WHERE connection_id = $1),
                (SELECT last_delivered_at FROM activity WHERE connection_id = $1),
                (SELECT created_at FROM connections WHERE id = $1)
         FROM (SELECT count(*) AS waiting, min(waiting_since) AS oldest,
                      count(*) FILTER (WHERE refused_ms > 0 OR missing_ms > 0) AS refused
               FROM objects WHERE connection_id = $1 AND due_at IS NOT NULL) AS w",
    )
    .bind(connection.0)
    .fetch_one(db)
    .await?;
    read_summary(clock, &row, 0)
}

pub(super) async fn summaries(db: &PgPool, clock: &ServerClock) -> Result<HashMap<ConnectionId, Summary>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT connection_id, sum(waiting)::bigint, min(oldest), sum(refused)::bigint, sum(failed)::bigint,
                sum(gone)::bigint, min(a.last_event_at), min(a.last_delivered_at), min(c.created_at)
         FROM (SELECT connection_id, count(*) AS waiting, min(waiting_since) AS oldest,
                      count(*) FILTER (WHERE refused_ms > 0 OR missing_ms > 0) AS refused, 0 AS failed, 0 AS gone
               FROM objects WHERE due_at IS NOT NULL GROUP BY connection_id
               UNION ALL
               SELECT connection_id, 0, NULL, 0, count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3)
               FROM objects WHERE state IN (2, 3, 4) AND state <> 4 GROUP BY connection_id) AS counted
         LEFT JOIN activity AS a USING (connection_id) LEFT JOIN connections AS c ON c.id = connection_id
         GROUP BY connection_id",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((ConnectionId(row.try_get(0)?), read_summary(clock, row, 1)?))).collect()
}

fn read_summary(clock: &ServerClock, row: &PgRow, from: usize) -> Result<Summary, sqlx::Error> {
    Ok(Summary {
        waiting: number(row, from)?,
        oldest_waiting: time(clock, row, from + 1)?,
        refused: number(row, from + 2)?,
        failed: number(row, from + 3)?,
        gone: number(row, from + 4)?,
        last_event_at: time(clock, row, from + 5)?,
        last_delivered_at: time(clock, row, from + 6)?,
        created_at: time(clock, row, from + 7)?,
    })
}

/// The hours from `since` on that have something recorded, the oldest first.
pub(super) async fn history(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    since: Timestamp,
) -> Result<Vec<Hour>, sqlx::Error> {
    let sql = "SELECT hour, forwarded, waiting FROM hours WHERE connection_id = $1 AND hour >= $2 ORDER BY hour";
    let rows = sqlx::query(sql).bind(connection.0).bind(hour_of(clock.inward(since))).fetch_all(db).await?;
    let hour = |row: &PgRow| {
        let waiting: Option<i64> = row.try_get(2)?;
        Ok(Hour { number: row.try_get(0)?, forwarded: number(row, 1)?, waiting: waiting.map(i64::unsigned_abs) })
    };
    rows.iter().map(hour).collect()
}
