//! A store, a simulated One Tribe, a sender, and the relay between them, with the requests that tests make.

use std::{path::PathBuf, sync::Arc, time::Duration};

use onetribe_relay::{
    config::Config,
    connection::Connection,
    registrar::{Done, HookReport, RegistrarError},
    services::Services,
    source::hooks::Hook,
};
use sandbox::{
    Event, OneTribeSim, Report, Scope, SendOptions, Sender, SenderOptions, StoreConfig, StoreSim, audit, http,
    relay::{ADMIN_TOKEN, Relay, free_port, variables},
    send_once,
};
use serde_json::Value;
use tempfile::TempDir;

/// Far longer than any step takes that works: probes of a side that is down are up to a minute apart.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct World {
    pub store: StoreSim,
    pub sink: OneTribeSim,
    pub sender: Sender,
    pub folder: TempDir,
    pub port: u16,
    pub client: reqwest::Client,
    extra: Vec<(String, String)>,
    relay: Option<Relay>,
    unfinished: Unfinished,
}

/// Asserts on drop that the test has ended with [`World::finish`], which audits the run.
struct Unfinished(bool);

impl Drop for Unfinished {
    fn drop(&mut self) {
        assert!(!self.0 || std::thread::panicking(), "the test ended without looking at the books");
    }
}

impl World {
    /// Starts with the relay's defaults, and waits until its hook is registered.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with further variables.
    pub async fn start_with(extra: &[(&str, &str)]) -> Self {
        let mut world = Self::prepare(StoreConfig::default(), SenderOptions::default(), extra);
        world.start_relay().await;
        world.hooked().await;
        world
    }

    /// Starts everything except the relay.
    pub fn prepare(store: StoreConfig, sender: SenderOptions, extra: &[(&str, &str)]) -> Self {
        let store = StoreSim::start_with(store).unwrap();
        let sender = Sender::start(&store, sender);
        Self {
            sender,
            store,
            sink: OneTribeSim::start().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            port: free_port().unwrap(),
            client: http::client(),
            extra: extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            relay: None,
            unfinished: Unfinished(false),
        }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("relay.db")
    }

    /// The relay's environment, for a process or for a configuration.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all = variables(&self.store, &self.sink, &self.database(), self.port);
        all.extend(self.extra.iter().cloned());
        all
    }

    /// Sets a variable for the relay's next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.extra.push((name.to_owned(), value.to_owned()));
    }

    pub fn config(&self) -> Config {
        Config::from_vars(self.variables()).unwrap()
    }

    pub async fn start_relay(&mut self) {
        self.unfinished.0 = true;
        self.relay = Some(Relay::start(self.config()).await.unwrap());
    }

    pub async fn stop_relay(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.stop().await.unwrap();
        }
    }

    pub async fn hooked(&self) {
        self.store.wait_for(|store| store.hooks().iter().any(|hook| hook.is_active), PATIENCE).await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Posts one callback; returns the status of the answer.
    pub async fn send(&self, event: &Event, options: &SendOptions) -> u16 {
        let secret = &self.store.config().client_secret;
        send_once(&self.client, &self.url("/webhooks/bigcommerce"), secret, event, options).await.unwrap()
    }

    /// Posts one validly signed callback for an order, and asserts that it is acknowledged.
    pub async fn tell(&self, order: i64) {
        assert_eq!(self.send(&Event::new(Scope::Updated, order), &SendOptions::default()).await, 200);
    }

    /// Waits until the destination has taken this many different orders.
    pub async fn arrived(&self, orders: usize) {
        let reached = |sink: &OneTribeSim| sink.accepted_orders() >= orders;
        if self.sink.wait_for(reached, PATIENCE).await.is_err() {
            panic!("{} of {orders} orders arrived", self.sink.accepted_orders());
        }
    }

    /// Waits until the destination has this revision of an order, or a newer one.
    pub async fn arrived_at(&self, order: i64, revision: u64) {
        let reached = |sink: &OneTribeSim| sink.newest(order) >= Some(revision);
        if self.sink.wait_for(reached, PATIENCE).await.is_err() {
            panic!("order {order} is at revision {:?}, not {revision}", self.sink.newest(order));
        }
    }

    /// Makes a request as the admin; returns the status and the JSON of the answer.
    pub async fn admin(&self, method: reqwest::Method, path: &str) -> (u16, Value) {
        let request = self.client.request(method, self.url(path)).bearer_auth(ADMIN_TOKEN);
        let response = request.header("accept", "application/json").send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.admin(reqwest::Method::GET, path).await
    }

    pub async fn post(&self, path: &str) -> (u16, Value) {
        self.admin(reqwest::Method::POST, path).await
    }

    /// The order as listed by `GET /orders`.
    pub async fn row(&self, order: i64) -> Value {
        let (status, page) = self.get(&format!("/orders?limit=1&before={}", order + 1)).await;
        assert_eq!(status, 200);
        let row = page["orders"][0].clone();
        if row["order_id"] == order { row } else { Value::Null }
    }

    /// Waits until `GET /orders` lists the order in this state. It asks repeatedly, since the relay's database notifies
    /// nobody.
    pub async fn settled(&self, order: i64, state: &str) -> Value {
        let asked = async {
            loop {
                let row = self.row(order).await;
                if row["state"] == state {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(row) => row,
            Err(_) => panic!("order {order} did not come to be {state}: {}", self.row(order).await),
        }
    }

    /// The metrics; the relay must have been started with `METRICS_PORT`.
    pub async fn metrics(&self) -> String {
        let url = self.relay.as_ref().and_then(Relay::metrics_url).expect("METRICS_PORT is set");
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    pub fn audit(&self) -> Report {
        audit(&self.store, &self.sender.acknowledged(), &self.sink)
    }

    /// The number of claimed orders.
    fn claimed(&self) -> i64 {
        let database = rusqlite::Connection::open(self.database()).unwrap();
        let claimed = "SELECT count(*) FROM objects WHERE lease_owner IS NOT NULL";
        database.query_row(claimed, [], |row| row.get(0)).unwrap()
    }

    /// Stops everything in order, and audits: nothing is missing, stale or overlapping. That `updated` and
    /// `statusUpdated` may forward an order twice under one key is not counted here.
    pub async fn finish(mut self) {
        self.unfinished.0 = false;
        let was_serving = self.relay.is_some();
        self.stop_relay().await;
        if was_serving && self.database().exists() {
            assert_eq!(self.claimed(), 0, "a relay that has stopped left claims behind");
        }
        let report = self.audit();
        assert!(report.missing.is_empty() && report.stale.is_empty() && report.overlapping.is_empty(), "{report}");
        self.sender.stop().await;
        self.sink.stop().await;
        self.store.stop().await;
    }
}

/// The relay's services without its servers, and the single connection in the world's configuration.
pub struct Parts {
    pub services: Services,
    pub connection: Arc<Connection>,
}

impl Parts {
    pub async fn open(config: Config) -> Self {
        let services = Services::open(config, true).await.unwrap();
        let connection = services.sole_connection().unwrap();
        Self { services, connection }
    }

    pub async fn ensure(&self) -> Result<Vec<(HookReport, Done)>, RegistrarError> {
        self.services.registrar.ensure(&self.connection).await
    }

    pub async fn inspect(&self) -> Vec<HookReport> {
        self.services.registrar.inspect(&self.connection).await.unwrap()
    }

    pub async fn list(&self) -> Vec<(Hook, bool)> {
        self.services.registrar.list(&self.connection).await.unwrap()
    }

    pub async fn remove(&self) -> usize {
        self.services.registrar.remove(&self.connection).await.unwrap()
    }

    pub async fn close(&self) {
        self.services.inbox.close().await;
    }
}
