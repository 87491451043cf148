//! Several relays on one PostgreSQL database, as real processes behind a load balancer, with a connection for each of
//! six stores: killed, stopped, cut off from the database, replaced one by one, their tables altered. No order may be
//! missing, doubled, stale, overlapping or at another store's destination, and no call superfluous.

mod connections;
mod hooks;
mod leases;
mod metrics;
mod pages;
mod schema;
mod world;

use std::time::Duration;

use reqwest::Method;
use sandbox::Action;

use crate::support::{receiver::Receiver, replica::Replica};
use world::{PATIENCE, STORES, World};

/// Longer than any lease of these relays: those of a list last 12 s longer than the timeouts of 4 s.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(24);
/// The shards of a dead relay are taken over within this time: their span, a heartbeat, and time for a slow machine.
const SOON: Duration = Duration::from_secs(10);
/// Longer than the interval between a relay's checks for alerts.
const A_LOOK: Duration = Duration::from_secs(7);
/// How many orders a relay may have under way by default, of all stores: it may have got their answers without
/// recording them.
const UNDER_WAY: usize = 8 * STORES;

#[tokio::test(flavor = "multi_thread")]
async fn relays_share_the_stores_out_and_each_that_joins_takes_its_even_share() {
    let Some(mut world) = World::start(1).await else { return };
    assert_eq!(world.replicas[0].shards(), 64);
    for count in [2, 3, 4] {
        let joined = async {
            let replica = world.replica().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            replica
        };
        let (replica, ()) = tokio::join!(joined, world.load(Duration::from_secs(3)));
        world.replicas.push(replica);
        world.shared_out(SOON).await;
        assert_eq!(world.replicas.len(), count);
    }
    let held: Vec<usize> = world.replicas.iter().map(Replica::shards).collect();
    assert_eq!(held, [16; 4]);
    world.load(Duration::from_secs(2)).await;
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_a_killed_relay_are_taken_over_within_seconds() {
    let Some(mut world) = World::start(3).await else { return };
    // Each of the first three relays is killed, so that every store is affected.
    for _ in 0..3 {
        world.load(Duration::from_secs(2)).await;
        let killed = world.leave(0);
        killed.signal("KILL");
        tokio::join!(world.load(Duration::from_secs(4)), world.shared_out(SOON));
        world.join().await;
    }
    world.settled().await;
    world.finish_after(3 * UNDER_WAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_stopped_for_longer_than_their_leases_do_no_harm_when_they_wake() {
    let Some(mut world) = World::start(3).await else { return };
    world.load(Duration::from_secs(2)).await;
    let mut stopped = vec![world.leave(0), world.leave(0)];
    stopped.iter().for_each(|replica| replica.signal("STOP"));
    tokio::join!(world.load(LONGER_THAN_A_LEASE), world.shared_out(SOON));
    stopped.iter().for_each(|replica| replica.signal("CONT"));
    world.load(Duration::from_secs(2)).await;
    for replica in &stopped {
        world.balancer.add(replica.port);
    }
    world.replicas.append(&mut stopped);
    tokio::join!(world.load(Duration::from_secs(2)), world.shared_out(SOON));
    world.settled().await;
    world.finish_after(2 * UNDER_WAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_relay_has_sent_and_arrives_after_newer_orders_is_put_right() {
    let Some(mut world) = World::start(1).await else { return };
    let order = world.stores[0].place_order_silently(None, 11);
    let road = world.road_to_sink(0).await;
    // The change of the destination is checked now: what is held is not that check's call, nor one on its connection.
    let check = format!("/connections/{}/integration/check", world.ids[0]);
    assert_eq!(world.admin(0, Method::GET, &check, "application/json").await.0, 200);
    road.cut();
    let (begun, release) = road.hold_next();
    world.stores[0].change_order(order, 2);
    tokio::time::timeout(PATIENCE, begun).await.expect("the order is sent").unwrap();
    let stopped = world.leave(0);
    stopped.signal("STOP");
    world.join().await;
    // The remaining relay sends the newer state once the lease has ended, and the older one arrives after it.
    world.stores[0].change_order(order, 3);
    world.settled().await;
    release.send(()).unwrap();
    let received = || world.sinks[0].received().iter().filter(|one| one.order_id == order).count();
    world.until("the older state arrives", PATIENCE, || received() == 2).await;
    stopped.signal("CONT");
    world.until("the newer state is sent again", PATIENCE, || received() == 3).await;
    let revisions: Vec<u64> = world.sinks[0].received().iter().map(|one| one.revision).collect();
    assert!(revisions[0] == revisions[2] && revisions[1] < revisions[0], "{revisions:?}");
    world.stop_relays().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_or_restarts_and_comes_back_loses_nothing() {
    let Some(world) = World::start(3).await else { return };
    let outages = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.crash().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.up().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.restart_database().await;
    };
    tokio::join!(world.load(Duration::from_secs(12)), outages);
    world.shared_out(SOON).await;
    world.settled().await;
    world.finish_after(2 * 3 * UNDER_WAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_database_cut_again_and_again_lose_nothing() {
    let Some(world) = World::start(3).await else { return };
    let look = world.look().await;
    let cuts = async {
        for round in 0..20 {
            if round % 2 == 0 {
                world.link.cut();
            } else {
                world.end_sessions(&look).await;
            }
            tokio::time::sleep(Duration::from_millis(350)).await;
        }
    };
    tokio::join!(world.load(Duration::from_secs(8)), cuts);
    world.shared_out(SOON).await;
    world.settled().await;
    world.finish_after(20 * UNDER_WAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deploy_loses_nothing_sends_nothing_twice_and_hands_shards_on_at_once() {
    let Some(mut world) = World::start(2).await else { return };
    let look = world.look().await;
    for _ in 0..2 {
        world.load(Duration::from_secs(2)).await;
        // The new relay joins and the old one is told to stop, all under load.
        world.join().await;
        let mut old = world.leave(0);
        let retire = async {
            old.signal("TERM");
            assert!(old.ended().await.success());
        };
        let handed_on = async {
            retire.await;
            let relays = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM relays").fetch_one(&look).await.unwrap();
            assert_eq!(relays, 2, "it has given its shards back at once, and has not just fallen silent");
            world.shared_out(SOON).await;
        };
        tokio::join!(world.load(Duration::from_secs(4)), handed_on);
    }
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_told_once_whoever_holds_the_store() {
    let Some(mut world) = World::prepare().await else { return };
    let receiver = Receiver::start();
    world.set("ALERT_URL", &receiver.url);
    world.set("RETRY_MAX_AGE", "1s");
    for _ in 0..3 {
        world.join().await;
    }
    world.connect_all().await;
    let order = world.stores[2].place_order_silently(None, 11);
    world.sinks[2].fault_order(order, Action::Status(422));
    world.stores[2].change_order(order, 2);
    world.until("the alert is told", PATIENCE, || !receiver.texts().is_empty()).await;
    let look = world.look().await;
    let told = async || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM alerts").fetch_one(&look).await.unwrap();
    tokio::time::timeout(PATIENCE, async {
        while told().await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("that it was told is kept");
    // Each replacement checks for alerts too; in the end none of the first three relays is left.
    for _ in 0..3 {
        let killed = world.leave(0);
        killed.signal("KILL");
        world.join().await;
        tokio::time::sleep(A_LOOK).await;
    }
    let texts = receiver.texts();
    assert!(texts.len() == 1 && texts[0].contains("could not be delivered"), "{texts:?}");
    world.sinks[2].clear_faults();
    let resend = format!("/connections/{}/orders/resend?state=failed", world.ids[2]);
    assert_eq!(world.admin(0, Method::POST, &resend, "application/json").await.0, 202);
    world.settled().await;
    world.finish_after(3 * UNDER_WAY).await;
}
