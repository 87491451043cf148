//! `POST /webhooks/bigcommerce`: verified, kept, answered. Nothing is fetched here, and nothing read before it is proven.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use super::{RETRY_AFTER, Relay, refuse};
use crate::{
    callback::Unauthentic,
    clock::Timestamp,
    event::{Payload, PayloadError},
    inbox::{Accepted, Arrival, InboxError},
    metrics::WebhookResult,
};

/// The light payload has a few hundred bytes.
const MAX_BODY: usize = 64 * 1024;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long the inbox may take to keep an event before BigCommerce is told to try again.
const KEEP_TIME: Duration = Duration::from_secs(8);

/// Every way in which a webhook is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the body is larger than 64 KiB")]
    TooLarge,
    #[error("the body did not come whole, or not in time")]
    Incomplete,
    #[error("{0}")]
    Unauthentic(#[from] Unauthentic),
    #[error("{0}")]
    Payload(#[from] PayloadError),
    #[error("the event cannot be kept at the moment: {0}")]
    Inbox(#[from] InboxError),
    #[error("the event could not be kept in time")]
    Slow,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthentic(_) => StatusCode::UNAUTHORIZED,
            Self::Payload(PayloadError::Malformed | PayloadError::NoOrderId) => StatusCode::BAD_REQUEST,
            Self::Payload(PayloadError::AnotherStore) => StatusCode::FORBIDDEN,
            Self::Inbox(_) | Self::Slow => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn result(&self) -> WebhookResult {
        match self {
            Self::TooLarge | Self::Incomplete => WebhookResult::TooLarge,
            Self::Unauthentic(_) => WebhookResult::Unauthentic,
            Self::Payload(PayloadError::Malformed | PayloadError::NoOrderId) => WebhookResult::Malformed,
            Self::Payload(PayloadError::AnotherStore) => WebhookResult::AnotherStore,
            Self::Inbox(_) | Self::Slow => WebhookResult::Unavailable,
        }
    }
}

pub(super) async fn receive(request: HttpRequest, body: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let began = Instant::now();
    let (result, response) = match take(&request, body, &relay).await {
        Ok(result) => (result, HttpResponse::Ok().finish()),
        Err(refusal) => {
            // What a stranger sends is not worth more than a debug line: there may be very many.
            match &refusal {
                Refusal::Inbox(_) | Refusal::Slow => tracing::error!("a webhook was not kept: {refusal}"),
                Refusal::Payload(_) => tracing::warn!("a genuine webhook was refused: {refusal}"),
                _ => tracing::debug!("a webhook was refused: {refusal}"),
            }
            (refusal.result(), answer(&refusal))
        }
    };
    relay.metrics.webhook(result, began.elapsed());
    response
}

fn answer(refusal: &Refusal) -> HttpResponse {
    match refusal {
        Refusal::Inbox(_) | Refusal::Slow => {
            // The details are for the log.
            let mut response = refuse(refusal.status(), "the event cannot be kept at the moment");
            response.headers_mut().insert(actix_web::http::header::RETRY_AFTER, RETRY_AFTER);
            response
        }
        _ => refuse(refusal.status(), refusal),
    }
}

async fn take(request: &HttpRequest, body: web::Payload, relay: &Relay) -> Result<WebhookResult, Refusal> {
    let announced =
        request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Refusal::TooLarge);
    }
    let body = match tokio::time::timeout(BODY_TIME, body.to_bytes_limited(MAX_BODY)).await {
        Ok(Ok(Ok(body))) => body,
        Ok(Err(_)) => return Err(Refusal::TooLarge),
        Ok(Ok(Err(_))) | Err(_) => return Err(Refusal::Incomplete),
    };
    let verified = relay.verifier.verify(request.headers(), &body, SystemTime::now())?;
    let event = match verified.parse()? {
        Payload::Order(event) => event,
        Payload::NotAboutOrders { scope } => {
            tracing::debug!(scope, "an event under {scope} is not about orders");
            return Ok(WebhookResult::Ignored);
        }
        Payload::Unreadable { scope } => {
            tracing::warn!(
                scope,
                "an event under the unknown scope {scope} has no order id that can be found; polling will find its order"
            );
            return Ok(WebhookResult::Unreadable);
        }
    };
    let order = event.order;
    let arrival = Arrival {
        connection: relay.connection.id,
        event,
        webhook_id: verified.webhook_id().map(str::to_owned),
        at: Timestamp::now(),
    };
    let kept = tokio::time::timeout(KEEP_TIME, relay.inbox.accept(arrival)).await.map_err(|_| Refusal::Slow)??;
    tracing::debug!(order_id = %order, result = ?kept, "order {order}: webhook kept");
    Ok(match kept {
        Accepted::First => WebhookResult::Accepted,
        Accepted::Doubt => WebhookResult::Doubt,
        Accepted::Duplicate => WebhookResult::Duplicate,
    })
}
