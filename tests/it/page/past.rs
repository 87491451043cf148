//! Two days of a shop's past, put into the inbox as the relay would have.

use std::time::Duration;

use futures_util::future::join_all;
use onetribe_relay::{
    clock::Timestamp,
    event::OrderId,
    inbox::{Inbox, Outcome, Settlement, sqlite::SqliteInbox},
    one_tribe::Digest,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Orders forwarded in each of the last 48 hours, by a shop that sleeps at night and has a sale.
fn forwarded(hours_ago: u32) -> u32 {
    let of_day = f64::from((48 - hours_ago) % 24);
    let wave = (1.0 - ((of_day - 14.0) / 24.0 * std::f64::consts::TAU).cos().abs() * 0.2) * 6.0;
    let awake = ((of_day - 14.0).abs() < 8.0) as u32;
    let sale = if (20..23).contains(&hours_ago) { 14 } else { 0 };
    awake * (wave as u32 + (hours_ago * 7) % 5) + sale
}

pub async fn put(path: &std::path::Path, store: &str) {
    let inbox = SqliteInbox::open(path).await.unwrap();
    let now = Timestamp::now();
    let connection = inbox.connection("bigcommerce", store, now.before(HOUR * 72)).await.unwrap();
    let mut next = 10_000;
    for hours_ago in (1..48u32).rev() {
        let at = now.before(HOUR * hours_ago);
        let count = forwarded(hours_ago);
        let orders: Vec<OrderId> = (0..count).filter_map(|n| OrderId::new(next + i64::from(n))).collect();
        next += i64::from(count);
        inbox.want(connection, orders.clone(), true, at).await.unwrap();
        // An outage of the destination in the sale's midst.
        let waiting = if (20..23).contains(&hours_ago) { count } else { count.min(1) };
        let rest: Vec<OrderId> = orders.iter().copied().take((count - waiting) as usize).collect();
        settle(&inbox, connection, rest, at).await;
        inbox.sample(connection, at).await.unwrap();
        settle(&inbox, connection, orders, at).await;
    }
    inbox.close().await;
}

async fn settle(
    inbox: &SqliteInbox,
    connection: onetribe_relay::inbox::ConnectionId,
    orders: Vec<OrderId>,
    at: Timestamp,
) {
    let claims = inbox.claim(connection, orders, HOUR, at).await.unwrap();
    join_all(claims.into_iter().map(|claim| {
        let outcome = Outcome::Delivered { digest: Digest([7; 16]), fetched_at: at, forwarded: true };
        inbox.settle(Settlement { claim, outcome, at })
    }))
    .await;
}
