//! The inbox alone: what it costs to keep an event, with a thousand orders in it and with a million.
//!
//! `cargo bench --bench inbox`; the two are measured in turns, in processor time (a neighbour on the machine takes wall time,
//! not ours), and the ratio of their medians is what counts.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use onetribe_relay::{
    clock::Timestamp,
    event::{OrderEvent, OrderId},
    inbox::{Arrival, ConnectionId, Inbox, sqlite::SqliteInbox},
};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

const LANES: i64 = 64;
const EACH: i64 = 100;
const ROUNDS: i64 = 9;

struct Filled {
    inbox: Arc<dyn Inbox>,
    connection: ConnectionId,
    orders: i64,
    _folder: tempfile::TempDir,
}

/// An inbox with this many delivered orders and a receipt for each, as months of work leave it.
async fn filled(orders: i64) -> Filled {
    let folder = tempfile::tempdir().expect("the disk has room");
    let path = folder.path().join("inbox.db");
    let inbox: Arc<dyn Inbox> = Arc::new(open(&path).await);
    let connection = inbox.connection("bigcommerce", "abcde", Timestamp::now()).await.expect("a new one");
    inbox.close().await;
    let mut db = SqliteConnectOptions::new().filename(&path).connect().await.expect("the file is there");
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
    for rows in [
        "INSERT INTO orders (connection_id, order_id, state, wanted, insisted, delivered, settled_at, fetched_at,
             delivered_at, digest, first_event_at, last_event_at)
         SELECT ?2, i, 1, 1, 1, 1, ?3 + i, ?3 + i, ?3 + i, randomblob(16), ?3 + i, ?3 + i FROM n",
        "INSERT INTO receipts (connection_id, order_id, key, twin)
         SELECT ?2, i, random(), random() FROM n",
    ] {
        let sql = rows.replacen("INSERT", &format!("{numbers} INSERT"), 1);
        let now = Timestamp::now().millis() - 86_400_000;
        let insert = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(orders).bind(connection.0).bind(now);
        insert.execute(&mut db).await.expect("rows as the inbox itself writes them");
    }
    sqlx::Connection::close(db).await.expect("nothing is under way");
    let inbox: Arc<dyn Inbox> = Arc::new(open(&path).await);
    Filled { inbox, connection, orders, _folder: folder }
}

async fn open(path: &Path) -> SqliteInbox {
    SqliteInbox::open(path).await.expect("a sound file")
}

/// One round of events from 64 lanes at once, as a store has them: new orders, and (every other event) changes of one of the
/// latest thousand.
async fn round(filled: &Filled, round: i64) -> (Duration, Duration) {
    let (began, busy) = (Instant::now(), processor_time());
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (inbox, connection, orders) = (filled.inbox.clone(), filled.connection, filled.orders);
            tokio::spawn(async move {
                for at in 0..EACH {
                    let event = (round * EACH + at) * LANES + lane;
                    let latest = orders - event.wrapping_mul(7919) % 1000;
                    let order = if at % 2 == 0 { orders + 1 + event } else { latest };
                    let arrival = Arrival {
                        connection,
                        event: OrderEvent {
                            order: OrderId::new(order).expect("above zero"),
                            hash: Some(format!("{event:040x}")),
                            created_at: Some(1_700_000_000),
                        },
                        webhook_id: Some(format!("event-{event}")),
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
    (processor_time().saturating_sub(busy), began.elapsed())
}

/// User and system time of this process so far, in clock ticks of 10 ms as Linux gives them (proc(5), fields 14 and 15).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells it");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

#[tokio::main]
async fn main() {
    let (small, large) = (filled(1_000).await, filled(1_000_000).await);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for at in 0..ROUNDS {
        a.push(round(&small, at).await);
        b.push(round(&large, at).await);
    }
    let median = |mut rounds: Vec<(Duration, Duration)>| {
        rounds.sort_unstable();
        rounds[rounds.len() / 2]
    };
    let (a, b) = (median(a), median(b));
    for (what, (busy, wall)) in [("1,000", a), ("1,000,000", b)] {
        let events = (LANES * EACH) as f64;
        println!(
            "with {what} orders: {:.1} µs of processor time an event, {:.0} events a second",
            busy.as_secs_f64() * 1e6 / events,
            events / wall.as_secs_f64()
        );
    }
    let ratio = b.0.as_secs_f64() / a.0.as_secs_f64();
    let said = if ratio <= 1.25 { "reached" } else { "MISSED" };
    println!("cost with a million / with a thousand: {ratio:.2}   goal <= 1.25 {said}");
    small.inbox.close().await;
    large.inbox.close().await;
}
