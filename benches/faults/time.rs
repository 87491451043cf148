//! A clock that is wrong for a while, outages that do not count towards an order's age, and an unread log.

use std::{process::Stdio, time::Duration};

use sandbox::{Action, Fault, Operation, ProcessClock};

use super::bench::{Bench, Goal, Trial};

/// Waits count from the time when the clock is right again.
pub async fn ahead() -> Vec<Trial> {
    let mut bench = Bench::new(&[("RECONCILE_INTERVAL", "1s"), ("RUST_LOG", "error")]);
    let clock = ProcessClock::new(bench.folder.path()).unwrap();
    bench.start_process(|command| clock.give(command, 1)).await;
    bench.has_delivered().await;
    clock.set(3600).unwrap();
    for number in 0..20 {
        let order = bench.store.place_order_silently(None, 11);
        match number % 3 {
            0 => bench.sink.fault_order(order, Action::Status(422)),
            1 => bench.store.fault(Fault::new(Operation::OrderSingle, Action::Status(404)).order(order)),
            _ => bench.sink.fault_order(order, Action::Status(503)),
        }
        bench.tell(order).await;
        bench.is_good(order);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    clock.set(0).unwrap();
    bench.store.clear_faults();
    bench.sink.clear_faults();
    bench.begins_now();
    for _ in 0..20 {
        bench.good().await;
    }
    vec![bench.measure("orders in trouble and new ones", Goal::seconds(5, 30)).await]
}

/// Waits count from the end of the outage, which lasts longer than a refused order is retried.
pub async fn refused_around_an_outage() -> Vec<Trial> {
    let mut bench = Bench::start(&[("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "4s")]).await;
    bench.sink.fault(Fault::new(Operation::Delivery, Action::Status(422)).times(5));
    for _ in 0..5 {
        bench.good().await;
    }
    bench.sink.wait_for(|sink| sink.attempts() >= 6, Duration::from_secs(20)).await.unwrap();
    bench.sink.fault_all(Action::Status(503));
    for _ in 0..20 {
        bench.good().await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.sink.clear_faults();
    bench.sink.fault(Fault::new(Operation::Delivery, Action::Status(422)).times(5));
    bench.begins_now();
    vec![bench.measure("5 refused before and after, 20 beside", Goal::seconds(20, 30)).await]
}

pub async fn unread_log() -> Vec<Trial> {
    let mut bench = Bench::new(&[("RECONCILE_INTERVAL", "0"), ("RUST_LOG", "debug")]);
    // The pipes stay open but are never read.
    let piped = |command: &mut std::process::Command| {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    };
    bench.start_process(piped).await;
    for _ in 0..1000 {
        bench.good().await;
    }
    vec![bench.measure("a full pipe of 64 KiB", Goal::seconds(5, 5)).await]
}
