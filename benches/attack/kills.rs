//! SIGKILL under load: what was acknowledged is stored and arrives.

use std::time::{Duration, Instant};

use rand::RngExt;
use sandbox::{
    Action, OneTribeSim, QuotaRule, Sender, SenderOptions, StoreConfig, StoreSim, audit,
    relay::{free_port, variables},
};

use super::Row;

const KILLS: usize = 60;

pub async fn amid_load() -> Vec<Row> {
    let store = StoreConfig { quota: QuotaRule::unlimited(), ..StoreConfig::default() };
    let (store, sink) = (StoreSim::start_with(store).unwrap(), OneTribeSim::start().unwrap());
    // BigCommerce's retries in milliseconds; they go on for so long that the restarts do not use them up.
    let sender = Sender::start(&store, SenderOptions { time_factor: 0.002, ..SenderOptions::default() });
    sink.fault_all(Action::Slow(Duration::from_millis(3)));
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
    let variables = variables(&store, &sink, &folder.path().join("relay.db"), port);
    let start = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        let command = command.env_clear().envs(variables.clone()).env("RUST_LOG", "error");
        let timeouts = [("FETCH_TIMEOUT", "2s"), ("FORWARD_TIMEOUT", "2s")];
        command.envs(timeouts).current_dir(folder.path()).stdin(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut process = start();
    store.wait_for(|store| !store.hooks().is_empty(), Duration::from_secs(30)).await.unwrap();
    let mut orders = Vec::new();
    for round in 0..KILLS {
        let until = Instant::now() + Duration::from_millis(rand::rng().random_range(20..400));
        while Instant::now() < until {
            if orders.len() < 2000 && rand::rng().random_bool(0.5) {
                orders.push(store.place_order_as(None, 11));
            } else if let Some(order) = orders.get(rand::rng().random_range(0..orders.len().max(1))) {
                store.change_order(*order, (round % 15) as u8);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        process = start();
    }
    let began = Instant::now();
    loop {
        let report = audit(&store, &sender.acknowledged(), &sink);
        let is_settled = sender.pending() == 0 && report.missing.is_empty() && report.stale.is_empty();
        if is_settled || began.elapsed() > Duration::from_secs(60) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let report = audit(&store, &sender.acknowledged(), &sink);
    let lost = report.missing.len() + report.stale.len() + report.overlapping.len();
    let acknowledged = sender.acknowledged_count();
    process.kill().unwrap();
    process.wait().unwrap();
    sender.stop().await;
    let figure = format!("{acknowledged} acknowledged, all settled");
    vec![Row::of("kills amid load: lost, stale or side by side", KILLS, lost).with(figure, "none", acknowledged > 100)]
}
