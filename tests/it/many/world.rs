//! A relay without a store of its own, and the requests to its API that tests make.

use std::time::Duration;

use onetribe_relay::config::Config;
use reqwest::Method;
use sandbox::{
    OneTribeSim, ShopSim, StoreFarm, StoreSim, http,
    relay::{ADMIN_TOKEN, Relay, free_port},
    stores::variables,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far longer than any step takes that works: probes of a side that is down are up to a minute apart.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct World {
    pub farm: StoreFarm,
    pub sink: OneTribeSim,
    pub folder: TempDir,
    pub client: reqwest::Client,
    pub port: u16,
    extra: Vec<(String, String)>,
    relay: Option<Relay>,
}

impl World {
    /// Starts with this many BigCommerce stores, none of them connected.
    pub async fn start(stores: usize) -> Self {
        Self::start_with(stores, &[]).await
    }

    pub async fn start_with(stores: usize, extra: &[(&str, &str)]) -> Self {
        let mut world = Self {
            farm: StoreFarm::start(stores).unwrap(),
            sink: OneTribeSim::start().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            client: http::client(),
            port: free_port().unwrap(),
            extra: extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            relay: None,
        };
        world.start_relay().await;
        world
    }

    pub async fn start_relay(&mut self) {
        let mut all = variables(&self.farm, self.folder.path(), self.port);
        all.extend(self.extra.iter().cloned());
        self.relay = Some(Relay::start(Config::from_vars(all).unwrap()).await.unwrap());
    }

    pub async fn stop_relay(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.stop().await.unwrap();
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes a request as the admin; returns the status and the JSON of the answer.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = self.client.request(method, self.url(path)).bearer_auth(ADMIN_TOKEN);
        let mut request = request.header("accept", "application/json");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, None).await
    }

    /// The body of `POST /connections` for a store.
    pub fn store_request(&self, store: &StoreSim) -> Value {
        let config = store.config();
        json!({
            "name": config.name,
            "source": {
                "kind": "bigcommerce", "store_hash": config.hash,
                "access_token": config.token, "client_secret": config.client_secret,
            },
            "destination": {"kind": "one_tribe", "url": self.sink.url()},
        })
    }

    pub fn shop_request(&self, shop: &ShopSim) -> Value {
        let config = shop.config();
        json!({
            "name": "A shop",
            "source": {
                "kind": "woocommerce", "url": shop.url(),
                "consumer_key": config.consumer_key, "consumer_secret": config.consumer_secret,
            },
            "destination": {"kind": "one_tribe", "url": self.sink.url()},
        })
    }

    /// Creates a connection; returns its id.
    pub async fn connect(&self, request: &Value) -> i64 {
        let (status, made) = self.ask(Method::POST, "/connections", Some(request)).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_i64().unwrap()
    }

    /// Connects every store, and waits for the hooks.
    pub async fn connect_all(&self) -> Vec<i64> {
        let mut ids = Vec::new();
        for store in self.farm.stores() {
            ids.push(self.connect(&self.store_request(&store)).await);
        }
        for store in self.farm.stores() {
            store.wait_for(|store| !store.hooks().is_empty(), PATIENCE).await.unwrap();
        }
        ids
    }

    pub async fn arrived_at(&self, order: i64, revision: u64) {
        let reached = |sink: &OneTribeSim| sink.newest(order) >= Some(revision);
        if self.sink.wait_for(reached, PATIENCE).await.is_err() {
            panic!("order {order} is at revision {:?}, not {revision}", self.sink.newest(order));
        }
    }

    /// Waits until the connection's list of orders shows this order in this state.
    pub async fn settled(&self, connection: i64, order: i64, state: &str) -> Value {
        let asked = async {
            loop {
                let (_, page) = self.get(&format!("/connections/{connection}/orders?limit=500")).await;
                let rows = page["orders"].as_array().cloned().unwrap_or_default();
                if let Some(row) = rows.into_iter().find(|row| row["order_id"] == order && row["state"] == state) {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(row) => row,
            Err(_) => panic!("order {order} did not come to be {state}"),
        }
    }

    pub async fn finish(mut self) {
        self.stop_relay().await;
        self.sink.stop().await;
        self.farm.stop().await;
    }
}
