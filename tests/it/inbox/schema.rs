//! Tables of other versions: a newer relay has added to them, has left this one behind, or is not what it was.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use onetribe_relay::inbox::{Accepted, Inbox, InboxError, Lease, OrderState, Outcome, move_inbox};
use sqlx::{Connection, PgConnection, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions};

use crate::{
    desk::{Desk, Place, START, at, delivered, order, serve, told},
    next::{self, LEFT_BEHIND},
    postgres_support::{Database, deadlocks},
};

async fn file(place: &Place) -> Option<SqliteConnection> {
    let Place::Sqlite(folder) = place else { return None };
    let options = SqliteConnectOptions::new().filename(folder.path().join("relay.db"));
    Some(SqliteConnection::connect_with(&options).await.unwrap())
}

async fn server(place: &Place) -> PgConnection {
    let Place::Postgres(database) = place else { unreachable!("it is no file") };
    PgConnection::connect(&database.url()).await.unwrap()
}

async fn expand(place: &Place) {
    match file(place).await {
        Some(mut file) => next::expand(&mut file).await,
        None => next::expand(&mut server(place).await).await,
    }
}

async fn contract(place: &Place) {
    match file(place).await {
        Some(mut file) => next::contract(&mut file).await,
        None => next::contract(&mut server(place).await).await,
    }
}

async fn run(place: &Place, sql: &'static str) {
    match file(place).await {
        Some(mut file) => drop(sqlx::query(sql).execute(&mut file).await.unwrap()),
        None => drop(sqlx::query(sql).execute(&mut server(place).await).await.unwrap()),
    }
}

fn unfit(opened: Result<std::sync::Arc<dyn Inbox>, InboxError>) -> String {
    match opened {
        Err(InboxError::Unfit(said)) => said,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

/// Does everything there is to do with an inbox, with the orders `first` to `first + 3`.
async fn works(desk: &Desk, first: i64) {
    desk.accept(told(first, "a", "h", 0), at(1)).await;
    assert_eq!(desk.accept(told(first, "a", "h", 0), at(1)).await, Accepted::Doubt);
    desk.want(first + 1, true, at(1)).await;
    desk.end(first + 2, Outcome::Failed { error: "no".into() }, at(2)).await;
    desk.end(first + 3, Outcome::Deferred { retry_at: at(60), error: "no".into(), until_recovery: true }, at(2)).await;
    assert_eq!(desk.inbox.want_all(desk.connection, OrderState::Failed, at(3)).await.unwrap(), 1);
    assert_eq!(desk.inbox.recover(desk.connection).await.unwrap(), 1);
    assert!(desk.inbox.lease(desk.connection, Lease::Lead, Duration::from_secs(5)).await.unwrap().is_some());
    for id in first..first + 4 {
        let claim = desk.claim(id, at(70)).await;
        assert!(desk.settle(claim, delivered(7, at(70)), at(71)).await);
        assert_eq!(desk.row(id).await.state, OrderState::Delivered);
    }
    desk.inbox.release(desk.connection, Lease::Lead).await.unwrap();
    assert_eq!(desk.inbox.known(desk.connection, vec![order(first)]).await.unwrap().len(), 1);
    assert_eq!(desk.inbox.next_due(desk.connection, START).await.unwrap(), None);
    desk.inbox.keep_note(desk.connection, "orders:watermark", Some("17".into())).await.unwrap();
    assert_eq!(desk.inbox.note(desk.connection, "orders:watermark").await.unwrap().as_deref(), Some("17"));
    desk.inbox.sample(desk.connection, at(80)).await.unwrap();
    assert!(!desk.inbox.history(desk.connection, START).await.unwrap().is_empty());
    assert_eq!(desk.inbox.summary(desk.connection).await.unwrap().waiting, 0);
    desk.inbox.probe(at(80)).await.unwrap();
    assert!(desk.inbox.prune(at(90), 100).await.unwrap() > 0);
}

pub async fn tables_that_a_newer_relay_has_added_to_are_used(place: Place) {
    let before = place.desk().await;
    works(&before, 1).await;
    expand(&place).await;
    // Its statements were prepared before.
    works(&before, 11).await;
    before.inbox.close().await;
    works(&place.desk().await, 21).await;
}

pub async fn who_is_left_behind_does_not_start(place: Place) {
    place.desk().await.inbox.close().await;
    contract(&place).await;
    let said = unfit(place.try_open().await);
    assert!(said.contains(LEFT_BEHIND) && said.contains("migration 9001") && said.contains("newer version"), "{said}");
    let url = match &place {
        Place::Sqlite(folder) => format!("sqlite://{}", folder.path().join("relay.db").display()),
        Place::Postgres(database) => database.url(),
    };
    let ended = tokio::task::spawn_blocking(move || serve(&url)).await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stdout).contains(&said), "{ended:?}");
}

pub async fn a_migration_that_is_not_what_it_was_is_refused(place: Place) {
    place.desk().await.inbox.close().await;
    expand(&place).await;
    run(&place, "UPDATE _sqlx_migrations SET checksum = 'other' WHERE version = 1").await;
    let said = unfit(place.try_open().await);
    assert!(said.contains("migration 1 ") && said.contains("modified"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_behind_while_running_keeps_nothing_more_and_says_why() {
    let Some(place) = Place::postgres().await else { return };
    let (leader, other) = (place.desk().await, place.desk().await);
    let lead = async |desk: &Desk| {
        desk.inbox.lease(desk.connection, Lease::Lead, Duration::from_secs(5)).await.unwrap().is_some()
    };
    assert!(lead(&leader).await);
    contract(&place).await;
    for desk in [&leader, &other] {
        assert!(!lead(desk).await);
        let reason = tokio::time::timeout(Duration::from_secs(1), desk.inbox.outgrown()).await.unwrap();
        assert!(reason.to_string().contains(LEFT_BEHIND), "{reason}");
        let refused = desk.inbox.want(desk.connection, vec![order(7)], true, START).await.unwrap_err();
        assert!(matches!(&refused, InboxError::Unfit(said) if said.contains(LEFT_BEHIND)), "{refused}");
    }
    let mut look = server(&place).await;
    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut look).await.unwrap();
    assert_eq!(orders, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_asks_as_well() {
    let Some(place) = Place::postgres().await else { return };
    let desk = place.desk().await;
    desk.news(1, START).await;
    contract(&place).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    run(&place, cut).await;
    // The first change meets the cut.
    drop(desk.inbox.probe(START).await);
    let refused = desk.inbox.probe(START).await.unwrap_err();
    assert!(refused.to_string().contains(LEFT_BEHIND), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_broken_off_for_a_running_relays_sake_begins_again() {
    let Some(place) = Place::postgres().await else { return };
    let (mut relay, mut look) = (server(&place).await, server(&place).await);
    Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres"))
        .await
        .unwrap()
        .run_to(1, &mut relay)
        .await
        .unwrap();
    // The server breaks off who finds the circle, and that is who asks first.
    sqlx::query("SET deadlock_timeout = '60s'").execute(&mut relay).await.unwrap();
    let mut batch = relay.begin().await.unwrap();
    let first = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (2, '', true, '', 0)";
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
    let (opened, ()) = tokio::join!(place.try_open(), circle);
    let inbox = opened.unwrap_or_else(|error| panic!("{error}"));
    inbox.probe(START).await.unwrap();
    inbox.close().await;
    let Place::Postgres(database) = &place else { unreachable!("it was made so") };
    assert_eq!(deadlocks(&database.look().await).await, 1);
}

fn migrate(place: &Place, to: String) -> Output {
    let Place::Sqlite(folder) = place else { unreachable!("it was made so") };
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    let from = format!("sqlite://{}", folder.path().join("relay.db").display());
    command.env_clear().env("DATABASE_URL", from).current_dir(folder.path());
    command.args(["migrate", "--to", &to]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_moved_out_of_or_into_what_needs_a_newer_relay() {
    let Some(left_behind) = Database::fresh().await else { return };
    let Some(present) = Database::fresh().await else { return };
    let (source, target) = (Place::sqlite(), Place::Postgres(left_behind));
    source.desk().await.want(1, true, START).await;
    target.desk().await.inbox.close().await;
    run(&target, "DELETE FROM connections").await;
    contract(&target).await;
    let Place::Postgres(left_behind) = &target else { unreachable!("it was made so") };
    let refused = |done: Output, why: &str| {
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused(migrate(&source, left_behind.url()), LEFT_BEHIND);
    // What the newer relay keeps in columns of its own would stay behind.
    expand(&source).await;
    refused(migrate(&source, present.url()), "move it with that version");
    contract(&source).await;
    refused(migrate(&source, present.url()), LEFT_BEHIND);
    // Into tables that a newer relay has only added to.
    let (source, target) = (Place::sqlite(), Place::Postgres(present));
    source.desk().await.want(1, true, START).await;
    expand(&target).await;
    let (Place::Sqlite(folder), Place::Postgres(database)) = (&source, &target) else { unreachable!("made so") };
    move_inbox(&folder.path().join("relay.db"), &database.url().into(), |_| {}).await.unwrap();
    assert_eq!(target.desk().await.rows(None).await.len(), 1);
}
