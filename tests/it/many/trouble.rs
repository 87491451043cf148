//! Every kind of trouble in one connection of many, on either side, and its effect on the others.

use std::time::{Duration, Instant};

use sandbox::{
    Action, Fault, OneTribeConfig, OneTribeSim, Operation, QuotaRule, Sender, SenderOptions, StoreFarm, StoreSim,
};
use serde_json::json;

use super::world::{PATIENCE, World};

/// Orders of the connections without trouble arrive within this time, whatever happens to the other one: sooner than
/// one call that hangs ends.
const UNHURT: Duration = Duration::from_millis(4500);

struct Beside {
    world: World,
    sick: StoreSim,
    sick_sink: OneTribeSim,
    well: Vec<StoreSim>,
    sender: Sender,
}

impl Beside {
    /// Starts one connection with a destination of its own, and three without trouble that have delivered.
    async fn start(extra: &[(&str, &str)]) -> Self {
        let world = World::start_with(4, extra).await;
        let mut stores = world.farm.stores();
        for store in &stores {
            store.set_quota(QuotaRule::unlimited());
        }
        let sick = stores.remove(0);
        let sick_sink = OneTribeSim::start_with(OneTribeConfig { token: "sick".into(), ..Default::default() }).unwrap();
        let mut request = world.store_request(&sick);
        request["destination"]["url"] = json!(sick_sink.url());
        world.connect(&request).await;
        for store in &stores {
            world.connect(&world.store_request(store)).await;
        }
        for store in world.farm.stores() {
            store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
        }
        let sender = Sender::start_for(&world.farm.stores(), SenderOptions::default());
        let beside = Self { world, sick, sick_sink, well: stores, sender };
        for store in &beside.well {
            let order = store.place_order_as(None, 11);
            beside.world.arrived_at(order, 1).await;
        }
        beside
    }

    /// Places orders in the stores without trouble for a while, and measures the slowest.
    async fn well_ones_are_unhurt(&self, during: &str) {
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            for store in &self.well {
                let began = Instant::now();
                let order = store.place_order_as(None, 11);
                self.world.arrived_at(order, 1).await;
                slowest = slowest.max(began.elapsed());
            }
        }
        println!("{during}: the slowest of the others' took {slowest:?}");
        assert!(slowest < UNHURT, "{during}: the slowest of the others' took {slowest:?}");
    }

    async fn finish(self) {
        self.sender.stop().await;
        self.world.finish().await;
        self.sick_sink.stop().await;
    }
}

/// Places new orders in the connection in trouble, beside those that wait already.
async fn flood(beside: &Beside, orders: usize) {
    for _ in 0..orders {
        beside.sick.place_order_as(None, 11);
    }
    beside.sender.idle(PATIENCE).await.unwrap();
}

#[actix_web::test]
async fn a_destination_in_trouble_costs_its_own_connection_only() {
    for action in [
        Action::Hold,
        Action::Status(500),
        Action::Status(401),
        Action::Status(429),
        Action::Drop,
        Action::Slow(Duration::from_secs(5)),
        Action::Status(422),
    ] {
        let beside = Beside::start(&[("MAX_CONCURRENCY", "16"), ("FORWARD_TIMEOUT", "10s")]).await;
        beside.sick_sink.fault_all(action.clone());
        flood(&beside, 200).await;
        beside.well_ones_are_unhurt(&format!("{action:?} at a destination")).await;
        beside.finish().await;
    }
}

#[actix_web::test]
async fn a_store_in_trouble_costs_its_own_connection_only() {
    for action in [
        Action::Hold,
        Action::Status(503),
        Action::Status(401),
        Action::Status(429),
        Action::Drop,
        Action::NotJson,
        Action::Slow(Duration::from_secs(5)),
    ] {
        let beside = Beside::start(&[("MAX_CONCURRENCY", "16"), ("FETCH_TIMEOUT", "10s")]).await;
        beside.sick.fault(Fault::new(Operation::Any, action.clone()));
        flood(&beside, 200).await;
        beside.well_ones_are_unhurt(&format!("{action:?} at a store")).await;
        beside.finish().await;
    }
}

/// Answers known from real stores: pages under any status, useless answers, pauses of years, compressed answers.
fn met_in_the_field() -> Vec<Fault> {
    let say = |status, kind, body| Fault::new(Operation::Any, Action::Say { status, kind, body });
    let page = "<!DOCTYPE html><html><body>Something went wrong.</body></html>";
    vec![
        say(200, "text/html; charset=UTF-8", page),
        say(403, "text/html", page).header("cf-mitigated", "challenge"),
        say(200, "application/json", ""),
        say(200, "application/json", r#"{"error":"The store is unavailable"}"#),
        say(204, "application/json", ""),
        say(200, "text/xml", "<?xml version=\"1.0\"?><errors/>"),
        Fault::new(Operation::Any, Action::Status(429)).header("x-retry-after", "315360000"),
        Fault::new(Operation::Any, Action::Status(503)).header("retry-after", "315360000"),
        Fault::new(Operation::OrderSingle, Action::AnotherOrder),
        Fault::new(Operation::OrderList, Action::Status(504)).wider_than(1),
        Fault::new(Operation::Any, Action::HalfAnswer),
        Fault::new(Operation::Any, Action::Oversized { announced: false }),
    ]
}

#[actix_web::test]
async fn what_the_field_has_met_at_one_store_costs_its_own_connection_only() {
    for fault in met_in_the_field() {
        let beside = Beside::start(&[("MAX_CONCURRENCY", "16"), ("RECONCILE_INTERVAL", "1s")]).await;
        beside.sick.fault(fault.clone());
        flood(&beside, 60).await;
        beside.well_ones_are_unhurt(&format!("{fault:?}")).await;
        beside.finish().await;
    }
}

#[actix_web::test]
async fn poisonous_orders_of_one_connection_hold_up_its_others_a_little_and_nobody_else() {
    let beside = Beside::start(&[("MAX_CONCURRENCY", "16")]).await;
    let mut good = Vec::new();
    for number in 0..50 {
        let order = beside.sick.place_order_silently(None, 11);
        match number % 5 {
            0 => beside.sick_sink.fault_order(order, Action::Status(500)),
            1 => {
                beside.sick.fault(Fault::new(Operation::OrderSingle, Action::Status(500)).order(order));
                beside.sick.fault(Fault::new(Operation::OrderList, Action::Status(500)).listing(order));
            }
            _ => good.push(order),
        }
        beside.sick.tell(sandbox::Event::new(sandbox::Scope::Created, order));
    }
    beside.well_ones_are_unhurt("poison on both sides of one").await;
    let all = |sink: &OneTribeSim| good.iter().all(|order| sink.newest(*order).is_some());
    beside.sick_sink.wait_for(all, PATIENCE).await.unwrap();
    beside.finish().await;
}

#[actix_web::test]
async fn five_thousand_waiting_orders_are_their_own_connections_backlog() {
    let beside = Beside::start(&[("RECONCILE_INTERVAL", "0")]).await;
    beside.sick_sink.fault_all(Action::Status(503));
    for _ in 0..5000 {
        beside.sick.place_order_as(None, 11);
    }
    beside.sender.idle(3 * PATIENCE).await.unwrap();
    beside.well_ones_are_unhurt("5,000 wait").await;
    // While those orders arrive, the others share only the machine.
    beside.sick_sink.clear_faults();
    beside.sick_sink.wait_for(|sink| sink.accepted_orders() > 100, 3 * PATIENCE).await.unwrap();
    beside.well_ones_are_unhurt("5,000 flow").await;
    beside.sick_sink.wait_for(|sink| sink.accepted_orders() == 5000, 6 * PATIENCE).await.unwrap();
    beside.finish().await;
}

#[actix_web::test]
async fn a_store_that_nobody_answers_for_costs_its_own_connection_only() {
    let beside = Beside::start(&[]).await;
    // A store at another address whose server has stopped, so that TCP connections to it fail.
    let gone = StoreFarm::start(1).unwrap();
    let mut request = beside.world.store_request(&gone.stores()[0]);
    request["source"]["store_hash"] = json!("gone1");
    let (status, _) = beside.world.ask(reqwest::Method::POST, "/connections?verify=false", Some(&request)).await;
    assert_eq!(status, 201);
    gone.stop().await;
    beside.well_ones_are_unhurt("a store that does not know the relay").await;
    beside.sick_sink.stop().await;
    flood(&beside, 100).await;
    beside.well_ones_are_unhurt("a destination that is gone").await;
    beside.finish().await;
}
