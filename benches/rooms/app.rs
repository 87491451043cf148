//! The single-click app: from the auth callback to the page, and opening the page with ten thousand stores connected.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use onetribe_relay::{
    clock::Timestamp,
    config::Config,
    inbox::{ConnectionState, InboxError, NewConnection},
    services::Services,
    spec::{
        BigCommerceAuth, BigCommerceSpec, ConnectionSpec, DestinationSpec, Origin, SourceSpec, keyring::new_hook_key,
    },
};
use sandbox::{
    Action, AppRegistration, ControlPanelSim, Fault, OneTribeSim, Operation, StoreConfig, StoreFarm, StoreSim, User,
    http,
    measure::{
        figures::{Figures, median},
        process::Process,
    },
    relay::free_port,
};

use crate::{amount, ms_since, this_relay};

/// How long BigCommerce takes for each answer in the benchmark.
const ANSWER: Duration = Duration::from_millis(50);
/// How many connections are created at once.
const TOGETHER: usize = 256;

/// Measures installing the app and opening it.
pub async fn measure(figures: &mut Figures) {
    figures.heading("The single-click app");
    installs(figures).await;
    loads(figures).await;
}

async fn installs(figures: &mut Figures) {
    let (farm, port) = (StoreFarm::start(amount(15, 3)).expect("loopback has ports"), free_port().expect("so it has"));
    let panel = ControlPanelSim::start(&farm, AppRegistration::default()).expect("so it has");
    panel.register_relay(&format!("http://127.0.0.1:{port}"));
    let folder = tempfile::tempdir().expect("the disk has room");
    let mut variables = sandbox::app::variables(&panel, &farm, folder.path(), port);
    variables.push(("RUST_LOG".to_owned(), "error".to_owned()));
    let relay = Process::start(std::process::Command::new(this_relay()), &variables, port).await;
    panel.fault(Fault::new(Operation::Token, Action::Slow(ANSWER)));
    let client = http::client();
    let mut times = Vec::new();
    for store in farm.stores() {
        store.fault(Fault::new(Operation::Any, Action::Slow(ANSWER)));
        let url = panel.install_url(&store);
        let began = Instant::now();
        page(&client, &url).await;
        times.push(ms_since(began));
    }
    figures.at_most("from auth to the page, BigCommerce answering in 50 ms", median(times), 1_000.0, " ms");
    drop(relay);
    panel.stop().await;
    farm.stop().await;
}

async fn page(client: &reqwest::Client, url: &str) {
    let answer = client.get(url).send().await.expect("the relay answers");
    let (status, text) = (answer.status(), answer.text().await.expect("a page"));
    assert!(status.is_success() && text.contains("</html>"), "{status}: {text}");
}

async fn loads(figures: &mut Figures) {
    let (count, port) = (amount(10_000, 1_000), free_port().expect("loopback has ports"));
    let (farm, sink) = (StoreFarm::start(1).expect("so it has"), OneTribeSim::start().expect("so it has"));
    let panel = ControlPanelSim::start(&farm, AppRegistration::default()).expect("so it has");
    panel.register_relay(&format!("http://127.0.0.1:{port}"));
    let folder = tempfile::tempdir().expect("the disk has room");
    let mut variables = sandbox::app::variables(&panel, &farm, folder.path(), port);
    variables.extend(
        [("RECONCILE_INTERVAL", "0"), ("HOOK_CHECK_INTERVAL", "0"), ("RUST_LOG", "error")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    // Without this variable no hooks are registered, which opening pages does not need.
    variables.retain(|(name, _)| name != "PUBLIC_URL");
    connect(&variables, count, &sink.url()).await;
    let relay = Process::start(std::process::Command::new(this_relay()), &variables, port).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (client, mut times) = (http::client(), Vec::new());
    for number in 0..amount(200, 50) {
        let config = StoreConfig::numbered(1 + number * 37 % count);
        let store: StoreSim = farm.store(&config.hash).unwrap_or_else(|| farm.add(config));
        let url = panel.load_url(&store, &User::default());
        let began = Instant::now();
        page(&client, &url).await;
        times.push(ms_since(began));
    }
    times.sort_unstable_by(f64::total_cmp);
    let slowest = times[times.len() * 99 / 100];
    figures.note("stores connected", &count.to_string());
    figures.at_most("from load to the page, the middle one", median(times), 50.0, " ms");
    figures.at_most("from load to the page, 99 of 100", slowest, 50.0, " ms");
    drop(relay);
    panel.stop().await;
    sink.stop().await;
    farm.stop().await;
}

/// Connects this many stores of the app, each with a payload URL.
async fn connect(variables: &[(String, String)], count: usize, destination: &str) {
    http::install_tls_provider();
    let config = Config::from_vars(variables.iter().cloned()).expect("the variables are right");
    let services = Services::open(config, true).await.expect("the database can be used");
    let made: Result<Vec<()>, InboxError> = stream::iter(1..=count)
        .map(|number| {
            let (spec, hook_key) = (spec_of(number, destination), new_hook_key());
            let sealed = services.catalog.keyring().seal(&hook_key, &spec).expect("there is a key");
            let new = NewConnection::of(&spec, ConnectionState::Active, hook_key, Some(sealed));
            let inbox = services.inbox.clone();
            async move { inbox.create_connection(new, Timestamp::now()).await.map(drop) }
        })
        .buffered(TOGETHER)
        .try_collect()
        .await;
    services.inbox.close().await;
    made.expect("the database keeps them");
}

fn spec_of(number: usize, destination: &str) -> ConnectionSpec {
    let config = StoreConfig::numbered(number);
    ConnectionSpec {
        name: config.name,
        origin: Origin::App,
        source: SourceSpec::BigCommerce(BigCommerceSpec {
            store_hash: config.hash,
            auth: BigCommerceAuth::Token(config.token.as_str().into()),
            client_secrets: Vec::new(),
            scopes: vec!["store/order/*".to_owned()],
            is_app: true,
        }),
        destination: Some(DestinationSpec::OneTribe { url: destination.into() }),
        skip_statuses: Vec::new(),
        resources: Vec::new(),
        poll_interval: None,
        has_webhooks: true,
        instance: None,
    }
}
