//! The sandbox as a client of the Cloud Elements API: an instance is made, orders are placed and changed, and what its
//! callback is told of is verified, counted, and fetched.

use std::{collections::BTreeMap, error::Error, path::Path, time::Duration};

use onetribe_relay::config::Config;
use serde_json::{Value, json};

use crate::{
    CallbackSim, NotifiedEvent, StoreSim,
    relay::{ADMIN_TOKEN, Relay, free_port},
};

/// `User`
pub const USER_SECRET: &str = "sandbox-user-secret=";
/// `Organization`
pub const ORGANIZATION_SECRET: &str = "sandbox-organization-secret=";
/// `event.notification.signature.key`
pub const SIGNATURE_KEY: &str = "sandbox-signature-key";
/// Seals the credentials of the sandbox's instances; 32 bytes in base64.
pub const CREDENTIALS_KEY: &str = "c2FuZGJveC1jcmVkZW50aWFscy1rZXktMzItYnl0ZXM=";

/// The environment of a relay without a connection of its own that serves the Cloud Elements API to `store`'s clients.
pub fn variables(store: &StoreSim, database: &Path, port: u16) -> Vec<(String, String)> {
    [
        ("BIGCOMMERCE_API_URL", store.api_url()),
        ("ELEMENTS_USER_SECRET", USER_SECRET.to_owned()),
        ("ELEMENTS_ORGANIZATION_SECRET", ORGANIZATION_SECRET.to_owned()),
        ("CREDENTIALS_KEY", CREDENTIALS_KEY.to_owned()),
        ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8".to_owned()),
        ("PUBLIC_URL", format!("http://127.0.0.1:{port}")),
        ("DATABASE_URL", format!("sqlite://{}", database.display())),
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
        ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Places so many orders, changes each of them once, and waits until the callback has been told of all that. With
/// `stays` it then goes on until Ctrl-C. False if anything is missing, doubled or not genuine.
///
/// # Errors
/// A part cannot start, or does not answer.
pub async fn run(orders: u32, stays: bool, patience: Duration) -> Result<bool, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (store, callback) = (StoreSim::start()?, CallbackSim::start(Some(SIGNATURE_KEY))?);
    let variables = variables(&store, &folder.path().join("relay.db"), free_port()?);
    let relay = Relay::start(Config::from_vars(variables)?).await?;
    let client = Client { http: crate::http::client(), base: relay.url("/elements/api-v2") };
    let (id, token) = client.create(&store, &callback).await?;
    println!("a simulated BigCommerce store   {}", store.api_url());
    println!("a client's callback             {}", callback.url());
    println!("the relay between them          {}", client.base);
    println!("  Authorization                 User {USER_SECRET}, Organization {ORGANIZATION_SECRET}");
    println!("the instance {id}                  Element {token}");
    println!();
    let placed: Vec<i64> = (0..orders).map(|_| store.place_order_silently(None, 7)).collect();
    let mut is_clean = told(&callback, &placed, "CREATED", 0, patience).await;
    // Dates have whole seconds; a change within the first one would still be the creation.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for order in &placed {
        store.change_order_silently(*order, 11);
    }
    is_clean &= told(&callback, &placed, "UPDATED", placed.len(), patience).await;
    if let Some(order) = placed.first() {
        let fetched = client.fetch(&token, &format!("/hubs/ecommerce/orders/{order}")).await?;
        println!("order {order}, fetched: status {}", fetched["status"]);
        is_clean &= fetched["id"] == *order;
    }
    // What still arrives now has arrived twice.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (events, received) = (callback.events().len(), callback.received());
    let is_genuine = received.iter().all(|one| one.is_genuine == Some(true));
    println!("{events} events in {} notifications, {} calls to the store", received.len(), store.calls().len());
    is_clean &= events == placed.len() * 2 && is_genuine;
    if stays {
        println!("until Ctrl-C");
        tokio::signal::ctrl_c().await?;
    }
    relay.stop().await?;
    callback.stop().await;
    store.stop().await;
    Ok(is_clean)
}

struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    async fn create(&self, store: &StoreSim, callback: &CallbackSim) -> Result<(i64, String), Box<dyn Error>> {
        let config = store.config();
        let body = json!({
            "element": { "key": "bigcommerce" },
            "name": "Sandbox",
            "tags": ["sandbox"],
            "configuration": {
                "oauth.user.token": config.token,
                "store.hash": config.hash,
                "event.notification.enabled": true,
                "event.notification.callback.url": callback.url(),
                "event.notification.signature.key": SIGNATURE_KEY,
                "event.poller.refresh_interval": "0.02",
                "event.poller.urls": "orders"
            }
        });
        let request = self.http.post(format!("{}/instances", self.base)).body(body.to_string());
        let authorization = format!("User {USER_SECRET}, Organization {ORGANIZATION_SECRET}");
        let made = self.json(request.header("content-type", "application/json"), &authorization).await?;
        let found = made["id"].as_i64().zip(made["token"].as_str().map(str::to_owned));
        found.ok_or_else(|| format!("no instance was made: {made}").into())
    }

    async fn fetch(&self, token: &str, path: &str) -> Result<Value, Box<dyn Error>> {
        let authorization = format!("User {USER_SECRET}, Element {token}");
        self.json(self.http.get(format!("{}{path}", self.base)), &authorization).await
    }

    async fn json(&self, request: reqwest::RequestBuilder, authorization: &str) -> Result<Value, Box<dyn Error>> {
        let body = request.header("authorization", authorization).send().await?.bytes().await?;
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Waits for one event of this kind for each order; shows the notifications that came.
async fn told(callback: &CallbackSim, orders: &[i64], change: &str, before: usize, patience: Duration) -> bool {
    let goal = before + orders.len();
    let is_told = callback.wait_for(|callback| callback.events().len() >= goal, patience).await.is_ok();
    let events: Vec<NotifiedEvent> = callback.events().into_iter().skip(before).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        *counts.entry(event.change.as_str()).or_default() += 1;
    }
    println!("{} of {} orders told of: {counts:?}", events.len(), orders.len());
    let expected = |order: &i64| {
        let of_order: Vec<&NotifiedEvent> = events.iter().filter(|event| event.id == order.to_string()).collect();
        of_order.len() == 1 && of_order[0].change == change
    };
    is_told && orders.iter().all(expected)
}
