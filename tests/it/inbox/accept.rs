//! Accepting: what is a first-time event, what a doubt, what a duplicate.

use futures_util::future::join_all;
use onetribe_relay::{
    event::OrderEvent,
    inbox::{Accepted, Arrival, WELL_AFTER},
};

use crate::desk::{Desk, Place, START, Told, at, delivered, order, told};

pub async fn a_new_event_is_a_first(place: Place) {
    let desk = place.desk().await;
    assert_eq!(desk.accept(told(7, "a", "h", 0), at(1)).await, Accepted::First);
    assert_eq!(desk.due(at(1)).await, [7]);
}

pub async fn the_same_webhook_id_is_a_doubt(place: Place) {
    let desk = place.desk().await;
    desk.accept(told(7, "a", "h", 0), at(1)).await;
    assert_eq!(desk.accept(told(7, "a", "other", 5), at(2)).await, Accepted::Doubt);
}

pub async fn the_same_hash_and_second_is_a_doubt(place: Place) {
    let desk = place.desk().await;
    desk.accept(told(7, "a", "h", 0), at(1)).await;
    assert_eq!(desk.accept(told(7, "b", "h", 0), at(2)).await, Accepted::Doubt);
}

pub async fn the_same_hash_in_another_second_is_a_first(place: Place) {
    let desk = place.desk().await;
    desk.accept(told(7, "a", "h", 0), at(1)).await;
    assert_eq!(desk.accept(told(7, "b", "h", 1), at(2)).await, Accepted::First);
}

/// Fetched, and delivered, `seconds` after the beginning; the event is of the beginning's own second.
async fn fetched(desk: &Desk, fetched_at: u64) {
    desk.accept(told(7, "a", "h", 0), START).await;
    let claim = desk.claim(7, START).await;
    assert!(desk.settle(claim, delivered(1, at(fetched_at)), at(fetched_at)).await);
}

pub async fn a_duplicate_fetched_well_after_is_dropped(place: Place) {
    let desk = place.desk().await;
    fetched(&desk, WELL_AFTER.as_secs()).await;
    assert_eq!(desk.accept(told(7, "a", "h", 0), at(100)).await, Accepted::Duplicate);
    assert_eq!(desk.due(at(1000)).await, [0; 0]);
}

pub async fn a_duplicate_fetched_shortly_after_is_looked_at(place: Place) {
    let desk = place.desk().await;
    fetched(&desk, WELL_AFTER.as_secs() - 1).await;
    assert_eq!(desk.accept(told(7, "a", "h", 0), at(100)).await, Accepted::Doubt);
    assert!(!desk.claim(7, at(100)).await.insist);
}

pub async fn a_duplicate_without_a_time_is_always_looked_at(place: Place) {
    let desk = place.desk().await;
    let timeless = Told { second: None, ..told(7, "a", "h", 0) };
    assert_eq!(desk.accept(timeless, START).await, Accepted::First);
    let claim = desk.claim(7, START).await;
    assert!(desk.settle(claim, delivered(1, at(9000)), at(9000)).await);
    assert_eq!(desk.accept(timeless, at(9001)).await, Accepted::Doubt);
}

pub async fn nothing_to_recognise_it_by_is_always_a_first(place: Place) {
    let desk = place.desk().await;
    let bare = Told { order: 7, id: None, hash: None, second: Some(0) };
    for _ in 0..3 {
        assert_eq!(desk.accept(bare, at(1)).await, Accepted::First);
    }
}

pub async fn one_id_on_two_orders_is_two_events(place: Place) {
    let desk = place.desk().await;
    assert_eq!(desk.accept(told(7, "a", "h", 0), at(1)).await, Accepted::First);
    assert_eq!(desk.accept(told(8, "a", "h", 0), at(1)).await, Accepted::First);
}

pub async fn equal_events_at_once_are_one_first(place: Place) {
    let desk = place.desk().await;
    let all = join_all((0..50).map(|_| desk.accept(told(7, "a", "h", 0), at(1)))).await;
    assert_eq!(all.iter().filter(|one| **one == Accepted::First).count(), 1);
    assert_eq!(all.iter().filter(|one| **one == Accepted::Doubt).count(), 49);
}

pub async fn two_hundred_events_at_once_are_all_kept(place: Place) {
    let desk = place.desk().await;
    let accept = |id: i64| {
        let event = OrderEvent { order: order(id), hash: Some(format!("h{id}")), created_at: Some(1) };
        desk.inbox.accept(Arrival { connection: desk.connection, event, webhook_id: None, at: at(1) })
    };
    let all = join_all((1..=200).map(accept)).await;
    assert!(all.iter().all(|one| matches!(one, Ok(Accepted::First))));
    assert_eq!(desk.due(at(1)).await, (1..=200).collect::<Vec<i64>>());
}

pub async fn connections_are_apart(place: Place) {
    let desk = place.desk().await;
    let connection = desk.inbox.connection("bigcommerce", "other", START).await.unwrap();
    let other = Desk { connection, ..desk.clone() };
    assert_eq!(desk.accept(told(7, "a", "h", 0), at(1)).await, Accepted::First);
    assert_eq!(other.due(at(1)).await, [0; 0]);
    assert_eq!(other.accept(told(7, "a", "h", 0), at(1)).await, Accepted::First);
    desk.claim(7, at(1)).await;
    assert_eq!(other.due(at(1)).await, [7]);
}
