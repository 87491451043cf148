//! What the relay is compared with, each in a process of its own: a bare handler, which verifies and stores nothing,
//! and a bound, which also syncs once per batch, fetches and forwards, all from memory. The bound loses whatever waits
//! when it ends; it never retries, recognises no duplicates, and calls as fast as the store permits.

use std::{
    collections::BTreeSet,
    env,
    fs::File,
    io::Write,
    process::{Command, ExitCode},
    sync::{Arc, mpsc as threads},
    time::{Duration, SystemTime},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt::System, web};
use onetribe_relay::{app::half_of_processors, source::bigcommerce::webhook::Verifier};
use sandbox::{OneTribeSim, StoreSim, http, relay::free_port};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::process::Process;

/// The first argument that makes this program a peer.
pub const COMMAND: &str = "peer";
/// How many calls may be under way at once, the same as for one connection of the relay.
const CALLS: usize = 8;
/// The largest list, in ids.
const WINDOW: i64 = 250;
/// The most events per sync.
const BATCH: usize = 512;

/// The kind of peer.
#[derive(Clone, Copy)]
pub enum Peer {
    /// Verifies and answers.
    Bare,
    /// Syncs, fetches and forwards, from memory.
    Bound,
}

impl Peer {
    /// Starts the peer between a store and a destination.
    pub async fn start(self, store: &StoreSim, sink: &OneTribeSim) -> Process {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.args([COMMAND, if let Self::Bare = self { "bare" } else { "bound" }]);
        let config = store.config();
        let variables = [
            ("SECRET", config.client_secret.clone()),
            ("STORE", config.hash.clone()),
            ("TOKEN", config.token.clone()),
            ("API", store.api_url()),
            ("SINK", sink.url()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        Process::start(command, &variables, free_port().expect("loopback has ports")).await
    }
}

/// Runs as a peer until the process is killed.
pub fn run(kind: &str) -> ExitCode {
    let served = match kind {
        "bare" => System::new().block_on(bare()),
        _ => System::new().block_on(bound()),
    };
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn variable(name: &str) -> String {
    env::var(name).expect("whoever starts a peer says what it is between")
}

fn port() -> u16 {
    variable("PORT").parse().expect("a port")
}

fn verifier() -> Arc<Verifier> {
    let secrets = vec![variable("SECRET").as_str().into()];
    Arc::new(Verifier::new(&variable("STORE"), secrets, Vec::new(), Duration::from_secs(3600)))
}

async fn bare() -> std::io::Result<()> {
    let verifier = verifier();
    let handler = move |request: HttpRequest, body: web::Bytes| {
        let is_genuine = verifier.verify(request.headers(), &body, SystemTime::now()).is_ok();
        async move { if is_genuine { HttpResponse::Ok().finish() } else { HttpResponse::Unauthorized().finish() } }
    };
    let server = HttpServer::new(move || App::new().default_service(web::to(handler.clone())));
    server.bind(("127.0.0.1", port()))?.run().await
}

/// An event to be written to disk.
struct Event {
    order: i64,
    kept: oneshot::Sender<()>,
}

async fn bound() -> std::io::Result<()> {
    let verifier = verifier();
    let (events, incoming) = threads::channel::<Event>();
    let (orders, waiting) = mpsc::unbounded_channel();
    std::thread::spawn(move || keep(&incoming, &orders));
    let handler = move |request: HttpRequest, body: web::Bytes| {
        let is_genuine = verifier.verify(request.headers(), &body, SystemTime::now()).is_ok();
        let order = serde_json::from_slice::<Light>(&body).map(|light| light.data.id);
        let events = events.clone();
        async move {
            let Ok(order) = order else { return HttpResponse::BadRequest().finish() };
            let (kept, answer) = oneshot::channel();
            if !is_genuine || events.send(Event { order, kept }).is_err() || answer.await.is_err() {
                return HttpResponse::Unauthorized().finish();
            }
            HttpResponse::Ok().finish()
        }
    };
    let server = HttpServer::new(move || App::new().default_service(web::to(handler.clone())));
    let server = server.workers(half_of_processors()).bind(("127.0.0.1", port()))?.run();
    std::thread::spawn(|| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(half_of_processors()).enable_all().build();
        runtime.expect("threads can be had").block_on(forward(waiting));
    });
    server.await
}

#[derive(Deserialize)]
struct Light {
    data: Id,
}

#[derive(Deserialize)]
struct Id {
    id: i64,
}

/// Writes the events that have come in, syncs once, and only then answers.
fn keep(incoming: &threads::Receiver<Event>, orders: &mpsc::UnboundedSender<i64>) {
    let mut log: File = tempfile::tempfile().expect("the disk has room");
    while let Ok(first) = incoming.recv() {
        let batch: Vec<Event> = [first].into_iter().chain(incoming.try_iter().take(BATCH - 1)).collect();
        let bytes: Vec<u8> = batch.iter().flat_map(|event| event.order.to_le_bytes()).collect();
        log.write_all(&bytes).and_then(|()| log.sync_data()).expect("the disk has room");
        for Event { order, kept } in batch {
            // A client may have disconnected, and at the end nothing forwards any more; neither matters.
            let _ = (kept.send(()), orders.send(order));
        }
    }
}

/// The store and the destination, and how many calls may be under way.
struct Sides {
    client: reqwest::Client,
    orders: String,
    token: String,
    sink: String,
    calls: Semaphore,
}

/// Fetches the waiting orders, in lists where their ids are close together, and forwards each order's bytes.
async fn forward(mut waiting: mpsc::UnboundedReceiver<i64>) {
    let orders = format!("{}/stores/{}/v2/orders", variable("API"), variable("STORE"));
    let (token, sink) = (variable("TOKEN"), variable("SINK"));
    let sides = Arc::new(Sides { client: http::client(), orders, token, sink, calls: Semaphore::new(CALLS) });
    let lists = Arc::new(Semaphore::new(CALLS));
    let mut due = BTreeSet::new();
    loop {
        if due.is_empty() {
            match waiting.recv().await {
                Some(order) => drop(due.insert(order)),
                None => return,
            }
        }
        while let Ok(order) = waiting.try_recv() {
            due.insert(order);
        }
        let Ok(list) = lists.clone().acquire_owned().await else { return };
        let Some(first) = due.first().copied() else { continue };
        let rest = due.split_off(&(first + WINDOW));
        let window = std::mem::replace(&mut due, rest);
        let sides = sides.clone();
        tokio::spawn(async move {
            sides.take(&window).await;
            drop(list);
        });
    }
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

impl Sides {
    async fn take(&self, window: &BTreeSet<i64>) {
        let (Some(min), Some(max)) = (window.first(), window.last()) else { return };
        let url = match window.len() {
            1 => format!("{}/{min}", self.orders),
            _ => format!("{}?min_id={min}&max_id={max}&limit={WINDOW}&sort=id:asc", self.orders),
        };
        let call = self.calls.acquire().await.expect("never closed");
        let request = self.client.get(url).header("x-auth-token", &self.token).header("accept", "application/json");
        let answer = request.send().await.expect("the store answers").bytes().await.expect("the store answers whole");
        drop(call);
        let bodies: Vec<bytes::Bytes> = match window.len() {
            1 => vec![answer],
            _ => {
                let rows: Vec<&RawValue> = serde_json::from_slice(&answer).expect("a list");
                rows.into_iter().map(|row| answer.slice_ref(row.get().as_bytes())).collect()
            }
        };
        futures_util::future::join_all(bodies.into_iter().map(|body| self.post(body, window))).await;
    }

    async fn post(&self, body: bytes::Bytes, window: &BTreeSet<i64>) {
        let row: Row<'_> = serde_json::from_slice(&body).expect("an order");
        let id = row.id.get().to_owned();
        if !id.parse().is_ok_and(|id: i64| window.contains(&id)) {
            return;
        }
        let _call = self.calls.acquire().await.expect("never closed");
        let request = self.client.post(&self.sink).header("content-type", "application/json");
        let answer = request.header("idempotency-key", &id).body(body).send().await.expect("the sink answers");
        assert!(answer.status().is_success(), "{}", answer.status());
        drop(answer.bytes().await);
    }
}
