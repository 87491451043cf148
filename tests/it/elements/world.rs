//! A store, a callback, and the relay between them, with the requests that tests make.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use onetribe_relay::config::Config;
use reqwest::{Method, header::HeaderMap};
use sandbox::{
    CallbackSim, NotifiedEvent, ProcessClock, StoreConfig, StoreSim, http,
    relay::{Relay, free_port},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::relay::process::Process;

/// Far longer than any step takes that works: probes of a side that is down are up to a minute apart.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The instances' `event.notification.signature.key`.
pub const KEY: &str = "a-signature-key";
/// The `User` part of the `Authorization` header.
pub const USER: &str = "us+er/secret==";
/// The `Organization` part of the `Authorization` header.
pub const ORGANIZATION: &str = "organization=secret";
/// The shortest interval that the relay accepts: 1.2 s.
const INTERVAL_MINUTES: &str = "0.02";

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An instance, with the id and token that its client has.
#[derive(Debug, Clone)]
pub struct Instance {
    pub id: i64,
    pub token: String,
}

pub struct World {
    pub store: StoreSim,
    pub callback: CallbackSim,
    pub client: reqwest::Client,
    folder: TempDir,
    port: u16,
    relay: Option<Relay>,
    extra: Vec<(String, String)>,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(StoreConfig::default()).await
    }

    pub async fn start_with(store: StoreConfig) -> Self {
        Self::around(StoreSim::start_with(store).unwrap(), &[]).await
    }

    /// With an existing store, and with further variables for the relay.
    pub async fn around(store: StoreSim, extra: &[(&str, &str)]) -> Self {
        let mut world = Self {
            store,
            callback: CallbackSim::start(Some(KEY)).unwrap(),
            client: http::client(),
            folder: tempfile::tempdir().unwrap(),
            port: free_port().unwrap(),
            relay: None,
            extra: extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        world.start_relay().await;
        world
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("relay.db")
    }

    fn variables(&self) -> Vec<(String, String)> {
        let own = [
            ("BIGCOMMERCE_API_URL", self.store.api_url()),
            ("ELEMENTS_USER_SECRET", USER.to_owned()),
            ("ELEMENTS_ORGANIZATION_SECRET", ORGANIZATION.to_owned()),
            ("CREDENTIALS_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
            ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8".to_owned()),
            ("PUBLIC_URL", format!("http://127.0.0.1:{}", self.port)),
            ("DATABASE_URL", format!("sqlite://{}", self.database().display())),
            ("ADMIN_TOKEN", sandbox::relay::ADMIN_TOKEN.to_owned()),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", self.port.to_string()),
        ];
        own.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(self.extra.iter().cloned()).collect()
    }

    pub async fn start_relay(&mut self) {
        self.relay = Some(Relay::start(Config::from_vars(self.variables()).unwrap()).await.unwrap());
    }

    /// Runs the real program instead, with a clock that the test sets.
    pub async fn start_process(&self, clock: &ProcessClock) -> Process {
        let mut command = self.command();
        clock.give(&mut command, 1);
        Process::as_prepared(command, &self.url("/health/live")).await
    }

    /// Runs the real program instead, in order to kill it.
    pub async fn start_mortal(&mut self) -> Process {
        self.stop_relay().await;
        let mut command = self.command();
        command.envs([("FETCH_TIMEOUT", "2s"), ("FORWARD_TIMEOUT", "2s")]);
        Process::as_prepared(command, &self.url("/health/live")).await
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().envs(self.variables()).env("RUST_LOG", "warn").current_dir(self.folder.path());
        command
    }

    /// The folder of the relay's files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub async fn stop_relay(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.stop().await.unwrap();
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes one request with any `Authorization`.
    pub async fn ask_as(&self, authorization: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.client.request(method, self.url(path)).header("authorization", authorization);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    /// Makes a request as the platform's user.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.ask_as(&format!("User {USER}, Organization {ORGANIZATION}"), method, path, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    /// Makes a request as an instance.
    pub async fn ask_by(&self, instance: &Instance, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.ask_as(&format!("User {USER}, Element {}", instance.token), method, path, body).await
    }

    pub async fn get_by(&self, instance: &Instance, path: &str) -> Answer {
        self.ask_by(instance, Method::GET, path, None).await
    }

    /// Credentials that are valid at the store.
    pub fn credentials(&self) -> Value {
        let config = self.store.config();
        json!({ "oauth.user.token": config.token, "store.hash": config.hash })
    }

    /// A body for `POST /instances` that polls as often as allowed; `extra` overrides its keys.
    pub fn body(&self, extra: &Value) -> Value {
        let mut configuration = self.credentials();
        let events = json!({
            "event.notification.enabled": true,
            "event.notification.callback.url": self.callback.url(),
            "event.notification.signature.key": KEY,
            "event.poller.refresh_interval": INTERVAL_MINUTES,
            "event.poller.configuration": { "orders": orders() }
        });
        let all = configuration.as_object_mut().unwrap();
        all.extend(events.as_object().unwrap().clone());
        all.extend(extra.as_object().unwrap().clone());
        json!({ "element": { "key": "bigcommerce" }, "configuration": configuration, "tags": ["a"], "name": "One" })
    }

    pub async fn create(&self, body: &Value) -> Instance {
        let made = self.ask(Method::POST, "/elements/api-v2/instances", Some(body)).await;
        assert_eq!(made.status, 200, "{:?}", made.body);
        Instance { id: made.body["id"].as_i64().unwrap(), token: made.body["token"].as_str().unwrap().to_owned() }
    }

    /// Creates an instance that polls orders.
    pub async fn instance(&self) -> Instance {
        self.create(&self.body(&json!({}))).await
    }

    /// Waits until this many events have been taken, and returns them.
    pub async fn told(&self, count: usize) -> Vec<NotifiedEvent> {
        let reached = |callback: &CallbackSim| callback.events().len() >= count;
        if self.callback.wait_for(reached, PATIENCE).await.is_err() {
            panic!("{count} events were to be told of, not {:?}", self.callback.events());
        }
        self.callback.events()
    }

    /// Waits for this many further calls to the store: what the polls among them returned has been read.
    pub async fn polled(&self, times: u64) {
        let operation = sandbox::Operation::Any;
        let goal = self.store.call_count(operation) + times;
        self.store.wait_for(|store| store.call_count(operation) >= goal, PATIENCE).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// Waits until the answer for this path of an instance satisfies `is_reached`.
    pub async fn becomes(&self, path: &str, is_reached: impl Fn(&Answer) -> bool) -> Answer {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if is_reached(&answer) {
                return answer;
            }
            assert!(tokio::time::Instant::now() < end, "{path} stays {:?}", answer.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops everything, without checking the notifications.
    pub async fn stop(mut self) {
        self.stop_relay().await;
        self.callback.stop().await;
        self.store.stop().await;
    }

    /// Stops everything, and asserts that every notification was validly signed and had an id.
    pub async fn finish(mut self) {
        self.stop_relay().await;
        for one in self.callback.received() {
            assert!(one.is_genuine == Some(true) && !one.webhook_id.is_empty(), "{one:?}");
            assert_eq!(one.body["message"]["eventId"], one.webhook_id.as_str());
        }
        self.callback.stop().await;
        self.store.stop().await;
    }
}

/// The configuration of the resource `orders` in the vendor's guide.
pub fn orders() -> Value {
    json!({
        "url": "/hubs/ecommerce/orders?where=min_date_modified='${date:EEE, dd MMM yyyy HH:mm:ss Z}'",
        "idField": "id",
        "datesConfiguration": {
            "updatedDateField": "date_modified",
            "updatedDateFormat": "EEE, dd MMM yyyy HH:mm:ss Z",
            "createdDateField": "date_created",
            "createdDateFormat": "EEE, dd MMM yyyy HH:mm:ss Z"
        }
    })
}

/// Events as text: `orders 218 CREATED`.
pub fn words(events: &[NotifiedEvent]) -> Vec<String> {
    events.iter().map(|event| format!("{} {} {}", event.resource, event.id, event.change)).collect()
}

/// The same as a set.
pub fn set(events: &[NotifiedEvent]) -> BTreeSet<String> {
    words(events).into_iter().collect()
}

/// Waits long enough for the store's dates to differ by a second.
pub async fn another_second() {
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}
