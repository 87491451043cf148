//! One store: acknowledgements, delivery, CPU time, memory, the start, and the start after a crash, compared with the
//! peers.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sandbox::{
    Action, Fault, OneTribeConfig, OneTribeSim, Operation, QuotaRule, StoreConfig, StoreSim, relay::variables,
};

use crate::{
    amount,
    figures::{Figures, median},
    load::{self, Sender},
    peers::Peer,
    process::{Process, baseline, this_relay},
};

/// How many connections send at once.
const LANES: usize = 64;
/// The longest to wait for arrivals.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program that is compared with others.
#[derive(Clone)]
enum Contestant {
    Peer(&'static str, Peer),
    Relay(&'static str, PathBuf),
}

impl Contestant {
    fn bare() -> Self {
        Self::Peer("bare handler", Peer::Bare)
    }

    fn bound() -> Self {
        Self::Peer("bare handler, a sync per batch, fetch and forward from memory", Peer::Bound)
    }

    /// This relay, and the older one if there is one.
    fn relays() -> impl Iterator<Item = Self> {
        let older = baseline().map(|program| Self::Relay("the older relay", program));
        [Self::Relay("the relay", this_relay())].into_iter().chain(older)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Peer(name, _) | Self::Relay(name, _) => name,
        }
    }

    async fn start(&self, sides: &Sides) -> Process {
        match self {
            Self::Peer(_, peer) => peer.start(&sides.store, &sides.sink).await,
            Self::Relay(_, program) => sides.relay(program).await,
        }
    }
}

/// A store, a destination, and a folder for the program between them.
struct Sides {
    store: StoreSim,
    sink: OneTribeSim,
    folder: tempfile::TempDir,
    /// How many orders have been placed.
    placed: usize,
}

impl Sides {
    fn new() -> Self {
        let store = StoreConfig { quota: QuotaRule::unlimited(), record_details: false, ..StoreConfig::default() };
        let sink = OneTribeConfig { keep_bodies: false, ..OneTribeConfig::default() };
        Self {
            store: StoreSim::start_with(store).expect("loopback has ports"),
            sink: OneTribeSim::start_with(sink).expect("loopback has ports"),
            folder: tempfile::tempdir().expect("the disk has room"),
            placed: 0,
        }
    }

    async fn relay(&self, program: &Path) -> Process {
        let mut all = variables(&self.store, &self.sink, &self.folder.path().join("relay.db"), 0);
        all.retain(|(name, _)| name != "PUBLIC_URL");
        all.push(("RECONCILE_INTERVAL".to_owned(), "0".to_owned()));
        all.push(("RUST_LOG".to_owned(), "error".to_owned()));
        Process::relay(program, &all).await
    }

    fn sender(&self) -> Sender<'_> {
        let config = self.store.config();
        Sender { path: "/webhooks/bigcommerce", store: &config.hash, secret: &config.client_secret }
    }

    /// Callbacks for the next orders, which are placed only if they will be fetched.
    fn callbacks(&mut self, count: usize, are_placed: bool) -> Vec<Vec<u8>> {
        let first = i64::try_from(self.placed).expect("a small number") + 1;
        self.placed += count;
        for order in (first..).take(count).filter(|_| are_placed) {
            self.store.place_order_silently(Some(order), 11);
        }
        self.sender().callbacks(first, count)
    }

    /// Waits until every placed order has arrived.
    async fn all_arrived(&self) {
        let all = |sink: &OneTribeSim| sink.accepted_orders() >= self.placed;
        self.sink.wait_for(all, PATIENCE).await.expect("all orders arrive");
    }
}

/// Measures all parts, or those named: `acknowledgements`, `whole-way`, `steady`, `rest`, `crash`.
pub async fn measure(figures: &mut Figures, is_wanted: impl Fn(&str) -> bool) {
    if is_wanted("acknowledgements") {
        acknowledgements(figures).await;
    }
    if is_wanted("whole-way") {
        whole_way(figures).await;
    }
    if is_wanted("steady") {
        steady(figures).await;
    }
    if is_wanted("rest") {
        at_rest(figures).await;
    }
    if is_wanted("crash") {
        after_a_crash(figures).await;
    }
}

/// A contestant with a store and destination of its own, and the result of each round.
type Started<R> = (Contestant, Sides, Process, Vec<R>);

/// Starts a peer, and the relays to compare with it.
async fn started<R>(peer: Contestant, prepare: impl Fn(&Sides)) -> Vec<Started<R>> {
    let mut started = Vec::new();
    for contestant in [peer].into_iter().chain(Contestant::relays()) {
        let sides = Sides::new();
        prepare(&sides);
        let process = contestant.start(&sides).await;
        started.push((contestant, sides, process, Vec::new()));
    }
    started
}

/// Acknowledgements per second of stored events, while the store is down so that nothing else is done.
async fn acknowledgements(figures: &mut Figures) {
    let (rounds, each) = (amount(11, 3), amount(20_000, 4_000));
    figures.heading("one store: acknowledgements a second at 64 connections, nothing else being done");
    let is_down = |sides: &Sides| sides.store.fault(Fault::new(Operation::Any, Action::Status(503)));
    let mut contestants = started(Contestant::bare(), is_down).await;
    for _ in 0..rounds {
        for (_, sides, process, rates) in &mut contestants {
            let requests = sides.callbacks(each, false);
            rates.push(load::flood(&[process.port], requests, LANES).await);
        }
    }
    let bare = contestants[0].3.clone();
    for (contestant, _, _, rates) in contestants {
        figures.note(contestant.name(), &format!("{:.0}", median(rates.clone())));
        let ratio = median(rates.iter().zip(&bare).map(|(rate, bare)| rate / bare).collect());
        match contestant {
            Contestant::Relay("the relay", _) => figures.at_least("the relay / the bare handler", ratio, 0.5, ""),
            Contestant::Relay(..) => figures.note("the older relay / the bare handler", &format!("{ratio:.2}")),
            Contestant::Peer(..) => {}
        }
    }
}

/// The result of one round with everything going on.
struct Whole {
    acknowledged: f64,
    delivered: f64,
    busy_ms: f64,
}

/// From webhook to destination: acknowledgements meanwhile, orders per second, and CPU time.
async fn whole_way(figures: &mut Figures) {
    let (rounds, each) = (amount(5, 2), amount(20_000, 3_000));
    figures.heading("one store: everything going on, from webhook to destination");
    let mut contestants = started(Contestant::bound(), |_| {}).await;
    for _ in 0..rounds {
        for (_, sides, process, rounds) in &mut contestants {
            let requests = sides.callbacks(each, true);
            let (began, busy) = (Instant::now(), process.busy());
            let acknowledged = load::flood(&[process.port], requests, LANES).await;
            sides.all_arrived().await;
            let delivered = each as f64 / began.elapsed().as_secs_f64();
            let busy_ms = (process.busy() - busy).as_secs_f64() * 1000.0 / each as f64;
            rounds.push(Whole { acknowledged, delivered, busy_ms });
        }
    }
    let (bound, relays) = contestants.split_first().expect("the bound is the first");
    for (contestant, _, _, rounds) in [bound].into_iter().chain(relays) {
        let of = |figure: fn(&Whole) -> f64| median(rounds.iter().map(figure).collect());
        let ratio = |figure: fn(&Whole) -> f64| {
            median(rounds.iter().zip(&bound.3).map(|(one, bound)| figure(one) / figure(bound)).collect())
        };
        let (acknowledged, delivered, busy_ms) = (of(|w| w.acknowledged), of(|w| w.delivered), of(|w| w.busy_ms));
        figures.note(contestant.name(), "");
        figures.note("  acknowledged a second, delivered a second", &format!("{acknowledged:.0} {delivered:.0}"));
        let (acknowledged, delivered) = (ratio(|w| w.acknowledged), ratio(|w| w.delivered));
        match contestant {
            Contestant::Relay("the relay", _) => {
                figures.at_least("  acknowledged / the bound's", acknowledged, 0.8, "");
                figures.at_least("  delivered / the bound's", delivered, 1.0, "");
                figures.at_most("  processor time for an order", busy_ms, 0.085, " ms");
            }
            Contestant::Relay(..) => {
                figures.note("  acknowledged, delivered / the bound's", &format!("{acknowledged:.2} {delivered:.2}"));
                figures.note("  processor time for an order", &format!("{busy_ms:.3} ms"));
            }
            Contestant::Peer(..) => figures.note("  processor time for an order", &format!("{busy_ms:.3} ms")),
        }
    }
}

/// The 99th percentile of an acknowledgement's time at 500 per second, with everything else going on.
async fn steady(figures: &mut Figures) {
    let (rounds, each) = (amount(5, 2), amount(2_500, 1_000));
    figures.heading("one store: 99th percentile of the acknowledgement at 500 a second");
    let mut contestants = started(Contestant::bound(), |_| {}).await;
    for _ in 0..rounds {
        for (_, sides, process, percentiles) in &mut contestants {
            let requests = sides.callbacks(each, true);
            percentiles.push(load::p99_ms(load::pace(process.port, requests, 500, 16).await));
            sides.all_arrived().await;
        }
    }
    let bound = contestants[0].3.clone();
    for (contestant, _, _, percentiles) in contestants {
        figures.note(contestant.name(), &format!("{:.1} ms", median(percentiles.clone())));
        let ratio = median(percentiles.iter().zip(&bound).map(|(one, bound)| one / bound).collect());
        match contestant {
            Contestant::Relay("the relay", _) => figures.at_most("the relay / the bound", ratio, 2.0, ""),
            Contestant::Relay(..) => figures.note("the older relay / the bound", &format!("{ratio:.2}")),
            Contestant::Peer(..) => {}
        }
    }
}

/// The time until it listens, and its memory.
async fn at_rest(figures: &mut Figures) {
    const ORDERS: usize = 10_000;
    figures.heading("one store: the start, and memory");
    shipped(figures);
    for contestant in [Contestant::bare(), Contestant::bound()].into_iter().chain(Contestant::relays()) {
        let mut starts = Vec::new();
        for _ in 0..amount(9, 5) {
            starts.push(contestant.start(&Sides::new()).await.listened_after.as_secs_f64() * 1000.0);
        }
        let mut sides = Sides::new();
        let process = contestant.start(&sides).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let idle = process.resident_mib();
        let delivers = !matches!(contestant, Contestant::Peer(_, Peer::Bare));
        let requests = sides.callbacks(ORDERS, delivers);
        load::flood(&[process.port], requests, LANES).await;
        if delivers {
            sides.all_arrived().await;
        }
        let (start, after) = (median(starts), process.resident_mib());
        match contestant {
            Contestant::Relay("the relay", _) => {
                figures.note(contestant.name(), "");
                figures.at_most("  from the start until it listens", start, 15.0, " ms");
                figures.at_most("  resident, idle", idle, 10.0, " MiB");
                figures.at_most("  resident, after 10,000 orders", after, 32.0, " MiB");
            }
            _ => {
                let shown = format!("{start:.1} ms, {idle:.1} and {after:.1} MiB");
                figures.note(&format!("{}: start, idle, after 10,000", contestant.name()), &shown);
            }
        }
    }
}

/// The size of the program in the image, if it has been built.
fn shipped(figures: &mut Figures) {
    const NAME: &str = "the program, shipped";
    let program = this_relay().ancestors().nth(2).map(|target| target.join("dist/onetribe-relay"));
    match program.and_then(|program| program.metadata().ok()) {
        Some(found) => figures.at_most(NAME, found.len() as f64 / 1e6, 12.0, " MB"),
        None => figures.note(NAME, "is not built: cargo build --profile dist"),
    }
}

/// Orders that were claimed but not forwarded yet when the process was killed: the time until they arrive.
async fn after_a_crash(figures: &mut Figures) {
    const ORDERS: usize = 1_000;
    figures.heading("one store: killed with a list under way, and started again at once");
    for contestant in Contestant::relays() {
        let mut sides = Sides::new();
        for operation in [Operation::OrderList, Operation::OrderSingle] {
            sides.store.fault(Fault::new(operation, Action::Hold));
        }
        let mut process = contestant.start(&sides).await;
        let requests = sides.callbacks(ORDERS, true);
        load::flood(&[process.port], requests, LANES).await;
        // By now, as many orders are claimed as calls may be under way.
        tokio::time::sleep(Duration::from_millis(500)).await;
        process.kill();
        sides.store.clear_faults();
        sides.store.release();
        let began = Instant::now();
        let _process = contestant.start(&sides).await;
        sides.all_arrived().await;
        let took = began.elapsed().as_secs_f64();
        match contestant {
            Contestant::Relay("the relay", _) => {
                figures.at_most("from the start until all 1,000 have arrived", took, 2.0, " s");
            }
            _ => figures.note("the older relay", &format!("{took:.2} s")),
        }
    }
}
