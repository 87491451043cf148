//! Polling of various resources.

use std::collections::BTreeSet;

use sandbox::{ProcessClock, clock::system_clock, order::rfc2822};
use serde_json::{Value, json};

use super::world::{World, another_second, set, words};

fn product(id: i64, name: &str) -> Value {
    let now = system_clock();
    json!({ "id": id, "name": name, "date_created": rfc2822(now), "date_modified": rfc2822(now), "note": null })
}

#[tokio::test]
async fn every_resource_is_told_of_under_its_own_name() {
    let world = World::start().await;
    let v3 = json!({
        "url": "/hubs/ecommerce/v3/catalog/products",
        "idField": "id",
        "datesConfiguration": { "updatedDateField": "date_modified", "createdDateField": "date_created" }
    });
    let contacts = json!({ "url": "/hubs/crm/contacts", "idField": "id", "datesConfiguration": {} });
    let poller =
        json!({ "things": { "url": "/hubs/ecommerce/products", "idField": "id" }, "v3": v3, "contacts": contacts });
    let extra = json!({ "event.poller.configuration": poller.to_string(), "filter.response.nulls": "false" });
    for list in ["v2/products", "v2/customers", "v3/catalog/products"] {
        world.store.put_row(list, product(1, "old"));
        world.store.remove_row(list, 1);
    }
    let instance = world.create(&world.body(&extra)).await;
    world.store.put_row("v2/products", product(5, "a product"));
    world.store.put_row("v2/customers", product(6, "a customer"));
    let now = jiff::Timestamp::from_second(system_clock()).unwrap().to_string().replace('Z', "+00:00");
    let row = json!({ "id": 7, "date_created": now, "date_modified": now });
    world.store.put_row("v3/catalog/products", row);
    let events = world.told(3).await;
    let expected = ["things 5 CREATED", "contacts 6 CREATED", "v3 7 CREATED"].map(str::to_owned);
    assert_eq!(set(&events), expected.into());
    let taken = world.callback.taken();
    let of = |name: &str| taken.iter().find(|one| one.body["message"]["raw"]["objectType"] == name).unwrap();
    assert_eq!(of("things").body["message"]["raw"]["things"][0]["note"], Value::Null);
    assert!(of("things").body["message"]["raw"]["things"][0].get("note").is_some(), "nulls are kept where asked for");
    let fetched = world.get_by(&instance, "/hubs/ecommerce/v3/catalog/products/7").await;
    assert_eq!((fetched.status, &fetched.body["id"]), (200, &json!(7)));
    let listed = world.get_by(&instance, "/hubs/ecommerce/v3/catalog/products").await;
    assert_eq!(listed.header("elements-total-count"), Some("1"));
    world.finish().await;
}

#[tokio::test]
async fn rows_without_dates_are_told_apart_by_what_they_say() {
    let world = World::start().await;
    let poller = json!({ "tags": { "url": "/hubs/ecommerce/tags", "idField": "id" } });
    world.store.put_row("v2/tags", json!({ "id": 1, "name": "one" }));
    world.store.put_row("v2/tags", json!({ "id": 2, "name": "two" }));
    world.create(&world.body(&json!({ "event.poller.configuration": poller }))).await;
    world.polled(4).await;
    assert_eq!(world.callback.received().len(), 0, "what was there before is only remembered");
    world.store.put_row("v2/tags", json!({ "id": 2, "name": "zwei" }));
    world.store.put_row("v2/tags", json!({ "id": 3, "name": "three" }));
    let events = world.told(2).await;
    assert_eq!(set(&events), ["tags 2 UPDATED", "tags 3 UPDATED"].map(str::to_owned).into());
    world.polled(4).await;
    assert_eq!(world.callback.events().len(), 2, "each state is told of once");
    world.finish().await;
}

#[tokio::test]
async fn many_changes_go_out_ten_by_ten_and_none_is_lost_or_doubled() {
    let world = World::start().await;
    world.instance().await;
    let orders: BTreeSet<i64> = (0..437).map(|_| world.store.place_order_silently(None, 7)).collect();
    let events = world.told(orders.len()).await;
    let expected: BTreeSet<String> = orders.iter().map(|order| format!("orders {order} CREATED")).collect();
    assert_eq!(set(&events), expected);
    for one in world.callback.taken() {
        assert!(one.events().len() <= 10);
        assert_eq!(one.body["message"]["raw"]["orders"].as_array().unwrap().len(), one.events().len());
    }
    let singles = world.store.call_count(sandbox::Operation::OrderSingle);
    assert_eq!(singles, 0, "the poll has read them already");
    world.polled(3).await;
    assert_eq!(world.callback.events().len(), orders.len());
    world.finish().await;
}

#[tokio::test]
async fn what_changes_while_the_relay_is_away_is_told_of_in_its_newest_state() {
    let mut world = World::start().await;
    world.instance().await;
    let order = world.store.place_order_silently(None, 7);
    world.told(1).await;
    world.polled(1).await;
    world.stop_relay().await;
    another_second().await;
    world.store.change_order_silently(order, 9);
    world.store.change_order_silently(order, 11);
    let other = world.store.place_order_silently(None, 7);
    world.start_relay().await;
    let events = world.told(3).await;
    assert_eq!(words(&events)[0], format!("orders {order} CREATED"));
    let rest: BTreeSet<String> = words(&events)[1..].iter().cloned().collect();
    assert_eq!(rest, [format!("orders {order} UPDATED"), format!("orders {other} CREATED")].into());
    world.polled(3).await;
    assert_eq!(world.callback.events().len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn the_tolerance_tells_creations_from_updates() {
    let world = World::start().await;
    let things = |tolerance: u32| {
        json!({ "url": "/hubs/ecommerce/things", "idField": "user.id", "createdCheckTolerance": tolerance,
            "datesConfiguration": { "updatedDateField": "date_modified", "createdDateField": "made" } })
    };
    let poller = json!({ "narrow": things(10), "wide": things(3600) });
    world.create(&world.body(&json!({ "event.poller.configuration": poller }))).await;
    let now = system_clock();
    let row = json!({
        "id": 1, "user": { "id": "x-7" }, "date_modified": rfc2822(now + 60), "made": rfc2822(now + 1)
    });
    world.store.put_row("v2/things", row);
    let events = world.told(2).await;
    assert_eq!(set(&events), ["narrow x-7 UPDATED", "wide x-7 CREATED"].map(str::to_owned).into());
    let taken = world.callback.taken();
    assert!(taken.iter().all(|one| one.body["message"]["raw"].to_string().contains("x-7")), "the row comes along");
    world.finish().await;
}

#[tokio::test]
async fn a_store_whose_clock_is_behind_is_asked_by_its_own_time() {
    let world = World::start().await;
    world.store.set_clock_skew(-600);
    world.instance().await;
    let order = world.store.place_order_silently(None, 7);
    assert_eq!(words(&world.told(1).await), [format!("orders {order} CREATED")]);
    world.finish().await;
}

#[tokio::test]
async fn a_poll_that_finds_nothing_costs_one_call_for_each_resource() {
    let world = World::start().await;
    let products = json!({ "url": "/hubs/ecommerce/products", "idField": "id" });
    let v3 = json!({ "url": "/hubs/ecommerce/v3/customers", "idField": "id" });
    let poller = json!({ "orders": super::world::orders(), "products": products, "v3": v3 });
    for list in ["v2/products", "v3/customers"] {
        world.store.put_row(list, product(1, "gone by now"));
        world.store.remove_row(list, 1);
    }
    world.create(&world.body(&json!({ "event.poller.configuration": poller }))).await;
    world.polled(12).await;
    let paths: Vec<String> = world.store.calls().iter().map(|call| call.path_and_query.clone()).collect();
    let of = |list: &str| paths.iter().filter(|path| path.contains(list) && path.contains("limit=250")).count();
    let counts = [of("/v2/orders?"), of("/v2/products?"), of("/v3/customers?")];
    assert!(counts.iter().all(|count| count.abs_diff(counts[0]) <= 1), "{counts:?}");
    // Apart from polls, the credentials were tried, and the first check of the connection may have begun.
    let is_check = |path: &&String| path.ends_with("limit=1") || path.ends_with("/v2/store") || path.contains("/hooks");
    let others: Vec<_> =
        paths.iter().filter(|path| !path.contains("limit=250")).filter(|path| !is_check(path)).collect();
    assert!(others.is_empty(), "{others:?}");
    let dated = |path: &String| path.contains("date_modified");
    let mut lists = paths.iter().filter(|path| path.contains("limit=250") && !is_check(path));
    assert!(lists.all(dated), "each asks for changes only");
    world.finish().await;
}

#[tokio::test]
async fn a_clock_that_was_wrong_for_a_while_hides_no_change() {
    for off in [3600, -3600] {
        let mut world = World::start().await;
        world.instance().await;
        world.stop_relay().await;
        let clock = ProcessClock::new(world.folder()).unwrap();
        let process = world.start_process(&clock).await;
        let before = world.store.place_order_silently(None, 11);
        world.told(1).await;
        clock.set(off).unwrap();
        let meanwhile = world.store.place_order_silently(None, 11);
        world.told(2).await;
        clock.set(0).unwrap();
        let after = world.store.place_order_silently(None, 11);
        let told = world.told(3).await;
        let expected = [before, meanwhile, after].map(|order| format!("orders {order} CREATED"));
        assert_eq!((set(&told), told.len()), (expected.into(), 3), "{off} s off");
        process.signal("TERM");
        assert!(process.ended().await.success());
        world.finish().await;
    }
}
