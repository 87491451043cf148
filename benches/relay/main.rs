//! Speed and memory of the relay, each figure beside its goal. The bare handler it is compared with runs in the same run:
//! it verifies a callback and answers 200, and keeps nothing.
//!
//! `cargo bench --bench relay`, or a part of it by name: `cargo bench --bench relay -- acknowledgements`. Quote the ratios,
//! not the absolute figures of one machine.

mod load;

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use onetribe_relay::{callback::Verifier, config::Config, event::StoreHash};
use sandbox::{
    Action, Fault, OneTribeConfig, OneTribeSim, Operation, QuotaRule, StoreConfig, StoreSim,
    relay::{Relay, free_port, variables},
};

const LANES: usize = 64;

struct Setup {
    store: StoreSim,
    sink: OneTribeSim,
    folder: tempfile::TempDir,
    port: u16,
}

impl Setup {
    fn new() -> Self {
        let store = StoreConfig { quota: QuotaRule::unlimited(), record_details: false, ..StoreConfig::default() };
        let sink = OneTribeConfig { keep_bodies: false, ..OneTribeConfig::default() };
        Self {
            store: StoreSim::start_with(store).expect("loopback has ports"),
            sink: OneTribeSim::start_with(sink).expect("loopback has ports"),
            folder: tempfile::tempdir().expect("the disk has room"),
            port: free_port().expect("loopback has ports"),
        }
    }

    fn variables(&self) -> Vec<(String, String)> {
        let mut all = variables(&self.store, &self.sink, &self.folder.path().join("relay.db"), self.port);
        all.push(("RECONCILE_INTERVAL".to_owned(), "0".to_owned()));
        all.push(("RUST_LOG".to_owned(), "error".to_owned()));
        all
    }

    async fn relay(&self) -> Relay {
        Relay::start(Config::from_vars(self.variables()).expect("the variables are right")).await.expect("it starts")
    }

    fn secret(&self) -> String {
        self.store.config().client_secret.clone()
    }

    fn place(&self, first: i64, count: usize) -> Vec<Vec<u8>> {
        for at in 0..count as i64 {
            self.store.place_order_silently(Some(first + at), 11);
        }
        load::callbacks(&self.secret(), first, count)
    }
}

fn show(what: &str, measured: String, goal: &str, reached: bool) {
    println!("{what:<58} {measured:>16}   goal {goal:<12} {}", if reached { "reached" } else { "MISSED" });
}

#[tokio::main]
async fn main() {
    // Cargo adds `--bench` of its own.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|named| named == name);
    if wanted("acknowledgements") {
        acknowledgements().await;
    }
    if wanted("steady") {
        steady_acknowledgements().await;
    }
    if wanted("end-to-end") {
        end_to_end().await;
    }
    if wanted("process") {
        process().await;
    }
}

/// The bare handler: verifies and answers 200.
fn bare(secret: String) -> u16 {
    let store = StoreHash::parse("abcde").expect("letters");
    let verifier = Arc::new(Verifier::new(store, vec![secret.into()], Vec::new(), Duration::from_secs(3600)));
    let handler = move |request: HttpRequest, body: web::Bytes| {
        let verified = verifier.verify(request.headers(), &body, SystemTime::now()).is_ok();
        async move { if verified { HttpResponse::Ok().finish() } else { HttpResponse::Unauthorized().finish() } }
    };
    let server = HttpServer::new(move || App::new().default_service(web::to(handler.clone())))
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("loopback has ports");
    let port = server.addrs()[0].port();
    tokio::spawn(server.run());
    port
}

/// Durable acknowledgements of the real process, while the store is down so that nothing else is done, against the bare
/// handler's, in turns.
async fn acknowledgements() {
    const ROUNDS: i64 = 11;
    const EACH: usize = 20_000;
    let setup = Setup::new();
    setup.store.fault(Fault::new(Operation::Any, Action::Status(503)));
    let mut relay = listening(&setup).await;
    let bare = bare(setup.secret());
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let without = load::flood(&[bare], load::callbacks(&setup.secret(), 1, EACH), LANES).await;
        let first = 1 + round * EACH as i64;
        let kept = load::flood(&[setup.port], load::callbacks(&setup.secret(), first, EACH), LANES).await;
        rounds.push((kept / without, kept, without));
    }
    rounds.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (median, kept, without) = rounds[rounds.len() / 2];
    println!(
        "acknowledgements a second at {LANES} connections: kept {kept:.0}, bare handler {without:.0} (median of {ROUNDS})"
    );
    show("kept acknowledgements / the bare handler's (median)", format!("{median:.2}"), ">= 0.33", median >= 0.33);
    stop(&mut relay);
}

/// The 99th percentile of the acknowledgement at 500 a second, with everything behind it going on.
async fn steady_acknowledgements() {
    let setup = Setup::new();
    let relay = setup.relay().await;
    let requests = setup.place(1, 5000);
    let times = load::pace(setup.port, requests, 500, 16).await;
    let p99 = times[times.len() * 99 / 100];
    let shown = format!("{:.1} ms", p99.as_secs_f64() * 1000.0);
    show("99th percentile of the acknowledgement at 500 a second", shown, "<= 15 ms", p99 <= Duration::from_millis(15));
    relay.stop().await.expect("it stops in order");
}

/// From the first webhook to the last arrival, simulators and all on the same cores.
async fn end_to_end() {
    const ORDERS: usize = 40_000;
    let setup = Setup::new();
    let relay = setup.relay().await;
    let requests = setup.place(1, ORDERS);
    let began = Instant::now();
    load::flood(&[setup.port], requests, LANES).await;
    let all = |sink: &OneTribeSim| sink.accepted_orders() == ORDERS;
    setup.sink.wait_for(all, Duration::from_secs(120)).await.expect("all orders arrive");
    let rate = ORDERS as f64 / began.elapsed().as_secs_f64();
    show("orders a second, from webhook to destination", format!("{rate:.0}"), ">= 5000", rate >= 5000.0);
    relay.stop().await.expect("it stops in order");
}

/// The real process: how soon it listens, and what it keeps in memory.
async fn process() {
    let mut starts = Vec::new();
    for _ in 0..5 {
        let setup = Setup::new();
        let began = Instant::now();
        let mut relay = listening(&setup).await;
        starts.push(began.elapsed());
        stop(&mut relay);
    }
    starts.sort_unstable();
    let start = starts[2];
    let shown = format!("{:.1} ms", start.as_secs_f64() * 1000.0);
    show("from start to listening (median of 5)", shown, "<= 50 ms", start <= Duration::from_millis(50));

    const WEBHOOKS: usize = 100_000;
    let setup = Setup::new();
    let mut relay = spawn(&setup);
    setup.store.wait_for(|store| !store.hooks().is_empty(), Duration::from_secs(20)).await.expect("it registers");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = resident_mib(&relay);
    show("resident memory, idle", format!("{idle:.1} MiB"), "< 20 MiB", idle < 20.0);
    load::flood(&[setup.port], setup.place(1, WEBHOOKS), LANES).await;
    let all = |sink: &OneTribeSim| sink.accepted_orders() == WEBHOOKS;
    setup.sink.wait_for(all, Duration::from_secs(300)).await.expect("all orders arrive");
    let after = resident_mib(&relay);
    show("resident memory, after 100,000 webhooks", format!("{after:.1} MiB"), "< 64 MiB", after < 64.0);
    stop(&mut relay);
}

/// The real process, once it listens.
async fn listening(setup: &Setup) -> Child {
    let relay = spawn(setup);
    while tokio::net::TcpStream::connect(("127.0.0.1", setup.port)).await.is_err() {
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    relay
}

fn spawn(setup: &Setup) -> Child {
    Command::new(env!("CARGO_BIN_EXE_onetribe-relay"))
        .env_clear()
        .envs(setup.variables())
        .current_dir(setup.folder.path())
        .stdin(Stdio::null())
        .spawn()
        .expect("the relay has been built")
}

fn stop(relay: &mut Child) {
    // It may have ended already; either way it is gone afterwards.
    let _ = relay.kill();
    let _ = relay.wait();
}

fn resident_mib(relay: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.id())).expect("the relay runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib / 1024.0
}
