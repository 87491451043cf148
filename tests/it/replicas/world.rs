//! Stores with a destination each, a sender, a database behind a proxy, and relays behind a load balancer.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use onetribe_relay::inbox::SHARDS;
use rand::RngExt;
use reqwest::Method;
use sandbox::{
    OneTribeConfig, OneTribeSim, Operation, Report, Sender, SenderOptions, StoreFarm, StoreSim, audit, http,
    relay::ADMIN_TOKEN, stores,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use url::Url;

use crate::support::{
    postgres::{Cluster, Database, skip},
    proxy::Proxy,
    replica::Replica,
};

/// Far longer than any step takes that works: probes of a side that is down are up to a minute apart.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How many stores there are, each with a destination of its own.
pub const STORES: usize = 6;
/// The pause between changes in the stores under load.
const PAUSE: Duration = Duration::from_millis(10);

pub struct World {
    pub farm: StoreFarm,
    pub stores: Vec<StoreSim>,
    /// The destinations of the stores, in the same order.
    pub sinks: Vec<OneTribeSim>,
    /// The ids of the stores' connections, in the same order.
    pub ids: Vec<i64>,
    pub sender: Sender,
    /// The proxy in front of the relays.
    pub balancer: Proxy,
    /// The proxy in front of the database.
    pub link: Proxy,
    pub replicas: Vec<Replica>,
    pub client: reqwest::Client,
    orders: Mutex<Vec<(usize, i64)>>,
    extra: Vec<(String, String)>,
    database: Database,
    cluster: Cluster,
}

impl World {
    /// Starts this many relays, with every store connected and its hook registered. `None` without PostgreSQL.
    pub async fn start(replicas: usize) -> Option<Self> {
        let mut world = Self::prepare().await?;
        for _ in 0..replicas {
            world.join().await;
        }
        world.connect_all().await;
        Some(world)
    }

    /// Starts without a relay, on an empty database.
    pub async fn prepare() -> Option<Self> {
        let Some(cluster) = Cluster::start() else { return skip() };
        let database = cluster.database().await;
        let farm = StoreFarm::start(STORES).unwrap();
        let stores = farm.stores();
        let sink = |number: usize| {
            OneTribeSim::start_with(OneTribeConfig { token: format!("merchant-{number}"), ..Default::default() })
        };
        let link = Proxy::start().await;
        link.add(Url::parse(&database.url()).unwrap().port().unwrap());
        // BigCommerce's retries in milliseconds, and a short timeout.
        let options = SenderOptions { time_factor: 0.002, timeout: Duration::from_secs(3), ..SenderOptions::default() };
        Some(Self {
            sender: Sender::start_for(&stores, options),
            sinks: (0..STORES).map(|number| sink(number).unwrap()).collect(),
            balancer: Proxy::start().await,
            link,
            replicas: Vec::new(),
            client: http::client(),
            ids: Vec::new(),
            orders: Mutex::default(),
            extra: Vec::new(),
            farm,
            stores,
            database,
            cluster,
        })
    }

    /// Sets a variable for relays started later.
    pub fn set(&mut self, name: &str, value: &str) {
        self.extra.push((name.to_owned(), value.to_owned()));
    }

    /// The environment of a relay, without its port.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all = stores::variables(&self.farm, "unused".as_ref(), 0);
        let mut database = Url::parse(&self.database.url()).unwrap();
        database.set_port(Some(self.link.port())).unwrap();
        let own = [
            ("DATABASE_URL", database.to_string()),
            ("PUBLIC_URL", format!("http://127.0.0.1:{}", self.balancer.port())),
            ("FETCH_TIMEOUT", "4s".to_owned()),
            ("FORWARD_TIMEOUT", "4s".to_owned()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(self.extra.iter().cloned());
        for (name, value) in own {
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        }
        all
    }

    /// Starts another relay behind the load balancer.
    pub async fn replica(&self) -> Replica {
        let replica = Replica::start(&self.variables()).await;
        self.balancer.add(replica.port);
        replica
    }

    /// Starts another relay, and waits until it has its share of the shards.
    pub async fn join(&mut self) {
        let replica = self.replica().await;
        self.replicas.push(replica);
        self.shared_out(PATIENCE).await;
    }

    /// Takes a relay out of the load balancer and out of the world.
    pub fn leave(&mut self, relay: usize) -> Replica {
        let replica = self.replicas.remove(relay);
        self.balancer.remove(replica.port);
        replica
    }

    /// The answer of one relay to the admin.
    pub async fn admin(&self, relay: usize, method: Method, path: &str, accept: &str) -> (u16, String) {
        let request = self.client.request(method, self.replicas[relay].url(path)).bearer_auth(ADMIN_TOKEN);
        let response = request.header("accept", accept).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Sends JSON to one relay; returns the status and the JSON of the answer.
    pub async fn ask(&self, relay: usize, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.request(method, self.replicas[relay].url(path)).bearer_auth(ADMIN_TOKEN);
        let request = request.header("content-type", "application/json").header("accept", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// The body of `POST /connections` for a store.
    pub fn request(&self, store: usize) -> Value {
        let config = self.stores[store].config();
        json!({
            "name": config.name,
            "source": {
                "kind": "bigcommerce", "store_hash": config.hash,
                "access_token": config.token, "client_secret": config.client_secret,
            },
            "destination": {"kind": "one_tribe", "url": self.sinks[store].url()},
        })
    }

    /// Sends one store's orders through a proxy from now on.
    pub async fn road_to_sink(&self, store: usize) -> Proxy {
        let road = Proxy::start().await;
        let mut url = Url::parse(&self.sinks[store].url()).unwrap();
        road.add(url.port().unwrap());
        url.set_port(Some(road.port())).unwrap();
        let path = format!("/connections/{}", self.ids[store]);
        let destination = json!({"destination": {"kind": "one_tribe", "url": url.as_str()}});
        let (status, changed) = self.ask(0, Method::PATCH, &path, &destination).await;
        assert_eq!(status, 200, "{changed}");
        road
    }

    /// Connects a store at one relay; returns the connection's id.
    pub async fn connect(&self, relay: usize, store: usize) -> i64 {
        let (status, made) = self.ask(relay, Method::POST, "/connections", &self.request(store)).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_i64().unwrap()
    }

    /// Waits until a relay knows a connection that another has created.
    pub async fn until_known(&self, relay: usize, path: &str) {
        let began = Instant::now();
        while self.admin(relay, Method::GET, path, "application/json").await.0 != 200 {
            assert!(began.elapsed() < PATIENCE, "relay {relay} does not know {path}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Connects every store, at the relays in turn, and waits for the hooks.
    pub async fn connect_all(&mut self) {
        for store in 0..STORES {
            let id = self.connect(store % self.replicas.len(), store).await;
            self.ids.push(id);
        }
        self.hooked().await;
    }

    /// Waits until every store has an active hook.
    pub async fn hooked(&self) {
        for store in &self.stores {
            let hooked = |store: &StoreSim| store.hooks().iter().any(|hook| hook.is_active);
            store.wait_for(hooked, PATIENCE).await.unwrap();
        }
    }

    /// Places and changes orders in all stores for a while, at random.
    pub async fn load(&self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.step();
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn step(&self) {
        let (known, placed) = {
            let orders = self.orders.lock().unwrap();
            let recent = orders.len().saturating_sub(60)..orders.len();
            let is_new = recent.len() < 2 * STORES || rand::rng().random_bool(0.3);
            ((!is_new).then(|| orders[rand::rng().random_range(recent)]), orders.len())
        };
        match known {
            Some((store, order)) => drop(self.stores[store].change_order(order, rand::rng().random_range(1..15))),
            None => {
                // Every store has orders after the first few steps.
                let store = if placed < 2 * STORES { placed % STORES } else { rand::rng().random_range(0..STORES) };
                let order = self.stores[store].place_order_as(None, 11);
                self.orders.lock().unwrap().push((store, order));
            }
        }
    }

    /// Whether the running relays share all shards evenly, and no shard has two holders.
    fn is_shared_out(&self) -> bool {
        let held: Vec<usize> = self.replicas.iter().map(Replica::shards).collect();
        let share = usize::from(SHARDS).div_ceil(held.len());
        held.iter().sum::<usize>() == usize::from(SHARDS) && held.iter().all(|count| *count <= share)
    }

    /// Waits until the shards are shared out in that way.
    pub async fn shared_out(&self, time: Duration) {
        let began = Instant::now();
        while !self.is_shared_out() {
            let held: Vec<usize> = self.replicas.iter().map(Replica::shards).collect();
            assert!(began.elapsed() < time, "shards are held as {held:?}, and not evenly within {time:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a state without a notification, by checking repeatedly.
    pub async fn until(&self, what: &str, time: Duration, reached: impl Fn() -> bool) {
        let began = Instant::now();
        while !reached() {
            assert!(began.elapsed() < time, "{what}: not within {time:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn crash(&self) {
        tokio::task::block_in_place(|| self.cluster.crash());
    }

    pub async fn up(&self) {
        tokio::task::block_in_place(|| self.cluster.up());
    }

    pub async fn restart_database(&self) {
        tokio::task::block_in_place(|| self.cluster.restart());
    }

    /// A pool of connections to the database that does not go through the proxy.
    pub async fn look(&self) -> PgPool {
        self.database.look().await
    }

    /// Ends every relay's database sessions.
    pub async fn end_sessions(&self, look: &PgPool) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'onetribe-relay' AND pid <> pg_backend_pid()";
        sqlx::query(sql).execute(look).await.unwrap();
    }

    /// The audit of each store.
    fn books(&self) -> Vec<Report> {
        let acknowledged = self.sender.acknowledged();
        self.stores.iter().zip(&self.sinks).map(|(store, sink)| audit(store, &acknowledged, sink)).collect()
    }

    /// Waits until every event is acknowledged and has arrived.
    pub async fn settled(&self) {
        let began = Instant::now();
        loop {
            let books = self.books();
            let is_open = |report: &Report| !report.missing.is_empty() || !report.stale.is_empty();
            if self.sender.pending() == 0 && !books.iter().any(is_open) {
                return;
            }
            let told: Vec<String> = books.iter().map(Report::to_string).collect();
            assert!(began.elapsed() < PATIENCE, "{told:?}; {} pending", self.sender.pending());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn stop_relays(&mut self) {
        for replica in &mut self.replicas {
            replica.signal("TERM");
            assert!(replica.ended().await.success());
        }
    }

    /// Stops everything in order, and audits: nothing was sent twice.
    pub async fn finish(self) {
        self.finish_after(0).await;
    }

    /// Does the same where up to this many snapshots may have been sent twice, their relay having been interrupted
    /// before it recorded the delivery.
    pub async fn finish_after(mut self, interrupted: usize) {
        self.stop_relays().await;
        let books = self.books();
        for (number, report) in books.iter().enumerate() {
            println!("store {number}: {report}");
            assert!(report.missing.is_empty() && report.stale.is_empty() && report.overlapping.is_empty(), "{report}");
            assert!(self.fetched_while_forwarded(number).is_empty(), "{:?}", self.fetched_while_forwarded(number));
            self.check_destination(number);
            let store = &self.stores[number];
            assert_eq!(store.quota_refusals(), 0, "calls too many");
            assert_eq!(store.hooks().len(), 1, "{:?}", store.hooks());
        }
        let doubled: usize = books.iter().map(|report| report.doubled.len()).sum();
        println!("{} acknowledged, {doubled} doubled, {interrupted} may be", self.sender.acknowledged_count());
        assert!(doubled <= interrupted, "{doubled} orders were sent twice");
        assert_eq!(self.sender.abandoned(), 0);
        self.sender.stop().await;
        for sink in &self.sinks {
            sink.stop().await;
        }
        self.farm.stop().await;
    }

    /// Asserts that the destination got only this store's orders, and one key for each snapshot.
    fn check_destination(&self, number: usize) {
        let mut keys = std::collections::HashMap::new();
        for one in self.sinks[number].received() {
            assert!(self.stores[number].order(one.order_id).is_some(), "another store's order {}", one.order_id);
            let key = keys.entry((one.order_id, one.revision)).or_insert_with(|| one.idempotency_key.clone());
            assert_eq!(*key, one.idempotency_key, "order {} at revision {}", one.order_id, one.revision);
        }
    }

    /// The orders that were fetched individually while they were being forwarded.
    fn fetched_while_forwarded(&self, number: usize) -> Vec<i64> {
        let order_of = |path: &str| path.split('?').next()?.rsplit('/').next()?.parse::<i64>().ok();
        let calls = self.stores[number].calls().into_iter().filter(|call| call.operation == Operation::OrderSingle);
        let fetched: Vec<(i64, Instant)> =
            calls.filter_map(|call| Some((order_of(&call.path_and_query)?, call.at))).collect();
        let received = self.sinks[number].received();
        let is_crossed = |(order, at): &(i64, Instant)| {
            received.iter().any(|one| {
                one.order_id == *order && one.started < *at && one.finished.is_none_or(|finished| *at < finished)
            })
        };
        fetched.into_iter().filter(is_crossed).map(|(order, _)| order).collect()
    }
}
