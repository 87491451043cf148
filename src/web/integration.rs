//! What a merchant sees and clicks: the status page, the check, the repair of hooks. For one connection, or for the
//! default one if the route has no id.

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
    json,
    notices::Notice,
    pages, refuse,
    status::{self, ENGLISH, Frame, Operator, fill},
    unavailable,
};
use crate::{
    checker::{self, ECHO_PATH, Examined},
    connection::Connection,
    health::{self, Status},
    humanize,
    inbox::HookState,
    registrar::{Done, HookReport, RegistrarError},
};

/// Time limit for repairing hooks, for which a person waits; the rest is left to the registrar's own rounds.
const MEND_TIME: Duration = Duration::from_secs(15);

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

/// Redirects from the root to the page, by a relative path: the relay may live below one.
async fn front() -> HttpResponse {
    lead("./integration")
}

fn lead(to: &str) -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, to)).finish()
}

/// The page. It never waits long for a call to either side.
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
    pages::checks_renewed(relay, connection).await;
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

/// Registers or repairs the hooks, then runs the checks. A browser is redirected to them, so that reloading the page
/// does not repair again.
async fn update(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match default_connection(&relay) {
        Ok(connection) => updated(&relay, &connection, &request, OWN).await,
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
        Ok(connection) => updated(&relay, &connection, &request, ONE_OF_MANY).await,
        Err(refused) => refused,
    }
}

async fn updated(
    relay: &Relay,
    connection: &Connection,
    request: &HttpRequest,
    operator: Operator<'_>,
) -> HttpResponse {
    let said = mend(relay, connection).await;
    match format::preferred(request) {
        Some(Format::Html) => relay.notices.lead_back(StatusCode::SEE_OTHER, Notice::Said(said), "./check"),
        _ => checked(relay, connection, request, operator, Some(said)).await,
    }
}

/// Repairs the hooks, and returns a sentence about it. The check that follows reports any failure in full.
pub(super) async fn mend(relay: &Relay, connection: &Connection) -> String {
    let id = connection.id;
    match tokio::time::timeout(MEND_TIME, relay.services.registrar.ensure(connection)).await {
        Ok(Ok(done)) => {
            tracing::info!(connection = %id, "connection {id}: hooks looked after, by request");
            what_was_done(&done)
        }
        Ok(Err(RegistrarError::Busy)) => ENGLISH.hooks_busy.to_owned(),
        Ok(Err(error)) => {
            tracing::warn!(connection = %id, %error, "connection {id}: hooks could not be put right: {error}");
            fill(ENGLISH.hooks_failed, &[("error", &error.to_string())])
        }
        Err(_) => {
            tracing::warn!(connection = %id, "connection {id}: hooks could not be put right in time");
            ENGLISH.hooks_late.to_owned()
        }
    }
}

/// A sentence about the hooks: `1 webhook made, 1 webhook switched on again.`
fn what_was_done(done: &[(HookReport, Done)]) -> String {
    let words = [
        (ENGLISH.hooks_made, count(done, |report, done| done == Done::Created && report.state == HookState::Missing)),
        (
            ENGLISH.hooks_switched_on,
            count(done, |report, done| done == Done::Mended && report.state == HookState::Inactive),
        ),
        (
            ENGLISH.hooks_put_right,
            count(done, |report, done| {
                done != Done::Kept && !matches!(report.state, HookState::Missing | HookState::Inactive)
            }),
        ),
    ];
    let said: Vec<String> = words
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{} {word}", humanize::count(count, "webhook")))
        .collect();
    match said.is_empty() {
        true => ENGLISH.hooks_well.to_owned(),
        false => format!("{}.", said.join(", ")),
    }
}

fn count(done: &[(HookReport, Done)], is_so: impl Fn(&HookReport, Done) -> bool) -> u64 {
    done.iter().filter(|(report, done)| is_so(report, *done)).count() as u64
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

/// Proves to a check from outside that a relay with this database is here. The proof discloses nothing that gives
/// access.
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
