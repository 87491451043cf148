//! What only a PostgreSQL inbox meets: other relays at the same rows, a server that goes away, one that refuses.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use onetribe_relay::{
    inbox::{Accepted, ConnectionUpdate, Inbox, InboxError, Wanted, postgres::PostgresInbox},
    object::{ConnectionId, ResourceName},
};
use sqlx::PgPool;

use super::postgres_world::{START, TestRelay, at, connection_to, delivered, id};
use crate::support::postgres::{Cluster, Database, deadlocks, skip};

/// The span of the relays' heartbeats: how long a relay that stops answering keeps its shards.
const SPAN: Duration = Duration::from_secs(2);

async fn refused(url: &str) -> InboxError {
    match PostgresInbox::open(&url.into()).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// Two relays on one database.
async fn two() -> Option<(Database, TestRelay, TestRelay)> {
    let database = Database::fresh().await?;
    let one = TestRelay::first(&database).await;
    let other = one.beside(&database).await;
    Some((database, one, other))
}

async fn cut_all(look: &PgPool) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'onetribe-relay'";
    sqlx::query(sql).execute(look).await.unwrap();
}

/// Waits until the relay's scheduler is notified of this connection.
async fn told_of(relay: &TestRelay, connection: ConnectionId) {
    let work = relay.inbox.work();
    let told = async { while !work.take().await.contains(&connection) {} };
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("it is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_at_another_relay_is_recognised() {
    let Some((_database, one, other)) = two().await else { return };
    assert_eq!(one.accept(7, "a", "h", 0, at(1)).await, Accepted::First);
    assert_eq!(other.accept(7, "a", "h", 0, at(1)).await, Accepted::PossibleDuplicate);
    let both = join_all((0..40).map(|n| if n % 2 == 0 { &one } else { &other }.accept(8, "b", "h", 0, at(1))));
    assert_eq!(both.await.into_iter().filter(|one| *one == Accepted::First).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_at_the_same_objects_never_wait_in_a_circle() {
    let Some(database) = Database::fresh().await else { return };
    // A default that an administrator may have set for other applications on the server.
    let strict = "DO $$ BEGIN
                      EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation TO serializable',
                                     current_database());
                  END $$";
    sqlx::query(strict).execute(&database.look().await).await.unwrap();
    let one = TestRelay::first(&database).await;
    let other = one.beside(&database).await;
    let ids: Vec<i64> = (1..=40).collect();
    let work = async |relay: &TestRelay, turn: usize| {
        for round in 0..25 {
            let now = at(round);
            let mut mine = ids.clone();
            mine.rotate_left(turn * 7);
            let news = join_all(mine.iter().map(|id| relay.news(*id, now)));
            let settled = async {
                let claims = relay.try_claim(&mine, now).await;
                relay.inbox.begin_forward(claims.clone()).await.unwrap();
                join_all(claims.into_iter().map(|claim| relay.settle(claim, delivered(1, now), now))).await
            };
            let backwards: Vec<i64> = mine.iter().rev().copied().collect();
            let rest = async {
                relay.want(&backwards, false, now).await;
                relay.inbox.recover(relay.connection).await.unwrap();
                relay.inbox.repair_deadlines(now).await.unwrap();
                relay.inbox.free_claims(now).await.unwrap();
                relay.inbox.sample(now).await.unwrap();
                relay.inbox.heartbeat(SPAN).await.unwrap();
            };
            tokio::join!(news, settled, rest);
        }
    };
    tokio::join!(work(&one, 0), work(&other, 3));
    assert_eq!(one.rows().await.len(), ids.len());
    tokio::join!(one.inbox.close(), other.inbox.close());
    assert_eq!(deadlocks(&database.look().await).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hooks_that_tell_of_the_same_events_at_two_relays_never_wait_in_a_circle() {
    let Some((database, one, other)) = two().await else { return };
    const IDS: [[&str; 8]; 2] =
        [["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"], ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"]];
    const HASHES: [&str; 8] = ["h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"];
    for round in 0..60 {
        let hook = async |relay: &TestRelay, ids: [&'static str; 8]| {
            join_all((0..8).map(|n| relay.accept(100 + round, ids[n], HASHES[n], n as u64, at(1)))).await
        };
        let (here, there) = tokio::join!(hook(&one, IDS[0]), hook(&other, IDS[1]));
        let firsts = here.into_iter().chain(there).filter(|accepted| *accepted == Accepted::First);
        assert_eq!(firsts.count(), 8);
    }
    tokio::join!(one.inbox.close(), other.inbox.close());
    assert_eq!(deadlocks(&database.look().await).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_keeps_no_relay_from_ending() {
    let Some(cluster) = Cluster::start() else { return skip().unwrap_or_default() };
    let relay = TestRelay::first(&cluster.database().await).await;
    relay.news(1, START).await;
    cluster.signal("STOP");
    // Repeated, as health checks are.
    for _ in 0..6 {
        assert!(tokio::time::timeout(Duration::from_millis(100), relay.inbox.probe(START)).await.is_err());
    }
    let closed = tokio::time::timeout(Duration::from_secs(40), relay.inbox.close()).await;
    cluster.signal("CONT");
    assert!(closed.is_ok(), "it waits for the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_polls_any_more_holds_nobody_up() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    let mut begun = Box::pin(relay.inbox.probe(START));
    assert!(futures_util::poll!(&mut begun).is_pending());
    let next = tokio::time::timeout(Duration::from_secs(10), relay.inbox.probe(START)).await;
    next.expect("it has its turn").unwrap();
    begun.await.unwrap();
    relay.inbox.close().await;
    assert!(matches!(relay.inbox.probe(START).await, Err(InboxError::Closed)));
    assert!(matches!(relay.inbox.begin_forward(Vec::new()).await, Err(InboxError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_announced_to_other_relays() {
    let Some((_database, one, other)) = two().await else { return };
    one.news(7, START).await;
    told_of(&other, one.connection).await;
    one.want(&[8], true, START).await;
    told_of(&other, one.connection).await;
    // Creating or changing a connection notifies all relays.
    one.inbox.heartbeat(SPAN).await.unwrap();
    let made = one.inbox.create_connection(connection_to("other"), START).await.unwrap();
    told_of(&other, made).await;
    assert!(one.inbox.update_connection(made, ConnectionUpdate::default()).await.unwrap());
    told_of(&other, made).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_of_too_many_looks_itself() {
    let Some((_database, one, other)) = two().await else { return };
    told_of_nothing(&other).await;
    let connections: HashSet<ConnectionId> = (1..=1500).map(|n| ConnectionId(1_000_000 + n)).collect();
    let events = connections.iter().map(|connection| {
        let mut event = one.event(1, "a", "h", 0, START);
        event.key.connection = *connection;
        one.inbox.accept(event)
    });
    assert!(join_all(events).await.iter().all(Result::is_ok));
    let mut missing = connections;
    let work = other.inbox.work();
    let told = async {
        while !missing.is_empty() {
            let told = work.take().await;
            missing.retain(|connection| !told.contains(connection));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("of each of them");
}

/// Drains the notifications that a relay gets when it starts to listen.
async fn told_of_nothing(relay: &TestRelay) {
    let work = relay.inbox.work();
    while tokio::time::timeout(Duration::from_millis(300), work.take()).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_tells_nobody_of_its_own_work() {
    let Some((_database, one, other)) = two().await else { return };
    // While no shard is held all are told: the other relay listens by now, and nothing waits.
    one.end(6, delivered(1, START), START).await;
    told_of(&other, one.connection).await;
    // The other relay has sent no heartbeat: all shards belong to this one.
    one.inbox.heartbeat(SPAN * 10).await.unwrap();
    told_of_nothing(&other).await;
    one.news(7, START).await;
    told_of(&one, one.connection).await;
    told_of_nothing_of(&other, one.connection).await;
}

async fn told_of_nothing_of(relay: &TestRelay, connection: ConnectionId) {
    let work = relay.inbox.work();
    if let Ok(told) = tokio::time::timeout(Duration::from_millis(500), work.take()).await {
        assert!(!told.contains(&connection));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_relay_was_told_dates_the_connection_for_all() {
    let Some((_database, one, other)) = two().await else { return };
    one.end(7, delivered(1, at(3)), at(3)).await;
    one.news(8, at(5)).await;
    let dates = async |relay: &TestRelay| {
        let summary = relay.inbox.summary(relay.connection).await.unwrap();
        (summary.last_event_at, summary.last_delivered_at)
    };
    assert_eq!(dates(&one).await, (Some(at(5)), Some(at(3))));
    let record = one.inbox.connections(0).await.unwrap().pop().unwrap();
    assert_eq!((record.last_event_at, record.last_delivered_at), (Some(at(5)), Some(at(3))));
    let began = Instant::now();
    while dates(&other).await != (Some(at(5)), Some(at(3))) {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", dates(&other).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // An older event changes nothing, and a relay that closes writes its last date.
    other.news(9, at(4)).await;
    one.news(10, at(6)).await;
    one.inbox.close().await;
    assert_eq!(dates(&other).await, (Some(at(6)), Some(at(3))));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_relay_at_a_time_changes_hooks() {
    let Some((database, one, other)) = two().await else { return };
    let span = Duration::from_secs(600);
    let lock = async |relay: &TestRelay| relay.inbox.lock_hooks(relay.connection, span).await.unwrap();
    let first = lock(&one).await.unwrap();
    assert_eq!(lock(&other).await, None);
    assert_eq!(lock(&one).await, Some(first), "kept");
    other.inbox.unlock_hooks(other.connection).await.unwrap();
    assert_eq!(lock(&other).await, None, "nobody gives back for another");
    one.inbox.unlock_hooks(one.connection).await.unwrap();
    let second = lock(&other).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(lock(&one).await, None);
    // As if its span had passed.
    let sql = "UPDATE hook_locks SET until = until - 600000";
    assert_eq!(sqlx::query(sql).execute(&database.look().await).await.unwrap().rows_affected(), 1);
    let third = lock(&one).await.expect("taken over from one that fell silent");
    assert!(third != first && third != second);
    assert_eq!(lock(&other).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_are_made_again() {
    let Some(database) = Database::fresh().await else { return };
    let (relay, look) = (TestRelay::first(&database).await, database.look().await);
    for number in 1..=5 {
        cut_all(&look).await;
        // The first change after the cut may fail, but no change is confirmed without being stored.
        let wanted = vec![Wanted::updated(id(number))];
        if relay.inbox.want(relay.connection, ResourceName::orders(), wanted, true, START).await.is_err() {
            relay.want(&[number], true, START).await;
        }
    }
    assert_eq!(relay.due(START).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_used_again() {
    let Some(cluster) = Cluster::start() else { return skip().unwrap_or_default() };
    let database = cluster.database().await;
    let relay = TestRelay::first(&database).await;
    relay.news(1, START).await;
    told_of_nothing(&relay).await;
    cluster.crash();
    assert!(matches!(relay.inbox.probe(START).await, Err(InboxError::Unavailable(_))));
    assert!(matches!(relay.inbox.heartbeat(SPAN).await, Err(InboxError::Unavailable(_))));
    cluster.up();
    relay.inbox.probe(START).await.unwrap();
    assert_eq!(relay.due(START).await, [1], "what was confirmed outlives a crash");
    told_of(&relay, relay.connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_confirms_too_early_is_overruled() {
    let Some(database) = Database::fresh().await else { return };
    let look = database.look().await;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&look).await.unwrap();
    let sql = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&look).await.unwrap();
    // The relay turns the setting on for its own session, and reads it back.
    let inbox = PostgresInbox::open(&database.url().as_str().into()).await.unwrap();
    inbox.probe(START).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_start_together_share_the_making_of_the_tables() {
    let Some(database) = Database::fresh().await else { return };
    let url = database.url().as_str().into();
    for opened in join_all((0..4).map(|_| PostgresInbox::open(&url))).await {
        opened.unwrap().probe(START).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_hold_nothing_of_the_url() {
    let Some(database) = Database::fresh().await else { return };
    let with = |from: &str, to: &str| database.url().replacen(from, to, 1);
    let password = with("relay@", "relay:hunter2@");
    for url in [
        format!("{password}_hunter2"),
        password.replacen("relay:", "hunter2:", 1).replace("hunter2:", "nobody:"),
        format!("{password}?sslmode=verify-full"),
        "postgres://relay:hunter2@127.0.0.1:1/hunter2".to_owned(),
        "postgres://relay:hunter2@hunter2.invalid/hunter2".to_owned(),
    ] {
        let error = refused(&url).await;
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
