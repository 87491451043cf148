//! The SQL of a connection's small tables: feeds, hooks, outages, alerts.

use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};

use super::{
    reads::time,
    session::{ServerClock, execute},
};
use crate::{
    clock::Timestamp,
    http::Failure,
    inbox::{Feed, HookRow, HookState, InboxError, Outage, Side},
    object::ConnectionId,
};

/// Reads a failure's code; `None` for one that only a newer relay knows.
pub(super) fn failure(row: &PgRow, column: usize) -> Result<Option<Failure>, sqlx::Error> {
    Ok(row.try_get::<Option<&str>, _>(column)?.and_then(|code| code.parse().ok()))
}

/// The connection's feeds, or only the one with this name.
pub(super) async fn feeds(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    name: Option<&str>,
) -> Result<Vec<Feed>, sqlx::Error> {
    let sql = "SELECT name, watermark, page_size, trouble_since, trouble, polled_at FROM feeds
               WHERE connection_id = $1 AND ($2 IS NULL OR name = $2) ORDER BY name";
    let rows = sqlx::query(sql).bind(connection.0).bind(name).fetch_all(db).await?;
    let feed = |row: &PgRow| {
        Ok(Feed {
            name: row.try_get(0)?,
            watermark: time(clock, row, 1)?,
            page_size: row.try_get::<Option<i32>, _>(2)?.map(i32::unsigned_abs),
            trouble: time(clock, row, 3)?.zip(failure(row, 4)?),
            polled_at: time(clock, row, 5)?,
        })
    };
    rows.iter().map(feed).collect()
}

pub(super) async fn save_feed(
    db: &mut PgConnection,
    clock: &ServerClock,
    connection: ConnectionId,
    feed: &Feed,
) -> Result<(), InboxError> {
    let sql = "INSERT INTO feeds (connection_id, name, watermark, page_size, trouble_since, trouble, polled_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (connection_id, name) DO UPDATE SET watermark = excluded.watermark,
                   page_size = excluded.page_size, trouble_since = excluded.trouble_since,
                   trouble = excluded.trouble, polled_at = excluded.polled_at";
    let inward = |time: Timestamp| clock.inward(time).millis();
    let query = sqlx::query(sql)
        .bind(connection.0)
        .bind(&feed.name)
        .bind(feed.watermark.map(inward))
        .bind(feed.page_size.map(|size| i32::try_from(size).unwrap_or(i32::MAX)))
        .bind(feed.trouble.map(|(since, _)| inward(since)))
        .bind(feed.trouble.map(|(_, failure)| failure.to_string()))
        .bind(feed.polled_at.map(inward));
    execute(db, query).await.map(drop)
}

pub(super) async fn remove_feed(db: &mut PgConnection, connection: ConnectionId, name: &str) -> Result<(), InboxError> {
    let sql = "DELETE FROM feeds WHERE connection_id = $1 AND name = $2";
    execute(db, sqlx::query(sql).bind(connection.0).bind(name)).await.map(drop)
}

pub(super) async fn hooks(db: &PgPool, connection: ConnectionId) -> Result<Vec<HookRow>, sqlx::Error> {
    let sql = "SELECT topic, hook_id, state FROM hooks WHERE connection_id = $1 ORDER BY topic";
    let rows = sqlx::query(sql).bind(connection.0).fetch_all(db).await?;
    let hook = |row: &PgRow| {
        let state = HookState::from_code(row.try_get(2)?);
        let state = state.ok_or_else(|| sqlx::Error::Decode("an unknown state of a hook".into()))?;
        Ok(HookRow { topic: row.try_get(0)?, hook_id: row.try_get(1)?, state })
    };
    rows.iter().map(hook).collect()
}

pub(super) async fn save_hook(
    db: &mut PgConnection,
    connection: ConnectionId,
    hook: &HookRow,
) -> Result<(), InboxError> {
    let sql = "INSERT INTO hooks (connection_id, topic, hook_id, state) VALUES ($1, $2, $3, $4)
               ON CONFLICT (connection_id, topic) DO UPDATE SET hook_id = excluded.hook_id, state = excluded.state";
    let query = sqlx::query(sql).bind(connection.0).bind(&hook.topic).bind(hook.hook_id).bind(hook.state.code());
    execute(db, query).await.map(drop)
}

pub(super) async fn remove_hook(
    db: &mut PgConnection,
    connection: ConnectionId,
    topic: &str,
) -> Result<(), InboxError> {
    let sql = "DELETE FROM hooks WHERE connection_id = $1 AND topic = $2";
    execute(db, sqlx::query(sql).bind(connection.0).bind(topic)).await.map(drop)
}

/// Sides and failures that only a newer relay knows are left out.
pub(super) async fn outages(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
) -> Result<Vec<Outage>, sqlx::Error> {
    let sql = "SELECT side, since, failure FROM outages WHERE connection_id = $1 ORDER BY side DESC";
    let rows = sqlx::query(sql).bind(connection.0).fetch_all(db).await?;
    let mut outages = Vec::with_capacity(rows.len());
    for row in &rows {
        if let (Some(side), Some(failure)) = (Side::from_code(row.try_get(0)?), failure(row, 2)?) {
            outages.push(Outage { side, since: clock.outward(row.try_get(1)?), failure });
        }
    }
    Ok(outages)
}

pub(super) async fn save_outage(
    db: &mut PgConnection,
    clock: &ServerClock,
    connection: ConnectionId,
    side: Side,
    outage: Option<&Outage>,
) -> Result<(), InboxError> {
    let query = match outage {
        Some(outage) => sqlx::query(
            "INSERT INTO outages (connection_id, side, since, failure) VALUES ($1, $2, $3, $4)
             ON CONFLICT (connection_id, side) DO UPDATE SET since = excluded.since, failure = excluded.failure",
        )
        .bind(connection.0)
        .bind(side.code())
        .bind(clock.inward(outage.since).millis())
        .bind(outage.failure.to_string()),
        None => sqlx::query("DELETE FROM outages WHERE connection_id = $1 AND side = $2")
            .bind(connection.0)
            .bind(side.code()),
    };
    execute(db, query).await.map(drop)
}

pub(super) async fn alerts(db: &PgPool) -> Result<Vec<(ConnectionId, String)>, sqlx::Error> {
    let rows = sqlx::query("SELECT connection_id, code FROM alerts ORDER BY connection_id, code").fetch_all(db).await?;
    rows.iter().map(|row| Ok((ConnectionId(row.try_get(0)?), row.try_get(1)?))).collect()
}

pub(super) async fn save_alert(
    db: &mut PgConnection,
    connection: ConnectionId,
    code: &str,
    is_open: bool,
) -> Result<(), InboxError> {
    let sql = match is_open {
        true => "INSERT INTO alerts (connection_id, code) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        false => "DELETE FROM alerts WHERE connection_id = $1 AND code = $2",
    };
    execute(db, sqlx::query(sql).bind(connection.0).bind(code)).await.map(drop)
}
