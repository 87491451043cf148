//! Shards: relays on one database hold an even share each, take over the shards of relays that are gone, and claim
//! nothing in shards of others.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use onetribe_relay::{
    inbox::{Inbox, SHARDS, shard_of},
    object::ConnectionId,
    spec::SourceKind,
};

use super::postgres_world::{START, TestRelay, at, connection_to, delivered};
use crate::support::postgres::{Database, deadlocks};

/// How long a relay keeps its shards after its last heartbeat here: longer than any test takes. [`fall_silent`]
/// simulates that this time has passed.
const SPAN: Duration = Duration::from_secs(600);

/// Makes the leases of the relay that holds these shards run out, as `SPAN` without a heartbeat does.
async fn fall_silent(database: &Database, held: &HashSet<u16>) {
    let look = database.look().await;
    let shard = held.iter().next().map(|shard| shard.cast_signed());
    let passed = i64::try_from(SPAN.as_millis()).unwrap();
    for sql in [
        "UPDATE relays SET until = until - $2 WHERE relay = (SELECT owner FROM shards WHERE shard = $1)",
        "UPDATE shards SET until = until - $2 WHERE owner = (SELECT owner FROM shards WHERE shard = $1)",
    ] {
        assert!(sqlx::query(sql).bind(shard).bind(passed).execute(&look).await.unwrap().rows_affected() > 0);
    }
}

async fn beat(relay: &TestRelay) -> HashSet<u16> {
    let held = relay.inbox.heartbeat(SPAN).await.unwrap().shards;
    assert!(held.is_sorted());
    held.into_iter().collect()
}

/// Each relay sends two heartbeats: one that holds too many shards gives some back, one that holds too few takes some.
async fn settled(relays: &[&TestRelay]) -> Vec<HashSet<u16>> {
    for _ in 0..2 {
        join_all(relays.iter().map(|relay| beat(relay))).await;
    }
    join_all(relays.iter().map(|relay| beat(relay))).await
}

fn assert_even(held: &[HashSet<u16>]) {
    let all: HashSet<u16> = held.iter().flatten().copied().collect();
    assert_eq!(all.len(), usize::from(SHARDS), "each shard is held");
    assert_eq!(held.iter().map(HashSet::len).sum::<usize>(), usize::from(SHARDS), "and by one relay");
    let share = usize::from(SHARDS).div_ceil(held.len());
    assert!(held.iter().all(|shards| shards.len() <= share), "evenly");
}

async fn relays(database: &Database, count: usize) -> Vec<TestRelay> {
    let mut relays = vec![TestRelay::first(database).await];
    while relays.len() < count {
        let another = relays[0].beside(database).await;
        relays.push(another);
    }
    relays
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_shared_evenly_however_many_relays_there_are() {
    let Some(database) = Database::fresh().await else { return };
    let relays = relays(&database, 5).await;
    assert_eq!(beat(&relays[0]).await.len(), usize::from(SHARDS), "who is alone has them all at once");
    for count in [2, 3, 4, 5] {
        let relays: Vec<&TestRelay> = relays[..count].iter().collect();
        assert_even(&settled(&relays).await);
    }
    // Without need, no shard changes its holder.
    let all: Vec<&TestRelay> = relays.iter().collect();
    assert_eq!(settled(&all).await, settled(&all).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_start_together_share_at_once_and_never_hold_the_same() {
    let Some(database) = Database::fresh().await else { return };
    let relays = relays(&database, 4).await;
    let all: Vec<&TestRelay> = relays.iter().collect();
    for _ in 0..20 {
        let held = join_all(all.iter().map(|relay| beat(relay))).await;
        let distinct: HashSet<u16> = held.iter().flatten().copied().collect();
        assert_eq!(held.iter().map(HashSet::len).sum::<usize>(), distinct.len());
        let leaver = &relays[rand::random_range(0..relays.len())];
        leaver.inbox.release_shards().await.unwrap();
    }
    assert_even(&settled(&all).await);
    for relay in relays {
        relay.inbox.close().await;
    }
    assert_eq!(deadlocks(&database.look().await).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_a_dead_relay_are_taken_over_with_the_next_heartbeats() {
    let Some(database) = Database::fresh().await else { return };
    let relays = relays(&database, 3).await;
    let all: Vec<&TestRelay> = relays.iter().collect();
    let held = settled(&all).await;
    assert_even(&held);
    for survivor in &all[..2] {
        assert!(beat(survivor).await.is_disjoint(&held[2]), "not before its time");
    }
    fall_silent(&database, &held[2]).await;
    assert_even(&[beat(all[0]).await, beat(all[1]).await]);
    // The relay was only paused: it holds nothing now, and gets its share again.
    assert!(beat(all[2]).await.is_empty());
    assert_even(&settled(&all).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_outlast_the_last_heartbeat_by_the_span_of_the_servers_clock() {
    let Some(database) = Database::fresh().await else { return };
    let relays = relays(&database, 2).await;
    let span = Duration::from_millis(700);
    let began = Instant::now();
    assert_eq!(relays[0].inbox.heartbeat(span).await.unwrap().shards.len(), usize::from(SHARDS));
    while relays[1].inbox.heartbeat(SPAN).await.unwrap().shards.is_empty() {}
    assert!(began.elapsed() >= span);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_ends_hands_its_shards_on_at_once() {
    let Some(database) = Database::fresh().await else { return };
    let relays = relays(&database, 2).await;
    let all: Vec<&TestRelay> = relays.iter().collect();
    assert!(!relays[0].inbox.is_served().await.unwrap());
    assert_even(&settled(&all).await);
    assert!(relays[0].inbox.is_served().await.unwrap());
    relays[0].inbox.release_shards().await.unwrap();
    assert_eq!(beat(&relays[1]).await.len(), usize::from(SHARDS));
    assert!(!relays[1].inbox.is_served().await.unwrap());
    assert!(relays[0].inbox.is_served().await.unwrap(), "as one that only looks sees it");
}

/// The relay of the two that holds the connection's shard, and the other one.
async fn holder<'a>(one: &'a TestRelay, other: &'a TestRelay) -> (&'a TestRelay, &'a TestRelay) {
    let held = settled(&[one, other]).await;
    let shard = shard_of(SourceKind::BigCommerce, "abcde");
    if held[0].contains(&shard) { (one, other) } else { (other, one) }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_claims_what_another_relay_holds() {
    let Some(database) = Database::fresh().await else { return };
    let relays = relays(&database, 2).await;
    let (holder, other) = holder(&relays[0], &relays[1]).await;
    holder.news(7, START).await;
    assert_eq!(other.try_claim(&[7], START).await, []);
    assert_eq!(holder.try_claim(&[7], START).await.len(), 1);
    // Another connection of the same store is in the same shard; one of another store may be in another.
    let same = holder.inbox.create_connection(connection_to("abcde"), START).await.unwrap();
    let same = TestRelayAt { relay: other, connection: same };
    assert!(!same.can_claim().await);
}

/// A relay together with another connection.
struct TestRelayAt<'a> {
    relay: &'a TestRelay,
    connection: ConnectionId,
}

impl TestRelayAt<'_> {
    async fn can_claim(&self) -> bool {
        let Self { relay, connection } = self;
        let mut event = relay.event(1, "a", "h", 0, START);
        event.key.connection = *connection;
        let (resource, id) = (event.key.resource.clone(), event.key.id.clone());
        relay.inbox.accept(event).await.unwrap();
        !relay.inbox.claim(*connection, vec![(resource, id)], SPAN, START).await.unwrap().is_empty()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_stopped_longer_than_its_shards_last_neither_claims_nor_settles() {
    let Some(database) = Database::fresh().await else { return };
    let relays = relays(&database, 2).await;
    let (stopped, other) = holder(&relays[0], &relays[1]).await;
    stopped.news(7, START).await;
    stopped.news(8, START).await;
    let late = stopped.claim(7, START).await;
    let forwarded = stopped.claim(8, START).await;
    stopped.inbox.begin_forward(vec![forwarded.clone()]).await.unwrap();
    let held = beat(stopped).await;
    fall_silent(&database, &held).await;
    assert_eq!(beat(other).await.len(), usize::from(SHARDS));
    // A claim that it had not begun to forward is free before the end of its lease.
    assert_eq!(other.inbox.free_claims(at(1)).await.unwrap(), 1);
    assert_eq!(other.inbox.free_claims(at(1)).await.unwrap(), 0);
    let taken = other.claim(7, at(1)).await;
    assert_eq!(other.try_claim(&[8], at(1)).await, []);
    assert!(!stopped.settle(late, delivered(1, at(2)), at(2)).await);
    assert!(other.settle(taken, delivered(2, at(2)), at(2)).await);
    stopped.news(9, at(3)).await;
    assert_eq!(stopped.try_claim(&[9], at(3)).await, []);
    assert_eq!(other.try_claim(&[9], at(3)).await.len(), 1);
    assert!(stopped.settle(forwarded, delivered(1, at(4)), at(4)).await, "nobody has taken this one");
    assert_eq!(stopped.inbox.free_claims(at(4)).await.unwrap(), 0, "the other's are not free");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_revision_comes_with_the_heartbeat() {
    let Some(database) = Database::fresh().await else { return };
    let relays = relays(&database, 2).await;
    let revision = relays[1].inbox.heartbeat(SPAN).await.unwrap().revision;
    let made = relays[0].inbox.create_connection(connection_to("other"), START).await.unwrap();
    assert!(relays[1].inbox.heartbeat(SPAN).await.unwrap().revision > revision);
    let changed = relays[1].inbox.connections(revision).await.unwrap();
    assert_eq!(changed.iter().map(|record| record.id).collect::<Vec<_>>(), [made]);
}
