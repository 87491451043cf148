//! PostgreSQL keeps a statement's plan as long as the connection, so a plan made for a nearly empty table must not read
//! a whole backlog for each batch. Measured in rows read, not in time.

use futures_util::future::join_all;
use onetribe_relay::{
    inbox::{Inbox, ObjectQuery, ObjectState},
    object::{ConnectionId, ObjectId, ResourceName},
};
use sqlx::PgPool;

use super::postgres_world::{START, TestRelay, at, connection_to, delivered, id};
use crate::support::postgres::{Database, ended};

/// How many objects wait, and how many were settled long ago.
const BACKLOG: i64 = 20_000;
/// How many objects a batch has.
const BATCH: i64 = 100;
/// The most rows read for each object of a batch: accepting, claiming, settling and pruning each look it up by its keys
/// a few times.
const READS: i64 = 60;

/// How many rows and index entries were read of the tables that grow.
async fn reads(look: &PgPool) -> i64 {
    ended(look).await;
    let sql = "SELECT ((SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables
                        WHERE relname IN ('objects', 'receipts'))
                    + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
                       WHERE relname IN ('objects', 'receipts')))::bigint";
    sqlx::query_scalar(sql).fetch_one(look).await.unwrap()
}

async fn batch(relay: &TestRelay, ids: &[i64], now: u64) {
    // The second time each event is a possible duplicate, and its object is looked up.
    for _ in 0..2 {
        join_all(ids.iter().map(|id| relay.accept(*id, "a", "h", 0, at(now)))).await;
    }
    let claims = relay.try_claim(ids, at(now)).await;
    assert_eq!(claims.len(), ids.len());
    relay.inbox.begin_forward(claims.clone()).await.unwrap();
    let settled = join_all(claims.into_iter().map(|claim| relay.settle(claim, delivered(1, at(now)), at(now)))).await;
    assert!(settled.into_iter().all(|settled| settled));
}

/// Inserts objects with ids after `first` that have been waiting since `due`, or were settled at `settled`.
async fn fill(look: &PgPool, connection: ConnectionId, first: i64, due: Option<i64>, settled: Option<i64>) {
    // Ids of seven digits, whose sort key begins with g.
    let sql =
        "INSERT INTO objects (connection_id, resource, id, state, version, forced_version, event_version, delivered,
                   change, was_told, due_at, wait_ms, waiting_since, is_forwarding, is_deferred, has_failed, attempts,
                   refused_ms, missing_ms, pause_ms, settled_at, first_event_at, last_event_at)
               SELECT $1, 'orders', 'g' || ($2 + n), CASE WHEN $3::bigint IS NULL THEN 1 ELSE 0 END, 1, 0, 0, 0,
                   0, FALSE, $3, 0, $3, FALSE, FALSE, n % 2 = 0, 0,
                   0, 0, 0, $4, 0, 0
               FROM generate_series(1, $5) AS n";
    let query = sqlx::query(sql).bind(connection.0).bind(first).bind(due).bind(settled).bind(BACKLOG);
    query.execute(look).await.unwrap();
    let sql = "INSERT INTO receipts (connection_id, resource, id, key, content_key)
               SELECT $1, 'orders', 'g' || ($2 + n), n, n FROM generate_series(1, $3) AS n";
    sqlx::query(sql).bind(connection.0).bind(first).bind(BACKLOG).execute(look).await.unwrap();
}

/// Runs VACUUM ANALYZE, and turns autovacuum off, since its runs would cause new plans.
async fn analyze(look: &PgPool) {
    for table in ["objects", "receipts"] {
        let sql = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(look).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).execute(look).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reads_its_own_rows_however_many_wait() {
    for shop_is_new in [true, false] {
        let Some(database) = Database::fresh().await else { return };
        let look = database.look().await;
        let relay = TestRelay::first(&database).await;
        relay.end(1, delivered(1, at(0)), at(0)).await;
        let settled = fill(&look, relay.connection, 2_000_000, None, Some(at(1).millis()));
        if shop_is_new {
            analyze(&look).await;
            settled.await;
        } else {
            settled.await;
            analyze(&look).await;
        }
        // PostgreSQL makes a generic plan after the fifth execution.
        for round in 1..=8 {
            batch(&relay, &[round], 1).await;
            assert_eq!(relay.inbox.prune(at(0), 1).await.unwrap(), 0);
        }
        fill(&look, relay.connection, 1_000_000, Some(at(1).millis()), None).await;
        look.close().await;
        let ids: Vec<i64> = (1..=BATCH).map(|n| 1_000_000 + n * 7).collect();
        batch(&relay, &ids, 1).await;
        assert_eq!(relay.inbox.prune(at(2), BATCH as u32).await.unwrap(), BATCH as u64);
        relay.inbox.close().await;
        let read = reads(&database.look().await).await;
        assert!(read < BATCH * READS, "{read} rows and index entries were read for batches of {BATCH}");
    }
}

/// Runs the queries that the scheduler and the pages repeat.
async fn look_around(relay: &TestRelay, connection: ConnectionId) {
    let inbox = &relay.inbox;
    inbox.due(connection, at(1), 20).await.unwrap();
    inbox.next_due(connection, at(1)).await.unwrap();
    inbox.waiting().await.unwrap();
    inbox.known(connection, ResourceName::orders(), (1..20).map(id).collect()).await.unwrap();
    for resource in [None, Some(ResourceName::orders())] {
        let page = ObjectQuery { resource, limit: 20, ..ObjectQuery::default() };
        let before = ObjectId::from_number(1_500_000);
        inbox.objects(connection, ObjectQuery { before, ..page.clone() }).await.unwrap();
        for state in [None, Some(ObjectState::Delivered), Some(ObjectState::Failed)] {
            inbox.objects(connection, ObjectQuery { state, ..page.clone() }).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_reads_no_more_than_it_shows() {
    let Some(database) = Database::fresh().await else { return };
    let look = database.look().await;
    let relay = TestRelay::first(&database).await;
    let other = relay.inbox.create_connection(connection_to("other"), START).await.unwrap();
    relay.news(1, START).await;
    analyze(&look).await;
    for _ in 0..8 {
        look_around(&relay, relay.connection).await;
    }
    for connection in [relay.connection, other] {
        fill(&look, connection, 2_000_000, None, Some(at(1).millis())).await;
        fill(&look, connection, 1_000_000, Some(at(1).millis()), None).await;
    }
    for warm in [false, true] {
        if warm {
            analyze(&look).await;
        }
        look_around(&relay, relay.connection).await;
    }
    relay.inbox.close().await;
    look.close().await;
    let read = reads(&database.look().await).await;
    assert!(read < BACKLOG / 4, "{read} rows and index entries were read to show a few");
}
