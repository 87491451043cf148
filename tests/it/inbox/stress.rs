//! All operations at once on few objects, by relays that share them: no accepted event is lost, none is claimed twice.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use onetribe_relay::{
    clock::Timestamp,
    http::Failure,
    inbox::{Accepted, Arrival, Failed, Inbox, ObjectState, Outcome, Settlement, Side, Wanted},
    object::{ChangeKind, ObjectId, ObjectKey, ResourceName},
};
use parking_lot::Mutex;

use super::postgres_world::{TestRelay, delivered, id};
use crate::support::postgres::{Database, deadlocks};

const LENGTH: Duration = Duration::from_secs(4);
const OBJECTS: i64 = 60;
/// Longer than the test, so that no claim runs out.
const LEASE: Duration = Duration::from_secs(300);

/// The order of what happened, by a counter that all tasks share.
struct Chronicle {
    began: Timestamp,
    now: AtomicU64,
    told: Mutex<HashMap<ObjectId, u64>>,
    claimed: Mutex<HashMap<ObjectId, u64>>,
    held: Mutex<HashMap<ObjectId, u64>>,
}

impl Chronicle {
    fn new() -> Self {
        Self {
            began: Timestamp::now(),
            now: AtomicU64::default(),
            told: Mutex::default(),
            claimed: Mutex::default(),
            held: Mutex::default(),
        }
    }

    fn next(&self) -> u64 {
        self.now.fetch_add(1, Ordering::SeqCst)
    }
}

fn some_ids() -> Vec<ObjectId> {
    (0..rand::random_range(1..30)).map(|_| id(rand::random_range(1..=OBJECTS))).collect()
}

fn any_change() -> ChangeKind {
    ChangeKind::from_code(rand::random_range(0..3))
}

/// Accepts an event that may be new or a duplicate; some callers do not wait for the answer.
async fn tell(relay: &TestRelay, chronicle: &Chronicle, id: ObjectId) {
    let (now, at) = (Timestamp::now(), chronicle.next());
    // Two hooks announce each event under different ids. Every other event is old enough to be dropped as a duplicate.
    let event = rand::random_range(0..500);
    let created_at = chronicle.began.millis() / 1000 - if event % 2 == 0 { 120 } else { 0 };
    let accepting = relay.inbox.accept(Arrival {
        key: ObjectKey { connection: relay.connection, resource: ResourceName::orders(), id: id.clone() },
        change: any_change(),
        event_id: Some(format!("{event} of hook {}", rand::random_range(0..2))),
        content: Some(event.to_string()),
        created_at: Some(created_at),
        look_only: rand::random_bool(0.2),
        at: now,
    });
    let accepted = if rand::random_bool(0.1) {
        tokio::time::timeout(Duration::from_micros(300), accepting).await.ok()
    } else {
        Some(accepting.await)
    };
    if accepted.is_some_and(|accepted| accepted.unwrap() != Accepted::Duplicate) {
        let mut told = chronicle.told.lock();
        let latest = told.entry(id).or_default();
        *latest = at.max(*latest);
    }
}

/// Claims what is due and settles it in random ways. Returns how many claims there were.
async fn deliver(relay: &TestRelay, chronicle: &Chronicle, now: Timestamp) -> usize {
    let mut due: Vec<_> = relay.inbox.due(relay.connection, now, 40).await.unwrap();
    if rand::random_bool(0.5) {
        due.reverse();
    }
    let due = due.into_iter().map(|due| (due.resource, due.id)).collect();
    let claims = relay.inbox.claim(relay.connection, due, LEASE, now).await.unwrap();
    let count = claims.len();
    for claim in &claims {
        let at = chronicle.next();
        let before = chronicle.held.lock().insert(claim.key.id.clone(), at);
        assert!(before.is_none(), "object {} was claimed twice", claim.key.id);
        chronicle.claimed.lock().insert(claim.key.id.clone(), at);
    }
    if rand::random_bool(0.5) {
        relay.inbox.begin_forward(claims.clone()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..4))).await;
    join_all(claims.into_iter().map(async |claim| {
        let now = Timestamp::now();
        let failed = Failed { side: Side::Store, failure: Failure::Timeout };
        let outcome = match rand::random_range(0..8) {
            0 => Outcome::Released,
            1 => Outcome::Deferred { retry_at: now, failed, until_recovery: true },
            2 => Outcome::Failed { failed },
            3 => Outcome::Gone { failed },
            4 => Outcome::Refused { retry_at: now, failed },
            _ => delivered(1, now),
        };
        chronicle.held.lock().remove(&claim.key.id);
        assert!(relay.inbox.settle(Settlement { claim, outcome, at: now }).await.unwrap(), "a claim was taken away");
    }))
    .await;
    count
}

async fn step(relay: &TestRelay, chronicle: &Chronicle, kind: usize) {
    let (inbox, connection, now) = (&relay.inbox, relay.connection, Timestamp::now());
    match kind {
        0..=2 => drop(join_all(some_ids().into_iter().map(|id| tell(relay, chronicle, id))).await),
        3 | 4 => {
            deliver(relay, chronicle, now).await;
        }
        5 => {
            inbox.prune(now.after(Duration::from_secs(3600)), 20).await.unwrap();
        }
        6 => {
            let wanted = some_ids().into_iter().map(|id| Wanted { id, change: any_change() }).collect();
            inbox.want(connection, ResourceName::orders(), wanted, false, now).await.unwrap();
            inbox.want_all(connection, ObjectState::Failed, now).await.unwrap();
        }
        _ => {
            inbox.recover(connection).await.unwrap();
            inbox.repair_deadlines(now).await.unwrap();
            inbox.sample(now).await.unwrap();
            inbox.summaries().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_told_is_lost_and_nothing_claimed_twice() {
    let Some(database) = Database::fresh().await else { return };
    let first = TestRelay::first(&database).await;
    let relays = [first.beside(&database).await, first.beside(&database).await, first].map(Arc::new);
    let (chronicle, end) = (Arc::new(Chronicle::new()), Instant::now() + LENGTH);
    let tasks = relays.iter().flat_map(|relay| (0..8).map(move |kind| (relay.clone(), kind))).map(|(relay, kind)| {
        let chronicle = chronicle.clone();
        tokio::spawn(async move {
            while Instant::now() < end {
                step(&relay, &chronicle, kind).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let relay = &relays[0];
    loop {
        relay.inbox.recover(relay.connection).await.unwrap();
        if deliver(relay, &chronicle, Timestamp::now().after(Duration::from_secs(1))).await == 0 {
            break;
        }
    }
    for row in relay.rows().await {
        assert!(row.waiting_since.is_none() && row.next_attempt_at.is_none(), "{row:?}");
    }
    let claimed = chronicle.claimed.lock().clone();
    assert!(claimed.len() == OBJECTS as usize, "{} objects were claimed", claimed.len());
    for (id, at) in chronicle.told.lock().iter() {
        assert!(claimed[id] > *at, "object {id} was told of at {at} and last claimed at {}", claimed[id]);
    }
    for relay in relays.iter() {
        relay.inbox.close().await;
    }
    assert_eq!(deadlocks(&database.look().await).await, 0);
}
