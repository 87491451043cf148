//! Relays that share the database: which shards each holds, and which may change hooks. Leases go by the server's
//! clock alone, whatever the relays' own clocks say.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sqlx::{PgPool, Row};

use super::{
    migrations::MIGRATIONS,
    session::{SERVER_MILLIS, Tries},
};
use crate::{
    inbox::{Epoch, Heartbeat, SHARDS, schema},
    object::ConnectionId,
};

/// This relay's number. Each of its claims gets a different owner number, whose upper half is this one.
#[derive(Debug)]
pub(super) struct RelayId {
    number: u32,
    claims: AtomicU32,
}

impl RelayId {
    /// A random number, unlikely to be another relay's.
    pub fn random() -> Self {
        // Positive, as the upper half of an `i64`; 0 stands for no relay.
        Self { number: rand::random_range(1..=i32::MAX as u32), claims: AtomicU32::new(rand::random()) }
    }

    pub fn number(&self) -> i64 {
        self.number.into()
    }

    /// The owner number of a new claim: no other claim under way, of any relay, has it.
    pub fn next_owner(&self) -> i64 {
        self.number() << 32 | i64::from(self.claims.fetch_add(1, Ordering::Relaxed))
    }
}

/// The result of a heartbeat.
pub(super) struct Beat {
    pub held: Heartbeat,
    /// The server's time in milliseconds since 1970.
    pub at: i64,
    /// The migration that a relay must know to use the tables.
    pub floor: i64,
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Announces that this relay is alive, keeps or takes its even share of the shards for `span`, and gives back those
/// beyond it.
///
/// One statement. A shard changes hands only if its row, once locked, belongs to this relay or has expired. Locked
/// rows are skipped: relays that ask at once take different shards, and none waits.
pub(super) async fn heartbeat(db: &PgPool, relay: i64, span: Duration) -> Result<Beat, sqlx::Error> {
    let sql = format!(
        "WITH clock AS MATERIALIZED (SELECT {SERVER_MILLIS} AS now, ({}) AS floor),
         me AS (
             INSERT INTO relays AS r (relay, until) SELECT $1, now + $2 FROM clock WHERE floor <= $4
             ON CONFLICT (relay) DO UPDATE SET until = excluded.until RETURNING relay),
         gone AS (
             DELETE FROM relays WHERE relay IN (
                 SELECT relay FROM relays, clock WHERE until < now - $2 AND relay <> $1
                 FOR UPDATE OF relays SKIP LOCKED)),
         live AS MATERIALIZED (
             SELECT 1 + count(*) AS relays, count(*) FILTER (WHERE relay < $1) AS place
             FROM relays, clock WHERE relay <> $1 AND until > now),
         fair AS MATERIALIZED (SELECT ($3 + relays - 1) / relays AS share, place FROM live),
         kept AS MATERIALIZED (
             SELECT shard, row_number() OVER (ORDER BY shard) AS n
             FROM (SELECT shard FROM shards WHERE owner = $1 FOR UPDATE SKIP LOCKED) AS own),
         free AS MATERIALIZED (
             SELECT shard FROM shards AS s, clock, fair
             WHERE s.owner <> $1 AND (s.owner = 0 OR s.until <= now) AND shard < $3
             ORDER BY ((shard - place * share) % $3 + $3) % $3
             LIMIT (SELECT greatest(0, share - (SELECT count(*) FROM kept)) FROM fair)
             FOR UPDATE OF s SKIP LOCKED),
         wish AS MATERIALIZED (
             SELECT shard, CASE WHEN n <= share THEN $1 ELSE 0 END AS owner FROM kept, fair
             UNION ALL SELECT shard, $1 FROM free),
         written AS (
             UPDATE shards AS s SET owner = w.owner, until = CASE WHEN w.owner = 0 THEN 0 ELSE now + $2 END
             FROM wish AS w, clock, me
             WHERE s.shard = w.shard AND (s.owner IN ($1, 0) OR s.until <= now)
             RETURNING s.shard, s.owner)
         SELECT ARRAY(SELECT shard FROM written WHERE owner = $1 ORDER BY shard), (SELECT revision FROM catalog),
                now, floor
         FROM clock",
        schema::FLOOR
    );
    let mut tries = Tries::default();
    let row = loop {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.as_str())).bind(relay).bind(millis(span));
        match query.bind(i64::from(SHARDS)).bind(schema::newest(&MIGRATIONS)).fetch_one(db).await {
            Err(error) if tries.again(&error) => {}
            row => break row?,
        }
    };
    let shards: Vec<i16> = row.try_get(0)?;
    let shards = shards.into_iter().map(i16::unsigned_abs).collect();
    let held = Heartbeat { shards, revision: row.try_get(1)? };
    Ok(Beat { held, at: row.try_get(2)?, floor: row.try_get(3)? })
}

/// Gives all shards back and removes this relay.
pub(super) async fn release_shards(db: &PgPool, relay: i64) -> Result<(), sqlx::Error> {
    let sql = "WITH gone AS (DELETE FROM relays WHERE relay = $1)
               UPDATE shards SET owner = 0, until = 0 WHERE owner = $1 AND shard IN (
                   SELECT shard FROM shards WHERE owner = $1 ORDER BY shard FOR UPDATE)";
    let mut tries = Tries::default();
    loop {
        match sqlx::query(sql).bind(relay).execute(db).await {
            Err(error) if tries.again(&error) => {}
            done => return done.map(drop),
        }
    }
}

/// Whether another relay is alive.
pub(super) async fn is_served(db: &PgPool, relay: i64) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM relays WHERE relay <> $1 AND until > {SERVER_MILLIS})");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(relay).fetch_one(db).await
}

/// Takes or keeps the lock on a connection's hooks. `None` if another relay holds it.
pub(super) async fn lock_hooks(
    db: &PgPool,
    connection: ConnectionId,
    relay: i64,
    span: Duration,
) -> Result<Option<Epoch>, sqlx::Error> {
    let sql = format!(
        "INSERT INTO hook_locks AS h (connection_id, owner, until, epoch) SELECT $1, $2, {SERVER_MILLIS} + $3, 1
         ON CONFLICT (connection_id) DO UPDATE SET
             owner = excluded.owner, until = excluded.until,
             epoch = h.epoch + CASE WHEN h.owner = excluded.owner THEN 0 ELSE 1 END
         WHERE h.owner = excluded.owner OR h.until <= excluded.until - $3
         RETURNING epoch"
    );
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(connection.0).bind(relay).bind(millis(span));
    Ok(query.fetch_optional(db).await?.map(Epoch))
}

/// Releases the lock, if this relay holds it. The epoch stays.
pub(super) async fn unlock_hooks(db: &PgPool, connection: ConnectionId, relay: i64) -> Result<(), sqlx::Error> {
    let sql = "UPDATE hook_locks SET owner = 0, until = 0 WHERE connection_id = $1 AND owner = $2";
    sqlx::query(sql).bind(connection.0).bind(relay).execute(db).await.map(drop)
}
