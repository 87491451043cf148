//! The engines alone: the cost of accepting an event, with a thousand objects in the inbox and with a million.
//!
//! The two are measured in turns. For SQLite, CPU time is compared, which other programs on the machine affect less
//! than wall time; PostgreSQL's is spent in other processes, so its rates are compared.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use onetribe_relay::{
    clock::Timestamp,
    inbox::{
        Arrival, ConnectionState, Inbox, NewConnection,
        postgres::PostgresInbox,
        sqlite::{self, SqliteInbox},
    },
    object::{ChangeKind, ConnectionId, ObjectId, ObjectKey, ResourceName},
    spec::{DestinationKind, Origin, SourceKind},
};
use sandbox::postgres::{Cluster, Database, skip};
use sqlx::{Connection, PgConnection};

use crate::{
    amount,
    figures::{Figures, median},
    process::own_busy,
};

/// How many events are accepted at once.
const LANES: i64 = 64;
/// How many events each lane accepts in one round.
const EACH: i64 = 100;
/// The columns as the inbox writes them. In the values, `$n` and `$i` stand for each database's syntax for the number
/// of rows and for the current row.
const COLUMNS: &str = "(connection_id, resource, id, state, version, forced_version, event_version, delivered, change,
    was_told, wait_ms, is_forwarding, is_deferred, has_failed, attempts, refused_ms, missing_ms, pause_ms, digest,
    fetched_at, delivered_at, settled_at, first_event_at, last_event_at)";

struct Filled {
    inbox: Arc<dyn Inbox>,
    connection: ConnectionId,
    objects: i64,
    _place: Place,
}

enum Place {
    Sqlite { _folder: tempfile::TempDir },
    Postgres { _database: Database },
}

async fn connect(inbox: &dyn Inbox) -> ConnectionId {
    let new = NewConnection {
        origin: Origin::Api,
        state: ConnectionState::Active,
        name: "A store".to_owned(),
        source_kind: SourceKind::BigCommerce,
        store: "abcde".to_owned(),
        destination_kind: Some(DestinationKind::OneTribe),
        destination_host: Some("onetribeglobal.com".to_owned()),
        destination_mark: Some(vec![1; 16]),
        hook_key: "inbox-alone".to_owned(),
        token_digest: None,
        sealed: None,
        known_revision: None,
    };
    inbox.create_connection(new, Timestamp::now()).await.expect("it is the first")
}

/// A SQLite inbox with this many delivered objects and a receipt for each, as after months of work.
async fn filled_file(objects: i64) -> Filled {
    let folder = tempfile::tempdir().expect("the disk has room");
    let path = folder.path().join("inbox.db");
    let inbox = SqliteInbox::open(&path).await.expect("a sound file");
    let connection = connect(&inbox).await;
    inbox.close().await;
    let db = sqlite::connect(&path).expect("the file is there");
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
    let key = sort_key("char(96 + length(i)) || i");
    let now = Timestamp::now().millis() - 86_400_000;
    let object = format!(
        "SELECT ?2, 'orders', {key}, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, randomblob(16), ?3 + i, ?3 + i, ?3 + i, ?3 + i, ?3 + i FROM n"
    );
    let sql = format!("{numbers} INSERT INTO objects {COLUMNS} {object}");
    db.execute(&sql, (objects, connection.0, now)).expect("rows as the inbox itself writes them");
    let sql = format!("{numbers} INSERT INTO receipts SELECT ?2, 'orders', {key}, random(), random() FROM n");
    db.execute(&sql, (objects, connection.0)).expect("rows as the inbox itself writes them");
    drop(db);
    let inbox = Arc::new(SqliteInbox::open(&path).await.expect("a sound file"));
    Filled { inbox, connection, objects, _place: Place::Sqlite { _folder: folder } }
}

/// The same in PostgreSQL.
async fn filled_server(cluster: &Cluster, objects: i64) -> Filled {
    let database = cluster.database().await;
    let url = database.url().as_str().into();
    let inbox = Arc::new(PostgresInbox::open(&url).await.expect("the server answers"));
    let connection = connect(inbox.as_ref()).await;
    let mut db = PgConnection::connect(&database.url()).await.expect("the server answers");
    let now = Timestamp::now().millis() - 86_400_000;
    let key = sort_key("chr(96 + length(i::text)) || i");
    let bytes = "decode(md5(i::text), 'hex')";
    let object = format!(
        "SELECT $2, 'orders', {key}, 1, 1, 0, 1, 1, 1, true, 0, false, false, false, 0, 0, 0, 0, {bytes}, $3 + i, $3 + i, $3 + i, $3 + i, $3 + i FROM generate_series(1, $1) AS i"
    );
    let sql = format!("INSERT INTO objects {COLUMNS} {object}");
    let insert = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(objects).bind(connection.0).bind(now);
    insert.execute(&mut db).await.expect("rows as the inbox itself writes them");
    let sql = format!(
        "INSERT INTO receipts (connection_id, resource, id, key, content_key)
         SELECT $2, 'orders', {key}, hashint8extended(i, 1), hashint8extended(i, 2) FROM generate_series(1, $1) AS i"
    );
    let insert = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(objects).bind(connection.0);
    insert.execute(&mut db).await.expect("rows as the inbox itself writes them");
    sqlx::query("VACUUM ANALYZE").execute(&mut db).await.expect("the tables are ours");
    Filled { inbox, connection, objects, _place: Place::Postgres { _database: database } }
}

/// SQL for the sort key of a number; asserts that the inbox's own sort keys have this form.
fn sort_key(sql: &str) -> &str {
    let own = |number| ObjectId::from_number(number).expect("above zero").sort_key();
    assert_eq!((own(7).as_str(), own(218).as_str()), ("a7", "c218"));
    sql
}

/// What one round took: CPU time of this process, and wall time.
struct Took {
    busy: Duration,
    wall: Duration,
}

/// One round of events from 64 lanes at once, mixed as in a store: half of them new objects, half changes of one of the
/// latest thousand.
async fn round(filled: &Filled, round: i64) -> Took {
    let (began, busy) = (Instant::now(), own_busy());
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (inbox, connection, objects) = (filled.inbox.clone(), filled.connection, filled.objects);
            tokio::spawn(async move {
                for at in 0..EACH {
                    let event = (round * EACH + at) * LANES + lane;
                    let latest = objects - event.wrapping_mul(7919) % 1000;
                    let id = if at % 2 == 0 { objects + 1 + event } else { latest };
                    let id = ObjectId::from_number(id).expect("above zero");
                    let arrival = Arrival {
                        key: ObjectKey { connection, resource: ResourceName::orders(), id },
                        change: ChangeKind::Updated,
                        event_id: Some(format!("event-{event}")),
                        content: Some(format!("{event:040x}")),
                        created_at: Some(1_700_000_000),
                        look_only: false,
                        at: Timestamp::now(),
                    };
                    inbox.accept(arrival).await.expect("it is kept");
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.expect("a lane does not panic");
    }
    Took { busy: own_busy().saturating_sub(busy), wall: began.elapsed() }
}

/// Measures both engines.
pub async fn measure(figures: &mut Figures) {
    let many = amount(1_000_000, 20_000) as i64;
    figures.heading("the inbox alone, SQLite");
    let (small, large) = (filled_file(1_000).await, filled_file(many).await);
    compare(figures, &small, &large, |took| took.busy).await;
    let Some(cluster) = Cluster::start() else { return skip().unwrap_or_default() };
    figures.heading("the inbox alone, PostgreSQL");
    let (small, large) = (filled_server(&cluster, 1_000).await, filled_server(&cluster, many).await);
    compare(figures, &small, &large, |took| took.wall).await;
}

async fn compare(figures: &mut Figures, small: &Filled, large: &Filled, cost: fn(&Took) -> Duration) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for at in 0..amount(9, 3) as i64 {
        a.push(round(small, at).await);
        b.push(round(large, at).await);
    }
    let events = (LANES * EACH) as f64;
    for (filled, rounds) in [(small, &a), (large, &b)] {
        let of = |of: fn(&Took) -> Duration| median(rounds.iter().map(|took| of(took).as_secs_f64()).collect());
        let shown = format!("{:.0} {:.1} µs", events / of(|took| took.wall), of(|took| took.busy) * 1e6 / events);
        figures.note(&format!("with {} objects: events a second, of this process's time", filled.objects), &shown);
    }
    let costs = |rounds: &[Took]| median(rounds.iter().map(|took| cost(took).as_secs_f64()).collect());
    figures.at_most("cost of an event with the many / with the few", costs(&b) / costs(&a), 1.25, "");
    small.inbox.close().await;
    large.inbox.close().await;
}
