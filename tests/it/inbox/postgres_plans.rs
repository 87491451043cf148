//! PostgreSQL keeps a statement's plan as long as the connection: one made for a nearly empty table must not go through a
//! whole backlog for each batch. Counted in rows that were read, not in time.

use futures_util::future::join_all;
use sqlx::PgPool;

use crate::{
    desk::{Desk, Place, at, delivered, told},
    postgres_support::ended,
};
use onetribe_relay::inbox::ConnectionId;

/// Orders that wait, and as many that are long done.
const BACKLOG: i64 = 20_000;
/// What is done at once.
const BATCH: i64 = 100;
/// What is read for a row of a batch: it is sought by its keys a few times each in accepting, claiming, settling and pruning.
const READS: i64 = 50;

/// Rows and index entries read of the tables that grow.
async fn reads(look: &PgPool) -> i64 {
    ended(look).await;
    let sql = "SELECT ((SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables WHERE relname IN ('orders', 'receipts'))
                    + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('orders', 'receipts')))::bigint";
    sqlx::query_scalar(sql).fetch_one(look).await.unwrap()
}

async fn batch(desk: &Desk, ids: &[i64], now: u64) {
    // The second time each is in doubt, and its order is looked up.
    for _ in 0..2 {
        join_all(ids.iter().map(|id| desk.accept(told(*id, "a", "h", 0), at(now)))).await;
    }
    let claims = desk.try_claim(ids, at(now)).await;
    assert_eq!(claims.len(), ids.len());
    let settled = join_all(claims.into_iter().map(|claim| desk.settle(claim, delivered(1, at(now)), at(now)))).await;
    assert!(settled.into_iter().all(|settled| settled));
}

/// Orders after `first` that wait since `due`, or were settled then.
async fn orders(look: &PgPool, connection: ConnectionId, first: i64, due: Option<i64>, settled: Option<i64>) {
    let sql = "INSERT INTO orders (connection_id, order_id, state, wanted, insisted, due_at, waiting_since, settled_at,
                                   first_event_at, last_event_at)
               SELECT $1, $2 + n, CASE WHEN $3::bigint IS NULL THEN 1 ELSE 0 END, 1, 0, $3, $3, $4, 0, 0
               FROM generate_series(1, $5) AS n";
    let query = sqlx::query(sql).bind(connection.0).bind(first).bind(due).bind(settled).bind(BACKLOG);
    query.execute(look).await.unwrap();
    let sql = "INSERT INTO receipts (connection_id, order_id, key, twin) SELECT $1, $2 + n, n, n FROM generate_series(1, $3) AS n";
    sqlx::query(sql).bind(connection.0).bind(first).bind(BACKLOG).execute(look).await.unwrap();
}

/// As the server does by itself now and then; here it must not, since new plans are made after it.
async fn analyze(look: &PgPool) {
    for table in ["orders", "receipts"] {
        let sql = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(look).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).execute(look).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reads_its_own_rows_however_many_wait() {
    for shop_is_new in [true, false] {
        let Some(place) = Place::postgres().await else { return };
        let Place::Postgres(database) = &place else { unreachable!("it was made so") };
        let look = database.look().await;
        let desk = place.desk().await;
        desk.end(1, delivered(1, at(0)), at(0)).await;
        let settled = orders(&look, desk.connection, 2_000_000, None, Some(at(1).millis()));
        if shop_is_new {
            analyze(&look).await;
            settled.await;
        } else {
            settled.await;
            analyze(&look).await;
        }
        // A plan that is to be kept is made after the fifth time.
        for round in 1..=8 {
            batch(&desk, &[round], 1).await;
            assert_eq!(desk.inbox.prune(at(0), 1).await.unwrap(), 0);
        }
        orders(&look, desk.connection, 1_000_000, Some(at(1).millis()), None).await;
        look.close().await;
        let ids: Vec<i64> = (1..=BATCH).map(|n| 1_000_000 + n * 7).collect();
        batch(&desk, &ids, 1).await;
        assert_eq!(desk.inbox.prune(at(2), BATCH as u32).await.unwrap(), BATCH as u64);
        desk.inbox.close().await;
        let read = reads(&database.look().await).await;
        assert!(read < BATCH * READS, "{read} rows and index entries were read for batches of {BATCH}");
    }
}
