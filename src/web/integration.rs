//! What a merchant sees and clicks: the status page, the check, the mending of hooks.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{
    Relay,
    accept::{self, Format},
    admin::Admin,
    refuse,
    status::{self, Status, verdict::Facts},
};
use crate::{
    check::{self, Report},
    clock::Timestamp,
    connection::Side,
    event::OrderId,
    inbox::{InboxError, OrderQuery, OrderState},
    reconcile,
    registrar::RegistrarError,
    words,
};

/// The page does not wait longer than this for the database.
const READ_TIME: Duration = Duration::from_secs(3);

/// Somebody waits for it: what is not done by then is left to the registrar's own rounds.
const MEND_TIME: Duration = Duration::from_secs(15);

/// Somebody else has the turn, longer than anybody waits for it.
const BUSY: &str = "The webhooks are being changed by another relay or command just now. Look again in a minute.";
/// It came to no end within [`MEND_TIME`].
const LATE: &str = "The webhooks could not be put right in time. Click Update Integration again in a minute.";

/// What a form that led back here has done.
#[derive(Default, Deserialize)]
struct Done {
    order: Option<String>,
    resent: Option<String>,
}

impl Done {
    fn sentence(&self) -> Option<String> {
        // Only numbers are believed: anybody may write a link.
        let order = self.order.as_ref().and_then(|order| order.parse::<OrderId>().ok());
        let resent = self.resent.as_ref().and_then(|count| count.parse::<u64>().ok());
        order.map(order_resent).or_else(|| resent.map(orders_resent))
    }
}

/// What becomes of one order that is resent.
pub(super) fn order_resent(order: OrderId) -> String {
    format!("Order {order} is fetched again and sent to One Tribe.")
}

/// The same of all failed orders.
pub(super) fn orders_resent(count: u64) -> String {
    let (orders, are) = (words::count(count, "failed order"), words::are(count));
    format!("{orders} {are} fetched again and sent to One Tribe.")
}

/// Whoever opens the bare address finds the page, by a way relative to it: the relay may live below a path.
pub(super) async fn front() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, "./integration")).finish()
}

/// The page, from what is known already: it asks nobody but the database.
pub(super) async fn page(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let mut status = look(&relay, "./").await;
    status.notice = super::query::<Done>(&request).unwrap_or_default().sentence();
    status::respond(StatusCode::OK, &status.render())
}

/// Runs the checks.
pub(super) async fn check(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let report = relay.checker.run().await;
    answer(&request, &relay, report, None).await
}

/// Registers or mends the hooks, then runs the checks.
pub(super) async fn update(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    // The check that follows says in a merchant's words what did not work.
    let notice = match tokio::time::timeout(MEND_TIME, relay.registrar.ensure()).await {
        Ok(Ok(_)) => {
            tracing::info!("hooks looked after, by request");
            None
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "hooks could not be put right: {error}");
            matches!(error, RegistrarError::Busy).then_some(BUSY)
        }
        Err(_) => {
            tracing::warn!("hooks could not be put right in time");
            Some(LATE)
        }
    };
    let report = relay.checker.run().await;
    answer(&request, &relay, report, notice).await
}

async fn answer(
    request: &HttpRequest,
    relay: &Relay,
    report: Arc<Report>,
    notice: Option<&'static str>,
) -> HttpResponse {
    let code = if report.status == check::Status::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    if accept::preferred(request) == Some(Format::Json) {
        return HttpResponse::build(code)
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::VARY, "Accept"))
            .json(&*report);
    }
    let mut status = look(relay, "../").await;
    // Another check may have ended meanwhile: the page shows the one that was asked for.
    status.facts.report = Some(report);
    status.notice = notice.map(str::to_owned);
    status.renewed = request.method() == Method::GET;
    status::respond(code, &status.render())
}

/// Everything the page shows that needs no call to anybody.
async fn look(relay: &Relay, root: &'static str) -> Status {
    let (inbox, connection, now) = (&relay.inbox, &relay.connection, Timestamp::now());
    let read = async {
        let summary = inbox.summary(connection.id).await?;
        let query = OrderQuery { state: Some(OrderState::Failed), limit: status::FAILED_SHOWN, before: None };
        let failed = if summary.failed > 0 { inbox.orders(connection.id, query).await? } else { Vec::new() };
        let window = Duration::from_secs(status::HOURS.unsigned_abs() * 3600);
        let history = inbox.history(connection.id, now.before(window)).await?;
        let facts = Facts {
            summary: Some(summary),
            store_down: connection.outage(Side::Store, inbox.as_ref()).await?,
            destination_down: connection.outage(Side::Destination, inbox.as_ref()).await?,
            // Where another relay delivers, what goes through there tells more than what was seen here before.
            credentials_refused: connection.api.credentials().trouble().and_then(|(at, status)| {
                summary.last_forwarded_at.is_none_or(|forwarded| forwarded < at).then_some(status)
            }),
            polling_fails: reconcile::trouble(connection, inbox.as_ref()).await?,
            hooks: relay.registrar.noted().await?.map(|healthy| (healthy, relay.registrar.wanted_count())),
            report: None,
        };
        Ok::<_, InboxError>((facts, failed, history))
    };
    let (mut facts, failed, history) = match tokio::time::timeout(READ_TIME, read).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => {
            tracing::error!(%error, "the status page cannot be filled: {error}");
            Default::default()
        }
        Err(_) => {
            tracing::error!("the status page cannot be filled: the database does not answer");
            Default::default()
        }
    };
    facts.report = relay.checker.last();
    let store = connection.config.store.to_string();
    Status { store, now, facts, failed, history, notice: None, root, renewed: true }
}

#[derive(Deserialize)]
pub(super) struct Echo {
    nonce: String,
}

/// Proves to a check that asks from outside that this is the relay. Tells nothing of the secret it is derived from.
pub(super) async fn echo(query: web::Query<Echo>, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    const MAX_NONCE: usize = 64;
    if query.nonce.len() > MAX_NONCE {
        return refuse(StatusCode::BAD_REQUEST, "the nonce is too long");
    }
    match relay.checker.echo(&query.nonce).await {
        Ok(proofs) => {
            let proof = proofs.first().map(|proof| proof.expose_secret().to_owned()).unwrap_or_default();
            HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).content_type("text/plain").body(proof)
        }
        Err(error) => super::unavailable(&error),
    }
}
