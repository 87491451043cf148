//! What only a SQLite inbox can meet: a damaged file, one that cannot be written or is locked.

use std::{fs, path::Path, time::Duration};

use onetribe_relay::inbox::{
    Inbox, InboxError, Lease,
    sqlite::{ServeLock, SqliteInbox},
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::desk::START;

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}

/// An inbox that has been used and closed.
async fn used(path: &Path) {
    let inbox = SqliteInbox::open(path).await.unwrap();
    inbox.probe(START).await.unwrap();
    inbox.close().await;
}

async fn refused(path: &Path) -> InboxError {
    match SqliteInbox::open(path).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn the_file_is_set_up_for_durability() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    used(&path).await;
    // The journal mode is the file's own; `synchronous` is each connection's, and read back by each when it opens.
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut raw(&path).await).await.unwrap();
    assert_eq!(journal, "wal");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let text = "these are not the pages of a database ".repeat(500);
    fs::write(&path, &text).unwrap();
    assert!(matches!(refused(&path).await, InboxError::Damaged(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_page_is_found_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    used(&path).await;
    let mut bytes = fs::read(&path).unwrap();
    let page = 4096;
    assert!(bytes.len() > 3 * page);
    bytes[page..3 * page].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(refused(&path).await, InboxError::Damaged(_)));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_folder_that_is_not_there_can_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume").join("relay.db");
    assert!(matches!(refused(&path).await, InboxError::Unavailable(_)));
    fs::create_dir(folder.path().join("volume")).unwrap();
    used(&path).await;
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_unavailable_until_it_may() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    used(&path).await;
    let permit = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    permit(0o444);
    if fs::File::options().append(true).open(&path).is_ok() {
        eprintln!("skipped: this user may write whatever the permissions say");
        return;
    }
    let error = match SqliteInbox::open(&path).await {
        Ok(inbox) => inbox.probe(START).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, InboxError::Unavailable(_)), "{error}");
    permit(0o644);
    used(&path).await;
}

#[tokio::test]
async fn a_lock_held_elsewhere_is_waited_for_then_told_and_got_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let inbox = SqliteInbox::open(&path).await.unwrap();
    let mut other = raw(&path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let (probed, ()) = tokio::join!(inbox.probe(START), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    });
    probed.expect("a short lock is waited for");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert!(matches!(inbox.probe(START).await, Err(InboxError::Unavailable(_))));
    assert!(inbox.note(onetribe_relay::inbox::ConnectionId(0), "probe").await.is_ok(), "readers are not held up");
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    inbox.probe(START).await.expect("the writer begins anew");
}

#[test]
fn one_relay_serves_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let lock = ServeLock::take(&path).unwrap();
    let second = ServeLock::take(&path).unwrap_err();
    assert!(second.to_string().contains("another relay"), "{second}");
    drop(lock);
    ServeLock::take(&path).unwrap();
}

#[tokio::test]
async fn who_serves_a_file_leads_and_nobody_asks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let span = Duration::from_secs(60);
    for _ in 0..2 {
        let inbox = SqliteInbox::open(&path).await.unwrap();
        let connection = inbox.connection("bigcommerce", "abcde", START).await.unwrap();
        assert!(inbox.lease(connection, Lease::Lead, span).await.unwrap().is_some());
        inbox.release(connection, Lease::Lead).await.unwrap();
        inbox.lease(connection, Lease::Lead, span).await.unwrap();
    }
    let leases: i64 = sqlx::query_scalar("SELECT count(*) FROM leases").fetch_one(&mut raw(&path).await).await.unwrap();
    assert_eq!(leases, 0);
}
