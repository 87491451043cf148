//! Orders whose webhooks were missed are found by polling, which costs one call if none were.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use onetribe_relay::{
    clock::Timestamp,
    http::{CallError, Failure},
    inbox::InboxError,
    object::{ObjectId, ResourceName, Snapshot},
    reconcile::{Page, Poll, PollError, Row, Walk},
    source::{Sort, plan::PageSize},
};
use sandbox::{Action, Fault, Operation, QuotaRule, SenderOptions, StoreConfig};

use crate::relay::world::{PATIENCE, Parts, World};

fn polling(store: StoreConfig) -> World {
    World::prepare(store, SenderOptions::default(), &[("RECONCILE_INTERVAL", "1s")])
}

async fn polls(world: &World, more: u64) {
    let before = world.store.call_count(Operation::OrderList);
    world.store.wait_for(|store| store.call_count(Operation::OrderList) >= before + more, PATIENCE).await.unwrap();
}

#[actix_web::test]
async fn missed_orders_and_missed_changes_are_found_and_nothing_is_sent_twice() {
    let mut world = polling(StoreConfig::default());
    world.start_relay().await;
    world.hooked().await;
    let told = world.store.place_order_as(None, 11);
    let missed: Vec<i64> = (0..5).map(|_| world.store.place_order_silently(None, 11)).collect();
    world.arrived(6).await;
    world.store.change_order_silently(missed[0], 2);
    world.store.change_order_silently(told, 2);
    world.arrived_at(missed[0], 2).await;
    world.arrived_at(told, 2).await;
    polls(&world, 5).await;
    assert_eq!(world.sink.accepted_count(), 8);
    assert!(world.audit().doubled.is_empty());
    world.finish().await;
}

#[actix_web::test]
async fn a_poll_that_finds_nothing_costs_one_call() {
    let mut world = polling(StoreConfig::default());
    world.start_relay().await;
    world.hooked().await;
    world.store.place_order_as(None, 11);
    world.arrived(1).await;
    polls(&world, 14).await;
    let calls: Vec<_> = world.store.calls().into_iter().filter(|call| call.operation == Operation::OrderList).collect();
    // The last calls are a whole interval apart, so each poll was one call.
    let last: Vec<_> = calls.windows(2).rev().take(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(last.iter().all(|apart| *apart > Duration::from_millis(700)), "{last:?} {calls:?}");
    world.finish().await;
}

#[actix_web::test]
async fn orders_older_than_the_first_start_are_left_alone() {
    let old = sandbox::clock::system_clock() - 7200;
    let times = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(old));
    let clock = times.clone();
    let store = StoreConfig {
        clock: sandbox::store::Clock::new(move || clock.load(std::sync::atomic::Ordering::Relaxed)),
        ..StoreConfig::default()
    };
    let mut world = polling(store);
    for _ in 0..10 {
        world.store.place_order_silently(None, 10);
    }
    times.store(sandbox::clock::system_clock() + 1, std::sync::atomic::Ordering::Relaxed);
    world.start_relay().await;
    world.hooked().await;
    let new = world.store.place_order_silently(None, 11);
    world.arrived_at(new, 1).await;
    polls(&world, 3).await;
    assert_eq!(world.sink.accepted_orders(), 1);
    world.finish().await;
}

#[actix_web::test]
async fn a_long_downtime_is_made_up_for_whatever_the_page_size() {
    for (max_page_size, exclusive_dates) in [(250, false), (20, false), (20, true)] {
        let store =
            StoreConfig { max_page_size, exclusive_dates, quota: QuotaRule::unlimited(), ..StoreConfig::default() };
        let mut world = polling(store);
        world.start_relay().await;
        world.hooked().await;
        let first = world.store.place_order_as(None, 11);
        world.arrived_at(first, 1).await;
        world.stop_relay().await;
        // All in one second, and more than a page holds.
        for _ in 0..130 {
            world.store.place_order_silently(None, 11);
        }
        world.start_relay().await;
        world.arrived(131).await;
        world.finish().await;
    }
}

#[actix_web::test]
async fn a_store_that_fails_in_the_middle_is_polled_again() {
    let mut world = polling(StoreConfig::default());
    world.store.fault(Fault::new(Operation::OrderList, Action::Status(500)).times(2));
    world.start_relay().await;
    let order = world.store.place_order_silently(None, 11);
    world.arrived_at(order, 1).await;
    world.finish().await;
}

#[actix_web::test]
async fn skipped_statuses_are_not_fetched_for_every_poll() {
    let mut world = World::prepare(
        StoreConfig::default(),
        SenderOptions::default(),
        &[("RECONCILE_INTERVAL", "1s"), ("SKIP_ORDER_STATUSES", "0")],
    );
    world.start_relay().await;
    world.hooked().await;
    world.store.place_order_silently(None, 0);
    polls(&world, 4).await;
    assert_eq!(world.store.call_count(Operation::OrderSingle), 0);
    assert_eq!(world.sink.attempts(), 0);
    world.finish().await;
}

#[actix_web::test]
async fn what_was_cleared_out_is_not_forwarded_again_by_a_later_start() {
    let mut world = polling(StoreConfig::default());
    world.set("EVENT_RETENTION", "8s");
    world.set("WEBHOOK_TOLERANCE", "8s");
    world.start_relay().await;
    world.hooked().await;
    let order = world.store.place_order_silently(None, 11);
    world.arrived(1).await;
    world.settled(order, "delivered").await;
    // The row ages, while the watermark stays where it is.
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.stop_relay().await;
    let parts = Parts::open(world.config()).await;
    let (inbox, id) = (&parts.services.inbox, parts.connection.id);
    let removed = inbox.prune(Timestamp::now().before(Duration::from_secs(8)), 500).await.unwrap();
    // The relay may have pruned the row itself.
    let known = inbox.known(id, ResourceName::orders(), vec![ObjectId::Number(order)]).await.unwrap();
    assert!(removed <= 1 && known.is_empty());
    parts.close().await;
    world.start_relay().await;
    polls(&world, 3).await;
    let fresh = world.store.place_order_silently(None, 11);
    world.arrived_at(fresh, 1).await;
    assert_eq!(world.sink.accepted_count(), 2, "each of two orders once");
    world.finish().await;
}

#[actix_web::test]
async fn a_change_that_is_polled_while_an_older_state_is_under_way_arrives() {
    let mut world = polling(StoreConfig::default());
    world.start_relay().await;
    world.hooked().await;
    world.sink.fault(Fault::new(Operation::Delivery, Action::Hold).times(1));
    let order = world.store.place_order_silently(None, 11);
    world.sink.wait_for(|sink| sink.held() == 1, PATIENCE).await.unwrap();
    world.store.change_order_silently(order, 2);
    // Longer than polls wait for a change's webhook.
    tokio::time::sleep(Duration::from_secs(4)).await;
    polls(&world, 2).await;
    world.sink.release();
    world.arrived_at(order, 2).await;
    world.finish().await;
}

/// A simulated list that changes while it is read, and times out for pages above a size.
#[derive(Clone)]
struct List(Arc<Mutex<Listed>>);

struct Listed {
    /// The rows: ids, and the unix seconds of their last change.
    rows: Vec<(i64, i64)>,
    watermark: Timestamp,
    taken: BTreeSet<i64>,
    most: u32,
    /// When the page of this number is read, the first row moves to this second.
    moves: Option<(u32, i64)>,
    asked: Vec<u32>,
}

impl List {
    fn new(rows: Vec<(i64, i64)>, most: u32, moves: Option<(u32, i64)>) -> Self {
        Self(Arc::new(Mutex::new(Listed {
            rows,
            watermark: Timestamp::from_seconds(1_600_000_000),
            taken: BTreeSet::new(),
            most,
            moves,
            asked: Vec::new(),
        })))
    }

    fn untaken(&self) -> Vec<i64> {
        let list = self.0.lock().unwrap();
        list.rows.iter().map(|row| row.0).filter(|id| !list.taken.contains(id)).collect()
    }
}

#[async_trait::async_trait]
impl Walk for List {
    async fn watermark(&self) -> Result<Timestamp, InboxError> {
        Ok(self.0.lock().unwrap().watermark)
    }

    async fn keep_watermark(&self, watermark: Timestamp) -> Result<(), InboxError> {
        self.0.lock().unwrap().watermark = watermark;
        Ok(())
    }

    async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError> {
        let mut list = self.0.lock().unwrap();
        list.asked.push(page.limit);
        if page.limit > list.most {
            return Err(Failure::Timeout.into());
        }
        let mut rows: Vec<_> = list.rows.iter().copied().filter(|row| row.1 * 1000 >= page.since.millis()).collect();
        rows.sort_unstable_by_key(|row| (row.1, row.0));
        if page.sort == Sort::NewestFirst {
            rows.reverse();
        }
        if page.sort == Sort::OldestFirst
            && let Some((_, second)) = list.moves.take_if(|(at, _)| *at == page.number)
        {
            list.rows[0].1 = second;
        }
        let row = |(id, at): (i64, i64)| Snapshot {
            id: ObjectId::Number(id),
            status: None,
            created: None,
            modified: Some(Timestamp::from_seconds(at)),
            is_deleted: false,
            body: format!("{id} {at}").into(),
        };
        let (first, count) = ((page.number - 1) * page.limit, page.limit);
        Ok(rows.into_iter().skip(first as usize).take(count as usize).map(row).collect())
    }

    async fn take(&self, rows: Vec<Row>) -> Result<usize, InboxError> {
        self.0.lock().unwrap().taken.extend(rows.iter().filter_map(|row| row.snapshot.id.number()));
        Ok(rows.len())
    }

    async fn look_for_passed(&self, _: Vec<ObjectId>) -> Result<usize, PollError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_row_that_moves_while_pages_are_counted_loses_no_other() {
    let now = 1_600_001_000;
    for moves in 1..=3 {
        let list = List::new((1..=600).map(|id| (id, now - 200)).collect(), 250, Some((moves, now)));
        let mut poll = Poll::new(list.clone(), PageSize::new(250));
        let polled = poll.once(Timestamp::from_seconds(now - 60)).await.unwrap();
        // The next poll reads the row that moved, in its new state.
        assert_eq!(list.untaken(), [] as [i64; 0], "{moves}: {polled:?}");
    }
}

#[tokio::test]
async fn pages_that_are_too_much_are_read_in_smaller_ones() {
    let now = 1_600_001_000;
    for most in [1, 20, 100] {
        // Some of them share a second.
        let list = List::new((1..=90).map(|id| (id, now - 300 + id / 4)).collect(), most, None);
        let mut poll = Poll::new(list.clone(), PageSize::new(250));
        poll.once(Timestamp::from_seconds(now)).await.unwrap();
        assert_eq!(list.untaken(), [] as [i64; 0], "{most}");
    }
    // A store that never answers is not called endlessly, and the next poll begins with large pages again.
    let list = List::new(vec![(1, now - 10)], 0, None);
    let mut poll = Poll::new(list.clone(), PageSize::new(250));
    assert!(poll.once(Timestamp::from_seconds(now)).await.is_err());
    assert!(poll.once(Timestamp::from_seconds(now)).await.is_err());
    assert_eq!(list.0.lock().unwrap().asked, [250, 62, 15, 3, 1, 250, 62, 15, 3, 1]);
}

/// Only polling, a slow destination, and a relay that is replaced in the middle.
#[actix_web::test]
async fn changes_that_nobody_tells_of_all_arrive_once_each_while_others_are_under_way() {
    let mut world = polling(StoreConfig { quota: QuotaRule::unlimited(), ..StoreConfig::default() });
    world.set("DELIVERY_CONCURRENCY", "64");
    world.start_relay().await;
    world.hooked().await;
    // Longer than polls wait for a change's webhook, so they see states newer than those being forwarded.
    world.sink.fault_all(Action::Slow(Duration::from_secs(4)));
    let orders: Vec<i64> = (0..40).map(|_| world.store.place_order_silently(None, 11)).collect();
    for round in 0..60_usize {
        for at in 0..4 {
            world.store.change_order_silently(orders[(round * 7 + at * 11) % orders.len()], 2 + (round % 9) as u8);
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        if round == 30 {
            world.stop_relay().await;
            world.start_relay().await;
        }
    }
    world.sink.clear_faults();
    for order in orders {
        let revision = world.store.revision(order).unwrap();
        world.arrived_at(order, revision).await;
    }
    let audit = world.audit();
    assert!(audit.doubled.is_empty() && audit.stale.is_empty(), "{audit:?}");
    world.finish().await;
}
