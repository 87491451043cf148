//! Claims: who has an order, until when, and what comes in meanwhile.

use futures_util::future::join_all;
use onetribe_relay::inbox::{OrderState, Outcome};

use crate::desk::{LEASE, Place, START, at, delivered, digest, told};

pub async fn a_claim_is_exclusive(place: Place) {
    let desk = place.desk().await;
    desk.news(7, START).await;
    let claim = desk.claim(7, at(1)).await;
    assert_eq!((claim.order.get(), claim.seen, claim.attempts), (7, 1, 0));
    assert_eq!((claim.waiting_since, claim.lease_until), (START, at(1).after(LEASE)));
    assert_eq!(desk.try_claim(&[7], at(2)).await, []);
    assert_eq!(desk.due(at(2)).await, [0; 0]);
}

pub async fn the_end_of_a_lease_frees_the_order(place: Place) {
    let desk = place.desk().await;
    desk.news(7, START).await;
    let first = desk.claim(7, START).await;
    assert_eq!(desk.due(at(LEASE.as_secs() - 1)).await, [0; 0]);
    assert_eq!(desk.due(at(LEASE.as_secs())).await, [7]);
    let second = desk.claim(7, at(LEASE.as_secs())).await;
    assert_ne!(first.owner, second.owner);
    assert_eq!((second.seen, second.insist, second.waiting_since), (1, true, START));
}

pub async fn a_late_settling_changes_nothing(place: Place) {
    let desk = place.desk().await;
    desk.news(7, START).await;
    let late = desk.claim(7, START).await;
    let timely = desk.claim(7, at(60)).await;
    let before = desk.row(7).await;
    assert!(!desk.settle(late, delivered(1, START), at(61)).await);
    assert_eq!(desk.row(7).await, before);
    assert!(desk.settle(timely, delivered(2, at(60)), at(62)).await);
    assert_eq!(desk.row(7).await.state, OrderState::Delivered);
}

pub async fn a_late_and_a_timely_settling_at_once_are_told_apart(place: Place) {
    let desk = place.desk().await;
    for round in 0..10 {
        desk.news(7, at(round * 1000)).await;
        let late = desk.claim(7, at(round * 1000)).await;
        let timely = desk.claim(7, at(round * 1000 + 60)).await;
        let settle = |claim| desk.settle(claim, delivered(1, at(round * 1000)), at(round * 1000 + 61));
        let (first, second) = match round % 2 {
            0 => tokio::join!(settle(timely.clone()), settle(late)),
            _ => {
                let (second, first) = tokio::join!(settle(late), settle(timely.clone()));
                (first, second)
            }
        };
        assert!(first, "the timely one of round {round}");
        assert!(!second, "the late one of round {round}");
    }
}

pub async fn a_settling_told_twice_counts_once(place: Place) {
    let desk = place.desk().await;
    desk.news(7, START).await;
    let claim = desk.claim(7, START).await;
    let refused = Outcome::Refused { retry_at: at(10), error: "no".into() };
    let twice = join_all((0..2).map(|_| desk.settle(claim.clone(), refused.clone(), at(1)))).await;
    assert_eq!(twice.iter().filter(|settled| **settled).count(), 1);
    assert_eq!(desk.row(7).await.attempts, 1);
}

pub async fn racing_claims_share_nothing(place: Place) {
    let desk = place.desk().await;
    let other = place.desk().await;
    let ids: Vec<i64> = (1..=50).collect();
    join_all(ids.iter().map(|id| desk.news(*id, START))).await;
    let rounds = (0..8).map(|round| if round % 2 == 0 { &desk } else { &other }.try_claim(&ids, at(1)));
    let mut claimed: Vec<i64> = join_all(rounds).await.into_iter().flatten().map(|claim| claim.order.get()).collect();
    claimed.sort_unstable();
    assert_eq!(claimed, ids);
}

pub async fn what_is_not_due_is_not_claimed(place: Place) {
    let desk = place.desk().await;
    desk.news(7, at(10)).await;
    assert_eq!(desk.try_claim(&[7, 8], at(9)).await, []);
    desk.claim(7, at(10)).await;
}

pub async fn an_event_during_a_claim_leaves_work(place: Place) {
    let desk = place.desk().await;
    desk.news(7, START).await;
    let claim = desk.claim(7, at(1)).await;
    desk.news(7, at(2)).await;
    assert_eq!(desk.due(at(2)).await, [0; 0], "one order is under way once");
    assert!(desk.settle(claim, delivered(1, at(1)), at(3)).await);
    assert_eq!(desk.due(at(3)).await, [7]);
    let row = desk.row(7).await;
    assert_eq!((row.state, row.waiting_since, row.attempts), (OrderState::Pending, Some(at(2)), 0));
    let again = desk.claim(7, at(3)).await;
    assert_eq!((again.seen, again.insist, again.digest), (2, true, Some(digest(1))));
    assert!(desk.settle(again, delivered(2, at(3)), at(4)).await);
    assert_eq!(desk.row(7).await.state, OrderState::Delivered);
}

pub async fn a_look_during_a_claim_leaves_a_look(place: Place) {
    let desk = place.desk().await;
    desk.accept(told(7, "a", "h", 0), START).await;
    let claim = desk.claim(7, at(1)).await;
    desk.accept(told(7, "a", "h", 0), at(2)).await;
    assert!(desk.settle(claim, delivered(1, at(1)), at(3)).await);
    let look = desk.claim(7, at(3)).await;
    assert!(!look.insist);
    let unchanged = Outcome::Delivered { digest: digest(1), fetched_at: at(3), forwarded: false };
    assert!(desk.settle(look, unchanged, at(4)).await);
    assert_eq!(desk.row(7).await.state, OrderState::Delivered);
}

pub async fn a_first_insists_and_a_look_does_not(place: Place) {
    let desk = place.desk().await;
    desk.end(7, delivered(1, START), START).await;
    desk.want(7, false, at(1)).await;
    assert!(!desk.inbox.claim(desk.connection, vec![crate::desk::order(7)], LEASE, at(1)).await.unwrap()[0].insist);
    // While the look is under way, somebody insists: once the lease has ended, the next claim does.
    desk.want(7, true, at(2)).await;
    assert!(desk.claim(7, at(100)).await.insist);
}

pub async fn ten_events_are_one_claim(place: Place) {
    let desk = place.desk().await;
    for second in 0..10 {
        desk.news(7, at(second)).await;
    }
    let claim = desk.claim(7, at(20)).await;
    assert_eq!((claim.seen, claim.waiting_since), (10, START));
    assert!(desk.settle(claim, delivered(1, at(20)), at(21)).await);
    assert_eq!(desk.due(at(1000)).await, [0; 0]);
}

pub async fn due_orders_come_oldest_first(place: Place) {
    let desk = place.desk().await;
    for (id, second) in [(5, 3), (9, 1), (7, 2), (3, 2)] {
        desk.news(id, at(second)).await;
    }
    assert_eq!(desk.due(at(3)).await, [9, 3, 7, 5]);
    assert_eq!(desk.due(at(2)).await, [9, 3, 7]);
    let first = desk.inbox.due(desk.connection, at(3), 1).await.unwrap();
    assert_eq!((first.len(), first[0].order.get(), first[0].at), (1, 9, at(1)));
}
