//! A receiver of alerts.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};
use serde_json::Value;

struct Heard {
    answer: u16,
    texts: Vec<String>,
    requests: u32,
}

/// Accepts alerts, or answers with another status.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    heard: Arc<Mutex<Heard>>,
    pub server: ServerHandle,
}

impl Receiver {
    pub fn start() -> Self {
        let heard = Arc::new(Mutex::new(Heard { answer: 200, texts: Vec::new(), requests: 0 }));
        let shared = heard.clone();
        let server = HttpServer::new(move || {
            let heard = shared.clone();
            App::new().default_service(web::to(move |body: web::Json<Value>| {
                let mut heard = heard.lock().unwrap();
                heard.requests += 1;
                if heard.answer == 200 {
                    assert_eq!(body.as_object().unwrap().len(), 1);
                    heard.texts.push(body["text"].as_str().unwrap().to_owned());
                }
                let status = StatusCode::from_u16(heard.answer).unwrap();
                async move { HttpResponse::new(status) }
            }))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/services/secret-of-the-receiver", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, heard, server: handle }
    }

    pub fn answer(&self, status: u16) {
        self.heard.lock().unwrap().answer = status;
    }

    pub fn texts(&self) -> Vec<String> {
        self.heard.lock().unwrap().texts.clone()
    }

    pub fn requests(&self) -> u32 {
        self.heard.lock().unwrap().requests
    }
}
