//! The SQL of leases. They are rare, and kept beside the writer: nobody's batch waits for them.

use std::time::Duration;

use sqlx::SqlitePool;

use crate::{
    clock::Timestamp,
    inbox::{ConnectionId, Lease, Term},
};

/// Takes a lease, or keeps it. All who share a file share this machine's clock.
pub(super) async fn take(
    db: &SqlitePool,
    connection: ConnectionId,
    lease: Lease,
    owner: i64,
    span: Duration,
) -> Result<Option<Term>, sqlx::Error> {
    let now = Timestamp::now();
    let term = sqlx::query_scalar(
        "INSERT INTO leases (connection_id, name, owner, until, term) VALUES (?1, ?2, ?3, ?4, 1)
         ON CONFLICT (connection_id, name) DO UPDATE SET
             owner = excluded.owner, until = excluded.until, term = term + (owner <> excluded.owner)
         WHERE owner = excluded.owner OR until <= ?5
         RETURNING term",
    )
    .bind(connection.0)
    .bind(lease.name())
    .bind(owner)
    .bind(now.after(span).millis())
    .bind(now.millis())
    .fetch_optional(db)
    .await?;
    Ok(term.map(Term))
}

/// Gives a lease back, if it is the owner's. Its term is remembered.
pub(super) async fn release(
    db: &SqlitePool,
    connection: ConnectionId,
    lease: Lease,
    owner: i64,
) -> Result<(), sqlx::Error> {
    let sql = "UPDATE leases SET owner = 0, until = 0 WHERE connection_id = ?1 AND name = ?2 AND owner = ?3";
    sqlx::query(sql).bind(connection.0).bind(lease.name()).bind(owner).execute(db).await.map(drop)
}
