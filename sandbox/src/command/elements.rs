//! The sandbox as a client of the Cloud Elements API: it makes an instance, places and changes orders, verifies and
//! counts the notifications at its callback, and fetches an order.

use std::{collections::BTreeMap, error::Error, path::Path, time::Duration};

use onetribe_relay::config::Config;
use sandbox::{
    CallbackSim, NotifiedEvent, StoreSim,
    relay::{ADMIN_TOKEN, Relay},
};
use serde_json::{Value, json};

use super::{
    Session,
    options::Options,
    output::{Output, count},
};

/// The `User` part of the `Authorization` header.
const USER_SECRET: &str = "sandbox-user-secret=";
/// The `Organization` part of the `Authorization` header.
const ORGANIZATION_SECRET: &str = "sandbox-organization-secret=";
/// The instance's `event.notification.signature.key`.
const SIGNATURE_KEY: &str = "sandbox-signature-key";
/// Seals the credentials of the sandbox's instances; 32 bytes in base64.
const CREDENTIALS_KEY: &str = "c2FuZGJveC1jcmVkZW50aWFscy1rZXktMzItYnl0ZXM=";

/// The environment of a relay without a connection of its own that serves the Cloud Elements API to clients of `store`.
fn variables(store: &StoreSim, database: &Path, port: u16) -> Vec<(String, String)> {
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

/// Places the orders, changes each of them once, and waits until the callback has been notified of all that; then goes
/// on until it is stopped, unless it is to exit. False if anything is missing, doubled or not genuine.
///
/// # Errors
/// A part cannot start, or does not answer.
pub async fn run(options: &Options, port: u16, session: &Session) -> Result<bool, Box<dyn Error>> {
    let (out, folder) = (&session.out, tempfile::tempdir()?);
    let (store, callback) = (StoreSim::start()?, CallbackSim::start(Some(SIGNATURE_KEY))?);
    let variables = variables(&store, &folder.path().join("relay.db"), port);
    let relay = Relay::start(Config::from_vars(variables)?).await?;
    let client = Client { http: sandbox::http::client(), base: relay.url("/elements/api-v2") };
    let (id, token) = client.create(&store, &callback).await?;
    out.line(format_args!("  the relay's API     {}", client.base));
    out.line(format_args!("  simulated store     {}", store.api_url()));
    out.line(format_args!("  client's callback   {}", callback.url()));
    out.line("  Authorization");
    out.line(format_args!("    User {USER_SECRET}, Organization {ORGANIZATION_SECRET}"));
    out.line(format_args!("  instance {id}"));
    out.line(format_args!("    Element {token}"));
    out.gap();
    let is_clean = tokio::select! {
        is_clean = play(&client, &token, &store, &callback, options, out) => Some(is_clean?),
        () = session.stop.cancelled() => None,
    };
    if !options.exit && !session.stop.is_cancelled() {
        out.line("The relay goes on, until Ctrl-C.");
        session.stop.cancelled().await;
    }
    out.gap();
    out.line(format_args!(
        "{} placed, {} at the callback.",
        count(store.orders().len(), "order"),
        count(callback.received().len(), "notification")
    ));
    out.line(match is_clean {
        Some(true) => "All are genuine, and none came twice.",
        Some(false) => "Some are missing, doubled or not genuine.",
        None => "Stopped before all of them had come.",
    });
    relay.stop().await?;
    callback.stop().await;
    store.stop().await;
    Ok(is_clean.unwrap_or(!options.exit))
}

async fn play(
    client: &Client,
    token: &str,
    store: &StoreSim,
    callback: &CallbackSim,
    options: &Options,
    out: &Output,
) -> Result<bool, Box<dyn Error>> {
    let patience = options.patience();
    let placed: Vec<i64> = (0..options.orders_or_default()).map(|_| store.place_order_silently(None, 7)).collect();
    let mut is_clean = told(callback, &placed, "CREATED", 0, patience, out).await;
    // Dates have whole seconds; a change within the first second would still count as the creation.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for order in &placed {
        store.change_order_silently(*order, 11);
    }
    is_clean &= told(callback, &placed, "UPDATED", placed.len(), patience, out).await;
    if let Some(order) = placed.first() {
        let fetched = client.fetch(token, &format!("/hubs/ecommerce/orders/{order}")).await?;
        out.line(format_args!("order {order}, fetched: status {}", fetched["status"]));
        is_clean &= fetched["id"] == *order;
    }
    // Any event that still arrives now is a duplicate.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (events, received) = (callback.events().len(), callback.received());
    let is_genuine = received.iter().all(|one| one.is_genuine == Some(true));
    out.line(format_args!(
        "{events} events in {} notifications, {} calls to the store",
        received.len(),
        store.calls().len()
    ));
    Ok(is_clean && events == placed.len() * 2 && is_genuine)
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

/// Waits for one event of this kind for each order; prints the notifications that came.
async fn told(
    callback: &CallbackSim,
    orders: &[i64],
    change: &str,
    before: usize,
    patience: Duration,
    out: &Output,
) -> bool {
    let goal = before + orders.len();
    let is_told = callback.wait_for(|callback| callback.events().len() >= goal, patience).await.is_ok();
    let events: Vec<NotifiedEvent> = callback.events().into_iter().skip(before).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        *counts.entry(event.change.as_str()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(change, count)| format!("{count} {change}")).collect();
    out.line(format_args!("{} of {} orders notified: {}", events.len(), orders.len(), counts.join(", ")));
    let expected = |order: &i64| {
        let of_order: Vec<&NotifiedEvent> = events.iter().filter(|event| event.id == order.to_string()).collect();
        of_order.len() == 1 && of_order[0].change == change
    };
    is_told && orders.iter().all(expected)
}
