//! A listener for webhooks and keys in these tests: it answers with the configured status and records what it receives.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};
use bytes::Bytes;
use onetribe_relay::source::woocommerce::webhook::{Notice, Unauthentic, Verifier};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::SOON;

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its body.
    pub body: Bytes,
    /// The verifier's result.
    pub notice: Result<Notice, Unauthentic>,
}

struct Shared {
    verifier: Mutex<Verifier>,
    status: AtomicU16,
    received: Mutex<Vec<Received>>,
    changed: Notify,
}

/// A listener on loopback.
pub struct Receiver {
    shared: Arc<Shared>,
    handle: ServerHandle,
    url: String,
}

impl Receiver {
    /// Starts a listener that verifies with `verifier` and answers 200.
    pub fn start(verifier: Verifier) -> Self {
        let shared = Arc::new(Shared {
            verifier: Mutex::new(verifier),
            status: AtomicU16::new(200),
            received: Mutex::default(),
            changed: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let data = web::Data::from(shared.clone());
        let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(receive)))
            .workers(1)
            .disable_signals()
            .listen(listener)
            .expect("a listener")
            .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { shared, handle, url }
    }

    /// The listener's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets the status of the answers from now on.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::Release);
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// The notices of the genuine webhooks so far.
    pub fn notices(&self) -> Vec<Notice> {
        self.received().into_iter().filter_map(|received| received.notice.ok()).collect()
    }

    /// Waits until this many requests have come.
    pub async fn wait_for(&self, count: usize) {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.shared.received.lock().len() >= count {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("only {:?} came", self.received()));
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn receive(shared: web::Data<Shared>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let notice = shared.verifier.lock().verify(request.headers(), &body).map(|webhook| webhook.read());
    shared.received.lock().push(Received { body, notice });
    shared.changed.notify_waiters();
    let status = StatusCode::from_u16(shared.status.load(Ordering::Acquire)).expect("a status");
    HttpResponse::new(status)
}
