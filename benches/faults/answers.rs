//! Outages with an answer, compressed answers, and refusals of credentials that prove nothing.

use std::time::Duration;

use sandbox::{Action, Coding, Fault, Operation};

use super::{
    bench::{Bench, Goal, Trial},
    lists::PAGE,
};

const TOLD: [(&str, &str); 2] = [("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "1s")];

fn fault_orders(bench: &Bench, action: &Action) {
    for operation in [Operation::OrderSingle, Operation::OrderList] {
        bench.store.fault(Fault::new(operation, action.clone()));
    }
}

/// Waits count from the end of the outage, which lasts longer than a refused order is retried.
pub async fn outages() -> Vec<Trial> {
    let say = |kind, body| Action::Say { status: 200, kind, body };
    let mut trials = Vec::new();
    for (what, action) in [
        ("10 s of HTML", say("text/html", PAGE)),
        ("10 s of nothing", say("application/json", "")),
        ("10 s of a JSON error", say("application/json", r#"{"error":"unavailable"}"#)),
        ("10 s of XML", say("text/xml", "<?xml version=\"1.0\"?><errors/>")),
    ] {
        let mut bench = Bench::start(&TOLD).await;
        fault_orders(&bench, &action);
        for _ in 0..20 {
            bench.good().await;
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        bench.store.clear_faults();
        bench.begins_now();
        trials.push(bench.measure(what, Goal::seconds(20, 20)).await);
    }
    trials
}

pub async fn coded() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (what, action) in [
        ("gzip, though nobody asked", Action::Coded(Coding::Gzip)),
        ("deflate, though nobody asked", Action::Coded(Coding::Deflate)),
        ("a byte order mark before the JSON", Action::Prefix("\u{feff}")),
    ] {
        let mut bench = Bench::start(&TOLD).await;
        fault_orders(&bench, &action);
        for _ in 0..50 {
            bench.good().await;
        }
        trials.push(bench.measure(what, Goal::seconds(5, 5)).await);
    }
    trials
}

pub async fn stray() -> Vec<Trial> {
    let challenge = Action::Say { status: 403, kind: "text/html", body: PAGE };
    let mut trials = Vec::new();
    for (what, action, times) in
        [("five challenge pages in a row", challenge, 5), ("three 401s between good answers", Action::Status(401), 1)]
    {
        let mut bench = Bench::start(&TOLD).await;
        for number in 0..60 {
            if number % 20 == 0 && (times == 1 || number == 0) {
                let fault = Fault::new(Operation::OrderSingle, action.clone()).times(times);
                bench.store.fault(fault.header("cf-mitigated", "challenge"));
            }
            bench.good().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        trials.push(bench.measure(what, Goal::seconds(5, 20)).await);
    }
    trials
}
