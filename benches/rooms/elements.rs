//! The Cloud Elements API: creating instances, a thousand of them idle, and ten thousand changes in one poll.

use std::time::{Duration, Instant};

use sandbox::{
    Action, CallbackSim, Operation, QuotaRule, StoreConfig, StoreFarm, StoreSim, http,
    measure::{
        figures::{Figures, median},
        process::Process,
    },
    relay::free_port,
    stores::CREDENTIALS_KEY,
};
use serde_json::{Value, json};

use crate::{amount, ms_since, this_relay};

/// The `User` part of the `Authorization` header.
const USER_SECRET: &str = "bench-user-secret";
/// The `Organization` part of the `Authorization` header.
const ORGANIZATION_SECRET: &str = "bench-organization-secret";
/// The longest any step may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// The polling interval of the idle instances.
const INTERVAL: Duration = Duration::from_secs(60);

/// Measures idle instances and many changes.
pub async fn measure(figures: &mut Figures) {
    figures.heading("The Cloud Elements API");
    at_rest(figures).await;
    many_changes(figures).await;
}

async fn relay_of(store: &StoreSim, folder: &tempfile::TempDir) -> Process {
    let port = free_port().expect("loopback has ports");
    let (api_url, database) = (store.api_url(), format!("sqlite://{}", folder.path().join("relay.db").display()));
    let variables = [
        ("BIGCOMMERCE_API_URL", api_url.as_str()),
        ("ELEMENTS_USER_SECRET", USER_SECRET),
        ("ELEMENTS_ORGANIZATION_SECRET", ORGANIZATION_SECRET),
        ("CREDENTIALS_KEY", CREDENTIALS_KEY),
        ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8"),
        ("DATABASE_URL", &database),
        ("HOST", "127.0.0.1"),
        ("RUST_LOG", "error"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Process::start(std::process::Command::new(this_relay()), &variables, port).await
}

/// The body of `POST /instances` for a store.
fn body(store: &StoreSim, callback: &CallbackSim, minutes: &str, resources: &[&str]) -> Value {
    let config = store.config();
    let resource = |name: &&str| {
        let url = format!("/hubs/ecommerce/{name}?where=min_date_modified='${{date:yyyy-MM-dd'T'HH:mm:ss'Z'}}'");
        let dates = json!({
            "updatedDateField": "date_modified", "updatedDateFormat": "EEE, dd MMM yyyy HH:mm:ss Z",
            "createdDateField": "date_created", "createdDateFormat": "EEE, dd MMM yyyy HH:mm:ss Z",
        });
        ((*name).to_owned(), json!({ "url": url, "idField": "id", "datesConfiguration": dates }))
    };
    let polled: serde_json::Map<String, Value> = resources.iter().map(resource).collect();
    json!({
        "element": { "key": "bigcommerce" }, "name": config.name, "tags": ["bench"],
        "configuration": {
            "oauth.user.token": config.token, "store.hash": config.hash,
            "event.notification.enabled": true, "event.vendor.type": "polling",
            "event.notification.callback.url": callback.url(),
            "event.poller.refresh_interval": minutes, "event.poller.configuration": polled,
        },
    })
}

async fn create(client: &reqwest::Client, relay: &Process, body: &Value) {
    let request = client
        .post(relay.url("/elements/api-v2/instances"))
        .header("authorization", format!("User {USER_SECRET}, Organization {ORGANIZATION_SECRET}"))
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = request.send().await.expect("the relay answers");
    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
    assert!(status.is_success(), "{status}: {text}");
}

/// Many instances whose objects do not change.
async fn at_rest(figures: &mut Figures) {
    let count = amount(1_000, 100);
    let resources = ["orders", "products", "customers"];
    let farm = StoreFarm::start(count).expect("loopback has ports");
    let (stores, callback) = (farm.stores(), CallbackSim::start(None).expect("so it has"));
    let folder = tempfile::tempdir().expect("the disk has room");
    let relay = relay_of(&stores[0], &folder).await;
    let (client, mut times) = (http::client(), Vec::new());
    for store in &stores {
        let before = store.call_count(Operation::Any);
        let began = Instant::now();
        create(&client, &relay, &body(store, &callback, "1", &resources)).await;
        times.push(ms_since(began));
        assert!(store.call_count(Operation::Any) > before, "the credentials are tried");
    }
    figures.note("instances, of three resources each", &count.to_string());
    figures.at_most("POST /instances, with a store that answers at once", median(times), 50.0, " ms");
    // After this, every instance has been polled.
    tokio::time::sleep(INTERVAL + Duration::from_secs(10)).await;
    // The check of each connection after its start is no poll.
    let checks = [Operation::StoreInformation, Operation::Time, Operation::Hooks, Operation::OrderCount];
    let polls = |store: &StoreSim| {
        store.call_count(Operation::Any) - checks.map(|check| store.call_count(check)).into_iter().sum::<u64>()
    };
    let calls = || stores.iter().map(polls).sum::<u64>();
    let (first, busy, mut seconds) = (calls(), relay.busy(), Vec::new());
    let mut last = first;
    for _ in 0..INTERVAL.as_secs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = calls();
        seconds.push((now - last) as f64);
        last = now;
    }
    let share = 100.0 * (relay.busy() - busy).as_secs_f64() / INTERVAL.as_secs_f64();
    let each = (last - first) as f64 / (count * resources.len()) as f64;
    let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
    let most = seconds.into_iter().fold(0.0, f64::max);
    figures.at_most("calls for each resource and interval", each, 1.02, "");
    figures.at_most("calls in the busiest second, beside the mean", most / mean.max(1.0), 4.0, "");
    figures.at_most("resident", relay.resident_mib(), 60.0, " MiB");
    figures.at_most("of a core", share, 5.0, " %");
    drop(relay);
    callback.stop().await;
    farm.stop().await;
}

async fn many_changes(figures: &mut Figures) {
    let count = amount(10_000, 1_000);
    let store = StoreConfig { quota: QuotaRule::unlimited(), ..StoreConfig::default() };
    let (store, callback) =
        (StoreSim::start_with(store).expect("loopback has ports"), CallbackSim::start(None).expect("so it has"));
    callback.fault_all(Action::Slow(Duration::from_millis(5)));
    let folder = tempfile::tempdir().expect("the disk has room");
    let relay = relay_of(&store, &folder).await;
    create(&http::client(), &relay, &body(&store, &callback, "0.1", &["orders"])).await;
    for _ in 0..count {
        store.place_order_silently(None, 11);
    }
    let calls = store.call_count(Operation::OrderList);
    store.wait_for(|store| store.call_count(Operation::OrderList) > calls, PATIENCE).await.expect("it is polled");
    let began = Instant::now();
    while callback.taken_events() < count {
        assert!(began.elapsed() < PATIENCE, "{} of {count} are told of", callback.taken_events());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let what = format!("{count} changed rows of one poll told of, the callback taking 5 ms");
    figures.at_most(&what, began.elapsed().as_secs_f64(), 20.0, " s");
    drop(relay);
    callback.stop().await;
    store.stop().await;
}
