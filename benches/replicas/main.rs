//! What several relays on one PostgreSQL database do in a second, beside one relay on a SQLite file: acknowledgements kept,
//! and orders delivered. Real processes, a real server, simulators and all on the same cores.
//!
//! `cargo bench --bench replicas`, or with certain numbers of relays: `cargo bench --bench replicas -- 1 4`. Quote the
//! ratios, which come from one run, not the figures of one machine.

#[allow(dead_code, reason = "made for the other benchmark as well")]
#[path = "../relay/load.rs"]
mod load;
#[path = "../../tests/support/postgres.rs"]
mod postgres;
#[path = "../../tests/support/replica.rs"]
mod replica;
mod share;

use std::time::{Duration, Instant};

use sandbox::{
    Action, Fault, OneTribeConfig, OneTribeSim, Operation, QuotaRule, StoreConfig, StoreSim, relay::variables,
};

use postgres::{Cluster, Database};
use replica::Replica;
use share::Ticks;

/// Connections in all, whatever the number of relays: each of four has as many as fill its batches.
const LANES: usize = 256;
/// Callbacks in one measurement.
const EVENTS: usize = 16_000;
/// Measurements of each kind, of which the median counts.
const ROUNDS: usize = 3;

struct Setup {
    store: StoreSim,
    sink: OneTribeSim,
    replicas: Vec<Replica>,
    _folder: tempfile::TempDir,
    _database: Option<Database>,
}

impl Setup {
    async fn sqlite() -> Self {
        Self::new(1, None).await
    }

    async fn postgres(cluster: &Cluster, replicas: usize) -> Self {
        Self::new(replicas, Some(cluster.database().await)).await
    }

    async fn new(replicas: usize, database: Option<Database>) -> Self {
        let store = StoreConfig { quota: QuotaRule::unlimited(), record_details: false, ..StoreConfig::default() };
        let sink = OneTribeConfig { keep_bodies: false, ..OneTribeConfig::default() };
        let (store, sink) = (StoreSim::start_with(store), OneTribeSim::start_with(sink));
        let (store, sink) = (store.expect("loopback has ports"), sink.expect("loopback has ports"));
        let folder = tempfile::tempdir().expect("the disk has room");
        let mut all = variables(&store, &sink, &folder.path().join("relay.db"), 0);
        all.push(("RECONCILE_INTERVAL".to_owned(), "0".to_owned()));
        all.push(("RUST_LOG".to_owned(), "error".to_owned()));
        if let Some(database) = &database {
            all.retain(|(name, _)| name != "DATABASE_URL");
            all.push(("DATABASE_URL".to_owned(), database.url()));
        }
        let mut started = Vec::new();
        for _ in 0..replicas {
            started.push(Replica::start(&all).await);
        }
        Self { store, sink, replicas: started, _folder: folder, _database: database }
    }

    /// Sends callbacks for the orders from `first` on, shared out among the relays. Returns how many a second were kept.
    async fn flood(&self, first: i64) -> f64 {
        let count = self.replicas.len();
        let each = EVENTS / count;
        let secret = &self.store.config().client_secret;
        let shares: Vec<_> = (0..count)
            .map(|at| load::callbacks(secret, first + (at * each) as i64, each))
            .zip(self.replicas.iter().map(|replica| replica.port))
            .collect();
        let began = Instant::now();
        let floods = shares
            .into_iter()
            .map(|(requests, port)| tokio::spawn(async move { load::flood(port, requests, LANES / count).await }));
        for flood in floods.collect::<Vec<_>>() {
            flood.await.expect("the relays answer");
        }
        (each * count) as f64 / began.elapsed().as_secs_f64()
    }

    /// Acknowledgements a second while the store is down, so that nothing else is done.
    async fn acknowledgements(&self) -> f64 {
        self.store.fault(Fault::new(Operation::Any, Action::Status(503)));
        let mut rates = Vec::new();
        for round in 0..ROUNDS {
            rates.push(self.flood(1 + (round * EVENTS) as i64).await);
        }
        median(rates)
    }

    /// Orders a second, from the first webhook to the last arrival.
    async fn deliveries(&self) -> f64 {
        let mut rates = Vec::new();
        for round in 0..ROUNDS {
            let first = 1 + (round * EVENTS) as i64;
            for order in first..first + EVENTS as i64 {
                self.store.place_order_silently(Some(order), 11);
            }
            let began = Instant::now();
            self.flood(first).await;
            let all = |sink: &OneTribeSim| sink.accepted_orders() >= (round + 1) * EVENTS;
            self.sink.wait_for(all, Duration::from_secs(300)).await.expect("all orders arrive");
            rates.push(EVENTS as f64 / began.elapsed().as_secs_f64());
        }
        median(rates)
    }

    async fn stop(mut self) {
        for replica in &mut self.replicas {
            replica.signal("TERM");
            replica.ended().await;
        }
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[tokio::main]
async fn main() {
    let Some(cluster) = Cluster::start() else { return postgres::skip().unwrap_or_default() };
    // Cargo adds `--bench` of its own.
    let named: Vec<usize> = std::env::args().skip(1).filter_map(|count| count.parse().ok()).collect();
    let counts = if named.is_empty() { vec![1, 2, 4] } else { named };
    println!("{:<22} {:>30} {:>31}", "", "acknowledgements", "orders");
    let columns = ["a second", "/ SQLite", "/ one", "database"];
    let heads = || columns.map(|head| format!("{head:>9}")).join(" ");
    println!("{:<20} {} {}", "", heads(), heads());
    let (mut sqlite, mut one) = (None, None);
    for replicas in std::iter::once(0).chain(counts) {
        let setup = async || match replicas {
            0 => Setup::sqlite().await,
            count => Setup::postgres(&cluster, count).await,
        };
        let kept = setup().await;
        let ticks = Ticks::now();
        let acknowledged = (kept.acknowledgements().await, ticks.database_percent());
        kept.stop().await;
        let sent = setup().await;
        let ticks = Ticks::now();
        let delivered = (sent.deliveries().await, ticks.database_percent());
        sent.stop().await;
        let rates = [acknowledged.0, delivered.0];
        let sqlite = *sqlite.get_or_insert(rates);
        if replicas == 1 {
            one = Some(rates);
        }
        let what = if replicas == 0 { "SQLite".to_owned() } else { format!("PostgreSQL, {replicas}") };
        let shown = [acknowledged, delivered].into_iter().enumerate().map(|(at, (rate, share))| {
            let beside_one = one.map_or_else(|| "-".to_owned(), |one| format!("{:.2}", rate / one[at]));
            format!("{rate:>9.0} {:>9.2} {beside_one:>9} {share:>8.0}%", rate / sqlite[at])
        });
        println!("{what:<20} {}", shown.collect::<Vec<_>>().join(" "));
    }
}
