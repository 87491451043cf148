//! Changes to many objects of one connection or of all, and the removal of old rows. `state::Row` has the rules for a
//! row.

use std::collections::HashSet;

use sqlx::{PgConnection, Postgres, Row as _, postgres::PgArguments, query::Query};

use super::{
    rows,
    session::{SERVER_MILLIS, execute, in_time, transaction},
};
use crate::{
    clock::Timestamp,
    inbox::{
        HISTORY, InboxError, ObjectState, hour_of,
        state::{CLOCK_SLACK, Raise, Reason, Row},
    },
    object::{ChangeKind, ConnectionId, ObjectKey},
};

/// Rows per transaction.
const STEP: usize = 1000;

/// How many objects were changed, and the connections they belong to.
pub(super) type Changed = (u64, HashSet<ConnectionId>);

/// Changes every object that `find` returns (connection, resource, id), if `change` still finds something to change.
/// Each step is a transaction of its own, so that many rows may take their time without holding up other relays.
async fn change_all(
    db: &mut PgConnection,
    find: Query<'_, Postgres, PgArguments>,
    change: impl Fn(&mut Row) -> bool + Send + Sync,
) -> Result<Changed, InboxError> {
    let found = in_time(find.fetch_all(&mut *db)).await?;
    let mut keys = Vec::with_capacity(found.len());
    for row in &found {
        let connection = ConnectionId(row.try_get(0)?);
        keys.push(ObjectKey { connection, resource: rows::resource(row, 1)?, id: rows::object_id(row, 2)? });
    }
    keys.sort_unstable();
    let (mut count, mut connections) = (0, HashSet::new());
    for step in keys.chunks(STEP) {
        let changed = transaction!(db, |transaction| {
            let mut locked = rows::lock(&mut transaction, step).await?;
            locked.retain(|_, row| change(row));
            rows::write(&mut transaction, &locked).await?;
            locked
        })?;
        count += changed.len() as u64;
        connections.extend(changed.keys().map(|key| key.connection));
    }
    Ok((count, connections))
}

/// Makes all objects in one settled state due, with `force`.
pub(super) async fn want_all(
    db: &mut PgConnection,
    connection: ConnectionId,
    state: ObjectState,
    now: Timestamp,
) -> Result<Changed, InboxError> {
    // Rare states have a partial index, which the planner uses only if the query repeats its condition.
    let sql = match state {
        ObjectState::Pending => return Ok(Changed::default()),
        ObjectState::Delivered => {
            "SELECT connection_id, resource, id FROM objects WHERE connection_id = $1 AND state = $2"
        }
        _ => {
            "SELECT connection_id, resource, id FROM objects
             WHERE connection_id = $1 AND state IN (2, 3, 4) AND state = $2"
        }
    };
    let find = sqlx::query(sql).bind(connection.0).bind(state.code());
    let force = |row: &mut Row| {
        let concerned = row.state == state;
        if concerned {
            row.raise(Raise { reason: Reason::Force, change: ChangeKind::Updated, at: now });
        }
        concerned
    };
    change_all(db, find, force).await
}

/// Makes due what was deferred because of an outage.
pub(super) async fn recover(db: &mut PgConnection, connection: ConnectionId) -> Result<Changed, InboxError> {
    let sql = "SELECT connection_id, resource, id FROM objects
               WHERE connection_id = $1 AND due_at IS NOT NULL AND is_deferred AND lease_owner IS NULL";
    change_all(db, sqlx::query(sql).bind(connection.0), Row::recover).await
}

/// Makes due what waits for a deadline too far in the future, because the clock has been set back.
pub(super) async fn repair_deadlines(db: &mut PgConnection, now: Timestamp) -> Result<Changed, InboxError> {
    let sql = "SELECT connection_id, resource, id FROM objects WHERE due_at IS NOT NULL AND due_at - wait_ms > $1";
    let find = sqlx::query(sql).bind(now.after(CLOCK_SLACK).millis());
    change_all(db, find, |row| row.repair_deadline(now)).await
}

/// Frees the claims of relays whose heartbeats have stopped for longer than the span they asked for. The upper half
/// of a claim's owner number is its relay (see `peers::RelayId`).
pub(super) async fn free_claims(db: &mut PgConnection, relay: i64, now: Timestamp) -> Result<Changed, InboxError> {
    let sql = format!(
        "SELECT connection_id, resource, id FROM objects
         WHERE due_at IS NOT NULL AND lease_owner IS NOT NULL AND NOT is_forwarding AND (lease_owner >> 32) <> $1
               AND NOT EXISTS (SELECT 1 FROM relays WHERE relay = lease_owner >> 32 AND until > {SERVER_MILLIS})"
    );
    change_all(db, sqlx::query(sqlx::AssertSqlSafe(sql)).bind(relay), |row| {
        row.lease_owner.is_some_and(|owner| owner >> 32 != relay) && row.free_claim(now)
    })
    .await
}

/// Removes at most `limit` objects settled before `before`, and as many notifications. Failed objects stay until a
/// person resends them: they are the list of what is still to be done. Receipts are removed with their object.
pub(super) async fn prune(db: &mut PgConnection, before: Timestamp, limit: u32) -> Result<u64, InboxError> {
    let objects = "WITH old AS (
             DELETE FROM objects WHERE coalesce(settled_at < $1, FALSE) AND ctid = ANY (ARRAY(
                 SELECT ctid FROM objects
                 WHERE settled_at < $1 AND state <> 2 ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED))
             RETURNING connection_id, resource, id),
         forgotten AS (
             DELETE FROM receipts WHERE ctid = ANY (ARRAY(
                 SELECT theirs.ctid FROM old AS s
                 CROSS JOIN LATERAL (
                     SELECT ctid FROM receipts AS o
                     WHERE (o.connection_id, o.resource, o.id) = (s.connection_id, s.resource, s.id)
                     OFFSET 0) AS theirs)))
         SELECT count(*) FROM old";
    let notifications = "DELETE FROM notifications WHERE coalesce(notified_at < $1, FALSE) AND ctid = ANY (ARRAY(
             SELECT ctid FROM notifications WHERE notified_at < $1 ORDER BY notified_at LIMIT $2
             FOR UPDATE SKIP LOCKED))";
    let pruned = transaction!(db, |transaction| {
        let bind = |sql: &'static str| sqlx::query(sql).bind(before.millis()).bind(i64::from(limit));
        bind(notifications).execute(&mut *transaction).await?;
        bind(objects).fetch_one(&mut *transaction).await?.try_get::<i64, _>(0)?
    })?;
    Ok(pruned.unsigned_abs())
}

/// Records how many objects wait, if that is the most in this hour, and drops hours that are too old.
pub(super) async fn sample(db: &mut PgConnection, now: Timestamp) -> Result<(), InboxError> {
    let sql = "INSERT INTO hours AS h (connection_id, hour, waiting)
               SELECT connection_id, $1, count(*) FROM objects WHERE due_at IS NOT NULL
               GROUP BY connection_id ORDER BY connection_id
               ON CONFLICT (connection_id, hour) DO UPDATE SET waiting = excluded.waiting
               WHERE h.waiting IS NULL OR h.waiting < excluded.waiting";
    let old = "DELETE FROM hours WHERE (connection_id, hour) IN (
                   SELECT connection_id, hour FROM hours WHERE hour < $1
                   ORDER BY connection_id, hour FOR UPDATE SKIP LOCKED)";
    // Both tables are needed at once, which a migration may lock in another order.
    transaction!(db, |transaction| {
        sqlx::query(sql).bind(hour_of(now)).execute(&mut *transaction).await?;
        sqlx::query(old).bind(hour_of(now.before(HISTORY))).execute(&mut *transaction).await?;
    })?;
    Ok(())
}

/// Checks that the database can be written.
pub(super) async fn probe(db: &mut PgConnection, now: Timestamp) -> Result<(), InboxError> {
    execute(db, sqlx::query("UPDATE catalog SET probed_at = $1").bind(now.millis())).await.map(drop)
}
