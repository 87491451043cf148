//! The simulated One Tribe: what it takes, what it records, how it fails; and the audit of a whole run.

use std::time::Duration;

use reqwest::StatusCode;
use sandbox::Action::{Drip, Drop, Hold, HoldAnswer, LoseAnswer, Redirect, Slow, Status};
use sandbox::{Acknowledged, Action, Fault, OneTribeSim, Operation, StoreSim, audit};

use crate::SOON;

struct Relay {
    store: StoreSim,
    sink: OneTribeSim,
    client: reqwest::Client,
}

impl Relay {
    fn start() -> Self {
        let (store, sink) = (StoreSim::start().expect("a port"), OneTribeSim::start().expect("a port"));
        Self { store, sink, client: sandbox::http::client() }
    }

    async fn forward(&self, id: i64) -> reqwest::Result<StatusCode> {
        let order = self.store.order(id).expect("the order");
        let body = self.store.order_bytes(id).expect("the order");
        let request = self.client.post(self.sink.url()).body(body).header("Content-Type", "application/json");
        let request =
            request.header("Idempotency-Key", format!("{id}-{}", order.revision)).header("User-Agent", "test");
        Ok(request.send().await?.status())
    }

    fn acknowledged(&self, order: i64) -> Acknowledged {
        let revision = self.store.revision(order).expect("the order");
        Acknowledged {
            store: "abcde".into(),
            order,
            revision,
            webhook_id: String::new(),
            at: std::time::Instant::now(),
        }
    }

    async fn stop(self) {
        self.store.stop().await;
        self.sink.stop().await;
    }
}

#[tokio::test]
async fn what_arrives_is_noted() {
    let relay = Relay::start();
    let id = relay.store.place_order();
    assert_eq!(relay.forward(id).await.expect("an answer"), 200);
    let received = &relay.sink.accepted()[0];
    assert_eq!((received.order_id, received.revision, received.answered), (id, 1, Some(200)));
    assert_eq!(received.body, relay.store.order_bytes(id));
    assert_eq!(received.idempotency_key.as_deref(), Some("218-1"));
    assert_eq!(received.content_type.as_deref(), Some("application/json"));
    assert_eq!(received.user_agent.as_deref(), Some("test"));
    assert!(received.finished >= Some(received.started));

    let refused = async |url: &str, kind: &str, body: &'static str| {
        let request = relay.client.post(url).header("Content-Type", kind).body(body);
        request.send().await.expect("an answer").status().as_u16()
    };
    let url = relay.sink.url();
    assert_eq!(refused(&format!("{url}x"), "application/json", "{}").await, 404);
    assert_eq!(refused(&url, "text/plain", "{}").await, 415);
    assert_eq!(refused(&url, "application/json", "{}").await, 400);
    assert_eq!((relay.sink.attempts(), relay.sink.accepted_count()), (4, 1));
    relay.stop().await;
}

#[tokio::test]
async fn each_fault_once() {
    let relay = Relay::start();
    let (id, other) = (relay.store.place_order(), relay.store.place_order());
    let sink = &relay.sink;
    let once = |action: Action| Fault::new(Operation::Delivery, action).times(1);
    sink.fault(once(Status(503)).header("Retry-After", "3"));
    assert_eq!(relay.forward(id).await.expect("an answer"), 503);
    sink.fault(once(Redirect(sink.url())));
    assert_eq!(relay.forward(id).await.expect("an answer"), 302);
    sink.fault(once(Drop));
    assert!(relay.forward(id).await.is_err());
    assert_eq!((sink.attempts(), sink.accepted_count()), (3, 0));

    sink.fault_order(id, Status(422));
    assert_eq!(relay.forward(id).await.expect("an answer"), 422);
    assert_eq!(relay.forward(other).await.expect("an answer"), 200);
    sink.clear_faults();
    sink.fault(once(LoseAnswer));
    assert!(relay.forward(id).await.is_err());
    assert_eq!((sink.newest(id), sink.accepted_orders()), (Some(1), 2));
    assert_eq!(sink.accepted()[1].answered, None, "taken, and the answer lost");
    for action in [Slow(Duration::from_millis(5)), Drip(Duration::from_millis(5))] {
        sink.fault(once(action));
        assert_eq!(relay.forward(id).await.expect("an answer"), 200);
    }
    sink.wait_for(|sink| sink.open() == 0, SOON).await.expect("all closed");
    assert_eq!(sink.accepted_count(), 4);
    assert_eq!(sink.max_open(), 1);
    relay.stop().await;
}

#[tokio::test]
async fn open_requests_are_counted_until_they_are_gone() {
    let relay = Relay::start();
    let (id, other) = (relay.store.place_order(), relay.store.place_order());
    let sink = &relay.sink;
    sink.fault(Fault::new(Operation::Delivery, Hold));
    let free = async {
        sink.wait_for(|sink| sink.held() == 3, SOON).await.expect("three are held");
        assert_eq!((sink.open(), sink.accepted_count()), (3, 0));
        sink.clear_faults();
        sink.release();
    };
    let (a, b, c, ()) = tokio::join!(relay.forward(id), relay.forward(id), relay.forward(other), free);
    assert!([a, b, c].into_iter().all(|answer| answer.is_ok_and(|status| status == 200)));
    assert_eq!((sink.max_open(), sink.max_open_of(id), sink.overlapping()), (3, 2, vec![id]));

    sink.fault_all(HoldAnswer);
    let hangs_up = tokio::time::timeout(Duration::from_millis(50), relay.forward(other)).await;
    assert!(hangs_up.is_err());
    sink.wait_for(|sink| sink.open() == 0, SOON).await.expect("who hangs up is gone");
    let last = sink.received().pop().expect("a request");
    assert_eq!((last.answered, last.accepted), (None, Some(3)));
    relay.stop().await;
}

#[tokio::test]
async fn an_audit_tells_a_good_run_from_a_bad_one() {
    let relay = Relay::start();
    let (good, bad) = (relay.store.place_order(), relay.store.place_order());
    let acknowledged = [relay.acknowledged(good), relay.acknowledged(bad)];
    relay.sink.fault(Fault::new(Operation::Delivery, LoseAnswer).times(1));
    assert!(relay.forward(good).await.is_err());
    assert_eq!(relay.forward(good).await.expect("an answer"), 200, "sent again, and rightly");
    let report = audit(&relay.store, &acknowledged, &relay.sink);
    assert_eq!((report.missing.as_slice(), report.doubled.len()), ([bad].as_slice(), 0));
    assert_eq!(relay.forward(bad).await.expect("an answer"), 200);
    assert!(audit(&relay.store, &acknowledged, &relay.sink).is_clean());

    assert_eq!(relay.forward(bad).await.expect("an answer"), 200);
    relay.store.change_order_silently(good, 2);
    let report = audit(&relay.store, &acknowledged, &relay.sink);
    assert_eq!(report.to_string(), "2 orders, 0 missing, 1 doubled (219), 1 stale (218), 0 overlapping");
    relay.stop().await;
}
