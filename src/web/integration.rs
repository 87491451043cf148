//! What a merchant sees and clicks: the status page, the check, the mending of hooks. For one connection, or for the one that
//! a route without an id stands for.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use serde::Deserialize;

use super::{
    Relay,
    admin::Admin,
    connection_of, default_connection,
    format::{self, Format},
    json, pages, refuse,
    status::{self, Frame, Operator},
    unavailable,
};
use crate::{
    checker::{self, ECHO_PATH, Examined},
    connection::Connection,
    health::{self, Status},
    inbox::ConnectionState,
    registrar::RegistrarError,
};

/// Somebody waits for it: what is not done by then is left to the registrar's own rounds.
const MEND_TIME: Duration = Duration::from_secs(15);
/// Somebody else has the turn, longer than anybody waits for it.
const BUSY: &str = "The webhooks are being changed by another relay or command just now. Look again in a minute.";
/// It came to no end within [`MEND_TIME`].
const LATE: &str = "The webhooks could not be put right in time. Click Update Integration again in a minute.";

/// The routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/").route(web::get().to(front)))
        .service(web::resource(ECHO_PATH).route(web::get().to(echo)))
        .service(web::resource("/integration").route(web::get().to(page)))
        .service(web::resource("/integration/check").route(web::get().to(check)))
        .service(web::resource("/integration/update").route(web::post().to(update)))
        .service(web::resource("/connections/{id}/integration").route(web::get().to(page_of)))
        .service(web::resource("/connections/{id}/integration/check").route(web::get().to(check_of)))
        .service(web::resource("/connections/{id}/integration/update").route(web::post().to(update_of)));
}

/// Whoever opens the bare address finds the page, by a way relative to it: the relay may live below a path.
async fn front() -> HttpResponse {
    lead("./integration")
}

fn lead(to: &str) -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, to)).finish()
}

/// The page, from what is known already: it asks nobody but the database.
async fn page(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match relay.services.sole_connection() {
        Ok(connection) => show(&relay, &connection, &request, Operator { root: "./", is_one_of_many: false }).await,
        Err(_) => lead("./connections"),
    }
}

async fn page_of(_: Admin, id: web::Path<String>, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match connection_of(&relay, &id) {
        Ok(connection) => show(&relay, &connection, &request, Operator { root: "../../", is_one_of_many: true }).await,
        Err(refused) => refused,
    }
}

async fn show(relay: &Relay, connection: &Connection, request: &HttpRequest, operator: Operator<'_>) -> HttpResponse {
    let examined = relay.checker.examine(&relay.services, connection).await;
    let page = pages::operators(relay, connection, request, examined, operator, None).await;
    status::respond(StatusCode::OK, &page, Frame::None)
}

const OWN: Operator<'static> = Operator { root: "../", is_one_of_many: false };
const ONE_OF_MANY: Operator<'static> = Operator { root: "../../../", is_one_of_many: true };

/// Runs the checks.
async fn check(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match default_connection(&relay) {
        Ok(connection) => checked(&relay, &connection, &request, OWN, None).await,
        Err(refused) => refused,
    }
}

async fn check_of(_: Admin, id: web::Path<String>, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match connection_of(&relay, &id) {
        Ok(connection) => checked(&relay, &connection, &request, ONE_OF_MANY, None).await,
        Err(refused) => refused,
    }
}

/// Registers or mends the hooks, then runs the checks.
async fn update(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match default_connection(&relay) {
        Ok(connection) => {
            let notice = mend(&relay, &connection).await;
            checked(&relay, &connection, &request, OWN, notice).await
        }
        Err(refused) => refused,
    }
}

async fn update_of(
    _: Admin,
    id: web::Path<String>,
    request: HttpRequest,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    match connection_of(&relay, &id) {
        Ok(connection) => {
            let notice = mend(&relay, &connection).await;
            checked(&relay, &connection, &request, ONE_OF_MANY, notice).await
        }
        Err(refused) => refused,
    }
}

/// Puts the hooks right. A sentence, where the check that follows would not say what did not work.
pub(super) async fn mend(relay: &Relay, connection: &Connection) -> Option<String> {
    let id = connection.id;
    let is_kept_up = connection.link.as_ref().is_some_and(|link| link.spec.has_webhooks);
    if !is_kept_up || connection.state == ConnectionState::Disconnected {
        return None;
    }
    match tokio::time::timeout(MEND_TIME, relay.services.registrar.ensure(connection)).await {
        Ok(Ok(_)) => {
            tracing::info!(connection = %id, "connection {id}: hooks looked after, by request");
            None
        }
        Ok(Err(error)) => {
            tracing::warn!(connection = %id, %error, "connection {id}: hooks could not be put right: {error}");
            matches!(error, RegistrarError::Busy).then(|| BUSY.to_owned())
        }
        Err(_) => {
            tracing::warn!(connection = %id, "connection {id}: hooks could not be put right in time");
            Some(LATE.to_owned())
        }
    }
}

async fn checked(
    relay: &Relay,
    connection: &Connection,
    request: &HttpRequest,
    operator: Operator<'_>,
    notice: Option<String>,
) -> HttpResponse {
    let Examined { facts, judgment } = relay.checker.check(&relay.services, connection).await;
    let report = health::report(&facts, &judgment);
    let code = if report.status == Status::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    if format::preferred(request) == Some(Format::Json) {
        let mut response = json(code, &report);
        response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Accept"));
        return response;
    }
    let page = pages::operators(relay, connection, request, Examined { facts, judgment }, operator, notice).await;
    status::respond(code, &page, Frame::None)
}

#[derive(Deserialize)]
struct Echo {
    nonce: String,
}

/// Proves to a check that asks from outside that a relay over this database is here. What it is derived from opens nothing.
async fn echo(query: web::Query<Echo>, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    const MAX_NONCE: usize = 64;
    if query.nonce.len() > MAX_NONCE {
        return refuse(StatusCode::BAD_REQUEST, "the nonce is too long");
    }
    match relay.services.inbox.identity().await {
        Ok(identity) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type("text/plain")
            .body(checker::proof(&identity, &query.nonce)),
        Err(error) => unavailable(&error),
    }
}
