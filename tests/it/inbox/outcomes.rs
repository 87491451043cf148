//! Outcomes: what each does to an order's due time, tries, troubles and state.

use onetribe_relay::{
    clock::Timestamp,
    inbox::{Known, OrderState, Outcome},
};

use crate::desk::{Desk, Place, START, at, delivered, digest, order};

fn refused(retry_at: Timestamp) -> Outcome {
    Outcome::Refused { retry_at, error: "destination: HTTP 422".into() }
}

fn missing(retry_at: Timestamp) -> Outcome {
    Outcome::Missing { retry_at, error: "store: HTTP 404".into() }
}

fn deferred(retry_at: Timestamp, until_recovery: bool) -> Outcome {
    Outcome::Deferred { retry_at, error: "store: HTTP 503".into(), until_recovery }
}

async fn known(desk: &Desk, id: i64) -> Known {
    desk.inbox.known(desk.connection, vec![order(id)]).await.unwrap()[0]
}

pub async fn delivered_ends_the_work(place: Place) {
    let desk = place.desk().await;
    desk.news(7, START).await;
    let claim = desk.claim(7, at(1)).await;
    assert!(desk.settle(claim, delivered(4, at(1)), at(2)).await);
    let row = desk.row(7).await;
    assert_eq!((row.state, row.attempts, row.last_error), (OrderState::Delivered, 1, None));
    assert_eq!((row.waiting_since, row.next_attempt_at, row.delivered_at), (None, None, Some(at(2))));
    assert_eq!((row.first_event_at, row.last_event_at), (START, START));
    let known = known(&desk, 7).await;
    assert_eq!((known.digest, known.settled_at), (Some(digest(4)), Some(at(2))));
}

pub async fn an_unchanged_snapshot_is_not_dated_as_forwarded(place: Place) {
    let desk = place.desk().await;
    desk.end(7, delivered(1, START), START).await;
    desk.want(7, false, at(10)).await;
    let claim = desk.claim(7, at(10)).await;
    let unchanged = Outcome::Delivered { digest: digest(1), fetched_at: at(10), forwarded: false };
    assert!(desk.settle(claim, unchanged, at(11)).await);
    let row = desk.row(7).await;
    assert_eq!((row.state, row.delivered_at), (OrderState::Delivered, Some(START)));
    assert_eq!(desk.inbox.summary(desk.connection).await.unwrap().last_forwarded_at, Some(START));
}

pub async fn skipped_ends_the_work(place: Place) {
    let desk = place.desk().await;
    desk.end(7, Outcome::Skipped { fetched_at: START }, START).await;
    let row = desk.row(7).await;
    assert_eq!((row.state, row.delivered_at, row.last_error), (OrderState::Skipped, None, None));
    assert_eq!(known(&desk, 7).await.digest, None);
}

pub async fn refused_waits_and_remembers_since_when(place: Place) {
    let desk = place.desk().await;
    desk.end(7, refused(at(10)), START).await;
    let row = desk.row(7).await;
    assert_eq!((row.state, row.attempts, row.next_attempt_at), (OrderState::Pending, 1, Some(at(10))));
    assert_eq!(row.last_error.as_deref(), Some("destination: HTTP 422"));
    assert_eq!(desk.due(at(9)).await, [0; 0]);
    let claim = desk.claim(7, at(10)).await;
    assert_eq!((claim.attempts, claim.refused_since, claim.missing_since), (1, Some(START), None));
    assert!(claim.insist);
    assert!(desk.settle(claim, refused(at(30)), at(10)).await);
    let claim = desk.claim(7, at(30)).await;
    assert_eq!((claim.attempts, claim.refused_since), (2, Some(START)));
    assert!(desk.settle(claim, delivered(1, at(30)), at(31)).await);
    assert_eq!((desk.row(7).await.last_error, desk.row(7).await.attempts), (None, 3));
}

pub async fn missing_waits_and_remembers_since_when(place: Place) {
    let desk = place.desk().await;
    desk.end(7, missing(at(10)), START).await;
    let claim = desk.claim(7, at(10)).await;
    assert_eq!((claim.attempts, claim.refused_since, claim.missing_since), (1, None, Some(START)));
    assert!(desk.settle(claim, missing(at(20)), at(10)).await);
    assert_eq!(desk.claim(7, at(20)).await.missing_since, Some(START));
}

pub async fn trouble_of_one_kind_forgets_the_other(place: Place) {
    let desk = place.desk().await;
    desk.end(7, missing(at(10)), START).await;
    let claim = desk.claim(7, at(10)).await;
    assert!(desk.settle(claim, refused(at(20)), at(11)).await);
    let claim = desk.claim(7, at(20)).await;
    assert_eq!((claim.refused_since, claim.missing_since), (Some(at(11)), None));
}

pub async fn deferred_uses_up_no_try(place: Place) {
    let desk = place.desk().await;
    desk.end(7, refused(at(10)), START).await;
    let claim = desk.claim(7, at(10)).await;
    assert!(desk.settle(claim, deferred(at(40), true), at(10)).await);
    let row = desk.row(7).await;
    assert_eq!((row.attempts, row.next_attempt_at), (1, Some(at(40))));
    assert_eq!(row.last_error.as_deref(), Some("store: HTTP 503"));
    let claim = desk.claim(7, at(40)).await;
    assert_eq!((claim.attempts, claim.refused_since, claim.waiting_since), (1, Some(START), START));
}

pub async fn released_is_due_as_before(place: Place) {
    let desk = place.desk().await;
    desk.news(7, at(3)).await;
    let claim = desk.claim(7, at(5)).await;
    assert!(desk.settle(claim, Outcome::Released, at(6)).await);
    let due = desk.inbox.due(desk.connection, at(6), 10).await.unwrap();
    assert_eq!((due.len(), due[0].at), (1, at(3)));
    let again = desk.claim(7, at(6)).await;
    assert_eq!((again.attempts, again.insist, again.waiting_since), (0, true, at(3)));
}

pub async fn failed_and_gone_are_listed(place: Place) {
    let desk = place.desk().await;
    desk.end(7, Outcome::Failed { error: "destination: HTTP 422".into() }, at(1)).await;
    desk.end(8, Outcome::Gone { error: "store: HTTP 404".into() }, at(1)).await;
    for (id, state, error) in
        [(7, OrderState::Failed, "destination: HTTP 422"), (8, OrderState::Gone, "store: HTTP 404")]
    {
        let rows = desk.rows(Some(state)).await;
        assert_eq!((rows.len(), rows[0].order_id.get(), rows[0].state), (1, id, state));
        assert_eq!((rows[0].last_error.as_deref(), rows[0].next_attempt_at), (Some(error), None));
        assert_eq!(known(&desk, id).await.settled_at, Some(at(1)));
    }
    assert_eq!(desk.due(at(100_000)).await, [0; 0]);
}

pub async fn a_new_event_revives_a_failed_order(place: Place) {
    let desk = place.desk().await;
    desk.end(7, Outcome::Failed { error: "no".into() }, START).await;
    desk.news(7, at(50)).await;
    let row = desk.row(7).await;
    assert_eq!((row.state, row.attempts, row.waiting_since), (OrderState::Pending, 0, Some(at(50))));
    assert_eq!(known(&desk, 7).await.settled_at, None);
    let claim = desk.claim(7, at(50)).await;
    assert_eq!((claim.attempts, claim.refused_since, claim.insist), (0, None, true));
}

pub async fn a_new_event_begins_the_tries_anew(place: Place) {
    let desk = place.desk().await;
    desk.end(7, refused(at(1000)), START).await;
    desk.want(7, false, at(5)).await;
    assert_eq!(desk.due(at(5)).await, [0; 0], "a look does not hurry a refused order");
    desk.news(7, at(10)).await;
    let claim = desk.claim(7, at(10)).await;
    assert_eq!((claim.attempts, claim.refused_since, claim.waiting_since), (0, None, START));
}

pub async fn recovery_makes_the_deferred_due_at_once(place: Place) {
    let desk = place.desk().await;
    for id in [7, 8] {
        desk.end(id, deferred(at(60), true), at(u64::try_from(id).unwrap())).await;
    }
    assert_eq!(desk.due(at(10)).await, [0; 0]);
    assert_eq!(desk.inbox.recover(desk.connection).await.unwrap(), 2);
    assert_eq!(desk.due(at(10)).await, [7, 8]);
    assert_eq!(desk.inbox.recover(desk.connection).await.unwrap(), 0);
}

pub async fn recovery_leaves_the_rest_alone(place: Place) {
    let desk = place.desk().await;
    desk.end(1, refused(at(60)), START).await;
    desk.end(2, deferred(at(60), false), START).await;
    desk.end(3, deferred(at(60), true), START).await;
    desk.end(4, Outcome::Failed { error: "no".into() }, START).await;
    let under_way = desk.claim(3, at(60)).await;
    assert_eq!(desk.inbox.recover(desk.connection).await.unwrap(), 0);
    assert_eq!(desk.due(at(59)).await, [0; 0]);
    assert!(desk.settle(under_way, delivered(1, at(60)), at(61)).await);
    assert_eq!(desk.inbox.recover(desk.connection).await.unwrap(), 0);
    assert_eq!(desk.row(3).await.state, OrderState::Delivered);
}

pub async fn news_during_a_claim_outweigh_a_refusal(place: Place) {
    let desk = place.desk().await;
    for (id, outcome) in
        [(7, refused(at(900))), (8, Outcome::Failed { error: "no".into() }), (9, Outcome::Gone { error: "no".into() })]
    {
        desk.news(id, START).await;
        let claim = desk.claim(id, START).await;
        desk.news(id, at(1)).await;
        assert!(desk.settle(claim, outcome, at(2)).await);
        assert_eq!(desk.due(at(2)).await, [id], "the newer state may fare better, at once");
        let claim = desk.claim(id, at(2)).await;
        assert!(claim.insist);
        assert!(desk.settle(claim, delivered(1, at(2)), at(3)).await);
    }
}

pub async fn news_during_a_claim_do_not_hurry_a_deferred_order(place: Place) {
    let desk = place.desk().await;
    desk.news(7, START).await;
    let claim = desk.claim(7, START).await;
    desk.news(7, at(1)).await;
    assert!(desk.settle(claim, deferred(at(60), true), at(2)).await);
    assert_eq!(desk.due(at(59)).await, [0; 0]);
    assert_eq!(desk.inbox.recover(desk.connection).await.unwrap(), 1);
    assert_eq!(desk.due(at(3)).await, [7]);
}
