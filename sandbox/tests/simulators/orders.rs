//! Orders, credentials, quota and the record of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use reqwest::Method;
use sandbox::store::Clock;
use sandbox::{Operation, QuotaRule, StoreConfig, StoreSim};

use crate::SOON;
use crate::api::{Api, finish};

#[tokio::test]
async fn one_order_is_fetched_as_it_is_now() {
    let store = StoreSim::start().expect("a port");
    let api = Api::of(&store);
    let id = store.place_order();
    assert_eq!(id, 218);
    assert_eq!(api.get("v2/orders/218").await.body, store.order_bytes(id).expect("the order"));

    assert!(store.change_order(id, 11));
    let got = api.get("v2/orders/218").await;
    assert_eq!(sandbox::order::revision_of(got.body.as_bytes()), Some((218, 2)));
    assert_eq!(got.json()["status"], "Awaiting Fulfillment");
    assert_eq!(got.header("content-type"), Some("application/json"));

    assert!(store.delete_order(id));
    assert_eq!(api.get("v2/orders/218").await.status, 404);
    assert_eq!(api.get("v2/orders/x").await.status, 404);
    assert!(api.get("v2/time").await.json()["time"].is_number());
    store.stop().await;
}

#[tokio::test]
async fn lists_take_every_filter() {
    let now = Arc::new(AtomicI64::new(1_551_822_000));
    let hands = Arc::clone(&now);
    let clock = Clock::new(move || hands.load(Ordering::Relaxed));
    let config = StoreConfig { clock, max_page_size: 3, ..StoreConfig::default() };
    let store = StoreSim::start_with(config).expect("a port");
    let api = Api::of(&store);
    let empty = api.get("v2/orders").await;
    assert_eq!((empty.status, empty.body.as_str()), (204, ""));

    for id in 1..=5 {
        now.fetch_add(60, Ordering::Relaxed);
        store.place_order_silently(Some(id), 1);
    }
    now.fetch_add(60, Ordering::Relaxed);
    store.change_order_silently(1, 11);
    store.archive_order_silently(5);

    assert_eq!(api.list("").await, [1, 2, 3]);
    assert_eq!(api.list("limit=250&page=2").await, [4], "cut to the largest page");
    assert_eq!(api.list("limit=2&page=2").await, [3, 4]);
    assert_eq!(api.list("page=9").await, [0; 0]);
    assert_eq!(api.list("min_id=2&max_id=3").await, [2, 3]);
    assert_eq!(api.list("status_id=11").await, [1]);
    assert_eq!(api.list("sort=id:desc&limit=2").await, [4, 3]);
    assert_eq!(api.list("sort=date_modified:asc&limit=2").await, [2, 3]);
    assert_eq!(api.list("sort=date_modified:desc&limit=2").await, [1, 4]);
    let rfc: String =
        url::form_urlencoded::byte_serialize(sandbox::order::rfc2822(now.load(Ordering::Relaxed)).as_bytes()).collect();
    assert_eq!(api.list(&format!("min_date_modified={rfc}")).await, [1]);
    assert_eq!(api.list("max_date_modified=2019-03-05T21:42:00Z").await, [2]);
    assert_eq!(api.list("min_date_modified=yesterday&limit=1").await, [1], "silently ignored");

    assert_eq!(api.get("v2/orders/5").await.status, 200, "archived, but there");
    let single = api.get("v2/orders/2").await.body;
    assert!(api.get("v2/orders").await.body.contains(&single), "lists hold the same objects");
    assert_eq!(api.get("v2/orders/count").await.json()["count"], 4);
    store.stop().await;
}

#[tokio::test]
async fn every_call_needs_its_credentials() {
    let store = StoreSim::start().expect("a port");
    let api = Api::of(&store);
    store.place_order();
    let client = sandbox::http::client();
    let url = format!("{}/stores/abcde/v2/orders", store.api_url());
    let refused = finish(client.get(&url).header("Accept", "application/json").header("X-Auth-Token", "no")).await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("x-rate-limit-requests-left"), Some("149"), "a refused call counts too");
    let bare = client.get(&url).header("X-Auth-Token", &store.config().token);
    assert_eq!(finish(bare.header("Accept", "text/html")).await.expect("an answer").status, 406);
    let untyped = api.request(Method::POST, "v2/hooks").body("{}");
    assert_eq!(finish(untyped).await.expect("an answer").status, 415);
    assert_eq!(api.send(Method::POST, "v2/orders", serde_json::json!({})).await.status, 405);

    let calls = store.calls();
    assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [401, 406, 415, 405].map(Some));
    assert_eq!(calls[0].path_and_query, "/stores/abcde/v2/orders");
    assert_eq!((calls[2].method.as_str(), calls[2].operation), ("POST", Operation::Hooks));
    store.record_details(false);
    api.get("v2/time").await;
    assert_eq!((store.calls().len(), store.call_count(Operation::Any)), (4, 5));
    assert_eq!(store.call_count(Operation::OrderList), 3);
    store.stop().await;
}

#[tokio::test]
async fn the_quota_runs_out_and_comes_back() {
    let store = StoreSim::start().expect("a port");
    let api = Api::of(&store);
    let rule = QuotaRule { requests: 5, window: Duration::from_secs(3600), headers_on_429: true };
    store.set_quota(rule);
    let first = api.get("v2/time").await;
    assert_eq!(first.header("X-Rate-Limit-Requests-Left"), Some("4"));
    assert_eq!(first.header("X-Rate-Limit-Requests-Quota"), Some("5"));
    assert_eq!(first.header("X-Rate-Limit-Time-Window-Ms"), Some("3600000"));
    assert!(first.header("X-Rate-Limit-Time-Reset-Ms").is_some());
    store.other_app_uses(3);
    assert_eq!(api.get("v2/time").await.header("X-Rate-Limit-Requests-Left"), Some("0"));
    let refused = api.get("v2/time").await;
    assert_eq!((refused.status, refused.header("X-Rate-Limit-Requests-Left")), (429, Some("0")));

    store.set_quota(QuotaRule { requests: 0, headers_on_429: false, ..rule });
    let bare = api.get("v2/time").await;
    assert_eq!((bare.status, bare.header("X-Rate-Limit-Requests-Left")), (429, None));
    assert_eq!(store.quota_refusals(), 1, "a new rule begins new books");

    store.set_quota(QuotaRule { requests: 1, window: Duration::from_millis(1), ..rule });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(api.get("v2/time").await.status, 200);
    }
    store.wait_for(|store| store.call_count(Operation::Time) == 7, SOON).await.expect("seven calls");
    store.stop().await;
}
