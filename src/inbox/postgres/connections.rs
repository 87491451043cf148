//! The SQL of connections. Each change takes the next revision while it holds the one row of `catalog`, so revisions
//! are in the order of commits: having read up to one means having missed none below it.

use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};

use super::{
    reads::time,
    session::{ServerClock, transaction},
};
use crate::{
    clock::Timestamp,
    inbox::{ConnectionRecord, ConnectionState, ConnectionUpdate, InboxError, NewConnection, PauseReason, shard_of},
    object::ConnectionId,
    spec::{DestinationKind, Origin, SourceKind, keyring::Sealed},
};

/// Takes the next revision, and with it the lock under which connections change. `None` if a connection has changed
/// since the revision that the caller knows; the revision taken is then unused, which does no harm.
async fn next_revision(db: &mut PgConnection, known: Option<i64>) -> Result<Option<i64>, sqlx::Error> {
    let next = "UPDATE catalog SET revision = revision + 1 RETURNING revision";
    let revision: i64 = sqlx::query_scalar(next).fetch_one(&mut *db).await?;
    let Some(known) = known else { return Ok(Some(revision)) };
    // A separate statement, so that it sees what was committed while the one before waited for the lock.
    let changed = "SELECT EXISTS (SELECT 1 FROM connections WHERE revision > $1)";
    let is_superseded: bool = sqlx::query_scalar(changed).bind(known).fetch_one(db).await?;
    Ok((!is_superseded).then_some(revision))
}

/// Every connection changed after `revision`, by revision.
pub(super) async fn since(
    db: &PgPool,
    clock: &ServerClock,
    revision: i64,
) -> Result<Vec<ConnectionRecord>, sqlx::Error> {
    let sql = "SELECT id, origin, state, pause_reason, name, source_kind, store, destination_kind, destination_host,
                      destination_mark, hook_key, token_digest, key_id, sealed, created_at, begins_at, last_event_at,
                      last_delivered_at, revision
               FROM connections LEFT JOIN activity ON connection_id = id WHERE revision > $1 ORDER BY revision";
    let rows = sqlx::query(sql).bind(revision).fetch_all(db).await?;
    rows.iter().map(|row| record(clock, row)).collect()
}

/// Reads a column with a code.
fn code<T>(row: &PgRow, column: usize, read: impl Fn(i16) -> Option<T>) -> Result<Option<T>, sqlx::Error> {
    let unknown = || sqlx::Error::Decode("a connection has a code that this relay does not know".into());
    let code: Option<i16> = row.try_get(column)?;
    code.map(|code| read(code).ok_or_else(unknown)).transpose()
}

fn record(clock: &ServerClock, row: &PgRow) -> Result<ConnectionRecord, sqlx::Error> {
    let missing = || sqlx::Error::Decode("a connection lacks a code".into());
    let sealed: Option<Vec<u8>> = row.try_get(13)?;
    let key_id: Option<i64> = row.try_get(12)?;
    Ok(ConnectionRecord {
        id: ConnectionId(row.try_get(0)?),
        origin: code(row, 1, Origin::from_code)?.ok_or_else(missing)?,
        state: code(row, 2, ConnectionState::from_code)?.ok_or_else(missing)?,
        pause_reason: code(row, 3, PauseReason::from_code)?,
        name: row.try_get(4)?,
        source_kind: code(row, 5, SourceKind::from_code)?.ok_or_else(missing)?,
        store: row.try_get(6)?,
        destination_kind: code(row, 7, DestinationKind::from_code)?,
        destination_host: row.try_get(8)?,
        destination_mark: row.try_get(9)?,
        hook_key: row.try_get(10)?,
        token_digest: row.try_get(11)?,
        sealed: key_id.zip(sealed).map(|(key_id, bytes)| Sealed { key_id, bytes }),
        created_at: clock.outward(row.try_get(14)?),
        begins_at: clock.outward(row.try_get(15)?),
        last_event_at: time(clock, row, 16)?,
        last_delivered_at: time(clock, row, 17)?,
        revision: row.try_get(18)?,
    })
}

/// The text without NUL, the one character that PostgreSQL cannot store.
fn text(text: &str) -> String {
    text.replace('\0', "")
}

/// Whether the connection has ended.
pub(super) async fn has_ended(db: &PgPool, id: ConnectionId) -> Result<bool, sqlx::Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM connections WHERE id = $1 AND state = $2)";
    sqlx::query_scalar(sql).bind(id.0).bind(ConnectionState::Disconnected.code()).fetch_one(db).await
}

/// Stores a new connection. `None` if its decision is superseded.
pub(super) async fn create(
    db: &mut PgConnection,
    new: &NewConnection,
    now: Timestamp,
) -> Result<Option<ConnectionId>, InboxError> {
    let sql = "INSERT INTO connections (origin, state, name, source_kind, store, shard, destination_kind,
                   destination_host, destination_mark, hook_key, token_digest, key_id, sealed, created_at, begins_at, revision)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15) RETURNING id";
    let id: Option<i64> = transaction!(db, |transaction| {
        match next_revision(&mut transaction, new.known_revision).await? {
            None => None,
            Some(revision) => {
                let query = sqlx::query_scalar(sql)
                    .bind(new.origin.code())
                    .bind(new.state.code())
                    .bind(text(&new.name))
                    .bind(new.source_kind.code())
                    .bind(text(&new.store))
                    .bind(shard_of(new.source_kind, &new.store).cast_signed())
                    .bind(new.destination_kind.map(DestinationKind::code))
                    .bind(new.destination_host.as_deref().map(text))
                    .bind(&new.destination_mark)
                    .bind(&new.hook_key)
                    .bind(&new.token_digest)
                    .bind(new.sealed.as_ref().map(|sealed| sealed.key_id))
                    .bind(new.sealed.as_ref().map(|sealed| &sealed.bytes))
                    .bind(now.millis())
                    .bind(revision);
                Some(query.fetch_one(&mut *transaction).await?)
            }
        }
    })?;
    Ok(id.map(ConnectionId))
}

/// Changes what the update names. False if there is no such connection, `None` if the decision is superseded.
pub(super) async fn update(
    db: &mut PgConnection,
    id: ConnectionId,
    update: &ConnectionUpdate,
    begins_at: Option<Timestamp>,
) -> Result<Option<bool>, InboxError> {
    let sql = "UPDATE connections SET
                   state = coalesce($2, state),
                   pause_reason = CASE WHEN $2 IS NULL THEN pause_reason ELSE $3 END,
                   name = coalesce($4, name),
                   destination_kind = CASE WHEN $5 THEN $6 ELSE destination_kind END,
                   destination_host = CASE WHEN $5 THEN $7 ELSE destination_host END,
                   destination_mark = CASE WHEN $5 THEN $8 ELSE destination_mark END,
                   key_id = CASE WHEN $9 THEN $10 ELSE key_id END,
                   sealed = CASE WHEN $9 THEN $11 ELSE sealed END,
                   token_digest = CASE WHEN $12 THEN $13 ELSE token_digest END,
                   begins_at = coalesce($14, begins_at),
                   origin = coalesce($15, origin),
                   hook_key = coalesce($16, hook_key),
                   revision = $17
               WHERE id = $1";
    let destination = update.destination.as_ref().and_then(Option::as_ref);
    let sealed = update.sealed.as_ref().and_then(Option::as_ref);
    let done = transaction!(db, |transaction| {
        match next_revision(&mut transaction, update.known_revision).await? {
            None => None,
            Some(revision) => {
                let query = sqlx::query(sql)
                    .bind(id.0)
                    .bind(update.state.map(|(state, _)| state.code()))
                    .bind(update.state.and_then(|(_, reason)| reason).map(PauseReason::code))
                    .bind(update.name.as_deref().map(text))
                    .bind(update.destination.is_some())
                    .bind(destination.map(|(kind, _, _)| kind.code()))
                    .bind(destination.map(|(_, host, _)| text(host)))
                    .bind(destination.map(|(_, _, mark)| mark))
                    .bind(update.sealed.is_some())
                    .bind(sealed.map(|sealed| sealed.key_id))
                    .bind(sealed.map(|sealed| &sealed.bytes))
                    .bind(update.token_digest.is_some())
                    .bind(update.token_digest.as_ref().and_then(Option::as_ref))
                    .bind(begins_at.map(Timestamp::millis))
                    .bind(update.identity.as_ref().map(|(origin, _)| origin.code()))
                    .bind(update.identity.as_ref().map(|(_, hook_key)| hook_key))
                    .bind(revision);
                Some(query.execute(&mut *transaction).await?.rows_affected() > 0)
            }
        }
    })?;
    Ok(done)
}
