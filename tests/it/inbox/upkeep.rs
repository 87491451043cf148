//! Wanting, pruning, closing, and what is still there afterwards.

use futures_util::future::join_all;
use onetribe_relay::inbox::{InboxError, OrderState, Outcome};

use crate::desk::{Place, START, at, delivered, order, told};

pub async fn wanting_looks_or_insists(place: Place) {
    let desk = place.desk().await;
    desk.want(7, false, at(1)).await;
    let claim = desk.claim(7, at(1)).await;
    assert_eq!((claim.insist, claim.digest), (false, None));
    assert!(desk.settle(claim, delivered(1, at(1)), at(2)).await);
    desk.want(7, true, at(3)).await;
    let claim = desk.claim(7, at(3)).await;
    assert_eq!((claim.insist, claim.waiting_since), (true, at(3)));
    desk.inbox.want(desk.connection, vec![], true, at(4)).await.unwrap();
    let many = (10..=3000).map(order).collect();
    desk.inbox.want(desk.connection, many, false, at(4)).await.unwrap();
    assert_eq!(desk.inbox.summary(desk.connection).await.unwrap().waiting, 2992);
}

pub async fn wanting_all_of_a_state_insists(place: Place) {
    let desk = place.desk().await;
    for id in [1, 2] {
        desk.end(id, Outcome::Failed { error: "no".into() }, START).await;
    }
    desk.end(3, Outcome::Gone { error: "no".into() }, START).await;
    desk.end(4, delivered(1, START), START).await;
    assert_eq!(desk.inbox.want_all(desk.connection, OrderState::Failed, at(9)).await.unwrap(), 2);
    assert_eq!(desk.due(at(9)).await, [1, 2]);
    let claim = desk.claim(1, at(9)).await;
    assert_eq!((claim.insist, claim.attempts, claim.refused_since), (true, 0, None));
    assert_eq!(claim.waiting_since, at(9));
    assert_eq!(desk.rows(Some(OrderState::Gone)).await.len(), 1);
    assert_eq!(desk.inbox.want_all(desk.connection, OrderState::Failed, at(9)).await.unwrap(), 0);
}

pub async fn pruning_goes_in_steps(place: Place) {
    let desk = place.desk().await;
    for id in 1..=5 {
        desk.accept(told(id, "a", "h", 0), START).await;
        let claim = desk.claim(id, START).await;
        assert!(desk.settle(claim, delivered(1, START), START).await);
    }
    desk.end(6, delivered(1, at(100)), at(100)).await;
    let mut steps = Vec::new();
    loop {
        match desk.inbox.prune(at(50), 4).await.unwrap() {
            0 => break,
            removed => steps.push(removed),
        }
    }
    assert_eq!(steps, [4, 1]);
    assert_eq!(desk.rows(None).await.iter().map(|row| row.order_id.get()).collect::<Vec<_>>(), [6]);
    use onetribe_relay::inbox::Accepted;
    assert_eq!(desk.accept(told(1, "a", "h", 0), at(101)).await, Accepted::First, "its receipts are gone as well");
}

pub async fn failed_orders_are_never_pruned(place: Place) {
    let desk = place.desk().await;
    desk.end(1, Outcome::Failed { error: "no".into() }, START).await;
    desk.end(2, Outcome::Skipped { fetched_at: START }, START).await;
    assert_eq!(desk.inbox.prune(at(1_000_000), 100).await.unwrap(), 1);
    assert_eq!(desk.rows(Some(OrderState::Failed)).await.len(), 1);
}

pub async fn orders_with_work_are_never_pruned(place: Place) {
    let desk = place.desk().await;
    desk.news(1, START).await;
    desk.end(2, delivered(1, START), START).await;
    desk.want(2, false, at(1)).await;
    desk.news(3, START).await;
    desk.claim(3, START).await;
    assert_eq!(desk.inbox.prune(at(1_000_000), 100).await.unwrap(), 0);
    assert_eq!(desk.rows(Some(OrderState::Pending)).await.len(), 3);
}

pub async fn what_is_done_outlives_the_process(place: Place) {
    let desk = place.desk().await;
    desk.accept(told(7, "a", "h", 0), at(1)).await;
    desk.end(8, Outcome::Refused { retry_at: at(5), error: "no".into() }, START).await;
    desk.inbox.keep_note(desk.connection, "watermark", Some("1".into())).await.unwrap();
    let before = desk.rows(None).await;
    // Nothing is closed: the next process finds what the last one had answered.
    let after = place.desk().await;
    assert_eq!(after.connection, desk.connection);
    assert_eq!(after.rows(None).await, before);
    assert_eq!(after.inbox.note(after.connection, "watermark").await.unwrap().as_deref(), Some("1"));
    use onetribe_relay::inbox::Accepted;
    assert_eq!(after.accept(told(7, "a", "h", 0), at(2)).await, Accepted::Doubt);
    assert_eq!(after.claim(8, at(5)).await.attempts, 1);
}

pub async fn closing_finishes_what_was_handed_in(place: Place) {
    let desk = place.desk().await;
    let ids: Vec<i64> = (1..=100).collect();
    let (_, ()) = tokio::join!(join_all(ids.iter().map(|id| desk.news(*id, START))), desk.inbox.close());
    let after = place.desk().await;
    assert_eq!(after.due(START).await, ids);
}

pub async fn a_closed_inbox_says_so(place: Place) {
    let desk = place.desk().await;
    desk.inbox.close().await;
    desk.inbox.close().await;
    assert!(matches!(desk.inbox.probe(START).await, Err(InboxError::Closed)));
    assert!(matches!(desk.inbox.recover(desk.connection).await, Err(InboxError::Closed)));
    assert!(desk.inbox.summary(desk.connection).await.is_err());
}

pub async fn the_database_can_be_probed(place: Place) {
    let desk = place.desk().await;
    for second in 0..3 {
        desk.inbox.probe(at(second)).await.unwrap();
    }
    assert_eq!(desk.rows(None).await, []);
}
