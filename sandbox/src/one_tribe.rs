//! The simulated One Tribe: takes orders at the merchant's payload URL, records them, and fails on demand. It reads
//! only an order's id and revision; `audit` judges whether everything arrived as it should.

mod ledger;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use crate::answer::{Answer, Ticket, respond};
use crate::barrier::Barrier;
use crate::controls::controls;
use crate::fault::{Action, Fault, Faults, Operation};
use crate::http::{self, Server};
use crate::order;

pub use ledger::Received;
use ledger::{Arrival, Ledger};

/// How the simulated One Tribe is set up.
#[derive(Debug, Clone)]
pub struct OneTribeConfig {
    /// The merchant's token, the last part of the payload URL.
    pub token: String,
    /// Whether bodies are kept: a copy of each order, so not for benchmarks.
    pub keep_bodies: bool,
    /// How many threads serve requests.
    pub workers: usize,
}

impl Default for OneTribeConfig {
    fn default() -> Self {
        Self { token: "sandbox-merchant-token".to_owned(), keep_bodies: true, workers: 1 }
    }
}

struct State {
    config: OneTribeConfig,
    address: SocketAddr,
    path: String,
    faults: Faults,
    ledger: Ledger,
    barrier: Barrier,
}

/// A running simulated One Tribe. Clones share it; it stops with [`OneTribeSim::stop`], or when the last is dropped.
#[derive(Clone)]
pub struct OneTribeSim {
    state: Arc<State>,
    server: Arc<Server>,
}

controls!(OneTribeSim, "of [`Operation::Delivery`](crate::Operation::Delivery) or `Any`");

impl fmt::Debug for OneTribeSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTribeSim").field("address", &self.state.address).finish_non_exhaustive()
    }
}

impl OneTribeSim {
    /// Starts with the default configuration.
    ///
    /// # Errors
    /// No port is available.
    pub fn start() -> io::Result<Self> {
        Self::start_with(OneTribeConfig::default())
    }

    /// Starts with this configuration.
    ///
    /// # Errors
    /// No port is available.
    pub fn start_with(config: OneTribeConfig) -> io::Result<Self> {
        let (listener, address) = http::listen()?;
        let workers = config.workers;
        let path = format!("/direct/webhook/big-commerce/order/{}", config.token);
        let (faults, ledger, barrier) = (Faults::default(), Ledger::default(), Barrier::default());
        let state = Arc::new(State { config, address, path, faults, ledger, barrier });
        let shared = web::Data::from(Arc::clone(&state));
        let server = Server::start(listener, workers, move |app| {
            app.app_data(shared.clone()).default_service(web::to(serve));
        })?;
        Ok(Self { state, server: Arc::new(server) })
    }

    /// Stops serving; what was received stays readable.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// The merchant's payload URL.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.state.address, self.state.path)
    }
}

/// What was received.
impl OneTribeSim {
    /// Every request for an order so far, refused ones included, in the order in which they came.
    pub fn received(&self) -> Vec<Received> {
        self.state.ledger.received()
    }

    /// The requests whose order was taken, in the order in which they were taken.
    pub fn accepted(&self) -> Vec<Received> {
        let mut accepted: Vec<_> = self.received().into_iter().filter(|one| one.accepted.is_some()).collect();
        accepted.sort_by_key(|one| one.accepted);
        accepted
    }

    /// How many requests came, whether or not their order was taken.
    pub fn attempts(&self) -> u64 {
        self.state.ledger.attempts()
    }

    /// How many requests had their order taken.
    pub fn accepted_count(&self) -> u64 {
        self.state.ledger.accepted_count()
    }

    /// How many different orders were taken.
    pub fn accepted_orders(&self) -> usize {
        self.state.ledger.accepted_orders()
    }

    /// The newest revision of the order that was taken.
    pub fn newest(&self, order: i64) -> Option<u64> {
        self.state.ledger.newest(order)
    }

    /// How many requests are open now: not answered yet, and not disconnected.
    pub fn open(&self) -> usize {
        self.state.ledger.open()
    }

    /// The most requests that were open at once.
    pub fn max_open(&self) -> usize {
        self.state.ledger.max_open()
    }

    /// The most requests for one order that were open at once.
    pub fn max_open_of(&self, order: i64) -> usize {
        self.state.ledger.max_open_of(order)
    }

    /// The orders that ever had two or more requests open at once, by id.
    pub fn overlapping(&self) -> Vec<i64> {
        self.state.ledger.overlapping()
    }
}

/// Faults.
impl OneTribeSim {
    /// Applies this action to every order until faults are cleared.
    pub fn fault_all(&self, action: Action) {
        self.fault(Fault::new(Operation::Delivery, action));
    }

    /// Applies this action to one order until faults are cleared.
    pub fn fault_order(&self, id: i64, action: Action) {
        self.fault(Fault::new(Operation::Delivery, action).order(id));
    }
}

/// Keeps a request open in the ledger until its answer is sent or lost.
struct OpenRequest {
    state: web::Data<State>,
    index: usize,
    answered: Option<u16>,
}

impl Ticket for OpenRequest {
    fn answered(mut self, status: u16) {
        self.answered = Some(status);
    }
}

/// The ticket of a request that is not recorded.
struct Look;

impl Ticket for Look {
    fn answered(self, _: u16) {}
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.state.ledger.end(self.index, self.answered);
        self.state.barrier.changed();
    }
}

async fn serve(state: web::Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    // A check whether One Tribe can be reached is no request for an order; only faults of every operation apply to it.
    if request.method() == Method::HEAD {
        let fault = state.faults.take(Operation::Any, None, "HEAD");
        let refusal = fault.as_ref().and_then(Answer::of_fault);
        return respond(refusal.unwrap_or_else(|| Answer::empty(404)), fault.as_ref(), Look);
    }
    let seen = order::revision_of(&body);
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let index = state.ledger.begin(Arrival {
        order: seen,
        idempotency_key: header("idempotency-key"),
        content_type: header(CONTENT_TYPE.as_str()),
        user_agent: header(USER_AGENT.as_str()),
        body: state.config.keep_bodies.then(|| Bytes::copy_from_slice(&body)),
    });
    let open = OpenRequest { state: state.clone(), index, answered: None };
    state.barrier.changed();

    let json = header(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("application/json"));
    let refusal = match seen {
        _ if request.path() != state.path => Some(404),
        _ if request.method() != Method::POST => Some(405),
        _ if !json => Some(415),
        None => Some(400),
        Some(_) => None,
    };
    if let Some(status) = refusal {
        return respond(Answer::refusal(status, "not an order for this merchant"), None, open);
    }
    let fault = state.faults.take(Operation::Delivery, seen.map(|(order, _)| order), "POST");
    let answer = answer_under(fault.as_ref(), &state, index).await;
    respond(answer, fault.as_ref(), open)
}

async fn answer_under(fault: Option<&Fault>, state: &State, index: usize) -> Answer {
    if let Some(refusal) = fault.and_then(Answer::of_fault) {
        return refusal;
    }
    let action = fault.map(|fault| &fault.action);
    match action {
        // `respond` cuts the connection; the order is not taken.
        Some(Action::Drop) => return Answer::empty(200),
        Some(Action::Hold) => state.faults.hold(&state.barrier).await,
        Some(Action::Slow(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    state.ledger.accept(index);
    if let Some(Action::HoldAnswer) = action {
        state.barrier.changed();
        state.faults.hold(&state.barrier).await;
    }
    Answer::json(200, Bytes::from_static(br#"{"status":"ok"}"#))
}
