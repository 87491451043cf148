//! The SQL of notifications.

use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};

use super::{
    reads::time,
    rows::{count, json, resource},
    session::{ServerClock, execute},
    tables::failure,
};
use crate::{
    clock::Timestamp,
    inbox::{InboxError, Notification, NotificationStatus, NotifiedObject},
    object::ConnectionId,
};

const COLUMNS: &str =
    "id, connection_id, resource, objects, status, attempts, failed_at, retry_at, last_failure, created_at,
                       notified_at";

pub(super) async fn save(
    db: &mut PgConnection,
    clock: &ServerClock,
    notification: &Notification,
) -> Result<(), InboxError> {
    let sql = format!(
        "INSERT INTO notifications ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (id) DO UPDATE SET connection_id = excluded.connection_id, resource = excluded.resource,
             objects = excluded.objects, status = excluded.status, attempts = excluded.attempts,
             failed_at = excluded.failed_at, retry_at = excluded.retry_at, last_failure = excluded.last_failure,
             created_at = excluded.created_at, notified_at = excluded.notified_at"
    );
    let inward = |time: Timestamp| clock.inward(time).millis();
    let query = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&notification.id)
        .bind(notification.connection.0)
        .bind(notification.resource.as_str())
        .bind(json(&notification.objects))
        .bind(notification.status.code())
        .bind(i32::try_from(notification.attempts).unwrap_or(i32::MAX))
        .bind(notification.failed_at.map(inward))
        .bind(notification.retry_at.map(inward))
        .bind(notification.last_failure.map(|failure| failure.to_string()))
        .bind(inward(notification.created_at))
        .bind(notification.notified_at.map(inward));
    execute(db, query).await.map(drop)
}

/// Which notifications of a connection to read.
pub(super) enum Which<'a> {
    /// The one with this id.
    One(&'a str),
    /// The newest, at most this many.
    Newest(u32),
    /// Those that have not arrived, the oldest first.
    Outstanding,
}

pub(super) async fn read(
    db: &PgPool,
    clock: &ServerClock,
    connection: ConnectionId,
    which: Which<'_>,
) -> Result<Vec<Notification>, sqlx::Error> {
    let condition = match which {
        Which::One(_) => "AND id = $2",
        Which::Newest(_) => "ORDER BY created_at DESC, id LIMIT $2",
        Which::Outstanding => "AND status <> 2 ORDER BY created_at, id",
    };
    let sql = format!("SELECT {COLUMNS} FROM notifications WHERE connection_id = $1 {condition}");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(connection.0);
    let query = match which {
        Which::One(id) => query.bind(id),
        Which::Newest(limit) => query.bind(i64::from(limit)),
        Which::Outstanding => query,
    };
    let rows = query.fetch_all(db).await?;
    rows.iter().map(|row| notification(clock, row)).collect()
}

fn notification(clock: &ServerClock, row: &PgRow) -> Result<Notification, sqlx::Error> {
    let objects: &str = row.try_get(3)?;
    let objects: Vec<NotifiedObject> =
        serde_json::from_str(objects).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let status = NotificationStatus::from_code(row.try_get(4)?);
    Ok(Notification {
        id: row.try_get(0)?,
        connection: ConnectionId(row.try_get(1)?),
        resource: resource(row, 2)?,
        objects,
        status: status.ok_or_else(|| sqlx::Error::Decode("an unknown status of a notification".into()))?,
        attempts: count(row, 5)?,
        failed_at: time(clock, row, 6)?,
        retry_at: time(clock, row, 7)?,
        last_failure: failure(row, 8)?,
        created_at: clock.outward(row.try_get(9)?),
        notified_at: time(clock, row, 10)?,
    })
}
