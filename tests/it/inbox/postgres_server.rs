//! What only a PostgreSQL inbox can meet: other relays at the same rows, a server that goes away, one that refuses.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use onetribe_relay::inbox::{Accepted, Inbox, InboxError, Lease, postgres::PostgresInbox};
use sqlx::PgPool;

use crate::{
    desk::{Desk, Place, START, at, delivered, order, told},
    postgres_support::{Cluster, Database, deadlocks, skip},
};

/// How long a relay that stops answering keeps the lead here.
const SPAN: Duration = Duration::from_secs(2);

async fn refused(url: &str) -> InboxError {
    match PostgresInbox::open(&url.into()).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// Two relays on one database.
async fn two() -> Option<(Place, Desk, Desk)> {
    let place = Place::postgres().await?;
    let (one, other) = (place.desk().await, place.desk().await);
    Some((place, one, other))
}

async fn cut_all(look: &PgPool) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'onetribe-relay'";
    sqlx::query(sql).execute(look).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_at_another_relay_is_recognised() {
    let Some((_place, one, other)) = two().await else { return };
    assert_eq!(one.accept(told(7, "a", "h", 0), at(1)).await, Accepted::First);
    assert_eq!(other.accept(told(7, "a", "h", 0), at(1)).await, Accepted::Doubt);
    let both = join_all((0..40).map(|n| if n % 2 == 0 { &one } else { &other }.accept(told(8, "b", "h", 0), at(1))));
    assert_eq!(both.await.into_iter().filter(|one| *one == Accepted::First).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_at_the_same_orders_never_wait_in_a_circle() {
    let Some(place) = Place::postgres().await else { return };
    let Place::Postgres(database) = &place else { unreachable!("it was made so") };
    // As somebody may have set it for what else the server does.
    let strict = "DO $$ BEGIN
                      EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation TO serializable', current_database());
                  END $$";
    sqlx::query(strict).execute(&database.look().await).await.unwrap();
    let (one, other) = (place.desk().await, place.desk().await);
    let ids: Vec<i64> = (1..=40).collect();
    let work = async |desk: Desk, turn: usize| {
        for round in 0..25 {
            let now = at(round);
            let mut mine = ids.clone();
            mine.rotate_left(turn * 7);
            let news = join_all(mine.iter().map(|id| desk.news(*id, now)));
            let settled = async {
                let claims = desk.try_claim(&mine, now).await;
                join_all(claims.into_iter().map(|claim| desk.settle(claim, delivered(1, now), now))).await
            };
            let want = desk.inbox.want(desk.connection, mine.iter().rev().copied().map(order).collect(), false, now);
            let (_, _, wanted) = tokio::join!(news, settled, want);
            wanted.unwrap();
        }
    };
    tokio::join!(work(one.clone(), 0), work(other.clone(), 3));
    assert_eq!(one.rows(None).await.len(), ids.len());
    tokio::join!(one.inbox.close(), other.inbox.close());
    assert_eq!(deadlocks(&database.look().await).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hooks_that_tell_of_the_same_events_at_two_relays_never_wait_in_a_circle() {
    let Some((place, one, other)) = two().await else { return };
    let Place::Postgres(database) = &place else { unreachable!("it was made so") };
    const IDS: [[&str; 8]; 2] =
        [["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"], ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"]];
    const HASHES: [&str; 8] = ["h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"];
    for round in 0..60 {
        let hook = async |desk: &Desk, ids: [&'static str; 8]| {
            join_all((0..8).map(|n| desk.accept(told(100 + round, ids[n], HASHES[n], n as u64), at(1)))).await
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
    let desk = Place::Postgres(cluster.database().await).desk().await;
    desk.news(1, START).await;
    cluster.signal("STOP");
    // As health checks come and go.
    for _ in 0..6 {
        assert!(tokio::time::timeout(Duration::from_millis(100), desk.inbox.probe(START)).await.is_err());
    }
    let closed = tokio::time::timeout(Duration::from_secs(40), desk.inbox.close()).await;
    cluster.signal("CONT");
    assert!(closed.is_ok(), "it waits for the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_announced_to_other_relays() {
    let Some((_place, one, other)) = two().await else { return };
    let mut arrivals = other.inbox.arrivals();
    // The first announcement is its own: that it listens.
    tokio::time::timeout(Duration::from_secs(10), arrivals.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    one.news(7, START).await;
    tokio::time::timeout(Duration::from_secs(10), arrivals.changed()).await.unwrap().unwrap();
    arrivals.borrow_and_update();
    one.want(8, true, START).await;
    tokio::time::timeout(Duration::from_secs(10), arrivals.changed()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_relay_was_told_dates_the_connection_for_all() {
    let Some((_place, one, other)) = two().await else { return };
    one.end(7, delivered(1, at(3)), at(3)).await;
    one.news(8, at(5)).await;
    let dates = async |desk: &Desk| {
        let summary = desk.inbox.summary(desk.connection).await.unwrap();
        (summary.last_event_at, summary.last_forwarded_at)
    };
    assert_eq!(dates(&one).await, (Some(at(5)), Some(at(3))));
    let began = Instant::now();
    while dates(&other).await != (Some(at(5)), Some(at(3))) {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", dates(&other).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // An older one changes nothing, and the last word of a relay that ends is kept.
    other.news(9, at(4)).await;
    one.news(10, at(6)).await;
    one.inbox.close().await;
    assert_eq!(dates(&other).await, (Some(at(6)), Some(at(3))));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_relay_leads_until_it_resigns_or_falls_silent() {
    let Some((_place, one, other)) = two().await else { return };
    let lead = async |desk: &Desk| desk.inbox.lease(desk.connection, Lease::Lead, SPAN).await.unwrap().is_some();
    assert!(lead(&one).await);
    assert!(!lead(&other).await);
    assert!(lead(&one).await, "it is kept");
    other.inbox.release(other.connection, Lease::Lead).await.unwrap();
    assert!(!lead(&other).await, "nobody resigns for another");
    one.inbox.release(one.connection, Lease::Lead).await.unwrap();
    assert!(lead(&other).await, "handed on at once");
    assert!(!lead(&one).await);
    tokio::time::sleep(SPAN + Duration::from_millis(100)).await;
    assert!(lead(&one).await, "taken over from one that fell silent");
    assert!(!lead(&other).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_lead_claims_nothing() {
    let Some((_place, one, other)) = two().await else { return };
    one.news(7, START).await;
    assert!(one.inbox.lease(one.connection, Lease::Lead, SPAN).await.unwrap().is_some());
    assert_eq!(other.try_claim(&[7], START).await, []);
    assert_eq!(one.try_claim(&[7], START).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_are_made_again() {
    let Some(place) = Place::postgres().await else { return };
    let Place::Postgres(database) = &place else { unreachable!("it was made so") };
    let (desk, look) = (place.desk().await, database.look().await);
    for id in 1..=5 {
        cut_all(&look).await;
        // The first change meets the cut and says so; nothing is confirmed that was not kept.
        if desk.inbox.want(desk.connection, vec![order(id)], true, START).await.is_err() {
            desk.want(id, true, START).await;
        }
    }
    assert_eq!(desk.due(START).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_used_again() {
    let Some(cluster) = Cluster::start() else { return skip().unwrap_or_default() };
    let place = Place::Postgres(cluster.database().await);
    let desk = place.desk().await;
    desk.news(1, START).await;
    let mut arrivals = desk.inbox.arrivals();
    tokio::time::timeout(Duration::from_secs(10), arrivals.wait_for(|count| *count > 1)).await.unwrap().unwrap();
    cluster.crash();
    assert!(matches!(desk.inbox.probe(START).await, Err(InboxError::Unavailable(_))));
    assert!(matches!(desk.inbox.lease(desk.connection, Lease::Lead, SPAN).await, Err(InboxError::Unavailable(_))));
    cluster.up();
    desk.inbox.probe(START).await.unwrap();
    assert_eq!(desk.due(START).await, [1], "what was confirmed outlives a crash");
    tokio::time::timeout(Duration::from_secs(20), arrivals.changed()).await.expect("it listens again").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_confirms_too_early_is_overruled() {
    let Some(database) = Database::fresh().await else { return };
    let look = database.look().await;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&look).await.unwrap();
    let sql = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&look).await.unwrap();
    // The relay asks for more, and reads back that it has it.
    let inbox = PostgresInbox::open(&database.url().into()).await.unwrap();
    inbox.probe(START).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_start_together_share_the_making_of_the_tables() {
    let Some(database) = Database::fresh().await else { return };
    let url = database.url();
    let open =
        || async { PostgresInbox::open(&url.as_str().into()).await.map(|inbox| Arc::new(inbox) as Arc<dyn Inbox>) };
    for opened in join_all((0..4).map(|_| open())).await {
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
