//! What people and the other parts read: rows, digests, notes, numbers.

use std::time::Duration;

use onetribe_relay::inbox::{HISTORY, OrderQuery, OrderState, Outcome};

use crate::desk::{LEASE, Place, START, at, delivered, digest, order};

pub async fn orders_are_paged_by_descending_id(place: Place) {
    let desk = place.desk().await;
    for id in 1..=7 {
        desk.news(id, at(1)).await;
    }
    let (mut before, mut pages) = (None, Vec::new());
    loop {
        let query = OrderQuery { state: None, limit: 3, before };
        let page = desk.inbox.orders(desk.connection, query).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.order_id);
        pages.push(page.iter().map(|row| row.order_id.get()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    let largest = OrderQuery { state: None, limit: 1, before: Some(order(i64::MAX)) };
    assert_eq!(desk.inbox.orders(desk.connection, largest).await.unwrap()[0].order_id, order(7));
}

pub async fn orders_are_filtered_by_state(place: Place) {
    let desk = place.desk().await;
    desk.news(1, START).await;
    desk.end(2, delivered(1, START), START).await;
    desk.end(3, Outcome::Failed { error: "no".into() }, START).await;
    desk.end(4, Outcome::Gone { error: "no".into() }, START).await;
    desk.end(5, Outcome::Skipped { fetched_at: START }, START).await;
    desk.news(6, START).await;
    desk.claim(6, START).await;
    let ids = async |state| desk.rows(state).await.iter().map(|row| row.order_id.get()).collect::<Vec<_>>();
    assert_eq!(ids(Some(OrderState::Pending)).await, [6, 1]);
    assert_eq!(ids(Some(OrderState::Delivered)).await, [2]);
    assert_eq!(ids(Some(OrderState::Failed)).await, [3]);
    assert_eq!(ids(Some(OrderState::Gone)).await, [4]);
    assert_eq!(ids(Some(OrderState::Skipped)).await, [5]);
    assert_eq!(ids(None).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(desk.row(6).await.next_attempt_at, Some(START.after(LEASE)));
}

pub async fn known_tells_digests_and_states(place: Place) {
    let desk = place.desk().await;
    desk.end(1, delivered(9, START), at(3)).await;
    desk.news(2, START).await;
    let ids = vec![order(1), order(2), order(3)];
    let mut known = desk.inbox.known(desk.connection, ids).await.unwrap();
    known.sort_by_key(|known| known.order);
    assert_eq!(known.len(), 2, "order 3 was never heard of");
    assert_eq!((known[0].digest, known[0].state), (Some(digest(9)), OrderState::Delivered));
    assert_eq!((known[1].digest, known[1].state, known[1].settled_at), (None, OrderState::Pending, None));
    assert!(desk.inbox.known(desk.connection, vec![]).await.unwrap().is_empty());
}

pub async fn notes_are_kept_and_removed(place: Place) {
    let desk = place.desk().await;
    let other = desk.inbox.connection("bigcommerce", "other", START).await.unwrap();
    let note = async |connection| desk.inbox.note(connection, "hook").await.unwrap();
    assert_eq!(note(desk.connection).await, None);
    for value in ["1", "2"] {
        desk.inbox.keep_note(desk.connection, "hook", Some(value.into())).await.unwrap();
        assert_eq!(note(desk.connection).await.as_deref(), Some(value));
        assert_eq!(note(other).await, None);
    }
    desk.inbox.keep_note(desk.connection, "hook", None).await.unwrap();
    assert_eq!(note(desk.connection).await, None);
}

pub async fn connections_keep_their_number(place: Place) {
    let desk = place.desk().await;
    let again = desk.inbox.connection("bigcommerce", "abcde", at(500)).await.unwrap();
    assert_eq!(again, desk.connection);
    assert_eq!(desk.inbox.summary(again).await.unwrap().first_start, Some(START));
    let other = desk.inbox.connection("woocommerce", "abcde", at(500)).await.unwrap();
    assert_ne!(other, again);
    assert_eq!(desk.inbox.summary(other).await.unwrap().first_start, Some(at(500)));
}

pub async fn the_summary_counts(place: Place) {
    let desk = place.desk().await;
    let empty = desk.inbox.summary(desk.connection).await.unwrap();
    assert_eq!((empty.waiting, empty.oldest_waiting, empty.last_event_at), (0, None, None));
    desk.news(1, at(10)).await;
    desk.news(2, at(5)).await;
    desk.claim(2, at(5)).await;
    desk.end(3, Outcome::Failed { error: "no".into() }, at(1)).await;
    desk.end(4, Outcome::Gone { error: "no".into() }, at(1)).await;
    desk.end(5, delivered(1, at(2)), at(3)).await;
    let summary = desk.inbox.summary(desk.connection).await.unwrap();
    assert_eq!((summary.waiting, summary.oldest_waiting), (2, Some(at(5))));
    assert_eq!((summary.failed, summary.gone), (1, 1));
    assert_eq!((summary.last_event_at, summary.last_forwarded_at), (Some(at(10)), Some(at(3))));
    assert_eq!(summary.first_start, Some(START));
}

pub async fn next_due_is_the_next_that_is_not_due(place: Place) {
    let desk = place.desk().await;
    let next = async |now| desk.inbox.next_due(desk.connection, now).await.unwrap();
    assert_eq!(next(START).await, None);
    desk.news(1, START).await;
    assert_eq!(next(START).await, None);
    desk.claim(1, START).await;
    assert_eq!(next(START).await, Some(START.after(LEASE)));
    desk.end(2, Outcome::Refused { retry_at: at(7), error: "no".into() }, START).await;
    assert_eq!(next(START).await, Some(at(7)));
    assert_eq!(next(at(7)).await, Some(START.after(LEASE)));
}

pub async fn arrivals_announce_work(place: Place) {
    let desk = place.desk().await;
    let mut arrivals = desk.inbox.arrivals();
    let soon = Duration::from_secs(10);
    arrivals.borrow_and_update();
    desk.news(1, START).await;
    tokio::time::timeout(soon, arrivals.changed()).await.unwrap().unwrap();
    arrivals.borrow_and_update();
    desk.want(2, true, START).await;
    tokio::time::timeout(soon, arrivals.changed()).await.unwrap().unwrap();
}

pub async fn hours_count_what_was_forwarded_and_what_waited(place: Place) {
    let desk = place.desk().await;
    let hours = |n: u64| at(n * 3600);
    let first = desk.end(1, delivered(1, START), START);
    let second = desk.end(2, delivered(2, START), START);
    tokio::join!(first, second);
    let unchanged = Outcome::Delivered { digest: digest(3), fetched_at: START, forwarded: false };
    desk.end(3, unchanged, START).await;
    desk.end(4, delivered(4, hours(2)), hours(2)).await;
    // A claim that was lost has forwarded nothing that counts.
    desk.news(5, hours(2)).await;
    let late = desk.claim(5, hours(2)).await;
    let timely = desk.claim(5, hours(2).after(LEASE)).await;
    assert!(!desk.settle(late, delivered(5, hours(2)), hours(3)).await);
    desk.inbox.sample(desk.connection, hours(3)).await.unwrap();
    assert!(desk.settle(timely, delivered(5, hours(3)), hours(3)).await);
    desk.inbox.sample(desk.connection, hours(3)).await.unwrap();

    let read = desk.inbox.history(desk.connection, START).await.unwrap();
    let begin = read[0].number;
    let read: Vec<_> = read.iter().map(|hour| (hour.number - begin, hour.forwarded, hour.waiting)).collect();
    // What waited is the most that was seen at once.
    assert_eq!(read, [(0, 2, None), (2, 1, None), (3, 1, Some(1))]);
    assert_eq!(desk.inbox.history(desk.connection, hours(3)).await.unwrap().len(), 1);
    // Hours do not pile up for ever.
    desk.inbox.sample(desk.connection, hours(3).after(HISTORY)).await.unwrap();
    let kept = desk.inbox.history(desk.connection, START).await.unwrap();
    assert_eq!(kept.iter().map(|hour| hour.number - begin).collect::<Vec<_>>(), [3, 3 + 8 * 24]);
}
