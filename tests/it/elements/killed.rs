//! A relay that is killed while it sends notifications.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rand::RngExt;
use sandbox::Action;
use serde_json::{Value, json};

use super::world::{PATIENCE, World};

/// The statuses of each order in the notifications, in the order of receipt.
fn shown(world: &World) -> BTreeMap<i64, Vec<i64>> {
    let mut all: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for one in world.callback.received().into_iter().filter(|one| one.is_taken) {
        for row in one.body["message"]["raw"]["orders"].as_array().into_iter().flatten() {
            let number = |name: &str| row[name].as_i64().unwrap();
            all.entry(number("id")).or_default().push(number("status_id"));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_amid_notifications_nothing_is_lost_ids_stay_and_no_object_goes_back() {
    let mut world = World::start().await;
    // Only a few instances' notifications, so that each is sent more than once.
    // Orders are polled late where several restarts follow each other, and are new all the same.
    let mut orders = super::world::orders();
    orders["datesConfiguration"]["createdCheckTolerance"] = json!(600);
    world.create(&world.body(&json!({ "event.poller.configuration": { "orders": orders } }))).await;
    let mut process = world.start_mortal().await;
    world.callback.fault_all(Action::Slow(Duration::from_millis(40)));
    let mut orders: Vec<(i64, u8)> = Vec::new();
    for round in 0..10_u8 {
        for _ in 0..4 {
            orders.push((world.store.place_order_silently(None, 1), 1));
        }
        for (order, status) in &mut orders {
            if *status < 14 && rand::rng().random_bool(0.4) {
                *status += 1;
                world.store.change_order_silently(*order, *status);
            }
        }
        let pause = rand::rng().random_range(300..1_600);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        process.kill();
        if round == 5 {
            world.callback.fault_all(Action::HoldAnswer);
        }
        process = world.start_mortal().await;
        if round == 6 {
            world.callback.clear_faults();
            world.callback.release();
            world.callback.fault_all(Action::Slow(Duration::from_millis(40)));
        }
    }
    world.callback.clear_faults();
    world.callback.release();
    let end = tokio::time::Instant::now() + 3 * PATIENCE;
    let is_told = |all: &BTreeMap<i64, Vec<i64>>| {
        orders.iter().all(|(order, status)| all.get(order).and_then(|seen| seen.last()) == Some(&i64::from(*status)))
    };
    while !is_told(&shown(&world)) {
        assert!(tokio::time::Instant::now() < end, "{orders:?} are not what was shown: {:?}", shown(&world));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (order, seen) in shown(&world) {
        assert!(seen.is_sorted(), "order {order} went back: {seen:?}");
    }
    let mut creations: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut objects: BTreeMap<String, Value> = BTreeMap::new();
    for one in world.callback.received() {
        assert_eq!(one.body["message"]["eventId"], one.webhook_id.as_str());
        for event in one.events().into_iter().filter(|event| event.change == "CREATED") {
            creations.entry(event.id).or_default().insert(one.webhook_id.clone());
        }
        let told: Vec<Value> = one.events().iter().map(|event| json!([event.id, event.change])).collect();
        let before = objects.entry(one.webhook_id).or_insert_with(|| json!(told));
        assert_eq!(*before, json!(told), "one id, one notification");
    }
    assert_eq!(creations.len(), orders.len());
    assert!(creations.values().all(|ids| ids.len() == 1), "a creation was told under two ids: {creations:?}");
    drop(process);
    world.finish().await;
}
