//! The pages and lists of several relays show the same, though only one of them fetches and forwards for a store.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbox::{Action, Fault, Operation};

use super::{
    SOON,
    world::{PATIENCE, World},
};

const STORE_DOWN: &str = "BigCommerce does not answer";
const DESTINATION_DOWN: &str = "One Tribe is not taking orders";

async fn page(world: &World, relay: usize, store: usize) -> String {
    let path = format!("/connections/{}/integration", world.ids[store]);
    world.admin(relay, Method::GET, &path, "text/html").await.1
}

/// Waits until the store's page contains this text at every relay, or at none.
async fn all(world: &World, store: usize, say: bool, what: &str) {
    let began = Instant::now();
    for relay in 0..world.replicas.len() {
        loop {
            let page = page(world, relay, store).await;
            if page.contains(what) == say {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "store {store}, relay {relay}, {what:?} is to be said: {say}: {page}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_tells_what_the_stores_own_relay_sees_and_of_that_store_alone() {
    let Some(world) = World::start(2).await else { return };
    for store in 0..world.stores.len() {
        all(&world, store, false, STORE_DOWN).await;
    }
    let sick = 3;
    for kind in [Operation::OrderSingle, Operation::OrderList] {
        world.stores[sick].fault(Fault::new(kind, Action::Status(503)));
    }
    world.load(Duration::from_secs(1)).await;
    all(&world, sick, true, "BigCommerce has not been answering").await;
    for store in (0..world.stores.len()).filter(|store| *store != sick) {
        all(&world, store, false, STORE_DOWN).await;
    }
    world.stores[sick].clear_faults();
    all(&world, sick, false, STORE_DOWN).await;

    let path = format!("/connections/{}/integration", world.ids[sick]);
    let (check, update) = (format!("{path}/check"), format!("{path}/update"));
    world.stores[sick].deactivate_hook(world.stores[sick].hooks()[0].id);
    let (status, report) = world.admin(0, Method::GET, &check, "application/json").await;
    // Meanwhile polling finds the orders, so it is only a warning.
    assert!(status == 200 && report.contains("has been switched off by BigCommerce"), "{report}");
    all(&world, sick, true, "has been switched off by BigCommerce").await;
    let (status, report) = world.admin(1, Method::POST, &update, "application/json").await;
    assert_eq!(status, 200, "{report}");
    let (status, report) = world.admin(0, Method::GET, &check, "application/json").await;
    assert_eq!(status, 200, "{report}");
    all(&world, sick, false, "has been switched off by BigCommerce").await;
    all(&world, sick, true, "Connected").await;
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_held_a_store_during_an_outage_does_not_go_on_telling_of_it() {
    let Some(mut world) = World::start(2).await else { return };
    for sink in &world.sinks {
        sink.fault_all(Action::Status(503));
    }
    world.load(Duration::from_secs(1)).await;
    for store in 0..world.stores.len() {
        all(&world, store, true, "One Tribe has not been taking orders").await;
    }
    let stopped = world.leave(0);
    stopped.signal("STOP");
    world.shared_out(SOON).await;
    world.sinks.iter().for_each(sandbox::OneTribeSim::clear_faults);
    world.settled().await;
    stopped.signal("CONT");
    world.replicas.push(stopped);
    for store in 0..world.stores.len() {
        all(&world, store, false, DESTINATION_DOWN).await;
    }
    world.shared_out(SOON).await;
    world.finish_after(super::UNDER_WAY).await;
}
