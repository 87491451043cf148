//! WooCommerce shops: acknowledging large webhooks, compared with a bare handler that verifies the same, and fetching a
//! backlog.

use std::{
    env,
    process::{Command, ExitCode},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt::System, web};
use onetribe_relay::source::woocommerce::webhook::Verifier;
use sandbox::{
    OneTribeSim, Operation, ShopConfig, ShopSim, http,
    measure::{
        figures::{Figures, median},
        load,
        process::Process,
    },
    relay::{ADMIN_TOKEN, free_port},
    stores::CREDENTIALS_KEY,
    woocommerce::signature,
};
use serde_json::{Value, json};

use crate::{amount, this_relay};

/// The first argument that makes this program the bare handler.
pub const PEER: &str = "peer";
/// How many connections send at once.
const LANES: usize = 16;
/// The size of a large order in bytes.
const BODY: usize = 60 * 1024;
/// The longest any step may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures webhooks and a backlog.
pub async fn measure(figures: &mut Figures) {
    figures.heading("WooCommerce shops");
    webhooks(figures).await;
    backlog(figures).await;
}

/// Verifies and answers webhooks until the process is killed.
pub fn be_peer() -> ExitCode {
    let variable = |name: &str| env::var(name).expect("whoever starts a peer says what it is for");
    let topics = vec!["order.created".to_owned(), "order.updated".to_owned()];
    let verifier = std::sync::Arc::new(Verifier::new(&variable("SHOP"), &[variable("SECRET").as_str().into()], topics));
    let port: u16 = variable("PORT").parse().expect("a port");
    let handler = move |request: HttpRequest, body: web::Bytes| {
        let is_genuine = verifier.verify(request.headers(), &body).is_ok();
        async move { if is_genuine { HttpResponse::Ok().finish() } else { HttpResponse::Unauthorized().finish() } }
    };
    let limit = || web::PayloadConfig::new(1024 * 1024);
    let server = HttpServer::new(move || App::new().app_data(limit()).default_service(web::to(handler.clone())))
        .workers(onetribe_relay::app::half_of_processors())
        .bind(("127.0.0.1", port));
    let served = server.and_then(|server| System::new().block_on(server.run()));
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct World {
    shop: ShopSim,
    sink: OneTribeSim,
    relay: Process,
    client: reqwest::Client,
    id: i64,
    _folder: tempfile::TempDir,
}

impl World {
    /// A shop connected to a relay that stores webhooks and does not forward yet.
    async fn start() -> Self {
        let config = ShopConfig {
            is_ssl: false,
            queue_delay: Some(Duration::ZERO),
            record_details: false,
            ..ShopConfig::default()
        };
        let (shop, sink) =
            (ShopSim::start_with(config).expect("loopback has ports"), OneTribeSim::start().expect("so it has"));
        let (folder, port) = (tempfile::tempdir().expect("the disk has room"), free_port().expect("so it has"));
        let (public_url, database) =
            (format!("http://127.0.0.1:{port}"), format!("sqlite://{}", folder.path().join("relay.db").display()));
        let variables = [
            ("BIGCOMMERCE_API_URL", "http://127.0.0.1:9"),
            ("PUBLIC_URL", &public_url),
            ("CREDENTIALS_KEY", CREDENTIALS_KEY),
            ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8"),
            ("ONE_TRIBE_HOSTS", "127.0.0.1"),
            ("DATABASE_URL", &database),
            ("HOST", "127.0.0.1"),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("RECONCILE_INTERVAL", "0"),
            ("HOOK_CHECK_INTERVAL", "0"),
            ("RUST_LOG", "error"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let relay = Process::start(Command::new(this_relay()), &variables, port).await;
        let (client, keys) = (http::client(), shop.config());
        let body = json!({
            "name": "A shop", "state": "paused",
            "source": {
                "kind": "woocommerce", "url": shop.url(),
                "consumer_key": keys.consumer_key, "consumer_secret": keys.consumer_secret,
            },
            "destination": { "kind": "one_tribe", "url": sink.url() },
        });
        let request = client.post(relay.url("/connections")).bearer_auth(ADMIN_TOKEN).body(body.to_string());
        let made = request.header("content-type", "application/json").send().await.expect("the relay answers");
        let made: Value = serde_json::from_str(&made.text().await.expect("a body")).expect("JSON");
        let id = made["id"].as_i64().unwrap_or_else(|| panic!("no connection: {made}"));
        shop.wait_for(|shop| shop.hooks().len() == 4, PATIENCE).await.expect("webhooks are made");
        Self { shop, sink, relay, client, id, _folder: folder }
    }

    async fn stop(self) {
        drop(self.relay);
        self.sink.stop().await;
        self.shop.stop().await;
    }
}

/// The webhook of a large order, as the bytes of an HTTP request.
fn request(path: &str, shop: &str, secret: &str, order: usize) -> Vec<u8> {
    let start = format!(r#"{{"id":{order},"status":"processing","date_modified_gmt":"2026-01-01T00:00:00","note":""#);
    let body = format!(r#"{start}{}"}}"#, "x".repeat(BODY - start.len() - 2));
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: relay\r\ncontent-type: application/json\r\nx-wc-webhook-topic: order.updated\r\n\
         x-wc-webhook-resource: order\r\nx-wc-webhook-event: updated\r\nx-wc-webhook-source: {shop}/\r\n\
         x-wc-webhook-delivery-id: {order}\r\nx-wc-webhook-signature: {}\r\ncontent-length: {}\r\n\r\n",
        signature(secret, body.as_bytes()),
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

async fn webhooks(figures: &mut Figures) {
    let world = World::start().await;
    let hook = world.shop.hooks().into_iter().find(|hook| hook.topic == "order.updated").expect("there is one");
    let path = url::Url::parse(&hook.delivery_url).expect("a URL").path().to_owned();
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command.arg(PEER);
    let variables = [("SHOP", world.shop.url()), ("SECRET", hook.secret.clone())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let bare = Process::start(command, &variables, free_port().expect("loopback has ports")).await;
    let (rounds, each) = (amount(7, 3), amount(2_000, 300));
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let requests = |first: usize| -> Vec<Vec<u8>> {
            (first..first + each).map(|order| request(&path, &world.shop.url(), &hook.secret, order)).collect()
        };
        let first = 1 + round * each;
        let of_bare = load::flood(&[bare.port], requests(first), LANES).await;
        let of_relay = load::flood(&[world.relay.port], requests(first), LANES).await;
        ratios.push(of_relay / of_bare);
    }
    figures.at_least("webhooks of 60 KB kept, beside a bare handler that verifies", median(ratios), 0.5, "");
    drop(bare);
    world.stop().await;
}

async fn backlog(figures: &mut Figures) {
    let (world, count) = (World::start().await, amount(5_000, 500));
    for _ in 0..count {
        world.shop.place_order();
    }
    world.shop.wait_for(|shop| shop.queued() == 0, PATIENCE).await.expect("all webhooks are sent");
    let before = world.shop.call_count(Operation::Any);
    let url = world.relay.url(&format!("/connections/{}", world.id));
    let request = world.client.patch(url).bearer_auth(ADMIN_TOKEN).header("content-type", "application/json");
    let resumed = request.body(r#"{"state":"active"}"#).send().await.expect("the relay answers");
    assert!(resumed.status().is_success(), "{}", resumed.status());
    world.sink.wait_for(|sink| sink.accepted_orders() == count, PATIENCE).await.expect("all orders arrive");
    let calls = world.shop.call_count(Operation::Any) - before;
    figures.at_most(&format!("calls for {count} waiting orders"), calls as f64, amount(60, 10) as f64, "");
    world.stop().await;
}
