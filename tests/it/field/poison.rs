//! Orders that one side can never process, in a row or scattered, among good ones.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sandbox::{Action, Fault, Operation};

use super::polling;
use crate::relay::world::World;

const SOON: Duration = Duration::from_secs(10);

/// The side that cannot process an order.
#[derive(Debug, Clone, Copy)]
enum At {
    Destination,
    Store,
}

fn poison(world: &World, at: At, order: i64) {
    match at {
        At::Destination => world.sink.fault_order(order, Action::Status(500)),
        At::Store => {
            let action = Action::Status(500);
            world.store.fault(Fault::new(Operation::OrderSingle, action.clone()).order(order));
            world.store.fault(Fault::new(Operation::OrderList, action).listing(order));
        }
    }
}

async fn first_good_one(at: At, bad: usize) {
    let world = polling(&[("RECONCILE_INTERVAL", "0")]).await;
    let before = world.store.place_order_as(None, 11);
    world.arrived_at(before, 1).await;
    for _ in 0..bad {
        let order = world.store.place_order_silently(None, 11);
        poison(&world, at, order);
        world.tell(order).await;
        // Spread over time, as orders are in practice.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let began = Instant::now();
    let good = world.store.place_order_silently(None, 11);
    world.tell(good).await;
    let reached = world.sink.wait_for(|sink| sink.newest(good).is_some(), Duration::from_secs(60)).await;
    let took = began.elapsed();
    println!("{at:?}: after {bad} bad ones the first good one took {took:?}");
    assert!(reached.is_ok() && took < SOON, "{at:?}: after {bad} bad ones the first good one took {took:?}");
    world.sink.clear_faults();
    world.store.clear_faults();
    world.finish().await;
}

#[actix_web::test]
async fn the_first_good_one_behind_a_row_of_bad_ones_arrives_soon() {
    for bad in [1, 3, 6, 10] {
        first_good_one(At::Destination, bad).await;
    }
}

#[actix_web::test]
async fn the_same_where_the_stores_own_answer_is_the_bad_one() {
    for bad in [1, 3, 6, 10] {
        first_good_one(At::Store, bad).await;
    }
}

/// One order in five is bad; returns the waits of the others, sorted.
async fn trickle(at: At) -> Vec<Duration> {
    let world = polling(&[("RECONCILE_INTERVAL", "0")]).await;
    let mut placed = HashMap::new();
    for number in 0..60 {
        let order = world.store.place_order_silently(None, 11);
        if number % 5 == 0 {
            poison(&world, at, order);
        } else {
            placed.insert(order, Instant::now());
        }
        world.tell(order).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let all = |sink: &sandbox::OneTribeSim| placed.keys().all(|order| sink.newest(*order).is_some());
    let reached = world.sink.wait_for(all, Duration::from_secs(60)).await;
    assert!(reached.is_ok(), "{at:?}: good orders are still missing");
    let received = world.sink.accepted();
    let mut waits: Vec<Duration> = placed
        .iter()
        .map(|(order, at)| received.iter().find(|one| one.order_id == *order).unwrap().started - *at)
        .collect();
    waits.sort_unstable();
    world.sink.clear_faults();
    world.store.clear_faults();
    world.finish().await;
    waits
}

#[actix_web::test]
async fn a_trickle_with_one_in_five_bad_holds_up_hardly_any() {
    for at in [At::Destination, At::Store] {
        let waits = trickle(at).await;
        let (median, most) = (waits[waits.len() / 2], waits[waits.len() * 95 / 100]);
        println!("{at:?}: median {median:?}, of 95 % {most:?}");
        assert!(most < SOON, "{at:?}: median {median:?}, of 95 % {most:?}");
    }
}
