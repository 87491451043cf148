//! Missed orders in lists that are too long for the store, or that contain an order it cannot list.

use std::time::Duration;

use sandbox::{Action, Fault, Operation};

use super::bench::{Bench, Goal, Trial};

const GOAL: Goal = Goal::seconds(60, 60);
const POLLING: [(&str, &str); 2] = [("RECONCILE_INTERVAL", "1s"), ("FETCH_TIMEOUT", "2s")];
pub const PAGE: &str = "<!DOCTYPE html><html><body>Something went wrong.</body></html>";

pub async fn too_wide() -> Vec<Trial> {
    let page = Action::Say { status: 504, kind: "text/html", body: PAGE };
    let mut trials = Vec::new();
    for (what, action, widest) in [
        ("150 missed, over 100 rows: 504 as HTML", page, 100),
        ("150 missed, over 100 rows: 400", Action::Status(400), 100),
        ("150 missed, over 100 rows: no answer in time", Action::Slow(Duration::from_secs(4)), 100),
        ("150 missed, over 5 rows: 503", Action::Status(503), 5),
    ] {
        let mut bench = Bench::start(&POLLING).await;
        bench.store.fault(Fault::new(Operation::OrderList, action).wider_than(widest));
        for _ in 0..150 {
            bench.missed();
        }
        trials.push(bench.measure(what, GOAL).await);
    }
    trials
}

pub async fn unlistable() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (what, status, alone) in [
        ("40 missed, lists with one of them: 500", 500, false),
        ("40 missed, lists with one: 503, itself: 503", 503, true),
    ] {
        let mut bench = Bench::start(&POLLING).await;
        let orders: Vec<i64> = (0..40).map(|_| bench.missed()).collect();
        let poison = orders[20];
        bench.store.fault(Fault::new(Operation::OrderList, Action::Status(status)).listing(poison));
        if alone {
            bench.store.fault(Fault::new(Operation::OrderSingle, Action::Status(status)).order(poison));
            bench.is_bad(poison);
        }
        trials.push(bench.measure(what, GOAL).await);
    }
    trials
}
