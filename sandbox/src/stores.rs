//! Many BigCommerce and WooCommerce stores in one relay, connected through its API, each store's orders audited on
//! their own.

use std::{error::Error, path::Path, time::Duration};

use onetribe_relay::config::Config;
use serde_json::{Value, json};

use crate::{
    OneTribeSim, Report, Sender, SenderOptions, ShopConfig, ShopSim, StoreFarm, audit,
    audit::audit_shop,
    http,
    relay::{ADMIN_TOKEN, Relay},
};

/// Every third store is a WooCommerce shop.
const SHOP_EVERY: usize = 3;
/// How long it may take until all stores have their hooks, plus [`HOOK_TIME_EACH`] for each store.
const HOOK_TIME: Duration = Duration::from_secs(60);
const HOOK_TIME_EACH: Duration = Duration::from_millis(200);
/// The ids of shops' orders begin here, above those of any BigCommerce store in the sandbox.
const FIRST_SHOP_ORDER: i64 = 1_000_000_000_000;
/// How many ids are reserved for each shop.
const IDS_EACH: i64 = 1_000_000;
/// Encrypts credentials in the sandbox's temporary database.
pub const CREDENTIALS_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// Stores, shops, one destination for all, and the relay that connects them.
pub struct ManyStores {
    /// The BigCommerce stores.
    pub farm: StoreFarm,
    /// The WooCommerce shops.
    pub shops: Vec<ShopSim>,
    /// The destination of all stores.
    pub sink: OneTribeSim,
    sender: Sender,
    relay: Relay,
    client: reqwest::Client,
    placed: usize,
}

impl ManyStores {
    /// Starts `count` stores and a relay without a connection of its own, which listens on `port` and keeps its
    /// database in `folder`, and connects all of the stores.
    ///
    /// # Errors
    /// Something could not be started, or a store was not connected.
    pub async fn start(count: usize, port: u16, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let shop_count = count / SHOP_EVERY;
        let farm = StoreFarm::start(count - shop_count)?;
        let shops: Vec<ShopSim> = (0..shop_count)
            .map(|_| {
                ShopSim::start_with(ShopConfig {
                    is_ssl: false,
                    queue_delay: Some(Duration::ZERO),
                    ..ShopConfig::default()
                })
            })
            .collect::<Result<_, _>>()?;
        let sink = OneTribeSim::start()?;
        let relay = Relay::start(Config::from_vars(variables(&farm, folder, port))?).await?;
        let sender = Sender::start_for(&farm.stores(), SenderOptions { time_factor: 0.01, ..SenderOptions::default() });
        let many = Self { farm, shops, sink, sender, relay, client: http::client(), placed: 0 };
        many.connect_all().await?;
        Ok(many)
    }

    /// The relay that connects the stores.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// How many BigCommerce stores and how many WooCommerce shops there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.farm.stores().len(), self.shops.len())
    }

    async fn connect_all(&self) -> Result<(), Box<dyn Error>> {
        for store in self.farm.stores() {
            let config = store.config();
            let source = json!({
                "kind": "bigcommerce", "store_hash": config.hash,
                "access_token": config.token, "client_secret": config.client_secret,
            });
            self.connect(&config.name, &source).await?;
        }
        for (number, shop) in (1..).zip(&self.shops) {
            let config = shop.config();
            let source = json!({
                "kind": "woocommerce", "url": shop.url(),
                "consumer_key": config.consumer_key, "consumer_secret": config.consumer_secret,
            });
            self.connect(&format!("Sandbox Shop {number}"), &source).await?;
        }
        let patience = HOOK_TIME + HOOK_TIME_EACH * u32::try_from(self.shops.len() + self.farm.stores().len())?;
        for store in self.farm.stores() {
            store.wait_for(|store| !store.hooks().is_empty(), patience).await?;
        }
        for shop in &self.shops {
            let has_all = |shop: &ShopSim| shop.hooks().iter().any(|hook| hook.topic == "order.updated");
            shop.wait_for(has_all, patience).await?;
        }
        Ok(())
    }

    async fn connect(&self, name: &str, source: &Value) -> Result<(), Box<dyn Error>> {
        let destination = json!({"kind": "one_tribe", "url": self.sink.url()});
        let body = json!({"name": name, "source": source, "destination": destination}).to_string();
        let request = self.client.post(self.relay.url("/connections")).bearer_auth(ADMIN_TOKEN);
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        let status = answer.status();
        if status.as_u16() == 201 { Ok(()) } else { Err(format!("{name}: {status}: {}", answer.text().await?).into()) }
    }

    /// Places an order in the next store in turn.
    pub fn place(&mut self) {
        let stores = self.farm.stores();
        let at = self.placed % (stores.len() + self.shops.len());
        self.placed += 1;
        match at.checked_sub(stores.len()) {
            // Status 11, Awaiting Fulfillment: an order that has been paid.
            None => drop(stores[at].place_order_as(None, 11)),
            Some(shop) => {
                let nth = self.shops[shop].orders().len();
                let id =
                    FIRST_SHOP_ORDER + i64::try_from(shop).unwrap_or(0) * IDS_EACH + i64::try_from(nth).unwrap_or(0);
                self.shops[shop].place_order_as(Some(id), "processing");
            }
        }
    }

    /// How many orders were placed.
    pub fn placed(&self) -> usize {
        self.placed
    }

    /// How many orders the destination has taken.
    pub fn taken(&self) -> usize {
        self.sink.accepted_orders()
    }

    /// Waits until the destination has taken all orders, for at most `patience`. Returns how many it has taken.
    pub async fn arrived(&self, patience: Duration) -> usize {
        let placed = self.placed;
        // A timeout is no error here: the audit shows what is missing.
        let _ = self.sink.wait_for(|sink| sink.accepted_orders() >= placed, patience).await;
        self.taken()
    }

    /// The audit of every store, with the store's name.
    ///
    /// # Errors
    /// Events are still under way when the time is up.
    pub async fn audit(&self) -> Result<Vec<(String, Report)>, Box<dyn Error>> {
        self.sender.idle(Duration::from_secs(10)).await?;
        // Any order that still arrives now is a duplicate.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let acknowledged = self.sender.acknowledged();
        let stores = self.farm.stores().into_iter();
        let mut books: Vec<(String, Report)> =
            stores.map(|store| (store.config().name.clone(), audit(&store, &acknowledged, &self.sink))).collect();
        for (number, shop) in (1..).zip(&self.shops) {
            books.push((format!("Sandbox Shop {number}"), audit_shop(shop, &self.sink)));
        }
        Ok(books)
    }

    /// Stops everything, in order.
    ///
    /// # Errors
    /// The relay had ended by itself, with an error.
    pub async fn stop(self) -> Result<(), Box<dyn Error>> {
        self.sender.stop().await;
        self.relay.stop().await?;
        self.sink.stop().await;
        self.farm.stop().await;
        for shop in &self.shops {
            shop.stop().await;
        }
        Ok(())
    }
}

/// The environment of a relay without a store of its own that calls these stores.
pub fn variables(farm: &StoreFarm, folder: &Path, port: u16) -> Vec<(String, String)> {
    [
        ("BIGCOMMERCE_API_URL", farm.api_url()),
        ("CREDENTIALS_KEY", CREDENTIALS_KEY.to_owned()),
        ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8".to_owned()),
        ("ONE_TRIBE_HOSTS", "127.0.0.1".to_owned()),
        ("PUBLIC_URL", format!("http://127.0.0.1:{port}")),
        ("DATABASE_URL", format!("sqlite://{}", folder.join("relay.db").display())),
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
        ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
