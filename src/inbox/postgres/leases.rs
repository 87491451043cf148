//! The SQL of leases. They count by the server's clock alone: no relay's own clock has a say in who holds one.

use std::time::Duration;

use sqlx::{PgPool, Row};

use super::{MIGRATIONS, session::SERVER_MILLIS};
use crate::inbox::{ConnectionId, Lease, Term, schema};

/// What came of asking for a lease.
pub(super) struct Taken {
    /// None if somebody else holds it, or this relay may no longer use the database.
    pub term: Option<Term>,
    /// The server's time, in milliseconds.
    pub at: i64,
    /// The migration that a relay has to know.
    pub floor: i64,
}

/// Takes a lease, or keeps it.
pub(super) async fn take(
    db: &PgPool,
    connection: ConnectionId,
    lease: Lease,
    owner: i64,
    span: Duration,
) -> Result<Taken, sqlx::Error> {
    let sql = format!(
        "WITH clock AS (SELECT {SERVER_MILLIS} AS now, ({}) AS floor),
         taken AS (
             INSERT INTO leases (connection_id, name, owner, until, term)
             SELECT $1, $2, $3, now + $4, 1 FROM clock WHERE floor <= $5
             ON CONFLICT (connection_id, name) DO UPDATE SET
                 owner = excluded.owner, until = excluded.until,
                 term = leases.term + CASE WHEN leases.owner = excluded.owner THEN 0 ELSE 1 END
             WHERE leases.owner = excluded.owner OR leases.until <= excluded.until - $4
             RETURNING term)
         SELECT (SELECT term FROM taken), now, floor FROM clock",
        schema::FLOOR
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(connection.0)
        .bind(lease.name())
        .bind(owner)
        .bind(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
        .bind(schema::newest(&MIGRATIONS))
        .fetch_one(db)
        .await?;
    Ok(Taken { term: row.try_get::<Option<i64>, _>(0)?.map(Term), at: row.try_get(1)?, floor: row.try_get(2)? })
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
