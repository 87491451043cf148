//! `POST /webhooks/…`: webhooks are verified, stored and answered. Nothing is fetched here, and nothing parsed before
//! it is proven. This file has what both kinds of store share, and BigCommerce's part; `shop` has WooCommerce's.

mod shop;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::HeaderMap},
    web,
};
use bytes::Bytes;

use super::{
    Relay,
    bodies::{BodyError, Sender},
    not_now, refuse, requests,
};
use crate::{
    clock::Timestamp,
    connection::{Connection, Link, Proof, evidence::Remark},
    inbox::{Accepted, Arrival, ConnectionState, InboxError},
    metrics::WebhookResult,
    object::ObjectKey,
    signature::SignatureError,
    source::bigcommerce::{
        payload::{OrderEvent, Payload, PayloadError},
        webhook::Unauthentic,
    },
    source::woocommerce,
};

/// The largest light payload that is read; BigCommerce's have a few hundred bytes.
const MAX_LIGHT_BODY: usize = 64 * 1024;
/// Larger bodies are verified on another thread, so that others are not held up.
const LARGE: usize = 10 * 1024;
/// How long the inbox may take to store an event before the store is told to try again.
const KEEP_TIME: Duration = Duration::from_secs(8);
/// Differences between this clock and the store's below this are ignored.
const MIN_SKEW_MS: i64 = 60_000;

/// Why a webhook is not accepted.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no connection has this webhook address")]
    Unknown,
    #[error("the body is too large")]
    TooLarge,
    #[error("the body did not come whole, or not in time")]
    Incomplete,
    #[error("too many bodies are being read at once; try again")]
    Crowded,
    #[error("{0}")]
    Unauthentic(#[from] Unauthentic),
    #[error("{0}")]
    Unsigned(#[from] woocommerce::webhook::Unauthentic),
    #[error("{0}")]
    Payload(#[from] PayloadError),
    #[error("the event cannot be kept at the moment: {0}")]
    Inbox(#[from] InboxError),
    #[error("the event could not be kept in time")]
    Slow,
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Incomplete => Self::Incomplete,
            BodyError::Crowded => Self::Crowded,
        }
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthentic(_) | Self::Unsigned(_) => StatusCode::UNAUTHORIZED,
            Self::Payload(_) => StatusCode::BAD_REQUEST,
            Self::Crowded | Self::Inbox(_) | Self::Slow => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn result(&self) -> WebhookResult {
        match self {
            Self::TooLarge | Self::Incomplete | Self::Crowded => WebhookResult::TooLarge,
            Self::Unknown | Self::Unauthentic(_) | Self::Unsigned(_) => WebhookResult::Unauthentic,
            Self::Payload(_) => WebhookResult::Malformed,
            Self::Inbox(_) | Self::Slow => WebhookResult::Unavailable,
        }
    }
}

/// Answers `POST /webhooks/bigcommerce`, for the environment's own connection.
pub(super) async fn environments(
    request: HttpRequest,
    body: web::Payload,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    let connection = relay.services.catalog.environments().filter(|connection| connection.link.is_some());
    respond(&request, body, &relay, connection).await
}

/// Answers `POST /webhooks/{hook_key}`, for any other connection.
pub(super) async fn by_key(
    key: web::Path<String>,
    request: HttpRequest,
    body: web::Payload,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    // The environment's own connection has its own route; its hook key is not secret.
    let connection = relay.services.catalog.by_hook_key(&key).filter(|connection| !connection.is_environments());
    respond(&request, body, &relay, connection).await
}

async fn respond(
    request: &HttpRequest,
    body: web::Payload,
    relay: &Relay,
    connection: Option<Arc<Connection>>,
) -> HttpResponse {
    let began = Instant::now();
    let taken = match connection {
        Some(connection) => take(request, body, relay, &connection).await,
        None => Err(Refusal::Unknown),
    };
    let (result, response) = match taken {
        Ok(result) => {
            if is_proof(result) {
                requests::mark_proven(request);
            }
            (result, HttpResponse::Ok().finish())
        }
        Err(refusal) => {
            // Unproven webhooks are logged at debug level only: there may be very many.
            match &refusal {
                Refusal::Inbox(error) => relay.services.storage.failed(error),
                Refusal::Slow => tracing::error!("a webhook was not kept: {refusal}"),
                Refusal::Payload(_) => tracing::warn!("a genuine webhook was refused: {refusal}"),
                _ => tracing::debug!("a webhook was refused: {refusal}"),
            }
            (refusal.result(), answer(&refusal))
        }
    };
    relay.services.metrics.webhook(result, began.elapsed());
    response
}

/// Whether a webhook answered with 200 was proven genuine. Pings were not, nor were those to an ended connection.
fn is_proof(result: WebhookResult) -> bool {
    !matches!(result, WebhookResult::Ignored | WebhookResult::Disconnected)
}

fn answer(refusal: &Refusal) -> HttpResponse {
    match refusal {
        Refusal::Inbox(_) | Refusal::Slow | Refusal::Crowded => {
            // The details go to the log.
            not_now("the event cannot be kept at the moment")
        }
        _ => refuse(refusal.status(), refusal),
    }
}

async fn take(
    request: &HttpRequest,
    payload: web::Payload,
    relay: &Relay,
    connection: &Arc<Connection>,
) -> Result<WebhookResult, Refusal> {
    let Some(link) = connection.link.as_ref().filter(|_| connection.state != ConnectionState::Disconnected) else {
        // Any other answer would count towards the blocklist, which is shared by all stores of the app.
        return Ok(WebhookResult::Disconnected);
    };
    match &link.proof {
        Proof::BigCommerce(_) => {
            let body =
                relay.bodies.read(Sender::Store(connection.id), request.headers(), payload, MAX_LIGHT_BODY).await?;
            take_light(request.headers(), body.bytes.clone(), relay, connection, link).await
        }
        Proof::WooCommerce(_) => {
            let (sender, limit) = (Sender::Shop(connection.id), woocommerce::webhook::MAX_BODY);
            let body = relay.bodies.read(sender, request.headers(), payload, limit).await?;
            shop::take(request.headers(), body.bytes.clone(), relay, connection, link).await
        }
    }
}

/// The content of a verified light webhook.
struct Verified {
    payload: Result<Payload, PayloadError>,
    /// If it is not about orders: which of `products` and `customers`, and the event.
    aside: Option<(&'static str, OrderEvent)>,
    webhook_id: Option<String>,
    is_signed: bool,
}

fn verify_light(connection: &Connection, headers: &HeaderMap, body: &[u8]) -> Result<Verified, Unauthentic> {
    let Some(link) = &connection.link else { return Err(Unauthentic::Unproven) };
    let Proof::BigCommerce(verifier) = &link.proof else { return Err(Unauthentic::Unproven) };
    let now = SystemTime::now();
    let callback = match verifier.verify(headers, body, stores_time(link, now)) {
        // While a machine sleeps, the clock that advances the store's time between answers stands still, so the
        // machine's own time is tried as well.
        Err(Unauthentic::Signature(SignatureError::TooOld | SignatureError::TooNew)) => {
            verifier.verify(headers, body, now)?
        }
        verified => verified?,
    };
    let payload = callback.parse();
    let is_aside = matches!(payload, Ok(Payload::NotAboutOrders { .. }));
    Ok(Verified {
        aside: is_aside.then(|| callback.parse_aside()).flatten(),
        payload,
        webhook_id: callback.webhook_id().map(str::to_owned),
        is_signed: callback.is_signed(),
    })
}

/// The time by the store's clock, if this machine's is known to be wrong.
fn stores_time(link: &Link, now: SystemTime) -> SystemTime {
    let ahead = link.source.ahead_ms();
    let skew = Duration::from_millis(ahead.unsigned_abs());
    match ahead {
        MIN_SKEW_MS.. => now + skew,
        ..=-1 if -ahead >= MIN_SKEW_MS => now.checked_sub(skew).unwrap_or(now),
        _ => now,
    }
}

async fn take_light(
    headers: &HeaderMap,
    body: Bytes,
    relay: &Relay,
    connection: &Arc<Connection>,
    link: &Link,
) -> Result<WebhookResult, Refusal> {
    let verified = if body.len() > LARGE {
        let (connection, headers) = (connection.clone(), headers.clone());
        let verified = tokio::task::spawn_blocking(move || verify_light(&connection, &headers, &body)).await;
        verified.unwrap_or(Err(Unauthentic::Unproven))
    } else {
        verify_light(connection, headers, &body)
    };
    let verified = verified.inspect_err(|error| note_refusal(connection, link, *error))?;
    let (proves_little, remark) = link.webhooks.lock().genuine(verified.is_signed, Instant::now());
    log_remark(connection, remark);
    let (topic, event) = match verified.payload? {
        Payload::Order(event) => ("orders", event),
        Payload::ForeignStore => {
            let id = connection.id;
            tracing::warn!(connection = %id, "connection {id}: a genuine webhook of another store was dropped");
            return Ok(WebhookResult::ForeignStore);
        }
        Payload::NotAboutOrders { scope } => {
            let watched = verified.aside.filter(|(topic, _)| !connection.resources_of(topic).is_empty());
            let Some(aside) = watched else {
                tracing::debug!(connection = %connection.id, %scope, "an event that is not about orders was ignored");
                return Ok(WebhookResult::Ignored);
            };
            aside
        }
        Payload::Unreadable { scope } => {
            tracing::warn!(
                connection = %connection.id, %scope,
                "an event under an unknown scope has no order id that can be found; polling will find its order"
            );
            return Ok(WebhookResult::Unreadable);
        }
    };
    // A client may watch one list under several names.
    let mut result = WebhookResult::Ignored;
    for resource in connection.resources_of(topic) {
        let arrival = Arrival {
            key: ObjectKey { connection: connection.id, resource, id: event.order.clone() },
            change: event.change,
            event_id: verified.webhook_id.clone(),
            content: event.hash.clone(),
            created_at: event.created_at,
            look_only: proves_little,
            at: Timestamp::now(),
        };
        result = keep(relay, arrival).await?;
    }
    Ok(result)
}

async fn keep(relay: &Relay, arrival: Arrival) -> Result<WebhookResult, Refusal> {
    let (connection, id) = (arrival.key.connection, arrival.key.id.clone());
    let kept = tokio::time::timeout(KEEP_TIME, relay.services.inbox.accept(arrival)).await;
    let kept = kept.map_err(|_| Refusal::Slow)??;
    relay.services.storage.worked();
    tracing::debug!(%connection, order_id = %id, result = ?kept, "order {id}: webhook kept");
    Ok(match kept {
        Accepted::First => WebhookResult::Accepted,
        Accepted::PossibleDuplicate => WebhookResult::PossibleDuplicate,
        Accepted::Duplicate => WebhookResult::Duplicate,
    })
}

/// Records a refused webhook, which may be evidence that a secret is wrong.
fn note_refusal(connection: &Connection, link: &Link, error: Unauthentic) {
    let mut evidence = link.webhooks.lock();
    let remark = match error {
        Unauthentic::WrongSecret => evidence.wrong_secret(Timestamp::now()),
        _ => evidence.refused(Instant::now()),
    };
    drop(evidence);
    log_remark(connection, remark);
}

fn log_remark(connection: &Connection, remark: Option<Remark>) {
    let id = connection.id;
    match remark {
        None => {}
        Some(Remark::WrongSecret) => tracing::error!(
            connection = %id,
            "connection {id}: webhooks with the relay's own token are signed with another client secret: orders are found \
             by polling only; set the client secret (BIGCOMMERCE_CLIENT_SECRET for the environment's own) anew"
        ),
        Some(Remark::Unsigned(count)) => tracing::warn!(
            connection = %id, count,
            "connection {id}: {count} unsigned webhooks came where signed ones are usual: each only makes the relay look"
        ),
        Some(Remark::Refused(count)) => tracing::warn!(
            connection = %id, count,
            "connection {id}: {count} webhooks that are not genuine were refused within an hour"
        ),
    }
}
