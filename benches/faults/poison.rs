//! Orders that one side can never process, in a row or scattered.

use std::time::Duration;

use sandbox::{Action, Fault, Operation};

use super::bench::{Bench, Goal, Trial};

const GOAL: Goal = Goal::seconds(5, 5);

#[derive(Clone, Copy)]
enum At {
    Destination,
    Store,
}

impl At {
    fn poison(self, bench: &Bench, order: i64) {
        let action = Action::Status(500);
        match self {
            Self::Destination => bench.sink.fault_order(order, action),
            Self::Store => {
                bench.store.fault(Fault::new(Operation::OrderSingle, action.clone()).order(order));
                bench.store.fault(Fault::new(Operation::OrderList, action).listing(order));
            }
        }
    }
}

pub async fn all() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (at, row, trickle) in [
        (At::Destination, "10 in a row: 500 at the destination", "one in five: 500 at the destination"),
        (At::Store, "10 in a row: 500 at the store", "one in five: 500 at the store"),
    ] {
        trials.push(in_a_row(at, row).await);
        trials.push(one_in_five(at, trickle).await);
    }
    trials
}

async fn in_a_row(at: At, what: &str) -> Trial {
    let mut bench = Bench::start(&[("RECONCILE_INTERVAL", "0")]).await;
    for _ in 0..10 {
        let order = bench.store.place_order_silently(None, 11);
        at.poison(&bench, order);
        bench.tell(order).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..20 {
        bench.good().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.measure(what, GOAL).await
}

async fn one_in_five(at: At, what: &str) -> Trial {
    let mut bench = Bench::start(&[("RECONCILE_INTERVAL", "0")]).await;
    for number in 0..100 {
        if number % 5 == 0 {
            let order = bench.store.place_order_silently(None, 11);
            at.poison(&bench, order);
            bench.tell(order).await;
        } else {
            bench.good().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bench.measure(what, GOAL).await
}
