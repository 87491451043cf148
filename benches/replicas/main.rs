//! What several relays on one PostgreSQL database do in a second, beside one relay on a SQLite file: acknowledgements kept,
//! and orders delivered. Real processes, a real server, simulators and all on the same processors.
//!
//! First the relays take what they get of the processors: all that one leaves, several have to share, and what each of them
//! costs is seen. Then each has a small share of its own, as it has on a machine of its own: what several are for is seen.
//!
//! `cargo bench --bench replicas`, or with certain numbers of relays: `cargo bench --bench replicas -- 1 4`. Quote the
//! ratios, which come from one run, not the figures of one machine.

mod confined;
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

use confined::Confined;
use postgres::{Cluster, Database};
use replica::Replica;
use share::Ticks;

/// Connections in all, whatever the number of relays.
const LANES: usize = 256;
/// Measurements of each kind, of which the median counts.
const ROUNDS: usize = 3;
/// What a relay with a share of its own may use of one processor. Four use half of one, and leave the rest to the server, the
/// simulators and the load.
const PERCENT: u32 = 12;

/// What is measured.
#[derive(Clone, Copy)]
struct Plan {
    /// On one PostgreSQL database; none for a single one on SQLite.
    relays: Option<usize>,
    percent: Option<u32>,
}

impl Plan {
    /// Callbacks in one measurement.
    fn events(self) -> usize {
        if self.percent.is_some() { 8_000 } else { 16_000 }
    }

    fn name(self) -> String {
        let relays = self.relays.map_or_else(|| "SQLite".to_owned(), |count| format!("PostgreSQL, {count}"));
        self.percent.map_or_else(|| relays.clone(), |percent| format!("{relays} of {percent} %"))
    }
}

struct Setup {
    plan: Plan,
    store: StoreSim,
    sink: OneTribeSim,
    replicas: Vec<Replica>,
    _groups: Vec<Confined>,
    _folder: tempfile::TempDir,
    _database: Option<Database>,
}

impl Setup {
    async fn new(plan: Plan, cluster: &Cluster) -> Self {
        let store = StoreConfig { quota: QuotaRule::unlimited(), record_details: false, ..StoreConfig::default() };
        let sink = OneTribeConfig { keep_bodies: false, ..OneTribeConfig::default() };
        let (store, sink) = (StoreSim::start_with(store), OneTribeSim::start_with(sink));
        let (store, sink) = (store.expect("loopback has ports"), sink.expect("loopback has ports"));
        let folder = tempfile::tempdir().expect("the disk has room");
        let mut all = variables(&store, &sink, &folder.path().join("relay.db"), 0);
        all.push(("RECONCILE_INTERVAL".to_owned(), "0".to_owned()));
        all.push(("RUST_LOG".to_owned(), "error".to_owned()));
        let database = match plan.relays {
            Some(_) => Some(cluster.database().await),
            None => None,
        };
        if let Some(database) = &database {
            all.retain(|(name, _)| name != "DATABASE_URL");
            all.push(("DATABASE_URL".to_owned(), database.url()));
        }
        let mut replicas = Vec::new();
        for _ in 0..plan.relays.unwrap_or(1) {
            replicas.push(Replica::start(&all).await);
        }
        let confine = |replica: &Replica| {
            let group = Confined::to(plan.percent?).expect("it was possible before");
            group.add(replica.id()).expect("the relay runs");
            Some(group)
        };
        let groups = replicas.iter().filter_map(confine).collect();
        Self { plan, store, sink, replicas, _groups: groups, _folder: folder, _database: database }
    }

    /// Sends callbacks for the orders from `first` on, shared out among the relays. Returns how many a second were kept.
    async fn flood(&self, first: i64) -> f64 {
        let ports: Vec<u16> = self.replicas.iter().map(|replica| replica.port).collect();
        let requests = load::callbacks(&self.store.config().client_secret, first, self.plan.events());
        load::flood(&ports, requests, LANES).await
    }

    /// Acknowledgements a second while the store is down, so that nothing else is done.
    async fn acknowledgements(&self) -> f64 {
        self.store.fault(Fault::new(Operation::Any, Action::Status(503)));
        let mut rates = Vec::new();
        for round in 0..ROUNDS {
            rates.push(self.flood(1 + (round * self.plan.events()) as i64).await);
        }
        median(rates)
    }

    /// Orders a second, from the first webhook to the last arrival.
    async fn deliveries(&self) -> f64 {
        let events = self.plan.events();
        let mut rates = Vec::new();
        for round in 0..ROUNDS {
            let first = 1 + (round * events) as i64;
            for order in first..first + events as i64 {
                self.store.place_order_silently(Some(order), 11);
            }
            let began = Instant::now();
            self.flood(first).await;
            let all = |sink: &OneTribeSim| sink.accepted_orders() >= (round + 1) * events;
            self.sink.wait_for(all, Duration::from_secs(300)).await.expect("all orders arrive");
            rates.push(events as f64 / began.elapsed().as_secs_f64());
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

/// How many a second, and the database's share of the time in percent.
type Measured = (f64, f64);

/// Acknowledgements and orders.
async fn measure(plan: Plan, cluster: &Cluster) -> [Measured; 2] {
    let kept = Setup::new(plan, cluster).await;
    let ticks = Ticks::now();
    let acknowledged = (kept.acknowledgements().await, ticks.database_percent());
    kept.stop().await;
    let sent = Setup::new(plan, cluster).await;
    let ticks = Ticks::now();
    let delivered = (sent.deliveries().await, ticks.database_percent());
    sent.stop().await;
    [acknowledged, delivered]
}

fn show(plan: Plan, measured: [Measured; 2], beside: [Option<[Measured; 2]>; 2]) {
    let shown = measured.into_iter().enumerate().map(|(at, (rate, share))| {
        let [sqlite, one] =
            beside.map(|other| other.map_or("-".to_owned(), |other| format!("{:.2}", rate / other[at].0)));
        format!("{rate:>9.0} {sqlite:>9} {one:>9} {share:>8.0}%")
    });
    println!("{:<22} {}", plan.name(), shown.collect::<Vec<_>>().join(" "));
}

#[tokio::main]
async fn main() {
    let Some(cluster) = Cluster::start() else { return postgres::skip().unwrap_or_default() };
    // Cargo adds `--bench` of its own.
    let named: Vec<usize> = std::env::args().skip(1).filter_map(|count| count.parse().ok()).collect();
    let counts = if named.is_empty() { vec![1, 2, 4] } else { named };
    println!("{:<22} {:>30} {:>41}", "", "acknowledgements", "orders");
    let columns = ["a second", "/ SQLite", "/ one", "database"];
    let heads = || columns.map(|head| format!("{head:>9}")).join(" ");
    println!("{:<22} {} {}", "", heads(), heads());
    let plan = Plan { relays: None, percent: None };
    let sqlite = measure(plan, &cluster).await;
    show(plan, sqlite, [Some(sqlite), None]);
    for percent in [None, Some(PERCENT)] {
        if percent.is_some()
            && let Err(error) = Confined::to(PERCENT)
        {
            return println!(
                "skipped: relays with a share of their own, as there are no control groups to be had: {error}"
            );
        }
        let mut one = None;
        for relays in &counts {
            let plan = Plan { relays: Some(*relays), percent };
            let measured = measure(plan, &cluster).await;
            if *relays == 1 {
                one = Some(measured);
            }
            show(plan, measured, [percent.is_none().then_some(sqlite), one]);
        }
    }
}
