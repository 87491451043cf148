//! Tables of other versions: with additions of a newer relay, no longer usable by this one, or damaged.

use std::{path::Path, time::Duration};

use onetribe_relay::{
    http::Failure,
    inbox::{
        Accepted, Failed, Feed, Inbox, InboxError, ObjectState, Outcome, Side, move_inbox, postgres::PostgresInbox,
    },
    object::ResourceName,
};
use sqlx::{Connection, PgConnection, migrate::Migrator};

use super::postgres_world::{START, TestRelay, at, connection_to, delivered, id};
use crate::support::{
    postgres::{Database, deadlocks},
    schema::{LEFT_BEHIND, contract, expand},
};

/// The span of the relays' heartbeats.
const SPAN: Duration = Duration::from_secs(5);

async fn server(database: &Database) -> PgConnection {
    PgConnection::connect(&database.url()).await.unwrap()
}

async fn run(database: &Database, sql: &'static str) {
    sqlx::query(sql).execute(&mut server(database).await).await.unwrap();
}

async fn unfit(database: &Database) -> String {
    match PostgresInbox::open(&database.url().as_str().into()).await {
        Err(InboxError::Unfit(said)) => said,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

/// Uses nearly everything an inbox can do, with the objects `first` to `first + 3`.
async fn works(relay: &TestRelay, first: i64) {
    let (inbox, connection) = (&relay.inbox, relay.connection);
    let failed = Failed { side: Side::Destination, failure: Failure::Status(422) };
    relay.accept(first, "a", "h", 0, at(1)).await;
    assert_eq!(relay.accept(first, "a", "h", 0, at(1)).await, Accepted::PossibleDuplicate);
    relay.want(&[first + 1], true, at(1)).await;
    relay.end(first + 2, Outcome::Failed { failed }, at(2)).await;
    relay.end(first + 3, Outcome::Deferred { retry_at: at(60), failed, until_recovery: true }, at(2)).await;
    assert_eq!(inbox.want_all(connection, ObjectState::Failed, at(3)).await.unwrap(), 1);
    assert_eq!(inbox.recover(connection).await.unwrap(), 1);
    assert!(!inbox.heartbeat(SPAN).await.unwrap().shards.is_empty());
    for number in first..first + 4 {
        let claim = relay.claim(number, at(70)).await;
        inbox.begin_forward(vec![claim.clone()]).await.unwrap();
        assert!(relay.settle(claim, delivered(7, at(70)), at(71)).await);
    }
    inbox.release_shards().await.unwrap();
    assert_eq!(inbox.known(connection, ResourceName::orders(), vec![id(first)]).await.unwrap().len(), 1);
    assert_eq!(inbox.next_due(connection, START).await.unwrap(), None);
    let feed = Feed { watermark: Some(at(17)), ..Feed::new("orders") };
    inbox.save_feed(connection, feed.clone()).await.unwrap();
    assert_eq!(inbox.feed(connection, "orders").await.unwrap(), Some(feed));
    inbox.sample(at(80)).await.unwrap();
    assert!(!inbox.history(connection, START).await.unwrap().is_empty());
    assert_eq!(inbox.summary(connection).await.unwrap().waiting, 0);
    inbox.create_connection(connection_to("other"), at(80)).await.unwrap();
    assert!(inbox.connections(0).await.unwrap().len() > 1);
    inbox.probe(at(80)).await.unwrap();
    assert!(inbox.prune(at(90), 100).await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_a_newer_relay_has_added_to_are_used() {
    let Some(database) = Database::fresh().await else { return };
    let before = TestRelay::first(&database).await;
    works(&before, 1).await;
    expand(&mut server(&database).await).await;
    // Its statements were prepared before the change.
    works(&before, 11).await;
    before.inbox.close().await;
    works(&before.beside(&database).await, 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_behind_does_not_start() {
    let Some(database) = Database::fresh().await else { return };
    TestRelay::first(&database).await.inbox.close().await;
    contract(&mut server(&database).await).await;
    let said = unfit(&database).await;
    assert!(said.contains(LEFT_BEHIND) && said.contains("migration 9001") && said.contains("newer version"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.db");
    std::fs::write(&file, "").unwrap();
    let refused = move_inbox(&file, &database.url().as_str().into(), |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains(LEFT_BEHIND), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_not_what_it_was_is_refused() {
    let Some(database) = Database::fresh().await else { return };
    TestRelay::first(&database).await.inbox.close().await;
    run(&database, "UPDATE _sqlx_migrations SET checksum = 'other' WHERE version = 1").await;
    let said = unfit(&database).await;
    assert!(said.contains("migration 1 ") && said.contains("modified"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_behind_while_running_keeps_nothing_more_and_says_why() {
    let Some(database) = Database::fresh().await else { return };
    let one = TestRelay::first(&database).await;
    let other = one.beside(&database).await;
    assert!(!one.inbox.heartbeat(SPAN).await.unwrap().shards.is_empty());
    contract(&mut server(&database).await).await;
    for relay in [&one, &other] {
        assert!(relay.inbox.heartbeat(SPAN).await.unwrap().shards.is_empty());
        let reason = tokio::time::timeout(Duration::from_secs(1), relay.inbox.superseded()).await.unwrap();
        assert!(reason.to_string().contains(LEFT_BEHIND), "{reason}");
        let refused = relay.inbox.accept(relay.event(7, "a", "h", 0, START)).await.unwrap_err();
        assert!(matches!(&refused, InboxError::Unfit(said) if said.contains(LEFT_BEHIND)), "{refused}");
        assert!(relay.inbox.probe(START).await.is_err());
    }
    let mut look = server(&database).await;
    let objects: i64 = sqlx::query_scalar("SELECT count(*) FROM objects").fetch_one(&mut look).await.unwrap();
    assert_eq!(objects, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_asks_as_well() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    relay.news(1, START).await;
    contract(&mut server(&database).await).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    run(&database, cut).await;
    // The first change after the cut fails on the lost connection.
    drop(relay.inbox.probe(START).await);
    let refused = relay.inbox.probe(START).await.unwrap_err();
    assert!(refused.to_string().contains(LEFT_BEHIND), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_broken_off_for_a_running_relays_sake_begins_again() {
    let Some(database) = Database::fresh().await else { return };
    let (mut relay, mut look) = (server(&database).await, server(&database).await);
    let mut migrator = Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres")).await.unwrap();
    migrator.run_to(1, &mut relay).await.unwrap();
    migrator.set_ignore_missing(true);
    // As before the first migration: its record and all tables but one are removed.
    let undo = "DO $$ DECLARE name TEXT; BEGIN
                    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema()
                                AND tablename <> '_sqlx_migrations'
                    LOOP EXECUTE format('DROP TABLE %I', name); END LOOP; END $$";
    run(&database, undo).await;
    run(&database, "DELETE FROM _sqlx_migrations").await;
    // PostgreSQL aborts the transaction that detects a deadlock: with this timeout, the migration and not this one.
    sqlx::query("SET deadlock_timeout = '60s'").execute(&mut relay).await.unwrap();
    let mut batch = relay.begin().await.unwrap();
    let first = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (1, '', true, '', 0)";
    sqlx::query(first).execute(&mut *batch).await.unwrap();
    let circle = async {
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut look).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sqlx::query("CREATE TABLE hours (id BIGINT)").execute(&mut *batch).await.unwrap();
        batch.rollback().await.unwrap();
    };
    let url = database.url().as_str().into();
    let (opened, ()) = tokio::join!(PostgresInbox::open(&url), circle);
    let inbox = opened.unwrap_or_else(|error| panic!("{error}"));
    inbox.probe(START).await.unwrap();
    inbox.close().await;
    assert_eq!(deadlocks(&database.look().await).await, 1);
}
