//! A call that nobody waits for any more is no longer counted as under way.

use std::{sync::Arc, time::Instant};

use onetribe_relay::{bigcommerce::Api, event::OrderId};
use tokio::net::TcpListener;

use crate::{
    config::read,
    quota_store::{WINDOW, headers},
};

/// What the quota makes of an answer that says 100 are left: 100, less what it takes to be under way.
fn left(api: &Api) -> Option<i64> {
    let now = Instant::now();
    api.quota().take_soon(now).unwrap();
    api.quota().observed(now, &headers(100, 150, WINDOW, 29_000));
    api.quota().left_at(now)
}

#[tokio::test]
async fn a_call_that_is_given_up_on_the_way_is_not_under_way_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = read(&[("BIGCOMMERCE_API_URL", &url)]).unwrap().connection;
    let api = Arc::new(Api::new(&config, Arc::default()).unwrap());
    let token = api.take_soon().await.unwrap();
    tokio::select! {
        answer = api.order(token, OrderId::new(1).unwrap()) => panic!("{answer:?} from a store that never answers"),
        connection = listener.accept() => drop(connection.map(|_| "the call has gone out")),
    }
    assert_eq!(left(&api), Some(100));
}

#[tokio::test]
async fn a_token_that_is_not_used_goes_back() {
    let config = read(&[]).unwrap().connection;
    let api = Arc::new(Api::new(&config, Arc::default()).unwrap());
    let taken = api.try_take(3).unwrap_or_default();
    assert_eq!(taken.len(), 3);
    drop(taken);
    assert_eq!(left(&api), Some(100));
    let again = api.try_take(u32::MAX).unwrap_or_default();
    assert_eq!(again.len(), 11, "a burst of twelve, less the one that was made");
}
