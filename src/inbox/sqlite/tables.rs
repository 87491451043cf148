//! The small tables: feeds, hooks, outages, alerts, notifications, the lock on hooks; and the removal of old rows.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    rows::{resource, time, unreadable},
    transaction::Transaction,
};
use crate::{
    clock::Timestamp,
    http::Failure,
    inbox::{Epoch, Feed, HISTORY, HookRow, HookState, Notification, NotificationStatus, Outage, Side, hour_of},
    object::ConnectionId,
};

fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::millis)
}

fn failure(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Failure>> {
    let code: Option<String> = row.get(column)?;
    Ok(code.and_then(|code| code.parse().ok()))
}

fn read_feed(row: &Row<'_>) -> rusqlite::Result<Feed> {
    Ok(Feed {
        name: row.get(0)?,
        watermark: time(row, 1)?,
        page_size: row.get(2)?,
        trouble: time(row, 3)?.zip(failure(row, 4)?),
        polled_at: time(row, 5)?,
    })
}

pub(super) fn feeds(connection: &Connection, id: ConnectionId) -> rusqlite::Result<Vec<Feed>> {
    let sql = "SELECT name, watermark, page_size, trouble_since, trouble, polled_at FROM feeds
               WHERE connection_id = ?1 ORDER BY name";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([id.0], read_feed)?.collect()
}

pub(super) fn feed(connection: &Connection, id: ConnectionId, name: &str) -> rusqlite::Result<Option<Feed>> {
    let sql = "SELECT name, watermark, page_size, trouble_since, trouble, polled_at FROM feeds
               WHERE connection_id = ?1 AND name = ?2";
    connection.prepare_cached(sql)?.query_row((id.0, name), read_feed).optional()
}

pub(super) fn save_feed(transaction: &Transaction<'_>, id: ConnectionId, feed: &Feed) -> rusqlite::Result<()> {
    let sql =
        "INSERT OR REPLACE INTO feeds (connection_id, name, watermark, page_size, trouble_since, trouble, polled_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    transaction.prepare(sql)?.execute(params![
        id.0,
        feed.name,
        millis(feed.watermark),
        feed.page_size,
        millis(feed.trouble.map(|(since, _)| since)),
        feed.trouble.map(|(_, failure)| failure.to_string()),
        millis(feed.polled_at),
    ])?;
    Ok(())
}

pub(super) fn remove_feed(transaction: &Transaction<'_>, id: ConnectionId, name: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM feeds WHERE connection_id = ?1 AND name = ?2";
    transaction.prepare(sql)?.execute((id.0, name)).map(drop)
}

pub(super) fn hooks(connection: &Connection, id: ConnectionId) -> rusqlite::Result<Vec<HookRow>> {
    let sql = "SELECT topic, hook_id, state FROM hooks WHERE connection_id = ?1 ORDER BY topic";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id.0], |row| {
        let state = HookState::from_code(row.get_ref(2)?.as_str()?).ok_or_else(|| unreadable(2))?;
        Ok(HookRow { topic: row.get(0)?, hook_id: row.get(1)?, state })
    })?;
    rows.collect()
}

pub(super) fn save_hook(transaction: &Transaction<'_>, id: ConnectionId, hook: &HookRow) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO hooks (connection_id, topic, hook_id, state) VALUES (?1, ?2, ?3, ?4)";
    transaction.prepare(sql)?.execute((id.0, &hook.topic, hook.hook_id, hook.state.code())).map(drop)
}

pub(super) fn remove_hook(transaction: &Transaction<'_>, id: ConnectionId, topic: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM hooks WHERE connection_id = ?1 AND topic = ?2";
    transaction.prepare(sql)?.execute((id.0, topic)).map(drop)
}

pub(super) fn outages(connection: &Connection, id: ConnectionId) -> rusqlite::Result<Vec<Outage>> {
    let sql = "SELECT side, since, failure FROM outages WHERE connection_id = ?1 ORDER BY side";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id.0], |row| {
        Ok(Outage {
            side: Side::from_code(row.get_ref(0)?.as_str()?).ok_or_else(|| unreadable(0))?,
            since: Timestamp::from_millis(row.get(1)?),
            failure: failure(row, 2)?.ok_or_else(|| unreadable(2))?,
        })
    })?;
    rows.collect()
}

pub(super) fn save_outage(
    transaction: &Transaction<'_>,
    id: ConnectionId,
    side: Side,
    outage: Option<&Outage>,
) -> rusqlite::Result<()> {
    let Some(Outage { since, failure, .. }) = outage else {
        let sql = "DELETE FROM outages WHERE connection_id = ?1 AND side = ?2";
        return transaction.prepare(sql)?.execute((id.0, side.code())).map(drop);
    };
    let sql = "INSERT OR REPLACE INTO outages (connection_id, side, since, failure) VALUES (?1, ?2, ?3, ?4)";
    transaction.prepare(sql)?.execute((id.0, side.code(), since.millis(), failure.to_string())).map(drop)
}

pub(super) fn alerts(connection: &Connection) -> rusqlite::Result<Vec<(ConnectionId, String)>> {
    let mut statement = connection.prepare_cached("SELECT connection_id, code FROM alerts")?;
    let rows = statement.query_map([], |row| Ok((ConnectionId(row.get(0)?), row.get(1)?)))?;
    rows.collect()
}

pub(super) fn save_alert(
    transaction: &Transaction<'_>,
    id: ConnectionId,
    code: &str,
    is_open: bool,
) -> rusqlite::Result<()> {
    let sql = if is_open {
        "INSERT OR IGNORE INTO alerts (connection_id, code) VALUES (?1, ?2)"
    } else {
        "DELETE FROM alerts WHERE connection_id = ?1 AND code = ?2"
    };
    transaction.prepare(sql)?.execute((id.0, code)).map(drop)
}

const NOTIFICATION: &str = "SELECT id, connection_id, resource, objects, status, attempts, failed_at, retry_at,
    last_failure, created_at, notified_at FROM notifications WHERE connection_id = ?1 AND ";

fn read_notification(row: &Row<'_>) -> rusqlite::Result<Notification> {
    let objects = row.get_ref(3)?.as_str()?;
    Ok(Notification {
        id: row.get(0)?,
        connection: ConnectionId(row.get(1)?),
        resource: resource(row, 2)?,
        objects: serde_json::from_str(objects).map_err(|_| unreadable(3))?,
        status: NotificationStatus::from_code(row.get(4)?).ok_or_else(|| unreadable(4))?,
        attempts: row.get(5)?,
        failed_at: time(row, 6)?,
        retry_at: time(row, 7)?,
        last_failure: failure(row, 8)?,
        created_at: Timestamp::from_millis(row.get(9)?),
        notified_at: time(row, 10)?,
    })
}

pub(super) fn notification(
    connection: &Connection,
    owner: ConnectionId,
    id: &str,
) -> rusqlite::Result<Option<Notification>> {
    let sql = format!("{NOTIFICATION} id = ?2");
    connection.prepare_cached(&sql)?.query_row((owner.0, id), read_notification).optional()
}

pub(super) fn notifications(
    connection: &Connection,
    owner: ConnectionId,
    limit: u32,
) -> rusqlite::Result<Vec<Notification>> {
    let sql = format!("{NOTIFICATION} TRUE ORDER BY created_at DESC, id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map((owner.0, limit), read_notification)?.collect()
}

pub(super) fn outstanding(connection: &Connection, owner: ConnectionId) -> rusqlite::Result<Vec<Notification>> {
    let sql = format!("{NOTIFICATION} status <> 2 ORDER BY created_at, id");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map([owner.0], read_notification)?.collect()
}

pub(super) fn save_notification(
    transaction: &mut Transaction<'_>,
    notification: &Notification,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO notifications (id, connection_id, resource, objects, status, attempts, failed_at,
                   retry_at, last_failure, created_at, notified_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let objects = serde_json::to_string(&notification.objects).unwrap_or_else(|_| "[]".to_owned());
    transaction.prepare(sql)?.execute(params![
        notification.id,
        notification.connection.0,
        notification.resource.as_str(),
        objects,
        notification.status.code(),
        notification.attempts,
        millis(notification.failed_at),
        millis(notification.retry_at),
        notification.last_failure.map(|failure| failure.to_string()),
        notification.created_at.millis(),
        millis(notification.notified_at),
    ])?;
    if notification.status != NotificationStatus::Notified {
        transaction.brings_work(notification.connection);
    }
    Ok(())
}

/// Takes or keeps the lock on a connection's hooks. Processes that share a file also share this machine's clock.
pub(super) fn lock_hooks(
    transaction: &Transaction<'_>,
    id: ConnectionId,
    owner: i64,
    until: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Option<Epoch>> {
    let sql = "INSERT INTO hook_locks (connection_id, owner, until, epoch) VALUES (?1, ?2, ?3, 1)
               ON CONFLICT (connection_id) DO UPDATE SET
                   owner = excluded.owner, until = excluded.until, epoch = epoch + (owner <> excluded.owner)
               WHERE owner = excluded.owner OR until <= ?4
               RETURNING epoch";
    let parameters = (id.0, owner, until.millis(), now.millis());
    transaction.prepare(sql)?.query_row(parameters, |row| Ok(Epoch(row.get(0)?))).optional()
}

/// Releases the lock, if `owner` holds it. The epoch stays.
pub(super) fn unlock_hooks(transaction: &Transaction<'_>, id: ConnectionId, owner: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE hook_locks SET owner = 0, until = 0 WHERE connection_id = ?1 AND owner = ?2";
    transaction.prepare(sql)?.execute((id.0, owner)).map(drop)
}

/// Removes settled objects with their receipts, and old notifications. Failed objects stay until a person resends
/// them: they are the list of what is still to be done.
pub(super) fn prune(transaction: &Transaction<'_>, before: Timestamp, limit: u32) -> rusqlite::Result<u64> {
    let old = "SELECT connection_id, resource, id FROM objects WHERE settled_at < ?1 AND state <> 2
               ORDER BY settled_at, connection_id, resource, id LIMIT ?2";
    let mut removed = 0;
    for table in ["receipts", "objects"] {
        let sql = format!("DELETE FROM {table} WHERE (connection_id, resource, id) IN ({old})");
        removed = transaction.prepare(&sql)?.execute((before.millis(), limit))?;
    }
    let sql = "DELETE FROM notifications WHERE id IN (SELECT id FROM notifications WHERE notified_at < ?1 LIMIT ?2)";
    transaction.prepare(sql)?.execute((before.millis(), limit))?;
    Ok(removed as u64)
}

/// Records how many objects wait, if that is the most in this hour, and drops hours that are too old.
pub(super) fn sample(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "INSERT INTO hours (connection_id, hour, waiting)
               SELECT connection_id, ?1, count(*) FROM objects WHERE due_at IS NOT NULL GROUP BY connection_id
               ON CONFLICT (connection_id, hour) DO UPDATE SET waiting = max(coalesce(waiting, 0), excluded.waiting)";
    transaction.prepare(sql)?.execute([hour_of(now)])?;
    let sql = "DELETE FROM hours WHERE hour < ?1";
    transaction.prepare(sql)?.execute([hour_of(now.before(HISTORY))]).map(drop)
}

/// Checks that the database can be written.
pub(super) fn probe(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    transaction.prepare("UPDATE catalog SET probed_at = ?1")?.execute([now.millis()]).map(drop)
}
