//! `backfill` over lists that are too long for the store, or that contain an order that cannot be listed.

use sandbox::{Action, Fault, Operation, ProcessClock};

use super::page;
use crate::{
    operator::command::{command, past, run},
    relay::world::World,
};

/// A store with orders in March 2024, three of them in each second.
async fn store_with(orders: i64) -> (World, Vec<i64>) {
    let (world, now) = past(&[("FETCH_TIMEOUT", "2s")]);
    let begin = "2024-03-05T10:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    let place = |at: i64| {
        now.store(begin + at / 3, std::sync::atomic::Ordering::Relaxed);
        world.store.place_order_silently(None, 11)
    };
    let ids = (0..orders).map(place).collect();
    (world, ids)
}

const SPAN: [&str; 3] = ["backfill", "--since", "2024-03-01"];

async fn finds_all(action: Action, widest: usize) {
    let (world, _) = store_with(150).await;
    world.store.fault(Fault::new(Operation::OrderList, action.clone()).wider_than(widest));
    let (code, said, errors) = run(&world, &[&SPAN[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, 0, "{action:?}: {said}{errors}");
    assert!(said.contains("      150  would be relayed"), "{action:?}: {said}");
    let (code, said, errors) = run(&world, &SPAN).await;
    assert_eq!((code, world.sink.accepted_orders()), (0, 150), "{action:?}: {said}{errors}");
    world.finish().await;
}

#[actix_web::test]
async fn pages_that_are_too_wide_are_asked_for_narrower() {
    for status in [400, 422, 500, 502, 503, 504, 524] {
        finds_all(Action::Status(status), 100).await;
    }
    finds_all(page(504), 100).await;
    finds_all(Action::Drop, 100).await;
    finds_all(Action::Status(400), 5).await;
}

/// Runs the command with a clock on which ten minutes take 20 seconds; returns the exit code and all output.
async fn run_fast(world: &World, args: &[&str]) -> (Option<i32>, String) {
    const SPEED: u32 = 30;
    let mut command = command(world, args);
    ProcessClock::new(world.folder.path()).unwrap().give(&mut command, SPEED);
    command.env("FETCH_TIMEOUT", "60s").env("FORWARD_TIMEOUT", "60s");
    let ended = actix_web::rt::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
}

/// One order cannot be listed; with `alone` it cannot be fetched by itself either.
async fn goes_round(action: Action, at: usize, alone: bool) {
    let (world, ids) = store_with(40).await;
    let poison = ids[at];
    world.store.fault(Fault::new(Operation::OrderList, action.clone()).listing(poison));
    if alone {
        world.store.fault(Fault::new(Operation::OrderSingle, action.clone()).order(poison));
    }
    if alone {
        // With only this order left, the store seems to be down, which the command waits out for some minutes.
        let (code, said) = run_fast(&world, &SPAN).await;
        assert_eq!((code, world.sink.accepted_orders()), (Some(1), 39), "{action:?} at {at}: {said}");
        assert_eq!(world.sink.newest(poison), None);
        let (_, listed, _) = run(&world, &["orders", "list", "--state", "pending"]).await;
        assert!(listed.contains(&poison.to_string()), "{action:?} at {at}: it is listed: {listed}");
        world.store.clear_faults();
        let (code, said, errors) = run(&world, &SPAN).await;
        assert_eq!((code, world.sink.accepted_orders()), (0, 40), "{action:?} at {at}: {said}{errors}");
    } else {
        let (code, said, errors) = run(&world, &SPAN).await;
        assert_eq!((code, world.sink.accepted_orders()), (0, 40), "{action:?} at {at}: {said}{errors}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn an_order_that_cannot_be_listed_hides_no_other() {
    for at in [0, 20, 39] {
        goes_round(Action::Status(500), at, false).await;
    }
    goes_round(Action::Status(503), 20, false).await;
    goes_round(page(500), 20, false).await;
}

#[actix_web::test]
async fn an_order_that_cannot_be_fetched_either_is_listed_and_waits() {
    goes_round(Action::Status(500), 20, true).await;
    goes_round(Action::Status(500), 39, true).await;
}
