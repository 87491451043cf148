//! Everything at once, at few orders, by relays that share them: nothing told is lost, nothing is claimed twice.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use onetribe_relay::{
    clock::Timestamp,
    event::OrderEvent,
    inbox::{Accepted, Arrival, OrderState, Outcome, Settlement},
};

use crate::desk::{Desk, Place, delivered, order};

const LENGTH: Duration = Duration::from_secs(4);
const ORDERS: i64 = 60;
/// No claim runs out while it lasts.
const LEASE: Duration = Duration::from_secs(300);

/// What happened when, by a count that all share.
#[derive(Default)]
struct Chronicle {
    now: AtomicU64,
    told: Mutex<HashMap<i64, u64>>,
    claimed: Mutex<HashMap<i64, u64>>,
    held: Mutex<HashMap<i64, u64>>,
}

impl Chronicle {
    fn next(&self) -> u64 {
        self.now.fetch_add(1, Ordering::SeqCst)
    }
}

fn some_ids() -> Vec<i64> {
    (0..rand::random_range(1..30)).map(|_| rand::random_range(1..=ORDERS)).collect()
}

/// Tells of an event that may be new or known; some do not wait for the answer.
async fn tell(desk: &Desk, chronicle: &Chronicle, id: i64) {
    let (now, at) = (Timestamp::now(), chronicle.next());
    let hash = rand::random_range(0..1000).to_string();
    let event = OrderEvent { order: order(id), hash: Some(hash), created_at: Some(now.millis() / 1000) };
    let webhook_id = Some(rand::random_range(0..1000).to_string());
    let accepting = desk.inbox.accept(Arrival { connection: desk.connection, event, webhook_id, at: now });
    let accepted = if rand::random_bool(0.1) {
        tokio::time::timeout(Duration::from_micros(300), accepting).await.ok()
    } else {
        Some(accepting.await)
    };
    if accepted.is_some_and(|accepted| accepted.unwrap() != Accepted::Duplicate) {
        let mut told = chronicle.told.lock().unwrap();
        let latest = told.entry(id).or_default();
        *latest = at.max(*latest);
    }
}

/// Claims what is due and ends it in any way there is. Returns how many there were.
async fn deliver(desk: &Desk, chronicle: &Chronicle, now: Timestamp) -> usize {
    let mut due: Vec<_> = desk.inbox.due(desk.connection, now, 40).await.unwrap();
    if rand::random_bool(0.5) {
        due.reverse();
    }
    let due = due.into_iter().map(|due| due.order).collect();
    let claims = desk.inbox.claim(desk.connection, due, LEASE, now).await.unwrap();
    let count = claims.len();
    for claim in &claims {
        let at = chronicle.next();
        let before = chronicle.held.lock().unwrap().insert(claim.order.get(), at);
        assert!(before.is_none(), "order {} was claimed twice", claim.order);
        chronicle.claimed.lock().unwrap().insert(claim.order.get(), at);
    }
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..4))).await;
    join_all(claims.into_iter().map(async |claim| {
        let now = Timestamp::now();
        let outcome = match rand::random_range(0..7) {
            0 => Outcome::Released,
            1 => Outcome::Deferred { retry_at: now, error: "away".into(), until_recovery: true },
            2 => Outcome::Failed { error: "refused".into() },
            3 => Outcome::Gone { error: "unknown".into() },
            _ => delivered(1, now),
        };
        chronicle.held.lock().unwrap().remove(&claim.order.get());
        assert!(desk.inbox.settle(Settlement { claim, outcome, at: now }).await.unwrap(), "a claim was taken away");
    }))
    .await;
    count
}

async fn step(desk: &Desk, chronicle: &Chronicle, kind: usize) {
    let (inbox, connection, now) = (&desk.inbox, desk.connection, Timestamp::now());
    match kind {
        0..=2 => drop(join_all(some_ids().into_iter().map(|id| tell(desk, chronicle, id))).await),
        3 | 4 => drop(deliver(desk, chronicle, now).await),
        5 => drop(inbox.prune(now.after(Duration::from_secs(3600)), 20).await.unwrap()),
        6 => {
            inbox.want(connection, some_ids().into_iter().map(order).collect(), false, now).await.unwrap();
            inbox.want_all(connection, OrderState::Failed, now).await.unwrap();
        }
        _ => {
            inbox.recover(connection).await.unwrap();
            inbox.sample(connection, now).await.unwrap();
        }
    }
}

pub async fn nothing_told_is_lost_and_nothing_claimed_twice(place: Place) {
    let relays = if matches!(place, Place::Postgres(_)) { 3 } else { 1 };
    let mut desks = Vec::new();
    for _ in 0..relays {
        desks.push(place.desk().await);
    }
    let (chronicle, end) = (Arc::new(Chronicle::default()), Instant::now() + LENGTH);
    let tasks = desks.iter().flat_map(|desk| (0..8).map(move |kind| (desk.clone(), kind))).map(|(desk, kind)| {
        let chronicle = chronicle.clone();
        tokio::spawn(async move {
            while Instant::now() < end {
                step(&desk, &chronicle, kind).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let desk = &desks[0];
    loop {
        desk.inbox.recover(desk.connection).await.unwrap();
        if deliver(desk, &chronicle, Timestamp::now().after(Duration::from_secs(1))).await == 0 {
            break;
        }
    }
    for row in desk.rows(None).await {
        assert!(row.waiting_since.is_none() && row.next_attempt_at.is_none(), "{row:?}");
    }
    let claimed = chronicle.claimed.lock().unwrap();
    assert!(claimed.len() == ORDERS as usize, "{} orders were claimed", claimed.len());
    for (id, at) in chronicle.told.lock().unwrap().iter() {
        assert!(claimed[id] > *at, "order {id} was told of at {at} and last claimed at {}", claimed[id]);
    }
}
