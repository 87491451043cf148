//! Each kind of trouble in one of twenty connections, one kind after the other: the others' orders arrive at once, the
//! check reports the trouble for that connection and for the right side, and all its orders arrive once the trouble is
//! over.

use std::time::{Duration, Instant};

use sandbox::{Action, Fault, OneTribeConfig, OneTribeSim, Operation, QuotaRule, Sender, SenderOptions, StoreSim};
use serde_json::{Value, json};

use super::world::{PATIENCE, World};

const STORES: usize = 20;
/// Orders of the other connections arrive within this time, whatever happens to the one in trouble: sooner than one call
/// that hangs ends.
const UNHURT: Duration = Duration::from_millis(5500);
/// Refused credentials are reported within 45 seconds, everything else sooner.
const TOLD: Duration = Duration::from_secs(60);
/// When the trouble ends, the breaker's next probe may be this far away.
const OVER: Duration = Duration::from_secs(75);

/// Which side of a connection is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// All calls to the store for orders.
    Store,
    /// Calls for lists of orders.
    Lists,
    Destination,
}

fn says(status: u16, kind: &'static str, body: &'static str) -> Action {
    Action::Say { status, kind, body }
}

struct Twenty {
    world: World,
    stores: Vec<StoreSim>,
    sinks: Vec<OneTribeSim>,
    ids: Vec<i64>,
    sender: Sender,
}

impl Twenty {
    async fn start() -> Self {
        let timeouts = [
            ("FETCH_TIMEOUT", "6s"),
            ("FORWARD_TIMEOUT", "6s"),
            ("RECONCILE_INTERVAL", "5s"),
            ("MAX_CONCURRENCY", "32"),
        ];
        let world = World::start_with(STORES, &timeouts).await;
        let stores = world.farm.stores();
        let (mut sinks, mut ids) = (Vec::new(), Vec::new());
        for (number, store) in stores.iter().enumerate() {
            store.set_quota(QuotaRule::unlimited());
            let config = OneTribeConfig { token: format!("merchant-{number}"), ..OneTribeConfig::default() };
            let sink = OneTribeSim::start_with(config).unwrap();
            let mut request = world.store_request(store);
            request["destination"]["url"] = json!(sink.url());
            ids.push(world.connect(&request).await);
            sinks.push(sink);
        }
        for store in &stores {
            store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
        }
        let sender = Sender::start_for(&stores, SenderOptions::default());
        let twenty = Self { world, stores, sinks, ids, sender };
        // Each connection has delivered an order.
        for store in 0..STORES {
            let order = twenty.stores[store].place_order_as(None, 11);
            assert!(twenty.arrived(store, order, PATIENCE).await);
        }
        twenty
    }

    async fn arrived(&self, store: usize, order: i64, within: Duration) -> bool {
        self.sinks[store].wait_for(|sink| sink.newest(order).is_some(), within).await.is_ok()
    }

    /// The ids of the connection's checks that do not pass.
    async fn troubles(&self, store: usize) -> Vec<String> {
        let (_, report) = self.world.get(&format!("/connections/{}/integration/check", self.ids[store])).await;
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        let is_bad = |check: &&Value| check["status"] == "fail" || check["status"] == "warn";
        checks.iter().filter(is_bad).map(|check| check["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Places an order in each of the other stores at once, twice over. Returns the wait of the slowest one.
    async fn others(&self, sick: usize) -> Duration {
        let mut slowest = Duration::ZERO;
        for _ in 0..2 {
            let began = Instant::now();
            let others = (0..STORES).filter(|store| *store != sick);
            let placed: Vec<(usize, i64)> =
                others.map(|store| (store, self.stores[store].place_order_as(None, 11))).collect();
            for (store, order) in placed {
                assert!(self.arrived(store, order, PATIENCE).await, "order {order} of store {store} did not arrive");
            }
            slowest = slowest.max(began.elapsed());
        }
        slowest
    }

    async fn suffer(&self, sick: usize, side: Side, what: &str, action: Action) {
        let (store, sink) = (&self.stores[sick], &self.sinks[sick]);
        let single = Fault::new(Operation::OrderSingle, action.clone());
        let list = Fault::new(Operation::OrderList, action.clone());
        match side {
            Side::Store => [single, list].into_iter().for_each(|fault| store.fault(fault)),
            Side::Lists => store.fault(list),
            Side::Destination => sink.fault_all(action),
        }
        let orders: Vec<i64> = (0..5).map(|_| store.place_order_as(None, 11)).collect();
        let slowest = self.others(sick).await;
        assert!(slowest < UNHURT, "{what}: the slowest round of the others' took {slowest:?}");

        let began = Instant::now();
        let own = |troubles: &[String]| match side {
            Side::Destination => troubles.iter().any(|id| id == "one_tribe_destination" || id == "deliveries"),
            Side::Store | Side::Lists => troubles.iter().any(|id| id == "bigcommerce_api" || id == "deliveries"),
        };
        let mut troubles = self.troubles(sick).await;
        while !own(&troubles) {
            assert!(began.elapsed() < TOLD, "{what} is not told: {troubles:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
            troubles = self.troubles(sick).await;
        }
        let told = began.elapsed();
        let blamed = match side {
            Side::Destination => "bigcommerce_api",
            Side::Store | Side::Lists => "one_tribe_destination",
        };
        assert!(!troubles.iter().any(|id| id == blamed), "{what} is told of the other side: {troubles:?}");
        for well in [(sick + 1) % STORES, (sick + 7) % STORES] {
            assert_eq!(self.troubles(well).await, [""; 0], "{what} is told of another connection");
        }

        store.clear_faults();
        sink.clear_faults();
        store.release();
        sink.release();
        let over = Instant::now();
        for order in orders {
            assert!(self.arrived(sick, order, OVER).await, "{what}: order {order} did not arrive afterwards");
        }
        println!(
            "{what}: others within {slowest:?}, told after {told:?} by {troubles:?}, over after {:?}",
            over.elapsed()
        );
    }

    /// One store after the other gets its own kind of trouble.
    async fn suffer_all(&self, kinds: Vec<(Side, &'static str, Action)>) {
        for (sick, (side, what, action)) in kinds.into_iter().enumerate() {
            self.suffer(sick, side, what, action).await;
        }
    }

    async fn finish(self) {
        self.sender.idle(PATIENCE).await.unwrap();
        for (store, sink) in self.stores.iter().zip(&self.sinks) {
            let report = sandbox::audit(store, &self.sender.acknowledged(), sink);
            assert!(report.missing.is_empty() && report.stale.is_empty() && report.overlapping.is_empty(), "{report}");
            let is_own = |order: i64| store.order(order).is_some();
            assert!(sink.received().iter().all(|one| is_own(one.order_id)), "another store's order");
        }
        self.sender.stop().await;
        self.world.finish().await;
        for sink in self.sinks {
            sink.stop().await;
        }
    }
}

#[actix_web::test]
async fn a_store_that_refuses_or_hangs_is_told_as_its_own_and_costs_the_others_nothing() {
    let twenty = Twenty::start().await;
    let kinds = vec![
        (Side::Store, "a store that answers 401", Action::Status(401)),
        (Side::Store, "a store that answers 403", Action::Status(403)),
        (Side::Store, "a store that answers 500", Action::Status(500)),
        (Side::Store, "a store that answers 429", Action::Status(429)),
        (Side::Store, "a store that hangs", Action::Hold),
    ];
    twenty.suffer_all(kinds).await;
    twenty.finish().await;
}

#[actix_web::test]
async fn a_store_that_is_slow_or_answers_nonsense_is_told_as_its_own_and_costs_the_others_nothing() {
    let twenty = Twenty::start().await;
    let kinds = vec![
        (Side::Store, "a store slower than the timeout", Action::Slow(Duration::from_secs(12))),
        (Side::Store, "HTML under 200", says(200, "text/html", "<html><body>Down for maintenance</body></html>")),
        (Side::Store, "an empty 200", says(200, "application/json", "")),
        (Side::Store, "connections that are cut", Action::Drop),
        (Side::Lists, "lists that answer 504", Action::Status(504)),
    ];
    twenty.suffer_all(kinds).await;
    twenty.finish().await;
}

#[actix_web::test]
async fn a_destination_in_any_trouble_is_told_as_its_own_and_costs_the_others_nothing() {
    let twenty = Twenty::start().await;
    let kinds = vec![
        (Side::Destination, "a destination that answers 500", Action::Status(500)),
        (Side::Destination, "a destination that answers 401", Action::Status(401)),
        (Side::Destination, "a destination that answers 404", Action::Status(404)),
        (Side::Destination, "a destination that answers 429", Action::Status(429)),
        (Side::Destination, "a destination that hangs", Action::Hold),
        (Side::Destination, "a destination slower than the timeout", Action::Slow(Duration::from_secs(12))),
        (Side::Destination, "a destination that cuts connections", Action::Drop),
    ];
    twenty.suffer_all(kinds).await;
    twenty.finish().await;
}
