//! `backup`, beside a relay that goes on keeping what it is told.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use onetribe_relay::{
    clock::Timestamp,
    inbox::{Inbox, ObjectQuery, ObjectRow, Wanted, sqlite::SqliteInbox},
    object::{ConnectionId, ResourceName},
};
use sandbox::Action;

use crate::relay::world::{PATIENCE, World};

fn backup(database: &str, to: &Path) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().env("DATABASE_URL", database).current_dir(std::env::temp_dir());
    let Output { status, stdout, stderr } = command.arg("backup").arg("--to").arg(to).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// The environment's own, which is the first.
const CONNECTION: ConnectionId = ConnectionId(1);

async fn rows(path: &Path) -> Vec<ObjectRow> {
    let inbox = SqliteInbox::open(path).await.unwrap();
    let rows = inbox.objects(CONNECTION, ObjectQuery { limit: 10_000, ..ObjectQuery::default() }).await.unwrap();
    inbox.close().await;
    rows
}

#[actix_web::test]
async fn a_backup_beside_a_writing_relay_is_whole() {
    let mut world = World::start().await;
    world.sink.fault_all(Action::Status(503));
    let orders: Vec<i64> = (0..60).map(|_| world.store.place_order_silently(None, 11)).collect();
    let (first, rest) = orders.split_at(20);
    for order in first {
        world.tell(*order).await;
    }
    let copy = world.folder.path().join("copy.db");
    let (database, to) = (format!("sqlite://{}", world.database().display()), copy.clone());
    let made = actix_web::rt::task::spawn_blocking(move || backup(&database, &to));
    for order in rest {
        world.tell(*order).await;
    }
    let (code, said, errors) = made.await.unwrap();
    assert_eq!((code, &*errors), (0, ""));
    assert!(said.starts_with(&format!("{}: a whole copy, ", copy.display())), "{said}");
    world.stop_relay().await;

    let (copied, kept) = (rows(&copy).await, rows(&world.database()).await);
    assert_eq!(kept.len(), 60);
    assert!(copied.len() >= 20, "only {} orders are in the copy", copied.len());
    let facts = |row: &ObjectRow| (row.id.clone(), row.first_event_at, row.last_event_at);
    let kept: Vec<_> = kept.iter().map(facts).collect();
    assert!(copied.iter().all(|row| kept.contains(&facts(row))), "the copy is of another time");

    // With nobody writing, nothing differs.
    let second = world.folder.path().join("second.db");
    let (code, _, errors) = backup(&format!("sqlite://{}", world.database().display()), &second);
    assert_eq!((code, &*errors), (0, ""));
    assert_eq!(rows(&second).await, rows(&world.database()).await);
    world.sink.clear_faults();
    world.start_relay().await;
    world.arrived(60).await;
    world.finish().await;
}

#[actix_web::test]
async fn what_cannot_be_backed_up_is_said_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("relay.db"), folder.path().join("copy.db"));
    let database = format!("sqlite://{}", from.display());
    let refused = |database: &str, to: &Path, says: &str| {
        let (code, said, errors) = backup(database, to);
        assert_eq!((code, &*said), (1, ""));
        assert!(errors.contains(says) && !errors.contains("hunter2"), "{errors}");
    };
    refused(&database, &to, &format!("error: there is no database at {} (DATABASE_URL)", from.display()));
    refused("postgres://relay:hunter2@127.0.0.1:1/relay", &to, "error: DATABASE_URL names a PostgreSQL database: back");
    std::fs::write(&from, "no database ".repeat(1000)).unwrap();
    refused(&database, &to, "damaged");
    assert!(!to.exists());
    std::fs::write(&to, "").unwrap();
    refused(&database, &to, "copy.db is there already: a backup is made into a new file");
    assert!(to.exists());
    let elsewhere = folder.path().join("nowhere").join("copy.db");
    refused(&database, &elsewhere, "copy.db cannot be made: No such file or directory");
}

#[actix_web::test]
async fn a_backup_that_is_killed_leaves_nothing_that_looks_whole() {
    let mut world = World::start().await;
    world.stop_relay().await;
    let inbox = SqliteInbox::open(&world.database()).await.unwrap();
    let orders = (1..=60_000).map(|id: i64| Wanted::updated(id.to_string().parse().unwrap())).collect();
    inbox.want(CONNECTION, ResourceName::orders(), orders, false, Timestamp::now()).await.unwrap();
    inbox.close().await;
    let copy = world.folder.path().join("copy.db");
    let (mut killed, mut pause) = (0, Duration::ZERO);
    while pause < PATIENCE {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().env("DATABASE_URL", format!("sqlite://{}", world.database().display()));
        let mut child =
            command.args(["backup", "--to"]).arg(&copy).stdout(std::process::Stdio::null()).spawn().unwrap();
        tokio::time::sleep(pause).await;
        child.kill().unwrap();
        child.wait().unwrap();
        if copy.exists() {
            assert_eq!(rows(&copy).await.len(), 10_000, "as many as were asked for");
            break;
        }
        killed += 1;
        // By small steps at first, then by larger ones, however slow the disk is.
        pause += (pause / 10).max(Duration::from_millis(5));
    }
    assert!(killed > 0 && copy.exists(), "killed {killed} times, then whole");
    world.finish().await;
}
