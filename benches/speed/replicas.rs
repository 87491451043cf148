//! Several relays on one PostgreSQL database compared with one: stored acknowledgements per second, and deliveries per
//! second. Real processes and a real server, with the simulators on the same processors.
//!
//! Each relay is limited to a small share of a processor, as if it had a machine of its own: that shows the gain from
//! running several.

use std::time::{Duration, Instant};

use onetribe_relay::inbox::ConnectionState;
use sandbox::{
    Action, Fault, OneTribeConfig, OneTribeSim, Operation, QuotaRule, StoreConfig, StoreFarm,
    postgres::{Cluster, Database, skip},
};

use crate::{
    amount,
    confined::Confined,
    figures::{Figures, median},
    load,
    many::{self, Store},
    process::{Process, this_relay},
    share::Ticks,
};

/// The number of connections in total, however many relays there are.
const LANES: usize = 256;
/// The number of stores, enough for every relay to have shards with work.
const STORES: usize = 64;
/// The percentage of one processor that a relay may use. Four relays use half of one, and leave the rest to the server,
/// the simulators and the load.
const PERCENT: u32 = 12;
/// How many relays are compared with one.
const MANY: usize = 4;
/// The time after which the shards have been shared out.
const SHARING: Duration = Duration::from_secs(8);

struct Setup {
    farm: StoreFarm,
    sink: OneTribeSim,
    stores: Vec<Store>,
    replicas: Vec<Process>,
    _groups: Vec<Confined>,
    _database: Database,
}

/// The rate per second, and the database's share of the CPU time in percent.
type Measured = (f64, f64);

impl Setup {
    async fn new(relays: usize, cluster: &Cluster) -> Self {
        let config = |number| StoreConfig {
            quota: QuotaRule::unlimited(),
            record_details: false,
            ..StoreConfig::numbered(number)
        };
        let farm = StoreFarm::start_with((1..=STORES).map(config)).expect("loopback has ports");
        let sink = OneTribeConfig { keep_bodies: false, ..OneTribeConfig::default() };
        let sink = OneTribeSim::start_with(sink).expect("loopback has ports");
        let database = cluster.database().await;
        let variables = many::variables(&farm.api_url(), &database.url());
        let stores = many::connect(&variables, STORES, &sink.url(), ConnectionState::Active).await;
        let mut replicas = Vec::new();
        for _ in 0..relays {
            replicas.push(Process::relay(&this_relay(), &variables).await);
        }
        tokio::time::sleep(SHARING).await;
        let confine = |replica: &Process| {
            let group = Confined::to(PERCENT).expect("it was possible before");
            group.add(replica.id()).expect("the relay runs");
            group
        };
        let groups = replicas.iter().map(confine).collect();
        Self { farm, sink, stores, replicas, _groups: groups, _database: database }
    }

    /// Callbacks for the orders of the `nth` round, spread over the stores; the orders are placed only if they will be
    /// fetched.
    fn callbacks(&self, nth: usize, count: usize, are_placed: bool) -> Vec<Vec<u8>> {
        let callback = |at: usize| {
            let (store, number) = (&self.stores[at % STORES], 1 + at % STORES);
            let config = StoreConfig::numbered(number);
            let order = config.first_order_id + i64::try_from(at / STORES).expect("a small number");
            if are_placed && let Some(sim) = self.farm.store(&config.hash) {
                sim.place_order_silently(Some(order), 11);
            }
            store.sender().callback(order)
        };
        (nth * count..(nth + 1) * count).map(callback).collect()
    }

    fn ports(&self) -> Vec<u16> {
        self.replicas.iter().map(|replica| replica.port).collect()
    }

    /// Acknowledgements per second while the stores are down, so that nothing else is done.
    async fn acknowledgements(&self, rounds: usize, count: usize) -> Measured {
        for store in self.farm.stores() {
            store.fault(Fault::new(Operation::Any, Action::Status(503)));
        }
        let (ticks, mut rates) = (Ticks::now(), Vec::new());
        for round in 0..rounds {
            rates.push(load::flood(&self.ports(), self.callbacks(round, count, false), LANES).await);
        }
        (median(rates), ticks.database_percent())
    }

    /// Orders per second, from the first webhook to the last arrival.
    async fn deliveries(&self, rounds: usize, count: usize) -> Measured {
        let (ticks, mut rates) = (Ticks::now(), Vec::new());
        for round in 0..rounds {
            let requests = self.callbacks(round, count, true);
            let began = Instant::now();
            load::flood(&self.ports(), requests, LANES).await;
            let all = |sink: &OneTribeSim| sink.accepted_orders() >= (round + 1) * count;
            self.sink.wait_for(all, Duration::from_secs(300)).await.expect("all orders arrive");
            rates.push(count as f64 / began.elapsed().as_secs_f64());
        }
        (median(rates), ticks.database_percent())
    }
}

/// Compares [`MANY`] relays with one.
pub async fn measure(figures: &mut Figures) {
    figures.heading(&format!("replicas on PostgreSQL, each with {PERCENT} % of a processor"));
    let Some(cluster) = Cluster::start() else { return skip().unwrap_or_default() };
    if let Err(error) = Confined::to(PERCENT) {
        return println!("  skipped: there are no control groups to be had: {error}");
    }
    let (rounds, count) = (amount(3, 1), amount(8_000, 2_000));
    let mut measured = Vec::new();
    for relays in [1, MANY] {
        let kept = Setup::new(relays, &cluster).await.acknowledgements(rounds, count).await;
        let sent = Setup::new(relays, &cluster).await.deliveries(rounds, count).await;
        let shown = format!("{:.0} {:.0}", kept.0, sent.0);
        figures.note(&format!("{relays}: acknowledgements, deliveries a second"), &shown);
        figures.note("  the database's share of the processor time", &format!("{:.0} % {:.0} %", kept.1, sent.1));
        measured.push((kept.0, sent.0));
    }
    let [one, many] = measured[..] else { return };
    figures.at_least("acknowledgements of four / of one", many.0 / one.0, 3.8, "");
    figures.at_least("deliveries of four / of one", many.1 / one.1, 3.0, "");
}
