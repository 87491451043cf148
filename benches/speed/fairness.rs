//! A thousand stores, forty of them in trouble: the time from webhook to delivery of the others' orders, compared with
//! the time without the trouble.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use onetribe_relay::inbox::ConnectionState;
use sandbox::{Action, Fault, OneTribeConfig, OneTribeSim, Operation, QuotaRule, StoreConfig, StoreFarm, StoreSim};

use crate::{
    amount,
    figures::Figures,
    load::{self, Lane},
    many::{self, Store},
    process::{Process, this_relay},
};

/// How many stores have each kind of trouble.
const EACH_KIND: usize = 10;
/// The webhooks per second of the other stores.
const PER_SECOND: u32 = 100;
/// The longest to wait for arrivals.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    farm: StoreFarm,
    sims: Vec<StoreSim>,
    stores: Vec<Store>,
    sink: OneTribeSim,
    variables: Vec<(String, String)>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(count: usize) -> Self {
        let configs = (1..=count).map(|number| StoreConfig { record_details: false, ..StoreConfig::numbered(number) });
        let farm = StoreFarm::start_with(configs).expect("loopback has ports");
        let sink = OneTribeConfig { keep_bodies: false, ..OneTribeConfig::default() };
        let sink = OneTribeSim::start_with(sink).expect("loopback has ports");
        let folder = tempfile::tempdir().expect("the disk has room");
        let database = format!("sqlite://{}", folder.path().join("relay.db").display());
        let variables = many::variables(&farm.api_url(), &database);
        let stores = many::connect(&variables, count, &sink.url(), ConnectionState::Active).await;
        let sims = (1..=count).filter_map(|number| farm.store(&StoreConfig::numbered(number).hash)).collect();
        Self { farm, sims, stores, sink, variables, _folder: folder }
    }

    /// Ten stores hang, ten answer 429, ten refuse the token, and ten have more orders waiting than their quota lets
    /// through.
    async fn trouble(&self, port: u16, backlog: usize) {
        for (at, action) in [(0, Action::Hold), (1, Action::Status(429)), (2, Action::Status(401))] {
            for sim in &self.sims[at * EACH_KIND..(at + 1) * EACH_KIND] {
                sim.fault(Fault::new(Operation::Any, action.clone()));
            }
        }
        let mut requests = Vec::new();
        for at in 0..EACH_KIND * 4 {
            let (sim, store) = (&self.sims[at], &self.stores[at]);
            let (count, apart) = if at < EACH_KIND * 3 { (20, 1) } else { (backlog, 300) };
            if at >= EACH_KIND * 3 {
                sim.set_quota(QuotaRule { requests: 150, ..QuotaRule::default() });
            }
            for nth in 0..count {
                // The ids are so far apart that no list includes two of them: each order costs a call.
                let order = sim.config().first_order_id + i64::try_from(nth * apart).expect("a small number");
                sim.place_order_silently(Some(order), 11);
                requests.push(store.sender().callback(order));
            }
        }
        load::flood(&[port], requests, 64).await;
    }

    /// The 99th percentile of the time from webhook to delivery in the stores without trouble, in milliseconds.
    async fn others(&self, port: u16, seconds: usize) -> f64 {
        let others: Vec<(&StoreSim, &Store)> = self.sims.iter().zip(&self.stores).skip(EACH_KIND * 4).collect();
        let count = PER_SECOND as usize * seconds;
        let mut requests: Vec<(i64, Vec<u8>)> = Vec::with_capacity(count);
        for nth in 0..count {
            let (sim, store) = others[nth * 7919 % others.len()];
            let order = sim.place_order_silently(None, 11);
            requests.push((order, store.sender().callback(order)));
        }
        let before = self.sink.received().len();
        let orders: Vec<i64> = requests.iter().map(|(order, _)| *order).collect();
        let sent = pace(port, requests).await;
        let arrived = |sink: &OneTribeSim| orders.iter().all(|order| sink.newest(*order).is_some());
        self.sink.wait_for(arrived, PATIENCE).await.expect("all of the others' orders arrive");
        let received = self.sink.received().into_iter().skip(before);
        let times: Vec<Duration> = received
            .filter_map(|received| Some(received.started.duration_since(*sent.get(&received.order_id)?)))
            .collect();
        assert!(times.len() >= count, "{} of {count}", times.len());
        load::p99_ms(times)
    }
}

/// Sends at a steady rate; returns when each request was due.
async fn pace(port: u16, requests: Vec<(i64, Vec<u8>)>) -> HashMap<i64, Instant> {
    const LANES: usize = 16;
    let between = Duration::from_secs(1) / PER_SECOND;
    let began = Instant::now() + Duration::from_millis(100);
    let mut shares: Vec<Vec<(Instant, i64, Vec<u8>)>> = vec![Vec::new(); LANES];
    for (at, (order, request)) in (0u32..).zip(requests) {
        shares[at as usize % LANES].push((began + between * at, order, request));
    }
    let lanes = shares.into_iter().map(|share| {
        tokio::spawn(async move {
            let mut lane = Lane::open(port).await;
            let mut sent = Vec::with_capacity(share.len());
            for (due, order, request) in share {
                tokio::time::sleep_until(due.into()).await;
                lane.send(&request).await;
                sent.push((order, due));
            }
            sent
        })
    });
    let mut sent = HashMap::new();
    for lane in lanes.collect::<Vec<_>>() {
        sent.extend(lane.await.expect("a lane does not panic"));
    }
    sent
}

/// Compares the times with and without the trouble.
pub async fn measure(figures: &mut Figures) {
    let (count, seconds, backlog) = (amount(1_000, 200), amount(30, 6), amount(5_000, 500));
    figures.heading("a thousand stores, forty of them in trouble");
    let world = World::new(count).await;
    let process = Process::relay(&this_relay(), &world.variables).await;
    // By now, every store has answered once.
    world.others(process.port, amount(10, 4)).await;
    let without = world.others(process.port, seconds).await;
    world.trouble(process.port, backlog).await;
    let with = world.others(process.port, seconds).await;
    figures.note("99th percentile of webhook to delivery, without trouble", &format!("{without:.1} ms"));
    figures.note("the same of the other stores, with the trouble", &format!("{with:.1} ms"));
    figures.at_most("with / without", with / without, 1.5, "");
    for sim in &world.sims {
        sim.clear_faults();
        sim.release();
    }
    drop(process);
    world.farm.stop().await;
}
