//! Object rows in PostgreSQL: locked and read as [`Row`]s, and written back as a batch. `inbox::state` has the rules
//! for what happens in between.
//!
//! Relays change the same rows concurrently. Every statement that locks several of them does so in the order of their
//! keys, or skips the locked ones, so that transactions do not deadlock; one that the server aborts all the same is
//! retried.
//!
//! A plan is kept as long as the connection, and what the planner knew of a table when it was nearly empty must not
//! decide how a backlog is read. So batches leave it no choice: each row is looked up by its key in a `LATERAL` of
//! its own, and updated by its `ctid`; `coalesce` hides a condition from the indexes.

use std::{collections::HashMap, sync::LazyLock};

use serde::Serialize;
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use crate::{
    clock::Timestamp,
    inbox::{Failed, ObjectState, state::Row},
    object::{ChangeKind, ConnectionId, Digest, ObjectId, ObjectKey, ResourceName},
};

/// The columns of the key, with their types in a batch.
pub(super) const KEY_TYPES: &str = r#"connection_id bigint, resource text COLLATE "C", id text COLLATE "C""#;
/// Compares the keys of `o` and `s`.
pub(super) const SAME_KEY: &str = "(o.connection_id, o.resource, o.id) = (s.connection_id, s.resource, s.id)";
/// Every column of a row, in the order in which [`read`] expects them.
pub(super) const COLUMNS: &str =
    "connection_id, resource, id, state, version, forced_version, event_version, delivered, change, was_told, due_at,
     wait_ms, waiting_since, lease_owner, is_forwarding, is_deferred, has_failed, attempts, refused_ms, missing_ms,
     tried_at, pause_ms, last_failure, digest, fetched_at, delivered_at, settled_at, first_event_at, last_event_at";

/// A batch as JSON, which is how it is passed to PostgreSQL.
pub(super) fn json<T: Serialize>(rows: T) -> String {
    serde_json::to_string(&rows).expect("rows are plain structs of numbers and texts")
}

/// An object's key, as part of a batch's row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(super) struct KeyRow {
    pub connection_id: i64,
    pub resource: String,
    pub id: String,
}

impl From<&ObjectKey> for KeyRow {
    fn from(key: &ObjectKey) -> Self {
        Self { connection_id: key.connection.0, resource: key.resource.to_string(), id: key.id.sort_key() }
    }
}

fn decode(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

pub(super) fn resource(row: &PgRow, column: usize) -> Result<ResourceName, sqlx::Error> {
    ResourceName::new(row.try_get(column)?).ok_or_else(|| decode("not a resource's name"))
}

pub(super) fn object_id(row: &PgRow, column: usize) -> Result<ObjectId, sqlx::Error> {
    ObjectId::from_sort_key(row.try_get(column)?).ok_or_else(|| decode("not an object's id"))
}

pub(super) fn state(row: &PgRow, column: usize) -> Result<ObjectState, sqlx::Error> {
    ObjectState::from_code(row.try_get(column)?).ok_or_else(|| decode("an unknown state"))
}

pub(super) fn change(row: &PgRow, column: usize) -> Result<ChangeKind, sqlx::Error> {
    Ok(ChangeKind::from_code(row.try_get(column)?))
}

pub(super) fn count(row: &PgRow, column: usize) -> Result<u32, sqlx::Error> {
    row.try_get::<i32, _>(column).map(i32::unsigned_abs)
}

pub(super) fn failed(row: &PgRow, column: usize) -> Result<Option<Failed>, sqlx::Error> {
    Ok(row.try_get::<Option<&str>, _>(column)?.and_then(Failed::from_code))
}

pub(super) fn digest(row: &PgRow, column: usize) -> Result<Option<Digest>, sqlx::Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(Digest))
}

/// Reads a time of the server's clock.
fn time(row: &PgRow, column: usize) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
}

/// Reads [`COLUMNS`]; times are by the server's clock.
pub(super) fn read(row: &PgRow) -> Result<(ObjectKey, Row), sqlx::Error> {
    let connection = ConnectionId(row.try_get(0)?);
    let key = ObjectKey { connection, resource: resource(row, 1)?, id: object_id(row, 2)? };
    let read = Row {
        state: state(row, 3)?,
        version: row.try_get(4)?,
        forced_version: row.try_get(5)?,
        event_version: row.try_get(6)?,
        delivered: row.try_get(7)?,
        change: change(row, 8)?,
        was_told: row.try_get(9)?,
        due_at: time(row, 10)?,
        wait_ms: row.try_get(11)?,
        waiting_since: time(row, 12)?,
        lease_owner: row.try_get(13)?,
        is_forwarding: row.try_get(14)?,
        is_deferred: row.try_get(15)?,
        has_failed: row.try_get(16)?,
        attempts: count(row, 17)?,
        refused_ms: row.try_get(18)?,
        missing_ms: row.try_get(19)?,
        tried_at: time(row, 20)?,
        pause_ms: row.try_get(21)?,
        last_failure: failed(row, 22)?,
        digest: digest(row, 23)?,
        fetched_at: time(row, 24)?,
        delivered_at: time(row, 25)?,
        settled_at: time(row, 26)?,
        first_event_at: Timestamp::from_millis(row.try_get(27)?),
        last_event_at: Timestamp::from_millis(row.try_get(28)?),
    };
    Ok((key, read))
}

/// Locks and reads the rows with these keys, in the order of keys. Keys without a row are left out.
pub(super) async fn lock(
    db: &mut PgConnection,
    keys: impl IntoIterator<Item = &ObjectKey>,
) -> Result<HashMap<ObjectKey, Row>, sqlx::Error> {
    let mut batch: Vec<KeyRow> = keys.into_iter().map(KeyRow::from).collect();
    batch.sort_unstable();
    batch.dedup();
    if batch.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT o.* FROM (SELECT * FROM json_to_recordset($1::text::json) AS b({KEY_TYPES})
                          ORDER BY connection_id, resource, id) AS s
         CROSS JOIN LATERAL (SELECT {COLUMNS} FROM objects AS o WHERE {SAME_KEY} FOR UPDATE) AS o"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(json(batch)).fetch_all(db).await?;
    rows.iter().map(read).collect()
}

/// The columns that may change: each with its name, its type in Rust and in a batch, and its value.
macro_rules! written {
    ($row:ident => $($name:ident: $kind:ty, $sql:literal, $value:expr;)*) => {
        /// The part of a row that may change, as a row of the batch.
        #[derive(Serialize)]
        struct Written {
            #[serde(flatten)]
            key: KeyRow,
            $($name: $kind,)*
        }

        /// The columns of [`Written`] other than the key, with their types in a batch.
        const WRITTEN: &[(&str, &str)] = &[$((stringify!($name), $sql),)*];

        impl Written {
            fn of(key: &ObjectKey, $row: &Row) -> Self {
                Self { key: key.into(), $($name: $value,)* }
            }
        }
    };
}

written! { row =>
    state: i16, "smallint", row.state.code();
    version: i64, "bigint", row.version;
    forced_version: i64, "bigint", row.forced_version;
    event_version: i64, "bigint", row.event_version;
    delivered: i64, "bigint", row.delivered;
    change: i16, "smallint", row.change.code();
    was_told: bool, "boolean", row.was_told;
    due_at: Option<i64>, "bigint", row.due_at.map(Timestamp::millis);
    wait_ms: i64, "bigint", row.wait_ms;
    waiting_since: Option<i64>, "bigint", row.waiting_since.map(Timestamp::millis);
    lease_owner: Option<i64>, "bigint", row.lease_owner;
    is_forwarding: bool, "boolean", row.is_forwarding;
    is_deferred: bool, "boolean", row.is_deferred;
    has_failed: bool, "boolean", row.has_failed;
    attempts: i32, "integer", i32::try_from(row.attempts).unwrap_or(i32::MAX);
    refused_ms: i64, "bigint", row.refused_ms;
    missing_ms: i64, "bigint", row.missing_ms;
    tried_at: Option<i64>, "bigint", row.tried_at.map(Timestamp::millis);
    pause_ms: i64, "bigint", row.pause_ms;
    last_failure: Option<String>, "text", row.last_failure.map(|failed| failed.to_string());
    digest: Option<String>, "text", row.digest.map(|digest| hex(&digest.0));
    fetched_at: Option<i64>, "bigint", row.fetched_at.map(Timestamp::millis);
    delivered_at: Option<i64>, "bigint", row.delivered_at.map(Timestamp::millis);
    settled_at: Option<i64>, "bigint", row.settled_at.map(Timestamp::millis);
    last_event_at: i64, "bigint", row.last_event_at.millis();
}

/// Bytes as hexadecimal text, for JSON.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes rows that this transaction has locked.
pub(super) async fn write<'a>(
    db: &mut PgConnection,
    rows: impl IntoIterator<Item = (&'a ObjectKey, &'a Row)>,
) -> Result<(), sqlx::Error> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let value = |name: &str| match name {
            "digest" => "digest = decode(s.digest, 'hex')".to_owned(),
            name => format!("{name} = s.{name}"),
        };
        let values: Vec<String> = WRITTEN.iter().map(|(name, _)| value(name)).collect();
        let types: Vec<String> = WRITTEN.iter().map(|(name, sql)| format!("{name} {sql}")).collect();
        format!(
            "UPDATE objects AS u SET {}
             FROM json_to_recordset($1::text::json) AS s({KEY_TYPES}, {})
             CROSS JOIN LATERAL (SELECT ctid FROM objects AS o WHERE {SAME_KEY} OFFSET 0) AS held
             WHERE u.ctid = held.ctid",
            values.join(", "),
            types.join(", ")
        )
    });
    let batch: Vec<Written> = rows.into_iter().map(|(key, row)| Written::of(key, row)).collect();
    if batch.is_empty() {
        return Ok(());
    }
    sqlx::query(sqlx::AssertSqlSafe(SQL.as_str())).bind(json(batch)).execute(db).await.map(drop)
}
