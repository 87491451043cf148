//! Connections and their small tables, and the queries about objects.

use std::{collections::HashMap, time::Duration};

use onetribe_relay::{
    http::Failure,
    inbox::{
        Claim, ConnectionState, ConnectionUpdate, Failed, Feed, HookRow, HookState, Inbox, InboxError, NewConnection,
        Notification, NotificationStatus, NotifiedObject, ObjectQuery, ObjectState, Outage, Outcome, PauseReason, Side,
        hour_of,
    },
    object::{ChangeKind, ConnectionId, ObjectId, ResourceName},
    spec::{DestinationKind, keyring::Sealed},
};

use super::postgres_world::{START, TestRelay, at, connection_to, delivered, id};
use crate::support::postgres::Database;

const FAILED: Failed = Failed { side: Side::Destination, failure: Failure::Status(422) };

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_and_changed_one_thing_at_a_time() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    let inbox = &relay.inbox;
    let new = NewConnection {
        name: "nul \0 and é 🛒".into(),
        state: ConnectionState::Incomplete,
        destination_kind: Some(DestinationKind::OneTribe),
        destination_host: Some("a.example".into()),
        destination_mark: Some(vec![0, 255]),
        token_digest: Some(vec![1]),
        ..connection_to("shop")
    };
    let id = inbox.create_connection(new.clone(), at(1)).await.unwrap();
    let record = async || {
        let mut all = inbox.connections(0).await.unwrap();
        assert!(all.is_sorted_by_key(|record| record.revision));
        all.retain(|record| record.id == id);
        all.pop().unwrap()
    };
    let first = record().await;
    assert_eq!((first.name.as_str(), first.store.as_str()), ("nul  and é 🛒", "shop"));
    assert_eq!((first.state, first.pause_reason), (ConnectionState::Incomplete, None));
    assert_eq!((first.created_at, first.begins_at, first.last_event_at), (at(1), at(1), None));
    assert_eq!((first.hook_key, first.sealed), (new.hook_key, None));

    let change = async |update| {
        let before = record().await.revision;
        assert!(inbox.update_connection(id, update).await.unwrap());
        let after = record().await;
        assert!(after.revision > before);
        let changed = inbox.connections(before).await.unwrap();
        assert_eq!(changed, std::slice::from_ref(&after), "only what changed since");
        after
    };
    let paused = Some((ConnectionState::Paused, Some(PauseReason::Asked)));
    let after = change(ConnectionUpdate { state: paused, ..ConnectionUpdate::default() }).await;
    assert_eq!((after.state, after.pause_reason), (ConnectionState::Paused, Some(PauseReason::Asked)));
    let sealed = Sealed { key_id: -5, bytes: vec![7; 300] };
    let after = change(ConnectionUpdate { sealed: Some(Some(sealed.clone())), ..ConnectionUpdate::default() }).await;
    assert_eq!((after.sealed, after.state), (Some(sealed), ConnectionState::Paused));
    let elsewhere = Some(Some((DestinationKind::CloudElements, "b.example".to_owned(), vec![9])));
    let after = change(ConnectionUpdate { destination: elsewhere, ..ConnectionUpdate::default() }).await;
    assert_eq!(after.destination_kind, Some(DestinationKind::CloudElements));
    assert_eq!((after.destination_host.as_deref(), after.destination_mark), (Some("b.example"), Some(vec![9])));
    let end = ConnectionUpdate {
        state: Some((ConnectionState::Disconnected, None)),
        name: Some("Ended".into()),
        destination: Some(None),
        sealed: Some(None),
        token_digest: Some(None),
        begins_at: Some(at(50)),
        identity: None,
        known_revision: None,
    };
    let after = change(end).await;
    assert_eq!((after.state, after.pause_reason, after.sealed), (ConnectionState::Disconnected, None, None));
    assert_eq!((after.destination_kind, after.destination_host, after.destination_mark), (None, None, None));
    assert_eq!((after.token_digest, after.begins_at, after.created_at), (None, at(50), at(1)));
    assert!(!inbox.update_connection(ConnectionId(12345), ConnectionUpdate::default()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_before_another_change_is_not_written() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    let other = relay.beside(&database).await;
    let newest = async || relay.inbox.connections(0).await.unwrap().last().unwrap().revision;
    let name = |known_revision, name: &str| ConnectionUpdate {
        name: Some(name.to_owned()),
        known_revision: Some(known_revision),
        ..ConnectionUpdate::default()
    };
    // An update that matches no row takes a revision, but does not supersede others.
    assert!(!other.inbox.update_connection(ConnectionId(12345), ConnectionUpdate::default()).await.unwrap());
    let known = newest().await;
    assert!(other.inbox.update_connection(relay.connection, name(known, "first")).await.unwrap());
    let late = relay.inbox.update_connection(relay.connection, name(known, "late")).await;
    assert!(matches!(late, Err(InboxError::Superseded)), "{late:?}");
    let new = NewConnection { known_revision: Some(known), ..connection_to("new") };
    let made = relay.inbox.create_connection(new.clone(), at(1)).await;
    assert!(matches!(made, Err(InboxError::Superseded)), "{made:?}");
    let all = relay.inbox.connections(0).await.unwrap();
    assert_eq!((all.len(), all[0].name.as_str()), (1, "first"));
    let known = newest().await;
    // Of many updates based on the same revision, one succeeds.
    let asked = (0..8).map(|n| {
        let inbox = if n % 2 == 0 { &relay.inbox } else { &other.inbox };
        inbox.update_connection(relay.connection, name(known, &format!("name {n}")))
    });
    let kept = futures_util::future::join_all(asked).await.into_iter().filter(|done| matches!(done, Ok(true))).count();
    assert_eq!(kept, 1);
    let new = NewConnection { known_revision: Some(newest().await), ..new };
    assert!(relay.inbox.create_connection(new, at(1)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_are_in_the_order_of_commits() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    let other = relay.beside(&database).await;
    let making = async |relay: &TestRelay, name: &str| {
        for n in 0..40 {
            relay.inbox.create_connection(connection_to(&format!("{name}{n}")), START).await.unwrap();
        }
    };
    // Reading on from the newest known revision misses no change.
    let reading = async {
        let (mut known, mut revision) = (HashMap::new(), 0);
        while known.len() < 81 {
            for record in other.inbox.connections(revision).await.unwrap() {
                revision = record.revision;
                known.insert(record.id, record);
            }
        }
    };
    let all = async { tokio::join!(making(&relay, "a"), making(&other, "b"), reading) };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("each is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_hooks_outages_and_alerts_are_kept_replaced_and_forgotten() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    let (inbox, connection) = (&relay.inbox, relay.connection);
    let feed = Feed {
        watermark: Some(at(1)),
        page_size: Some(50),
        trouble: Some((at(2), Failure::Timeout)),
        polled_at: Some(at(3)),
        ..Feed::new("orders")
    };
    for feed in [Feed::new("orders"), feed.clone(), Feed::new("backfill:1")] {
        inbox.save_feed(connection, feed).await.unwrap();
    }
    assert_eq!(inbox.feed(connection, "orders").await.unwrap(), Some(feed.clone()));
    assert_eq!(inbox.feeds(connection).await.unwrap(), [Feed::new("backfill:1"), feed]);
    inbox.remove_feed(connection, "orders").await.unwrap();
    assert_eq!(inbox.feed(connection, "orders").await.unwrap(), None);

    let hook = |hook_id, state| HookRow { topic: "order.updated".into(), hook_id, state };
    inbox.save_hook(connection, hook(None, HookState::Missing)).await.unwrap();
    inbox.save_hook(connection, hook(Some(17), HookState::WithoutToken)).await.unwrap();
    assert_eq!(inbox.hooks(connection).await.unwrap(), [hook(Some(17), HookState::WithoutToken)]);
    inbox.remove_hook(connection, "order.updated").await.unwrap();
    assert_eq!(inbox.hooks(connection).await.unwrap(), []);

    let outage = |side, seconds| Outage { side, since: at(seconds), failure: Failure::Html(503) };
    for side in [Side::Destination, Side::Store] {
        inbox.save_outage(connection, side, Some(outage(side, 1))).await.unwrap();
    }
    inbox.save_outage(connection, Side::Store, Some(outage(Side::Store, 2))).await.unwrap();
    let both = [outage(Side::Store, 2), outage(Side::Destination, 1)];
    assert_eq!(inbox.outages(connection).await.unwrap(), both);
    inbox.save_outage(connection, Side::Store, None).await.unwrap();
    assert_eq!(inbox.outages(connection).await.unwrap(), both[1..]);

    for _ in 0..2 {
        inbox.save_alert(connection, "store_down", true).await.unwrap();
    }
    assert_eq!(inbox.alerts().await.unwrap(), [(connection, "store_down".to_owned())]);
    inbox.save_alert(connection, "store_down", false).await.unwrap();
    assert_eq!(inbox.alerts().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_kept_and_pruned() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    let (inbox, connection) = (&relay.inbox, relay.connection);
    let object = NotifiedObject { id: ObjectId::from_text("a-b").unwrap(), change: ChangeKind::Deleted, at: 5 };
    let notification = |number: u64, status, notified_at| Notification {
        id: format!("n{number}"),
        connection,
        resource: ResourceName::orders(),
        objects: vec![object.clone()],
        status,
        attempts: 2,
        failed_at: Some(at(1)),
        retry_at: Some(at(2)),
        last_failure: Some(Failure::Dns),
        created_at: at(number),
        notified_at,
    };
    let one = notification(1, NotificationStatus::Retry, None);
    let two = notification(2, NotificationStatus::Queued, None);
    let three = notification(3, NotificationStatus::Notified, Some(at(4)));
    for one in [&three, &two, &one] {
        inbox.save_notification(one.clone()).await.unwrap();
    }
    assert_eq!(inbox.notification(connection, "n1").await.unwrap().as_ref(), Some(&one));
    assert_eq!(inbox.notification(ConnectionId(99), "n1").await.unwrap(), None, "another's");
    assert_eq!(inbox.notifications(connection, 2).await.unwrap(), [three.clone(), two.clone()]);
    assert_eq!(inbox.outstanding(connection).await.unwrap(), [one.clone(), two.clone()]);
    inbox.save_notification(Notification { status: NotificationStatus::Notified, ..one }).await.unwrap();
    assert_eq!(inbox.outstanding(connection).await.unwrap(), [two]);
    inbox.prune(at(5), 10).await.unwrap();
    assert_eq!(inbox.notification(connection, "n3").await.unwrap(), None);
    assert_eq!(inbox.notifications(connection, 9).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_paged_and_filtered() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    let (inbox, connection) = (&relay.inbox, relay.connection);
    relay.want(&[9, 10, 218], false, START).await;
    let mut event = relay.event(1, "a", "h", 0, START);
    event.key.resource = ResourceName::new("customers").unwrap();
    event.key.id = ObjectId::from_text("x").unwrap();
    inbox.accept(event).await.unwrap();
    relay.end(11, Outcome::Failed { failed: FAILED }, at(1)).await;
    relay.end(12, Outcome::Refused { retry_at: at(90), failed: FAILED }, at(1)).await;
    let page = async |query: ObjectQuery| {
        let rows = inbox.objects(connection, ObjectQuery { limit: 3, ..query }).await.unwrap();
        rows.into_iter().map(|row| row.id.to_string()).collect::<Vec<_>>()
    };
    let any = ObjectQuery::default();
    assert_eq!(page(any.clone()).await, ["x", "218", "12"]);
    assert_eq!(page(ObjectQuery { before: Some(id(12)), ..any.clone() }).await, ["11", "10", "9"]);
    let orders = ObjectQuery { resource: Some(ResourceName::orders()), ..any.clone() };
    assert_eq!(page(orders.clone()).await, ["218", "12", "11"]);
    assert_eq!(page(ObjectQuery { id: Some(id(10)), ..orders.clone() }).await, ["10"]);
    assert_eq!(page(ObjectQuery { state: Some(ObjectState::Failed), ..any.clone() }).await, ["11"]);
    assert_eq!(page(ObjectQuery { state: Some(ObjectState::Failed), ..orders }).await, ["11"]);
    assert_eq!(page(ObjectQuery { state: Some(ObjectState::Pending), ..any.clone() }).await, ["x", "218", "12"]);
    assert_eq!(page(ObjectQuery { only_in_trouble: true, ..any }).await, ["12"]);

    // Objects never tried come first, then those that have been due the longest.
    relay.news(13, at(2)).await;
    let due = inbox.due(connection, at(1000), 1000).await.unwrap();
    let due: Vec<String> = due.into_iter().map(|due| due.id.to_string()).collect();
    assert_eq!(due, ["x", "9", "10", "218", "13", "12"]);
    assert_eq!(inbox.due(connection, at(1000), 2).await.unwrap().len(), 2);
    assert_eq!(inbox.next_due(connection, at(3)).await.unwrap(), Some(at(90)));
    assert_eq!(inbox.waiting().await.unwrap(), [(connection, START)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_counted_by_connection() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    let inbox = &relay.inbox;
    let quiet = inbox.create_connection(connection_to("quiet"), at(5)).await.unwrap();
    relay.want(&[1], false, at(3)).await;
    relay.end(2, Outcome::Failed { failed: FAILED }, at(4)).await;
    relay.end(3, Outcome::Gone { failed: FAILED }, at(4)).await;
    relay.end(4, Outcome::Missing { retry_at: at(9), failed: FAILED }, at(4)).await;
    relay.end(5, delivered(1, at(4)), at(6)).await;
    let summary = inbox.summary(relay.connection).await.unwrap();
    assert_eq!((summary.waiting, summary.refused, summary.failed, summary.gone), (2, 1, 1, 1));
    assert_eq!((summary.oldest_waiting, summary.created_at), (Some(at(3)), Some(START)));
    assert_eq!((summary.last_event_at, summary.last_delivered_at), (Some(at(6)), Some(at(6))));
    assert_eq!(inbox.summaries().await.unwrap(), HashMap::from([(relay.connection, summary)]));
    assert_eq!(inbox.summary(quiet).await.unwrap().created_at, Some(at(5)));
    inbox.summary(ConnectionId(4711)).await.unwrap();

    inbox.sample(at(7)).await.unwrap();
    let hours = inbox.history(relay.connection, START).await.unwrap();
    assert_eq!(
        hours.iter().map(|hour| (hour.number, hour.forwarded, hour.waiting)).collect::<Vec<_>>(),
        [(hour_of(START), 1, Some(2))]
    );
    inbox.sample(START.after(onetribe_relay::inbox::HISTORY * 2)).await.unwrap();
    assert_eq!(inbox.history(relay.connection, START).await.unwrap().len(), 1, "old hours are dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn settlings_of_one_claim_at_once_count_once() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    relay.news(7, START).await;
    let claim: Claim = relay.claim(7, START).await;
    let settle = || relay.settle(claim.clone(), delivered(1, START), START);
    let (first, second, third) = tokio::join!(settle(), settle(), settle());
    assert_eq!([first, second, third].into_iter().filter(|settled| *settled).count(), 1);
    // When several relays claim one object at once, one of them gets it.
    relay.news(7, at(1)).await;
    let ids = [7, 7];
    let claims = tokio::join!(relay.try_claim(&ids, at(1)), relay.try_claim(&ids, at(1)));
    assert_eq!(claims.0.len() + claims.1.len(), 1);
}
