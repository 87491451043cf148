//! The SQL of leases. They count by the server's clock alone: no relay's own clock has a say in who holds one.

use std::time::Duration;

use sqlx::{PgPool, Row};

use crate::inbox::{ConnectionId, Lease, Term};

/// Takes a lease, or keeps it; and the server's time, in milliseconds.
pub(super) async fn take(
    db: &PgPool,
    connection: ConnectionId,
    lease: Lease,
    owner: i64,
    span: Duration,
) -> Result<(Option<Term>, i64), sqlx::Error> {
    let row = sqlx::query(
        "WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now),
         taken AS (
             INSERT INTO leases (connection_id, name, owner, until, term) SELECT $1, $2, $3, now + $4, 1 FROM clock
             ON CONFLICT (connection_id, name) DO UPDATE SET
                 owner = excluded.owner, until = excluded.until,
                 term = leases.term + CASE WHEN leases.owner = excluded.owner THEN 0 ELSE 1 END
             WHERE leases.owner = excluded.owner OR leases.until <= excluded.until - $4
             RETURNING term)
         SELECT (SELECT term FROM taken), now FROM clock",
    )
    .bind(connection.0)
    .bind(lease.name())
    .bind(owner)
    .bind(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    .fetch_one(db)
    .await?;
    Ok((row.try_get::<Option<i64>, _>(0)?.map(Term), row.try_get(1)?))
}

/// Gives a lease back, if it is the owner's. Its term is remembered.
pub(super) async fn release(
    db: &PgPool,
    connection: ConnectionId,
    lease: Lease,
    owner: i64,
) -> Result<(), sqlx::Error> {
    let sql = "UPDATE leases SET owner = 0, until = 0 WHERE connection_id = $1 AND name = $2 AND owner = $3";
    sqlx::query(sql).bind(connection.0).bind(lease.name()).bind(owner).execute(db).await.map(drop)
}
