//! A receiver that records each callback and gives the configured answers.

use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

#[derive(Debug, Clone)]
pub struct Callback {
    pub headers: Vec<(String, String)>,
    pub body: web::Bytes,
}

impl Callback {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Answers with these statuses in turn, then always with 200.
#[derive(Clone, Default)]
pub struct Receiver {
    callbacks: Arc<Mutex<Vec<Callback>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
    pub url: String,
}

impl Receiver {
    pub fn start(statuses: &[u16]) -> Self {
        let mut receiver = Self::default();
        *receiver.statuses.lock().expect("unpoisoned") = statuses.iter().rev().copied().collect();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        receiver.url = format!("http://{}/webhooks/bigcommerce", listener.local_addr().expect("an address"));
        let shared = receiver.clone();
        let server = HttpServer::new(move || {
            App::new().app_data(web::Data::new(shared.clone())).default_service(web::to(serve))
        });
        tokio::spawn(server.workers(1).disable_signals().listen(listener).expect("a server").run());
        receiver
    }

    pub fn callbacks(&self) -> Vec<Callback> {
        self.callbacks.lock().expect("unpoisoned").clone()
    }
}

async fn serve(receiver: web::Data<Receiver>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let text = |value: &actix_web::http::header::HeaderValue| value.to_str().expect("text").to_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    receiver.callbacks.lock().expect("unpoisoned").push(Callback { headers, body });
    let status = receiver.statuses.lock().expect("unpoisoned").pop().unwrap_or(200);
    HttpResponse::build(StatusCode::from_u16(status).expect("a status")).finish()
}
