//! The metrics of several relays add up: each connection in trouble is counted once.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::Method;
use sandbox::{Action, Fault, Operation};

use super::{
    SOON, UNDER_WAY,
    world::{PATIENCE, STORES, World},
};

/// The metrics of every relay.
async fn metrics(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for replica in &world.replicas {
        all.push(world.client.get(replica.metrics_url()).send().await.unwrap().text().await.unwrap());
    }
    all
}

/// The value of a series at each relay.
fn values(metrics: &[String], series: &str) -> Vec<usize> {
    let value = |text: &String| {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    };
    metrics.iter().map(value).collect()
}

/// Waits until the relays' values of a series add up to this sum.
async fn sum_is(world: &World, series: &str, sum: usize) -> Vec<usize> {
    let began = Instant::now();
    loop {
        let values = values(&metrics(world).await, series);
        if values.iter().sum::<usize>() == sum {
            return values;
        }
        assert!(began.elapsed() < PATIENCE, "{series} is {values:?}, which do not come to {sum}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_down_counts_at_one_relay_and_at_another_after_that_one_has_died() {
    const DOWN: &str = r#"onetribe_relay_connections_down{side="destination"}"#;
    let Some(mut world) = World::start(2).await else { return };
    sum_is(&world, DOWN, 0).await;
    for sink in &world.sinks {
        sink.fault_all(Action::Status(503));
    }
    for store in &world.stores {
        store.place_order_as(None, 11);
    }
    let counted = sum_is(&world, DOWN, STORES).await;
    println!("of {STORES} that are down the relays count {counted:?}");
    let labelled: Vec<String> = metrics(&world).await.iter().flat_map(|text| down(text)).collect();
    assert_eq!(labelled.len(), STORES, "{labelled:?}");
    assert_eq!(labelled.iter().collect::<BTreeSet<_>>().len(), STORES, "{labelled:?}");
    // A relay that counts some of them is killed.
    let dies = counted.iter().position(|count| *count > 0).unwrap();
    world.leave(dies).signal("KILL");
    world.shared_out(SOON).await;
    assert_eq!(sum_is(&world, DOWN, STORES).await, [STORES]);
    // A relay that joins takes over some of them; none is counted twice.
    world.join().await;
    sum_is(&world, DOWN, STORES).await;
    world.sinks.iter().for_each(sandbox::OneTribeSim::clear_faults);
    world.settled().await;
    assert_eq!(sum_is(&world, DOWN, 0).await, [0, 0]);
    assert_eq!(values(&metrics(&world).await, r#"onetribe_relay_connections{state="active"}"#), [STORES; 2]);
    world.finish_after(UNDER_WAY).await;
}

/// The connections that one relay's metrics show as down, each with its side.
fn down(metrics: &str) -> Vec<String> {
    let series = metrics.lines().filter_map(|line| line.strip_prefix("onetribe_relay_down{")?.strip_suffix("} 1"));
    series.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_count_once_and_not_for_ever_where_somebody_looked_once() {
    const REFUSED: &str = "onetribe_relay_credentials_refused";
    let Some(world) = World::start(2).await else { return };
    world.stores[0].fault(Fault::new(Operation::Any, Action::Status(401)));
    let check = format!("/connections/{}/integration/check", world.ids[0]);
    let began = Instant::now();
    // Both relays check repeatedly, and both see the refusal.
    while began.elapsed() < Duration::from_secs(13) {
        for relay in [0, 1] {
            world.admin(relay, Method::GET, &check, "application/json").await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    sum_is(&world, REFUSED, 1).await;
    world.stores[0].clear_faults();
    let order = world.stores[0].place_order_as(None, 11);
    world.sinks[0].wait_for(|sink| sink.newest(order).is_some(), PATIENCE).await.unwrap();
    assert_eq!(sum_is(&world, REFUSED, 0).await, [0, 0]);
    world.settled().await;
    world.finish().await;
}
