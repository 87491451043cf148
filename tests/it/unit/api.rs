//! A call whose caller no longer waits is no longer counted as under way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use onetribe_relay::{
    http::{AddressPolicy, Http},
    object::ObjectId,
    secret::Secret,
    source::bigcommerce::{HooksApi, Platform, Store},
    spec::{BigCommerceAuth, BigCommerceSpec},
};
use tokio::net::TcpListener;

use super::quota_store::{WINDOW, headers};

fn spec(hash: &str, token: &str) -> BigCommerceSpec {
    BigCommerceSpec {
        store_hash: hash.to_owned(),
        auth: BigCommerceAuth::Token(Secret::from(token)),
        client_secrets: vec![Secret::from("a client secret")],
        scopes: vec!["store/order/*".to_owned()],
        is_app: false,
    }
}

fn platform(url: &str) -> Arc<Platform> {
    let http = Arc::new(Http::new(AddressPolicy::new(Vec::new())).unwrap());
    let timeout = Duration::from_secs(10);
    Arc::new(Platform::new(http, url.parse().unwrap(), HooksApi::V2, 0.8, timeout, Arc::default(), Default::default()))
}

/// The calls left according to the quota after an answer with 100 left: 100, minus the calls it counts as under way.
fn left(store: &Store) -> Option<i64> {
    let now = Instant::now();
    store.quota().take_urgent(now).unwrap();
    store.quota().observed(now, &headers(100, 150, WINDOW, 29_000));
    store.quota().left_at(now)
}

#[tokio::test]
async fn a_call_that_is_given_up_on_the_way_is_not_under_way_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let store = Store::new(platform(&url), &spec("abcde", "token")).unwrap();
    let permit = store.take_urgent().await.unwrap();
    let id = ObjectId::Number(1);
    tokio::select! {
        answer = store.order(permit, &id) => panic!("{answer:?} from a store that never answers"),
        connection = listener.accept() => drop(connection.map(|_| "the call has gone out")),
    }
    assert_eq!(left(&store), Some(100));
}

#[tokio::test]
async fn a_permit_that_is_not_used_goes_back() {
    let store = Store::new(platform("https://api.example"), &spec("abcde", "token")).unwrap();
    let taken = store.try_take(3).unwrap_or_default();
    assert_eq!(taken.len(), 3);
    drop(taken);
    assert_eq!(left(&store), Some(100));
    let again = store.try_take(u32::MAX).unwrap_or_default();
    assert_eq!(again.len(), 11, "a burst of twelve, less the one that was made");
}

#[tokio::test]
async fn two_connections_of_one_store_share_its_quota_and_another_store_has_its_own() {
    let platform = platform("https://api.example");
    let of = |hash, token| Store::new(platform.clone(), &spec(hash, token)).unwrap();
    let (one, same, other) = (of("abcde", "one"), of("abcde", "two"), of("other", "three"));
    let taken = one.try_take(u32::MAX).unwrap_or_default();
    assert_eq!(taken.len(), 12, "the whole burst");
    assert!(same.try_take(1).is_err());
    assert_eq!(other.try_take(u32::MAX).unwrap_or_default().len(), 12);
    drop(taken);
    assert_eq!(same.try_take(u32::MAX).unwrap_or_default().len(), 12);
}
