//! Moving an inbox from SQLite to PostgreSQL: everything, or nothing.

use std::path::{Path, PathBuf};

use onetribe_relay::{
    inbox::{
        Accepted, Arrival, HookState, Inbox, InboxError, Moved, ObjectQuery, ObjectState, move_inbox,
        postgres::PostgresInbox, shard_of,
    },
    object::{ChangeKind, ConnectionId, Digest, ObjectId, ObjectKey, ResourceName},
    spec::SourceKind,
};
use rusqlite::Connection;

use super::postgres_world::{START, TestRelay, at, connection_to, id};
use crate::support::postgres::Database;

const MANY: i64 = 5000;
const TABLES: [&str; 11] = [
    "activity",
    "alerts",
    "catalog",
    "connections",
    "feeds",
    "hooks",
    "hours",
    "notifications",
    "objects",
    "outages",
    "receipts",
];

/// A SQLite file with some rows in every table.
fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("relay.db");
    let file = Connection::open(&path).unwrap();
    file.execute_batch(include_str!("../../../migrations/sqlite/0001_inbox.sql")).unwrap();
    file.execute_batch(&format!(
        "INSERT INTO connections (id, origin, state, name, source_kind, store, destination_kind, destination_host,
             destination_mark, hook_key, token_digest, key_id, sealed, created_at, begins_at, revision)
         VALUES (3, 1, 0, 'A shop \"é\" 🛒', 1, 'shop.example', 1, 'api.example', x'00ff', 'key3', x'0102', 7, x'deadbeef',
                 {at}, {at} + 5, 12),
                (4, 0, 1, 'Other', 0, 'abcde', NULL, NULL, NULL, 'key4', NULL, NULL, NULL, {at}, {at}, 14),
                (9, 0, 0, 'Removed later', 0, 'abcde', NULL, NULL, NULL, 'key9', NULL, NULL, NULL, {at}, {at}, 15);
         DELETE FROM connections WHERE id = 9;
         UPDATE catalog SET revision = 15, probed_at = {at};
         INSERT INTO activity VALUES (3, {at} + 9, NULL);
         INSERT INTO objects SELECT 3, 'orders', 'a7', 1, 4, 3, 2, 4, 1, 1, NULL, 0, NULL, NULL, 0, 0, 0, 2, 0, 0, NULL, 0,
             'destination:http_422', x'{digest}', {at} + 100000, {at} + 101000, {at} + 101000, {at}, {at} + 1;
         INSERT INTO objects SELECT 3, 'orders', '~not-a-number', 2, 1, 0, 1, 0, 2, 0, NULL, 0, NULL, NULL, 0, 0, 0, 9, 0, 0,
             NULL, 0, 'store:timeout', NULL, NULL, NULL, {at}, {at}, {at};
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {MANY})
         INSERT INTO objects SELECT 4, 'orders', 'f' || (100000 + n), 0, 1, 0, 1, 0, 0, 0, {at} + n, 0, {at}, NULL, 0, 1, 1,
             0, 5, 0, {at}, 60000, NULL, NULL, NULL, NULL, NULL, {at}, {at} FROM n;
         INSERT INTO feeds VALUES (3, 'orders', {at} + 17, 50, {at}, 'http_503', NULL);
         INSERT INTO hooks VALUES (3, 'order.updated', 18, 'healthy');
         INSERT INTO outages VALUES (3, 'store', {at}, 'timeout');
         INSERT INTO alerts VALUES (3, 'store_down');
         INSERT INTO notifications VALUES ('n1', 3, 'orders', '[{{\"id\":7,\"change\":\"CREATED\",\"at\":1}}]', 0, 2, {at}, {at}, 'dns',
             {at}, NULL);
         INSERT INTO hours VALUES (3, 472222, 5, NULL), (4, 472222, 0, 9);
         INSERT INTO hook_locks VALUES (3, 5, 6, 7);",
        at = START.millis(),
        digest = "07".repeat(16),
    ))
    .unwrap();
    // Computed as the engine does, from an event's id and from its content with its second.
    let mark = |kind: &[u8], parts: &[&[u8]]| {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        hasher.update(kind);
        parts.iter().for_each(|part| hasher.update(part));
        i64::from_le_bytes(hasher.finalize()[..8].try_into().unwrap())
    };
    let second = (START.millis() / 1000).to_le_bytes();
    let marks = (mark(b"id\0", &[b"a"]), mark(b"hash\0", &[&second, b"h"]));
    file.execute("INSERT INTO receipts VALUES (3, 'orders', 'a7', ?1, ?2)", marks).unwrap();
    path
}

fn event() -> Arrival {
    Arrival {
        key: ObjectKey { connection: ConnectionId(3), resource: ResourceName::orders(), id: id(7) },
        change: ChangeKind::Updated,
        event_id: Some("a".into()),
        content: Some("h".into()),
        created_at: Some(START.millis() / 1000),
        look_only: false,
        at: at(200),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_moved() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let mut steps: Vec<Moved> = Vec::new();
    move_inbox(&path, &database.url().as_str().into(), |moved| steps.push(moved)).await.unwrap();
    let objects: Vec<u64> = steps.iter().filter(|step| step.table == "objects").map(|step| step.rows).collect();
    assert_eq!(objects, [2000, 4000, 5002]);
    let file = Connection::open(&path).unwrap();
    let look = database.look().await;
    for table in TABLES {
        let count = format!("SELECT count(*) FROM {table}");
        let here: i64 = file.query_row(&count, [], |row| row.get(0)).unwrap();
        let there: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&look).await.unwrap();
        assert!(here > 0, "{table}: nothing of it was tried");
        assert_eq!(there, here, "{table}");
    }
    let locks: i64 = sqlx::query_scalar("SELECT count(*) FROM hook_locks").fetch_one(&look).await.unwrap();
    assert_eq!(locks, 0);

    let inbox = PostgresInbox::open(&database.url().as_str().into()).await.unwrap();
    let (shop, other) = (ConnectionId(3), ConnectionId(4));
    let records = inbox.connections(0).await.unwrap();
    assert_eq!(records.iter().map(|record| record.id).collect::<Vec<_>>(), [shop, other]);
    let record = &records[0];
    assert_eq!((record.name.as_str(), record.source_kind), ("A shop \"é\" 🛒", SourceKind::WooCommerce));
    assert_eq!(record.destination_mark.as_deref(), Some(&[0, 255][..]));
    assert_eq!(record.sealed.as_ref().map(|sealed| (sealed.key_id, sealed.bytes.len())), Some((7, 4)));
    assert_eq!(record.last_event_at, Some(START.after(std::time::Duration::from_millis(9))));
    let shard: i16 = sqlx::query_scalar("SELECT shard FROM connections WHERE id = 3").fetch_one(&look).await.unwrap();
    assert_eq!(shard.unsigned_abs(), shard_of(SourceKind::WooCommerce, "shop.example"));

    let rows = inbox.objects(shop, ObjectQuery { limit: 9, ..ObjectQuery::default() }).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(),
        [ObjectId::from_text("not-a-number").unwrap(), id(7)]
    );
    assert_eq!((rows[0].state, rows[1].change), (ObjectState::Failed, ChangeKind::Created));
    let known = inbox.known(shop, ResourceName::orders(), vec![id(7)]).await.unwrap();
    assert_eq!((known[0].digest, known[0].settled_at), (Some(Digest([7; 16])), Some(at(101))));
    assert_eq!(inbox.feed(shop, "orders").await.unwrap().unwrap().page_size, Some(50));
    assert_eq!(inbox.hooks(shop).await.unwrap()[0].state, HookState::Healthy);
    assert_eq!(inbox.outstanding(shop).await.unwrap()[0].objects[0].id, id(7));
    assert_eq!(inbox.summary(other).await.unwrap().refused, MANY.unsigned_abs());
    assert_eq!(inbox.recover(other).await.unwrap(), MANY.unsigned_abs());
    assert_eq!(inbox.accept(event()).await.unwrap(), Accepted::Duplicate, "receipts came along");
    let revision = inbox.heartbeat(std::time::Duration::from_secs(1)).await.unwrap().revision;
    assert_eq!(revision, 15);
    let new = inbox.create_connection(connection_to("new"), START).await.unwrap();
    assert_eq!(new, ConnectionId(10), "a number is never used twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_in_use_is_refused() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let relay = TestRelay::first(&database).await;
    relay.news(77, START).await;
    let refused = move_inbox(&path, &database.url().as_str().into(), |_| {}).await.unwrap_err();
    assert!(matches!(&refused, InboxError::Unfit(said) if said.contains("not empty")), "{refused}");
    assert_eq!(relay.rows().await.len(), 1);
    assert_eq!(relay.inbox.connections(0).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_place_in_the_target_is_not_lost_but_refused() {
    for added in [
        "ALTER TABLE objects ADD COLUMN priority INTEGER",
        "CREATE TABLE shipments (id INTEGER PRIMARY KEY)",
        "DROP TABLE objects",
    ] {
        let Some(database) = Database::fresh().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        Connection::open(&path).unwrap().execute_batch(added).unwrap();
        let refused = move_inbox(&path, &database.url().as_str().into(), |_| {}).await.unwrap_err();
        assert!(matches!(&refused, InboxError::Unfit(_)), "{refused}");
        let inbox = PostgresInbox::open(&database.url().as_str().into()).await.unwrap();
        assert_eq!(inbox.connections(0).await.unwrap(), [], "{added}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_broken_moves_nothing_and_is_not_named() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hunter2.db");
    let url = database.url().as_str().into();
    let refused = async || move_inbox(&path, &url, |_| {}).await.unwrap_err().to_string();
    assert!(refused().await.contains("there is no inbox"));
    std::fs::write(&path, "hunter2 is not a database, and has more than a hundred bytes to say about that. ".repeat(9))
        .unwrap();
    let said = refused().await;
    assert!(said.contains("cannot be read") && !said.contains("hunter2"), "{said}");
    // A row that breaks the rules of the target, after many valid ones.
    let path = filled(folder.path());
    let file = Connection::open(&path).unwrap();
    file.execute_batch("INSERT INTO outages VALUES (3, 'destination', 1, 'dns'); DROP TABLE receipts;
                        CREATE TABLE receipts (connection_id INTEGER, resource TEXT, id TEXT, key INTEGER, content_key INTEGER);
                        INSERT INTO receipts VALUES (3, 'orders', 'a7', NULL, 1);").unwrap();
    assert!(move_inbox(&path, &url, |_| {}).await.is_err());
    let look = database.look().await;
    for table in TABLES.into_iter().filter(|table| *table != "catalog") {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&look).await.unwrap(), 0, "{table}");
    }
}
