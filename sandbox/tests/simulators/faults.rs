//! Every fault of the store, once.

use std::time::{Duration, Instant};

use sandbox::Action::{
    AnotherOrder, Drip, Drop, HalfAnswer, Hold, HoldAnswer, LoseAnswer, NotJson, Oversized, Redirect, Slow, Status,
};
use sandbox::order::revision_of;
use sandbox::{Action, Fault, Operation, StoreSim};
use serde_json::json;

use crate::SOON;
use crate::api::Api;

const ORDER: &str = "v2/orders/218";

fn start() -> (StoreSim, Api) {
    let store = StoreSim::start().expect("a port");
    store.place_order();
    let api = Api::of(&store);
    (store, api)
}

fn once(action: Action) -> Fault {
    Fault::new(Operation::OrderSingle, action).times(1)
}

#[tokio::test]
async fn refusals_have_headers_or_none() {
    let (store, api) = start();
    store.fault(once(Status(503)).header("Retry-After", "7"));
    store.fault(once(Status(429)).without_quota_headers());
    store.fault(once(Redirect("https://elsewhere.example/".to_owned())));
    let busy = api.get(ORDER).await;
    assert_eq!((busy.status, busy.header("Retry-After")), (503, Some("7")));
    let bare = api.get(ORDER).await;
    assert_eq!((bare.status, bare.header("X-Rate-Limit-Requests-Left")), (429, None));
    let moved = api.get(ORDER).await;
    assert_eq!((moved.status, moved.header("Location")), (302, Some("https://elsewhere.example/")));
    assert_eq!(api.get(ORDER).await.status, 200, "the faults are used up");

    store.fault(Fault::new(Operation::Any, Status(500)).order(219));
    assert_eq!(api.get(ORDER).await.status, 200, "another order's fault");
    assert_eq!(api.get("v2/orders/219").await.status, 500);
    store.clear_faults();
    assert_eq!(api.get("v2/orders/219").await.status, 404);
    store.stop().await;
}

#[tokio::test]
async fn held_requests_wait_for_their_release() {
    let (store, api) = start();
    for (action, revision) in [(Hold, 2), (HoldAnswer, 2)] {
        store.fault(once(action));
        let free = async {
            store.wait_for(|store| store.held() == 1, SOON).await.expect("one is held");
            store.change_order_silently(218, 1);
            store.release();
        };
        let (got, ()) = tokio::join!(api.get(ORDER), free);
        // Held before the work, the answer shows the change; held after it, it does not.
        assert_eq!(revision_of(got.body.as_bytes()), Some((218, revision)));
    }
    assert_eq!(store.revision(218), Some(3));

    store.fault(once(Hold));
    tokio::select! {
        _ = api.get(ORDER) => panic!("it is held"),
        held = store.wait_for(|store| store.held() == 1, SOON) => held.expect("it is held"),
    }
    store.wait_for(|store| store.held() == 0, SOON).await.expect("who hangs up is not held");
    assert_eq!(store.calls().last().expect("a call").status, None);
    store.stop().await;
}

#[tokio::test]
async fn slow_and_dripped_answers_come_whole() {
    let (store, api) = start();
    let expected = store.order_bytes(218).expect("the order");
    for action in [Slow(Duration::from_millis(40)), Drip(Duration::from_millis(40))] {
        store.fault(once(action));
        let started = Instant::now();
        assert_eq!(api.get(ORDER).await.body, expected);
        assert!(started.elapsed() >= Duration::from_millis(40));
    }
    store.wait_for(|store| store.calls().iter().all(|call| call.status == Some(200)), SOON).await.expect("answered");
    store.stop().await;
}

#[tokio::test]
async fn connections_are_cut() {
    let (store, api) = start();
    for action in [Drop, LoseAnswer, HalfAnswer] {
        store.fault(once(action.clone()));
        let response = api.request(reqwest::Method::GET, ORDER).send().await;
        match action {
            HalfAnswer => {
                let response = response.expect("the head of an answer");
                assert_eq!((response.status().as_u16(), response.content_length().is_some()), (200, true));
                assert!(response.bytes().await.is_err());
            }
            _ => assert!(response.is_err()),
        }
    }
    store.wait_for(|store| store.calls().len() == 3, SOON).await.expect("three calls");
    assert!(store.calls().iter().all(|call| call.status.is_none()));
    store.fault(Fault::new(Operation::Hooks, LoseAnswer).times(1));
    let hook = json!({ "scope": "store/order/*", "destination": "https://relay.example/w", "is_active": true });
    let lost = api.request(reqwest::Method::POST, "v2/hooks").header("Content-Type", "application/json");
    assert!(lost.body(hook.to_string()).send().await.is_err());
    assert_eq!(store.hooks().len(), 1, "the work was done");
    store.stop().await;
}

#[tokio::test]
async fn wrong_answers() {
    let (store, api) = start();
    store.fault(once(NotJson));
    let page = api.get(ORDER).await;
    assert_eq!(page.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&page.body).is_err());
    store.fault(once(AnotherOrder));
    assert_eq!(revision_of(api.get(ORDER).await.body.as_bytes()), Some((219, 1)));
    for announced in [true, false] {
        store.fault(once(Oversized { announced }));
        let huge = api.get(ORDER).await;
        assert!(huge.body.len() > 8 << 20);
        assert_eq!(huge.header("content-length").is_some(), announced);
    }
    store.fault(Fault::new(Operation::OrderList, HalfAnswer).times(1));
    assert!(api.try_get("v2/orders").await.is_err());
    store.stop().await;
}
