//! What the status pages of several relays say: each the same, though one alone fetches and forwards.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbox::{Action, Fault, Operation};

use crate::{SOON, world::World};

const NOT_ARRIVING: &str = "Orders are not arriving";

async fn page(world: &World, relay: usize) -> String {
    world.admin(relay, Method::GET, "/integration", "text/html").await.1
}

/// Waits until both pages say this, or neither does.
async fn both(world: &World, say: bool, what: &str) {
    let began = Instant::now();
    for relay in [0, 1] {
        while page(world, relay).await.contains(what) != say {
            assert!(began.elapsed() < SOON, "the page of relay {relay}, {what}: {say}, not within {SOON:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_tells_what_the_leader_sees() {
    let Some(world) = World::start(2).await else { return };
    both(&world, false, NOT_ARRIVING).await;
    for kind in [Operation::OrderSingle, Operation::OrderList] {
        world.store.fault(Fault::new(kind, Action::Status(503)));
    }
    world.load(Duration::from_millis(100)).await;
    both(&world, true, "BigCommerce has not been answering").await;
    world.store.clear_faults();
    both(&world, false, NOT_ARRIVING).await;

    world.store.deactivate_hook(world.store.hooks()[0].id);
    let (status, report) = world.admin(0, Method::GET, "/integration/check", "application/json").await;
    assert_eq!(status, 503, "{report}");
    assert!(page(&world, 1).await.contains("A webhook is missing or altered."));
    let (status, report) = world.admin(1, Method::POST, "/integration/update", "application/json").await;
    assert_eq!(status, 200, "{report}");
    let (status, report) = world.admin(0, Method::GET, "/integration/check", "application/json").await;
    assert_eq!(status, 200, "{report}");
    both(&world, true, "Connected").await;
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_led_during_an_outage_does_not_go_on_telling_of_it() {
    let Some(world) = World::start(2).await else { return };
    world.sink.fault_all(Action::Status(503));
    world.load(Duration::from_millis(100)).await;
    both(&world, true, "One Tribe has not been taking orders").await;
    world.proxy.remove(world.replicas[0].port);
    world.replicas[0].signal("STOP");
    world.led_by_another(0, SOON).await;
    world.sink.clear_faults();
    world.replicas[0].signal("CONT");
    both(&world, false, NOT_ARRIVING).await;
    world.settled().await;
    world.finish().await;
}
