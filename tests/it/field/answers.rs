//! Outages with an answer: a page, an empty body, an error under a success status. And compressed answers.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sandbox::{Action, Coding, Fault, Operation};

use super::{arrived_within, fault_orders, page, polling, rows};
use crate::relay::world::World;

fn say(status: u16, kind: &'static str, body: &'static str) -> Action {
    Action::Say { status, kind, body }
}

/// Every answer that a store is known to give, with 200 or another status, while it is down.
fn answers() -> Vec<Action> {
    vec![
        page(200),
        page(403),
        page(404),
        page(503),
        say(200, "application/json", super::HTML),
        say(200, "application/json", ""),
        say(200, "application/json", r#"{"error":"The store is unavailable"}"#),
        say(200, "application/json", r#"[{"status":500,"message":"An internal error has occurred."}]"#),
        say(204, "application/json", ""),
        say(200, "text/xml", "<?xml version=\"1.0\"?><errors><error><status>503</status></error></errors>"),
        say(403, "text/html", "<html><title>Just a moment...</title></html>"),
    ]
}

#[actix_web::test]
async fn the_same_bad_answer_to_several_orders_is_the_stores_outage() {
    join_all(answers().into_iter().map(is_an_outage)).await;
}

async fn is_an_outage(action: Action) {
    let world = polling(&[("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "1s")]).await;
    let before = world.store.place_order_as(None, 11);
    world.arrived_at(before, 1).await;
    fault_orders(&world, &action);
    let calls = world.store.call_count(Operation::OrderSingle) + world.store.call_count(Operation::OrderList);
    for _ in 0..20 {
        world.store.place_order_as(None, 11);
    }
    world.sender.idle(Duration::from_secs(10)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let during = world.store.call_count(Operation::OrderSingle) + world.store.call_count(Operation::OrderList);
    let spent = during - calls;
    // During the outage only probes are sent, and they do not count as an order's own attempts.
    for state in ["failed", "gone"] {
        let (_, lost) = world.get(&format!("/orders?state={state}")).await;
        assert_eq!(lost["orders"], serde_json::json!([]), "{action:?}");
    }
    let (_, pending) = world.get("/orders?state=pending&limit=500").await;
    let tries: i64 = pending["orders"].as_array().unwrap().iter().map(|row| row["attempts"].as_i64().unwrap()).sum();
    println!("{action:?}: {spent} calls, {tries} tries");
    assert!(spent <= 40 && tries <= 4, "{action:?}: {spent} calls, {tries} tries: {pending}");
    world.store.clear_faults();
    let began = Instant::now();
    arrived_within(&world, 21, Duration::from_secs(20)).await;
    println!("{action:?}: all arrived after {:?}", began.elapsed());
    world.finish().await;
}

#[actix_web::test]
async fn a_bad_answer_among_good_ones_is_that_orders_own() {
    let answers = [
        say(200, "application/json", ""),
        say(200, "application/json", r#"{"error":"odd"}"#),
        say(204, "application/json", ""),
        Action::AnotherOrder,
    ];
    join_all(answers.map(is_one_orders_own)).await;
}

async fn is_one_orders_own(action: Action) {
    let world = polling(&[("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "6s")]).await;
    let odd = world.store.place_order_silently(None, 11);
    world.store.fault(Fault::new(Operation::OrderSingle, action.clone()).order(odd));
    world.tell(odd).await;
    // Too far away for a list that holds both.
    for n in 1..=10 {
        let good = world.store.place_order_as(Some(odd + 1000 * n), 11);
        world.arrived_at(good, 1).await;
    }
    let row = world.settled(odd, "failed").await;
    assert!(row["attempts"].as_i64().unwrap() >= 3, "{action:?}: {row}");
    world.store.clear_faults();
    assert_eq!(world.post(&format!("/orders/{odd}/resend")).await.0, 202);
    world.arrived_at(odd, 1).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_web_page_for_one_order_is_never_the_orders_fault() {
    let world = polling(&[("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "1s")]).await;
    let odd = world.store.place_order_silently(None, 11);
    world.store.fault(Fault::new(Operation::OrderSingle, page(200)).order(odd));
    world.store.fault(Fault::new(Operation::OrderList, page(200)).listing(odd));
    world.tell(odd).await;
    for _ in 0..10 {
        let good = world.store.place_order_as(None, 11);
        world.arrived_at(good, 1).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let row = world.row(odd).await;
    assert_eq!((&row["state"], &row["attempts"]), (&"pending".into(), &0.into()), "{row}");
    world.store.clear_faults();
    world.arrived_at(odd, 1).await;
    world.finish().await;
}

async fn forwards_what_was_coded(action: Action) {
    let world = polling(&[]).await;
    fault_orders(&world, &action);
    world.sink.fault_all(Action::Status(503));
    let orders: Vec<i64> = (0..5).map(|_| world.store.place_order_silently(None, 11)).collect();
    for order in &orders {
        world.tell(*order).await;
    }
    let missed = world.store.place_order_silently(None, 11);
    world.sink.wait_for(|sink| sink.attempts() > 0, Duration::from_secs(20)).await.unwrap();
    world.sink.clear_faults();
    for order in orders.into_iter().chain([missed]) {
        world.arrived_at(order, 1).await;
        let received = world.sink.accepted().into_iter().find(|one| one.order_id == order).unwrap();
        let body = received.body.unwrap();
        let own = world.store.order_bytes(order).unwrap();
        assert!(body.ends_with(&own) && body.len() <= own.len() + 3, "{action:?}: the decoded bytes");
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_coded_answer_is_decoded_though_nobody_asked_for_it() {
    forwards_what_was_coded(Action::Coded(Coding::Gzip)).await;
    forwards_what_was_coded(Action::Coded(Coding::Deflate)).await;
}

#[actix_web::test]
async fn a_byte_order_mark_before_json_is_passed_over() {
    forwards_what_was_coded(Action::Prefix("\u{feff}")).await;
}

#[actix_web::test]
async fn the_relay_asks_for_no_coding() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader};
        let (stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        lines.collect::<Vec<String>>()
    });
    let mut world = World::prepare(sandbox::StoreConfig::default(), sandbox::SenderOptions::default(), &[]);
    world.set("BIGCOMMERCE_API_URL", &url);
    world.start_relay().await;
    let head = tokio::task::spawn_blocking(|| seen.join().unwrap()).await.unwrap();
    let codings: Vec<&String> =
        head.iter().filter(|line| line.to_ascii_lowercase().starts_with("accept-encoding:")).collect();
    assert_eq!(codings.len(), 1, "{head:?}");
    assert!(codings[0].to_ascii_lowercase().ends_with(": identity"), "{codings:?}");
    world.finish().await;
}

async fn a_bomb(coding: Coding, decoded: usize) {
    let world = polling(&[("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "2s"), ("FETCH_TIMEOUT", "60s")]).await;
    let bomb = world.store.place_order_silently(None, 11);
    // Larger than the limits once decoded, a few kilobytes before.
    let padding = format!("\"staff_notes\": \"{}", "0".repeat(decoded));
    world.store.alter_order(bomb, "\"staff_notes\": \"", &padding);
    world.store.fault(Fault::new(Operation::OrderSingle, Action::Coded(coding)).order(bomb));
    world.store.fault(Fault::new(Operation::OrderList, Action::Coded(coding)).listing(bomb));
    world.tell(bomb).await;
    for _ in 0..5 {
        let good = world.store.place_order_silently(None, 11);
        world.tell(good).await;
    }
    arrived_within(&world, 5, Duration::from_secs(180)).await;
    let failed = rows(&world, "failed", |rows| !rows.is_empty()).await;
    assert_eq!((failed.len(), &failed[0]["order_id"]), (1, &bomb.into()), "{coding:?}");
    assert!(failed[0]["last_error"].as_str().unwrap().contains("too large"), "{failed:?}");
    world.finish().await;
}

#[actix_web::test]
async fn a_bomb_is_an_order_that_is_too_large() {
    // The first exceeds the limit for an order, the second also the limit for a list.
    tokio::join!(a_bomb(Coding::Gzip, 10 << 20), a_bomb(Coding::Deflate, 80 << 20));
}
