//! The login server: `POST /oauth2/token`, and installs that begin outside the control panel.
//!
//! BigCommerce does not document its answer to an invalid exchange; here it is the one of RFC 6749, section 5.2.

use actix_web::http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::app::{InstallOptions, User};
use super::pages;
use super::state::{State, account_uuid};
use crate::answer::{Answer, Ticket, respond};
use crate::fault::{Action, Operation};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/oauth2/token", web::post().to(token))
        .route("/app/{client_id}/install", web::get().to(install))
        .route("/app/{client_id}/install/{outcome}", web::get().to(outcome))
        .default_service(web::to(|| async { HttpResponse::NotFound().finish() }));
}

#[derive(Deserialize)]
struct Exchange {
    client_id: String,
    client_secret: String,
    code: String,
    context: String,
    scope: String,
    grant_type: String,
    redirect_uri: String,
}

/// Wakes the tasks that wait for the exchange to end.
struct Done(web::Data<State>);

impl Ticket for Done {
    fn answered(self, _status: u16) {}
}

impl Drop for Done {
    fn drop(&mut self) {
        self.0.barrier.changed();
    }
}

async fn token(state: web::Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    state.count_exchange();
    let fault = state.faults.take(Operation::Token, None, "POST");
    let done = Done(state.clone());
    if let Some(refusal) = fault.as_ref().and_then(Answer::of_fault) {
        return respond(refusal, None, done);
    }
    let action = fault.as_ref().map(|fault| &fault.action);
    match action {
        // `respond` cuts the connection; the code stays unused.
        Some(Action::Drop) => return respond(Answer::empty(200), fault.as_ref(), done),
        Some(Action::Hold) => state.faults.hold(&state.barrier).await,
        Some(Action::Slow(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    let answer = exchanged(&state, &request, &body);
    if let Some(Action::HoldAnswer) = action {
        state.faults.hold(&state.barrier).await;
    }
    respond(answer, fault.as_ref(), done)
}

fn exchanged(state: &State, request: &HttpRequest, body: &[u8]) -> Answer {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !header(CONTENT_TYPE.as_str()).starts_with("application/json") || !header(ACCEPT.as_str()).contains("json") {
        return refusal(406, "Invalid format.");
    }
    let Ok(asked) = serde_json::from_slice::<Exchange>(body) else { return refusal(400, "invalid_request") };
    let app = state.app();
    if asked.client_id != app.client_id || asked.client_secret != app.client_secret {
        return refusal(401, "invalid_client");
    }
    if asked.grant_type != "authorization_code" {
        return refusal(400, "unsupported_grant_type");
    }
    if asked.redirect_uri != app.auth_callback || asked.context.is_empty() || asked.scope.is_empty() {
        return refusal(400, "invalid_request");
    }
    let Some(grant) = state.exchange(&asked.code) else { return refusal(400, "invalid_grant") };
    let owner = User::default();
    let person = json!({ "id": owner.id, "username": "Olivia Owner", "email": owner.email });
    let answer = json!({
        "access_token": grant.token,
        "scope": grant.scope,
        "user": person,
        "owner": person,
        "context": format!("stores/{}", grant.store_hash),
        "account_uuid": account_uuid(&grant.store_hash),
    });
    Answer::json(200, answer.to_string())
}

fn refusal(status: u16, error: &str) -> Answer {
    Answer::json(status, json!({ "error": error }).to_string())
}

#[derive(Deserialize)]
struct Chosen {
    store: Option<String>,
}

/// Asks which store to use, unless the query names one, and redirects to the auth callback.
async fn install(state: web::Data<State>, client_id: web::Path<String>, chosen: web::Query<Chosen>) -> HttpResponse {
    if *client_id != state.app().client_id {
        return HttpResponse::NotFound().finish();
    }
    let Some(store) = chosen.store.as_deref().and_then(|hash| state.farm.store(hash)) else {
        return pages::store_choice(&state);
    };
    let options = InstallOptions { external: true, ..InstallOptions::default() };
    HttpResponse::Found().insert_header((LOCATION, state.install_url(&store.config().hash, &options))).finish()
}

async fn outcome(state: web::Data<State>, path: web::Path<(String, String)>) -> HttpResponse {
    let (client_id, outcome) = path.into_inner();
    let success = match outcome.as_str() {
        "succeeded" => true,
        "failed" => false,
        _ => return HttpResponse::NotFound().finish(),
    };
    if client_id != state.app().client_id {
        return HttpResponse::NotFound().finish();
    }
    state.add_external_outcome(success);
    pages::notice(if success { "The app is installed." } else { "The app could not be installed." })
}
