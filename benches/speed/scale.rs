//! Ten thousand connections in one relay, on both databases: the start, memory, idle CPU time, acknowledgements over
//! all of them, the operator's list, and adding a connection.

use std::time::{Duration, Instant};

use onetribe_relay::inbox::ConnectionState;
use sandbox::{
    OneTribeSim, StoreConfig, StoreFarm, http,
    postgres::{Cluster, Database, skip},
    relay::ADMIN_TOKEN,
};

use crate::{
    amount,
    figures::{Figures, median},
    load,
    many::{self, Store},
    process::{Process, this_relay},
};

/// How many connections send at once.
const LANES: usize = 64;
/// A database, kept for as long as it is measured.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Database),
}

impl Place {
    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}", folder.path().join("relay.db").display()),
            Self::Postgres(database) => database.url(),
        }
    }
}

/// Measures both databases.
pub async fn measure(figures: &mut Figures) {
    figures.heading("SQLite");
    on(figures, || async { Place::Sqlite(tempfile::tempdir().expect("the disk has room")) }).await;
    let Some(cluster) = Cluster::start() else { return skip().unwrap_or_default() };
    figures.heading("PostgreSQL");
    on(figures, || async { Place::Postgres(cluster.database().await) }).await;
}

async fn on(figures: &mut Figures, place: impl AsyncFn() -> Place) {
    let count = amount(10_000, 1_000);
    figures.note("connections", &count.to_string());
    let sink = OneTribeSim::start().expect("loopback has ports");
    let config = |number| StoreConfig { record_details: false, ..StoreConfig::numbered(number) };
    let farm = StoreFarm::start_with((1..=count).map(config)).expect("loopback has ports");
    let idle = place().await;
    let variables = many::variables(&farm.api_url(), &idle.url());
    many::connect(&variables, count, &sink.url(), ConnectionState::Active).await;
    at_rest(figures, &variables).await;
    operators(figures, &variables, count, &sink).await;
    drop(idle);
    let paused = place().await;
    let variables = many::variables(&farm.api_url(), &paused.url());
    let stores = many::connect(&variables, count, &sink.url(), ConnectionState::Paused).await;
    acknowledgements(figures, &variables, &stores).await;
}

async fn at_rest(figures: &mut Figures, variables: &[(String, String)]) {
    let mut starts = Vec::new();
    for _ in 0..amount(5, 3) {
        starts.push(Process::relay(&this_relay(), variables).await.listened_after.as_secs_f64() * 1000.0);
    }
    let process = Process::relay(&this_relay(), variables).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let span = Duration::from_secs(amount(30, 10) as u64);
    let busy = process.busy();
    tokio::time::sleep(span).await;
    let share = 100.0 * (process.busy() - busy).as_secs_f64() / span.as_secs_f64();
    figures.at_most("from the start until it listens", median(starts), 1_000.0, " ms");
    figures.at_most("resident, idle", process.resident_mib(), 100.0, " MiB");
    figures.at_most("of a core, while nothing is due", share, 1.0, " %");
}

/// The operator's requests.
async fn operators(figures: &mut Figures, variables: &[(String, String)], count: usize, sink: &OneTribeSim) {
    let process = Process::relay(&this_relay(), variables).await;
    let client = http::client();
    for (what, accept) in [("as JSON", "application/json"), ("as a page", "text/html")] {
        let mut times = Vec::new();
        for _ in 0..15 {
            let began = Instant::now();
            let request = client.get(process.url("/connections")).bearer_auth(ADMIN_TOKEN).header("accept", accept);
            let answer = request.send().await.expect("the relay answers");
            assert!(answer.status().is_success(), "{}", answer.status());
            drop(answer.bytes().await);
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        figures.at_most(&format!("GET /connections, {what}"), median(times), 100.0, " ms");
    }
    let mut times = Vec::new();
    for number in (count + 1..).take(25) {
        let body = many::request(number, &sink.url()).to_string();
        let began = Instant::now();
        let request = client.post(process.url("/connections?verify=false")).bearer_auth(ADMIN_TOKEN);
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let answer = answer.expect("the relay answers");
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(answer.status().as_u16(), 201, "{:?}", answer.text().await);
    }
    figures.at_most("one connection more", median(times), 10.0, " ms");
}

/// Acknowledgements per second for the events of one store and for those of all stores, in turns. All connections are
/// paused, so that nothing else is done.
async fn acknowledgements(figures: &mut Figures, variables: &[(String, String)], stores: &[Store]) {
    let (rounds, each) = (amount(9, 3), amount(10_000, 2_000));
    let process = Process::relay(&this_relay(), variables).await;
    let (mut of_one, mut of_all) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let first = i64::try_from(1 + round * each).expect("a small number");
        let requests = stores[0].sender().callbacks(first, each);
        of_one.push(load::flood(&[process.port], requests, LANES).await);
        let spread = (first..).take(each).zip(stores.iter().cycle().skip(round * 7919 % stores.len()));
        let requests = spread.map(|(order, store)| store.sender().callback(order)).collect();
        of_all.push(load::flood(&[process.port], requests, LANES).await);
    }
    let ratio = median(of_all.iter().zip(&of_one).map(|(all, one)| all / one).collect());
    let shown = format!("{:.0} {:.0}", median(of_one), median(of_all));
    figures.note("acknowledgements a second of one, over all", &shown);
    figures.at_least("acknowledgements over all / of one", ratio, 0.8, "");
}
