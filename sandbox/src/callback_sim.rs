//! A simulated client of the Cloud Elements API: it receives notifications at its callback, verifies their signatures,
//! records them, and fails on demand.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use onetribe_relay::{destination::cloud_elements::sign, secret::Secret};
use serde_json::Value;

use crate::answer::{Answer, Ticket, respond};
use crate::barrier::Barrier;
use crate::controls::controls;
use crate::fault::{Action, Fault, Faults, Operation};
use crate::http::{self, Server};

/// One notification as it was received.
#[derive(Debug, Clone)]
pub struct Notified {
    /// `Elements-Webhook-Id`
    pub webhook_id: String,
    /// Whether the signature is valid; `None` without one.
    pub is_genuine: Option<bool>,
    /// Every header, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
    /// When the whole request had arrived.
    pub at: Instant,
    /// Whether it was answered with success.
    pub is_taken: bool,
}

/// One event of a notification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotifiedEvent {
    /// `objectType`
    pub resource: String,
    /// `objectId`
    pub id: String,
    /// `eventType`
    pub change: String,
}

impl Notified {
    /// The events in the notification.
    pub fn events(&self) -> Vec<NotifiedEvent> {
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let events = self.body["message"]["events"].as_array().cloned().unwrap_or_default();
        let event = |event: &Value| NotifiedEvent {
            resource: text(event, "objectType"),
            id: text(event, "objectId"),
            change: text(event, "eventType"),
        };
        events.iter().map(event).collect()
    }
}

struct State {
    address: SocketAddr,
    key: Option<String>,
    faults: Faults,
    barrier: Barrier,
    notified: Mutex<Vec<Notified>>,
}

impl State {
    fn notified(&self) -> MutexGuard<'_, Vec<Notified>> {
        self.notified.lock().expect("no holder of this lock panics")
    }
}

/// A running callback. Clones share it; it stops with [`CallbackSim::stop`], or when the last is dropped.
#[derive(Clone)]
pub struct CallbackSim {
    state: Arc<State>,
    server: Arc<Server>,
}

controls!(CallbackSim, "of [`Operation::Delivery`](crate::Operation::Delivery) or `Any`");

impl std::fmt::Debug for CallbackSim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallbackSim").field("address", &self.state.address).finish_non_exhaustive()
    }
}

impl CallbackSim {
    /// Starts a callback that verifies signatures under `key`, if there is one.
    ///
    /// # Errors
    /// No port is available.
    pub fn start(key: Option<&str>) -> io::Result<Self> {
        let (listener, address) = http::listen()?;
        let state = Arc::new(State {
            address,
            key: key.map(str::to_owned),
            faults: Faults::default(),
            barrier: Barrier::default(),
            notified: Mutex::default(),
        });
        let shared = web::Data::from(Arc::clone(&state));
        let server = Server::start(listener, 1, move |app| {
            app.app_data(shared.clone()).default_service(web::to(serve));
        })?;
        Ok(Self { state, server: Arc::new(server) })
    }

    /// Stops serving; what was received stays readable.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// The callback's URL.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.state.address)
    }

    /// Every notification so far, refused ones included.
    pub fn received(&self) -> Vec<Notified> {
        self.state.notified().clone()
    }

    /// The notifications that were taken.
    pub fn taken(&self) -> Vec<Notified> {
        self.state.notified().iter().filter(|one| one.is_taken).cloned().collect()
    }

    /// How many events have been taken, repetitions included.
    pub fn taken_events(&self) -> usize {
        let events = |one: &Notified| one.body["message"]["events"].as_array().map_or(0, Vec::len);
        self.state.notified().iter().filter(|one| one.is_taken).map(events).sum()
    }

    /// The events of all notifications that were taken, in the order of receipt.
    pub fn events(&self) -> Vec<NotifiedEvent> {
        self.state.notified().iter().filter(|one| one.is_taken).flat_map(Notified::events).collect()
    }

    /// Applies this action to every notification until faults are cleared.
    pub fn fault_all(&self, action: Action) {
        self.fault(Fault::new(Operation::Delivery, action));
    }
}

struct Done(web::Data<State>);

impl Ticket for Done {
    fn answered(self, _: u16) {}
}

impl Drop for Done {
    fn drop(&mut self) {
        self.0.barrier.changed();
    }
}

async fn serve(state: web::Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    // A request that only checks whether the callback can be reached is no notification.
    if request.method() == actix_web::http::Method::HEAD {
        return HttpResponse::Ok().finish();
    }
    let headers: BTreeMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let signature = headers.get("elements-webhook-signature");
    let expected = state.key.as_deref().map(|key| sign(&Secret::from(key), &body));
    let index = {
        let mut notified = state.notified();
        notified.push(Notified {
            webhook_id: headers.get("elements-webhook-id").cloned().unwrap_or_default(),
            is_genuine: signature.map(|signature| Some(signature) == expected.as_ref()),
            headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            at: Instant::now(),
            is_taken: false,
        });
        notified.len() - 1
    };
    state.barrier.changed();
    let fault = state.faults.take(Operation::Delivery, None, request.method().as_str());
    let answer = answer_under(fault.as_ref(), &state, index).await;
    respond(answer, fault.as_ref(), Done(state.clone()))
}

async fn answer_under(fault: Option<&Fault>, state: &State, index: usize) -> Answer {
    if let Some(refusal) = fault.and_then(Answer::of_fault) {
        return refusal;
    }
    match fault.map(|fault| &fault.action) {
        // `respond` cuts the connection; the notification is not taken.
        Some(Action::Drop) => return Answer::empty(200),
        Some(Action::Hold) => state.faults.hold(&state.barrier).await,
        Some(Action::Slow(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    state.notified()[index].is_taken = true;
    state.barrier.changed();
    Answer::empty(200)
}
