//! Kinds of faults known from practice, each with several variants.

mod answers;
mod backfill;
mod clocks;
mod gaps;
mod hook_forms;
mod poison;
mod proofs;
mod refusals;
mod shapes;

use std::time::{Duration, Instant};

use sandbox::{Action, Fault, Operation, QuotaRule, SenderOptions, StoreConfig};

use crate::relay::world::World;

const HTML: &str = "<!DOCTYPE html><html><head><title>Error</title></head><body>Something went wrong.</body></html>";

/// A page with this status, as a gateway sends it.
fn page(status: u16) -> Action {
    Action::Say { status, kind: "text/html; charset=UTF-8", body: HTML }
}

/// Applies an action to both kinds of calls for orders.
fn fault_orders(world: &World, action: &Action) {
    for operation in [Operation::OrderSingle, Operation::OrderList] {
        world.store.fault(Fault::new(operation, action.clone()));
    }
}

/// A relay that polls every second, and a store with a quota that no test uses up.
async fn polling(extra: &[(&str, &str)]) -> World {
    let store = StoreConfig { quota: QuotaRule::unlimited(), ..StoreConfig::default() };
    let mut all = vec![("RECONCILE_INTERVAL", "1s")];
    all.extend_from_slice(extra);
    let mut world = World::prepare(store, SenderOptions::default(), &all);
    world.start_relay().await;
    world.hooked().await;
    world
}

/// Waits until this many orders have arrived at the destination.
async fn arrived_within(world: &World, orders: usize, time: Duration) {
    let reached = world.sink.wait_for(|sink| sink.accepted_orders() >= orders, time).await;
    assert!(reached.is_ok(), "{} of {orders} orders arrived within {time:?}", world.sink.accepted_orders());
}

/// Waits until `holds` is true for the page of orders in a state.
async fn rows(world: &World, state: &str, holds: impl Fn(&[serde_json::Value]) -> bool) -> Vec<serde_json::Value> {
    let began = Instant::now();
    loop {
        let (_, page) = world.get(&format!("/orders?state={state}&limit=500")).await;
        let rows = page["orders"].as_array().cloned().unwrap_or_default();
        if holds(&rows) {
            return rows;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{rows:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
