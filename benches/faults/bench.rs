//! A store, a destination and the relay between them; good orders and their waits; a row of the table.

use std::{
    collections::HashMap,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use onetribe_relay::config::Config;
use sandbox::{
    Event, OneTribeSim, QuotaRule, Scope, SendOptions, StoreConfig, StoreSim, http,
    relay::{ADMIN_TOKEN, Relay, free_port, variables},
    send_once,
};

/// Longer than any goal.
const PATIENCE: Duration = Duration::from_secs(120);

/// One row of the table.
pub struct Trial {
    pub what: String,
    /// The waits of the good orders that arrived, sorted.
    pub waits: Vec<Duration>,
    /// How many good orders did not arrive, plus anything else that went wrong.
    pub lost: usize,
    pub goal: Goal,
}

/// How long the good orders may wait.
#[derive(Clone, Copy)]
pub struct Goal {
    pub first: Duration,
    pub most: Duration,
}

impl Goal {
    pub const fn seconds(first: u64, most: u64) -> Self {
        Self { first: Duration::from_secs(first), most: Duration::from_secs(most) }
    }
}

impl Trial {
    pub fn head() -> String {
        format!(
            "| {:<2} | {:<40} | {:<44} | {:>4} | {:>4} | {:>8} | {:>8} | {:<12} | {:<7} |\n|{}|",
            "",
            "kind",
            "variant",
            "good",
            "lost",
            "first",
            "95 %",
            "goal",
            "",
            [4, 42, 46, 6, 6, 10, 10, 14, 9].map(|width| "-".repeat(width)).join("|")
        )
    }

    fn first(&self) -> Duration {
        self.waits.first().copied().unwrap_or(PATIENCE)
    }

    fn most(&self) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        self.waits.get((self.waits.len() * 95 / 100).min(last)).copied().unwrap_or(PATIENCE)
    }

    pub fn has_reached(&self) -> bool {
        self.lost == 0 && self.first() <= self.goal.first && self.most() <= self.goal.most
    }

    pub fn line(&self, number: u8, kind: &str) -> String {
        let seconds = |span: Duration| format!("{:.2} s", span.as_secs_f64());
        let goal = format!("{} s, {} s", self.goal.first.as_secs(), self.goal.most.as_secs());
        let (first, most) = (seconds(self.first()), seconds(self.most()));
        let reached = if self.has_reached() { "reached" } else { "MISSED" };
        format!(
            "| {number:<2} | {kind:<40} | {:<44} | {:>4} | {:>4} | {first:>8} | {most:>8} | {goal:<12} | {reached:<7} |",
            self.what,
            self.waits.len() + self.lost,
            self.lost
        )
    }
}

/// A store and a destination, and the relay between them.
pub struct Bench {
    pub store: StoreSim,
    pub sink: OneTribeSim,
    pub folder: tempfile::TempDir,
    pub client: reqwest::Client,
    pub port: u16,
    extra: Vec<(String, String)>,
    relay: Option<Relay>,
    process: Option<Child>,
    /// The good orders, and the time from which each wait counts.
    good: HashMap<i64, Instant>,
}

impl Bench {
    /// Starts only the store and the destination.
    pub fn new(extra: &[(&str, &str)]) -> Self {
        Self::of(StoreConfig { quota: QuotaRule::unlimited(), ..StoreConfig::default() }, extra)
    }

    pub fn of(store: StoreConfig, extra: &[(&str, &str)]) -> Self {
        Self {
            store: StoreSim::start_with(store).unwrap(),
            sink: OneTribeSim::start().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            client: http::client(),
            port: free_port().unwrap(),
            extra: extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            relay: None,
            process: None,
            good: HashMap::new(),
        }
    }

    /// Starts a relay too, and waits until it has delivered an order.
    pub async fn start(extra: &[(&str, &str)]) -> Self {
        let mut bench = Self::new(extra);
        bench.start_relay().await;
        bench.has_delivered().await;
        bench
    }

    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all = variables(&self.store, &self.sink, &self.folder.path().join("relay.db"), self.port);
        all.extend(self.extra.iter().cloned());
        all
    }

    pub async fn start_relay(&mut self) {
        self.relay = Some(Relay::start(Config::from_vars(self.variables()).unwrap()).await.unwrap());
        self.hooked().await;
    }

    pub async fn stop_relay(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.stop().await.unwrap();
        }
    }

    /// Starts the real program instead of a relay in this process.
    pub async fn start_process(&mut self, prepare: impl FnOnce(&mut Command)) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().envs(self.variables()).current_dir(self.folder.path()).stdin(Stdio::null());
        prepare(&mut command);
        self.process = Some(command.spawn().unwrap());
        self.hooked().await;
    }

    async fn hooked(&self) {
        self.store.wait_for(|store| store.hooks().iter().any(|hook| hook.is_active), PATIENCE).await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub async fn has_delivered(&self) {
        let order = self.store.place_order_silently(None, 11);
        self.tell(order).await;
        self.sink.wait_for(|sink| sink.newest(order).is_some(), PATIENCE).await.unwrap();
    }

    pub async fn tell(&self, order: i64) {
        let (url, secret) = (self.url("/webhooks/bigcommerce"), &self.store.config().client_secret);
        let (event, options) = (Event::new(Scope::Updated, order), SendOptions::default());
        assert_eq!(send_once(&self.client, &url, secret, &event, &options).await.unwrap(), 200);
    }

    /// Places a good order and sends its webhook.
    pub async fn good(&mut self) {
        let order = self.store.place_order_silently(None, 11);
        self.good.insert(order, Instant::now());
        self.tell(order).await;
    }

    /// Places a good order whose webhook is lost.
    pub fn missed(&mut self) -> i64 {
        let order = self.store.place_order_silently(None, 11);
        self.good.insert(order, Instant::now());
        order
    }

    /// Counts this order as a good one from now on.
    pub fn is_good(&mut self, order: i64) {
        self.good.insert(order, Instant::now());
    }

    /// Does not wait for this order.
    pub fn is_bad(&mut self, order: i64) {
        self.good.remove(&order);
    }

    /// What delayed the good orders has ended: their waits count from now.
    pub fn begins_now(&mut self) {
        for since in self.good.values_mut() {
            *since = Instant::now();
        }
    }

    /// How many orders are listed as failed or gone.
    async fn given_up(&self) -> usize {
        let mut count = 0;
        for state in ["failed", "gone"] {
            let url = self.url(&format!("/orders?state={state}&limit=500"));
            let answer = self.client.get(url).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
            let page: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            count += page["orders"].as_array().map_or(1, Vec::len);
        }
        count
    }

    /// Waits for the good orders, computes the waits and losses, and stops everything.
    pub async fn measure(mut self, what: &str, goal: Goal) -> Trial {
        let all = |sink: &OneTribeSim| self.good.keys().all(|order| sink.newest(*order).is_some());
        let _ = self.sink.wait_for(all, PATIENCE).await;
        let mut arrived: HashMap<i64, Instant> = HashMap::new();
        for received in self.sink.accepted() {
            arrived.entry(received.order_id).or_insert(received.started);
        }
        let wait = |(order, since): (&i64, &Instant)| Some(arrived.get(order)?.saturating_duration_since(*since));
        let mut waits: Vec<Duration> = self.good.iter().filter_map(wait).collect();
        waits.sort_unstable();
        let lost = self.good.len() - waits.len() + self.given_up().await;
        self.store.clear_faults();
        self.sink.clear_faults();
        self.stop_relay().await;
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        Trial { what: what.to_owned(), waits, lost, goal }
    }
}
