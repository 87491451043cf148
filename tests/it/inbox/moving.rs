//! Moving an inbox from SQLite to PostgreSQL: everything, or nothing, and never beside a relay that serves it.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use onetribe_relay::inbox::{Accepted, InboxError, OrderState, Outcome, move_inbox, sqlite::ServeLock};

use sqlx::{Connection, SqliteConnection};

use crate::{
    desk::{Desk, Place, START, at, delivered, digest, order, told},
    postgres_support::Database,
};

const MANY: i64 = 5000;

/// An inbox with something of everything, closed.
async fn filled() -> Place {
    let place = Place::sqlite();
    let desk = place.desk().await;
    desk.accept(told(1, "a", "h", 0), START).await;
    let claim = desk.claim(1, START).await;
    assert!(desk.settle(claim, delivered(7, at(100)), at(101)).await);
    desk.end(2, Outcome::Failed { error: "destination: HTTP 422 \"no\"".into() }, at(2)).await;
    desk.end(3, Outcome::Refused { retry_at: at(50), error: "no".into() }, at(3)).await;
    desk.end(4, Outcome::Deferred { retry_at: at(60), error: "no".into(), until_recovery: true }, at(4)).await;
    desk.inbox.want(desk.connection, (100..100 + MANY).map(order).collect(), false, at(5)).await.unwrap();
    desk.inbox.keep_note(desk.connection, "orders:watermark", Some("17".into())).await.unwrap();
    let other = desk.inbox.connection("bigcommerce", "other", at(6)).await.unwrap();
    desk.inbox.keep_note(other, "hook:store/order/*", Some("18".into())).await.unwrap();
    desk.inbox.sample(desk.connection, at(7)).await.unwrap();
    desk.inbox.close().await;
    place
}

fn file(place: &Place) -> std::path::PathBuf {
    match place {
        Place::Sqlite(folder) => folder.path().join("relay.db"),
        Place::Postgres(_) => unreachable!("it was made so"),
    }
}

fn command(from: &Path, to: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().env("DATABASE_URL", format!("sqlite://{}", from.display())).current_dir(from.parent().unwrap());
    command.args(["migrate", "--to", to]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_moved() {
    let Some(database) = Database::fresh().await else { return };
    let place = filled().await;
    let (url, from) = (database.url().replacen("relay@", "relay:hunter2@", 1), file(&place));
    let done = tokio::task::spawn_blocking(move || command(&from, &url)).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    assert!(said.contains("orders: 5,004 rows moved"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");

    let mut old = SqliteConnection::connect(file(&place).to_str().unwrap()).await.unwrap();
    let new = database.look().await;
    let all = "SELECT name FROM sqlite_master
               WHERE type = 'table' AND name NOT IN ('leases', '_sqlx_migrations', 'schema_floor')";
    let tables: Vec<String> = sqlx::query_scalar(all).fetch_all(&mut old).await.unwrap();
    assert!(tables.len() >= 5, "{tables:?}");
    for table in tables {
        let sql = format!("SELECT count(*) FROM {table}");
        let here: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone())).fetch_one(&mut old).await.unwrap();
        let there: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&new).await.unwrap();
        assert!(here > 0, "{table}: nothing of it was tried");
        assert_eq!(there, here, "{table}");
    }
    let target = Place::Postgres(database);
    let (before, after) = (place.desk().await, target.desk().await);
    let hours =
        async |desk: &Desk| desk.inbox.history(desk.connection, START.before(Duration::from_secs(3600))).await.unwrap();
    assert_eq!(hours(&after).await, hours(&before).await);
    assert_eq!(after.connection, before.connection);
    assert_eq!(after.rows(None).await, before.rows(None).await);
    let known = after.inbox.known(after.connection, vec![order(1)]).await.unwrap();
    assert_eq!((known[0].digest, known[0].settled_at), (Some(digest(7)), Some(at(101))));
    let summary = after.inbox.summary(after.connection).await.unwrap();
    assert_eq!(summary, before.inbox.summary(before.connection).await.unwrap());
    assert_eq!(summary.waiting, 5002);
    let note = after.inbox.note(after.connection, "orders:watermark").await.unwrap();
    assert_eq!(note.as_deref(), Some("17"));
    assert_eq!(after.accept(told(1, "a", "h", 0), at(200)).await, Accepted::Duplicate, "receipts came along");
    assert_eq!(after.claim(3, at(50)).await.refused_since, Some(at(3)));
    assert_eq!(after.inbox.recover(after.connection).await.unwrap(), 1);
    let other = after.inbox.connection("bigcommerce", "other", at(9)).await.unwrap();
    let note = after.inbox.note(other, "hook:store/order/*").await.unwrap();
    assert_eq!(note.as_deref(), Some("18"));
    let new = after.inbox.connection("bigcommerce", "new", at(9)).await.unwrap();
    assert!(new.0 > other.0, "numbers go on where they were");
    assert_eq!(after.rows(Some(OrderState::Failed)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_is_served_stays() {
    let Some(database) = Database::fresh().await else { return };
    let place = filled().await;
    let _serving = ServeLock::take(&file(&place)).unwrap();
    let refused = move_inbox(&file(&place), &database.url().into(), |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("another relay is serving"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_in_use_is_refused() {
    let Some(database) = Database::fresh().await else { return };
    let place = filled().await;
    let target = Place::Postgres(database);
    target.desk().await.news(77, START).await;
    let Place::Postgres(database) = &target else { unreachable!("it was made so") };
    let refused = move_inbox(&file(&place), &database.url().into(), |_| {}).await.unwrap_err();
    assert!(matches!(&refused, InboxError::Unfit(said) if said.contains("not empty")), "{refused}");
    assert_eq!(target.desk().await.rows(None).await.len(), 1);
}

#[test]
fn what_cannot_be_moved_is_said_without_the_url() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.db");
    let refused = |url: &str, code: i32, says: &str| {
        let done = command(&file, url);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{said}");
        assert!(said.contains(says) && !said.contains("hunter2"), "{said}");
    };
    const NOBODY: &str = "postgres://relay:hunter2@127.0.0.1:1/relay";
    refused(NOBODY, 1, "there is no inbox");
    std::fs::File::create(&file).unwrap();
    refused(NOBODY, 1, "error: ");
    for url in ["hunter2", "mysql://hunter2", "sqlite://hunter2.db", "postgres://relay:hunter2@[", ""] {
        refused(url, 2, "error: --to: must be `postgres://");
    }
    refused(&format!("{NOBODY}?sslmode=hunter2"), 2, "error: --to: its sslmode must be one of");
}
