//! Missed orders that polling has to find in lists that are too long for the store, or that contain a row it cannot
//! list.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sandbox::{Action, Fault, Operation};

use super::{arrived_within, page, polling, rows};
use crate::relay::world::World;

const A_MINUTE: Duration = Duration::from_secs(60);

fn refused(status: u16) -> Action {
    Action::Status(status)
}

async fn finds_all(action: Action, widest: usize) {
    let world = polling(&[("FETCH_TIMEOUT", "2s")]).await;
    world.store.fault(Fault::new(Operation::OrderList, action.clone()).wider_than(widest));
    for _ in 0..150 {
        world.store.place_order_silently(None, 11);
    }
    arrived_within(&world, 150, A_MINUTE).await;
    // The page size that works is kept: later polls do not start with a larger one.
    let late = world.store.place_order_silently(None, 11);
    world.arrived_at(late, 1).await;
    let began = Instant::now();
    loop {
        let (status, report) = world.get("/integration/check").await;
        if status == 200 {
            break;
        }
        assert!(began.elapsed() < A_MINUTE, "{action:?}: {report}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn pages_that_are_too_wide_are_asked_for_narrower() {
    let actions = [400, 422, 500, 502, 503, 504, 524].map(refused).into_iter().chain([500, 504, 524].map(page));
    join_all(actions.map(|action| finds_all(action, 100))).await;
}

#[actix_web::test]
async fn a_page_that_takes_too_long_or_breaks_is_asked_for_narrower() {
    let actions = [Action::Slow(Duration::from_secs(4)), Action::Drop, Action::HalfAnswer];
    join_all(actions.map(|action| finds_all(action, 100))).await;
}

#[actix_web::test]
async fn down_to_a_few_rows_at_a_time() {
    let refusals = [(refused(504), 20), (refused(400), 5), (page(503), 3)];
    join_all(refusals.map(|(action, width)| finds_all(action, width))).await;
}

#[actix_web::test]
async fn a_width_that_works_is_remembered_over_a_restart_and_tried_wider_later() {
    let mut world = polling(&[]).await;
    world.store.fault(Fault::new(Operation::OrderList, refused(504)).wider_than(100));
    for _ in 0..150 {
        world.store.place_order_silently(None, 11);
    }
    arrived_within(&world, 150, A_MINUTE).await;
    world.stop_relay().await;
    let before = world.store.calls().len();
    world.start_relay().await;
    let late = world.store.place_order_silently(None, 11);
    world.arrived_at(late, 1).await;
    let refused = world.store.calls()[before..].iter().filter(|call| call.status == Some(504)).count();
    assert_eq!(refused, 0, "the width that works was kept");
    world.store.clear_faults();
    let widened = |store: &sandbox::StoreSim| {
        store.calls().iter().rev().take(3).any(|call| call.path_and_query.contains("limit=250"))
    };
    world.store.wait_for(widened, 2 * A_MINUTE).await.unwrap();
    world.finish().await;
}

/// The row that cannot be listed is first, last or in the middle.
async fn goes_round(action: Action, at: usize, alone: bool) {
    let world: World = polling(&[("FETCH_TIMEOUT", "2s")]).await;
    let first = world.store.order(world.store.place_order_silently(None, 11)).unwrap().id;
    let poison = first + i64::try_from(at).unwrap();
    world.store.fault(Fault::new(Operation::OrderList, action.clone()).listing(poison));
    if alone {
        world.store.fault(Fault::new(Operation::OrderSingle, action.clone()).order(poison));
    }
    for _ in 1..40 {
        world.store.place_order_silently(None, 11);
    }
    // That order arrives too if the store can return it by itself; otherwise it is listed with the reason.
    let expected = if alone { 39 } else { 40 };
    arrived_within(&world, expected, A_MINUTE).await;
    if alone {
        let listed = rows(&world, "pending", |rows| rows.len() == 1 && rows[0]["last_error"].is_string()).await;
        assert_eq!((listed.len(), &listed[0]["order_id"]), (1, &poison.into()), "{listed:?}");
        // Once the store can return it, it arrives.
        world.store.clear_faults();
        world.arrived_at(poison, 1).await;
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_row_that_makes_every_list_fail_hides_no_other() {
    let places = [0, 20, 39].into_iter().flat_map(|at| [(refused(500), at), (refused(503), at)]);
    join_all(places.chain([(page(500), 20)]).map(|(action, at)| goes_round(action, at, false))).await;
}

#[actix_web::test]
async fn a_row_that_can_not_be_fetched_by_itself_either_is_listed_with_its_reason() {
    let places = [0, 20, 39].map(|at| (refused(500), at)).into_iter().chain([(refused(503), 20), (page(500), 20)]);
    join_all(places.map(|(action, at)| goes_round(action, at, true))).await;
}

#[actix_web::test]
async fn that_polling_does_not_work_is_told_at_once() {
    let world = polling(&[]).await;
    // A list that is neither filtered nor sorted as requested: the store is up, but polling cannot work.
    let old = r#"[{"id":1,"date_modified":"Mon, 11 Mar 2019 15:17:25 +0000"}]"#;
    let unfiltered = Action::Say { status: 200, kind: "application/json", body: old };
    world.store.fault(Fault::new(Operation::OrderList, unfiltered));
    let told = async {
        loop {
            let (_, report) = world.get("/integration/check").await;
            let deliveries = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "deliveries");
            if deliveries.unwrap()["detail"].as_str().unwrap().contains("could not look for new orders itself") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(15), told).await.is_err() {
        panic!("{:?} {}", world.get("/integration/check").await, world.store.calls().len());
    }
    world.finish().await;
}
