//! Several relays on one PostgreSQL database, as real processes behind a load balancer: killed, stopped, cut off from the
//! database, replaced one by one, their tables altered, and nothing missing, stale or side by side, and never a call too many.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod hooks;
#[path = "../support/schema.rs"]
mod next;
mod pages;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/receiver.rs"]
mod receiver;
#[path = "../support/replica.rs"]
mod replica;
mod schema;
mod world;

use std::time::Duration;

use receiver::Receiver;
use reqwest::Method;
use sandbox::Action;
use world::{PATIENCE, World};

/// Longer than any lease of these relays: those of a list outlast the timeouts of 2 s by 12 s.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(18);
/// Within this a relay that has died is replaced: the lead's span, a beat, and time for a slow machine.
const SOON: Duration = Duration::from_secs(10);
/// Longer than it is between two looks at what there is to tell.
const A_LOOK: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread")]
async fn three_relays_share_the_work_of_acknowledging_and_one_does_the_rest() {
    let Some(world) = World::start(3).await else { return };
    world.load(Duration::from_secs(6)).await;
    world.settled().await;
    let terms: Vec<usize> = world.replicas.iter().map(replica::Replica::terms).collect();
    assert_eq!(terms, [1, 0, 0], "the first keeps the lead");
    assert_eq!(world.store.hooks().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_within_seconds() {
    let Some(mut world) = World::start(3).await else { return };
    for _ in 0..2 {
        world.load(Duration::from_secs(3)).await;
        let leader = world.leader();
        let killed = world.replicas.remove(leader);
        world.proxy.remove(killed.port);
        killed.signal("KILL");
        let (loaded, ()) = tokio::join!(world.load(Duration::from_secs(4)), world.led(SOON));
        let () = loaded;
        let another = world.replica().await;
        world.replicas.push(another);
    }
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_told_once_whoever_leads() {
    let Some(mut world) = World::prepare().await else { return };
    let receiver = Receiver::start();
    world.set("ALERT_URL", &receiver.url);
    world.set("RETRY_MAX_AGE", "1s");
    for _ in 0..3 {
        world.join().await;
    }
    world.hooked().await;
    let order = world.store.place_order_silently(None, 11);
    world.sink.fault_order(order, Action::Status(422));
    world.store.change_order(order, 2);
    world.until("the alert is told", PATIENCE, || !receiver.texts().is_empty()).await;
    // Whoever comes next looks as well.
    for _ in 0..2 {
        let killed = world.replicas.remove(world.leader());
        world.proxy.remove(killed.port);
        killed.signal("KILL");
        world.led(SOON).await;
        tokio::time::sleep(A_LOOK).await;
    }
    let texts = receiver.texts();
    assert!(texts.len() == 1 && texts[0].contains("could not be delivered"), "{texts:?}");
    world.sink.clear_faults();
    assert_eq!(world.admin(0, Method::POST, "/orders/resend?state=failed", "application/json").await.0, 202);
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_stopped_for_longer_than_its_leases_does_no_harm_when_it_wakes() {
    let Some(world) = World::start(3).await else { return };
    world.load(Duration::from_secs(3)).await;
    let stopped = world.leader();
    world.replicas[stopped].signal("STOP");
    world.proxy.remove(world.replicas[stopped].port);
    let (_, ()) = tokio::join!(world.load(LONGER_THAN_A_LEASE), world.led_by_another(stopped, SOON));
    world.replicas[stopped].signal("CONT");
    world.load(Duration::from_secs(3)).await;
    let lost = || world.replicas[stopped].said().iter().any(|line| line.contains("no longer has the lead"));
    world.until("it knows", SOON, lost).await;
    world.proxy.add(world.replicas[stopped].port);
    world.settled().await;
    assert_eq!(world.replicas.iter().map(replica::Replica::terms).sum::<usize>(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_and_comes_back_loses_nothing() {
    let Some(world) = World::start(3).await else { return };
    for _ in 0..2 {
        let outage = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            world.crash().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            world.up().await;
        };
        tokio::join!(world.load(Duration::from_secs(7)), outage);
    }
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_again_and_again_lose_nothing() {
    let Some(world) = World::start(3).await else { return };
    let cuts = async {
        for _ in 0..20 {
            world.cut().await;
            tokio::time::sleep(Duration::from_millis(350)).await;
        }
    };
    tokio::join!(world.load(Duration::from_secs(8)), cuts);
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deploy_loses_nothing_and_hands_the_lead_on_at_once() {
    let Some(mut world) = World::start(2).await else { return };
    for _ in 0..2 {
        world.load(Duration::from_secs(2)).await;
        // The new one joins, the old one is told to stop, all under load; the leader goes first.
        let new = world.replica().await;
        world.replicas.push(new);
        let old = world.leader();
        let mut old = world.replicas.remove(old);
        let port = old.port;
        let retire = async {
            world.proxy.remove(port);
            old.signal("TERM");
            assert!(old.ended().await.success());
        };
        // Well below the time that a dead leader's lead would take to run out.
        tokio::join!(world.load(Duration::from_secs(4)), retire, world.led(Duration::from_secs(4)));
    }
    world.settled().await;
    world.finish().await;
}
