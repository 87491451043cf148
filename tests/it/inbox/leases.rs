//! Leases: one at a time, whoever asks, and whether another has had one in between.

use std::time::Duration;

use onetribe_relay::inbox::{Lease, Term};

use crate::desk::{Desk, Place, START};

/// How long one that falls silent keeps a lease here.
const SPAN: Duration = Duration::from_secs(1);

async fn ask(desk: &Desk) -> Option<Term> {
    desk.inbox.lease(desk.connection, Lease::Hooks, SPAN).await.unwrap()
}

async fn give_back(desk: &Desk) {
    desk.inbox.release(desk.connection, Lease::Hooks).await.unwrap();
}

async fn run_out() {
    tokio::time::sleep(SPAN + Duration::from_millis(100)).await;
}

pub async fn one_at_a_time_has_a_lease(place: Place) {
    let (one, other) = (place.desk().await, place.desk().await);
    assert!(ask(&one).await.is_some());
    assert_eq!(ask(&other).await, None);
    give_back(&other).await;
    assert_eq!(ask(&other).await, None, "nobody gives back for another");
    let elsewhere = other.inbox.connection("bigcommerce", "other", START).await.unwrap();
    assert!(other.inbox.lease(elsewhere, Lease::Hooks, SPAN).await.unwrap().is_some(), "each connection has its own");
    assert!(one.inbox.lease(one.connection, Lease::Lead, SPAN).await.unwrap().is_some());
    assert_eq!(ask(&other).await, None, "and each kind");
    give_back(&one).await;
    assert!(ask(&other).await.is_some(), "handed on at once");
    assert_eq!(ask(&one).await, None);
    run_out().await;
    assert!(ask(&one).await.is_some(), "taken over from one that fell silent");
    assert_eq!(ask(&other).await, None);
}

pub async fn the_term_tells_whether_another_can_have_had_it(place: Place) {
    let (one, other) = (place.desk().await, place.desk().await);
    let first = ask(&one).await.unwrap();
    assert_eq!(ask(&one).await, Some(first), "kept");
    run_out().await;
    assert_eq!(ask(&one).await, Some(first), "it ran out, and nobody took it");
    run_out().await;
    let second = ask(&other).await.unwrap();
    give_back(&other).await;
    let third = ask(&one).await.unwrap();
    assert!(first != second && second != third && third != first, "{first:?} {second:?} {third:?}");
    give_back(&one).await;
    assert_ne!(ask(&one).await, Some(third), "given back");
}
