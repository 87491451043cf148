//! WooCommerce's webhooks, which contain the whole object; only its id and the change are read, and the body is never
//! stored.

use std::{sync::Arc, time::Instant};

use actix_web::http::header::HeaderMap;
use bytes::Bytes;

use super::{LARGE, Refusal, keep, log_remark};
use crate::{
    clock::Timestamp,
    connection::{Connection, Link, Proof},
    inbox::Arrival,
    metrics::WebhookResult,
    object::ObjectKey,
    source::woocommerce::webhook::{Dropped, Notice, ShopEvent, Unauthentic},
    web::Relay,
};

fn read(connection: &Connection, headers: &HeaderMap, body: &[u8]) -> Result<Notice, Unauthentic> {
    let proof = connection.link.as_ref().map(|link| &link.proof);
    let Some(Proof::WooCommerce(verifier)) = proof else { return Err(Unauthentic::Unsigned) };
    Ok(verifier.verify(headers, body)?.read())
}

/// Verifies a webhook and stores its event.
pub(super) async fn take(
    headers: &HeaderMap,
    body: Bytes,
    relay: &Relay,
    connection: &Arc<Connection>,
    link: &Link,
) -> Result<WebhookResult, Refusal> {
    let notice = if body.len() > LARGE {
        let (connection, headers) = (connection.clone(), headers.clone());
        let read = tokio::task::spawn_blocking(move || read(&connection, &headers, &body)).await;
        read.unwrap_or(Err(Unauthentic::Unsigned))
    } else {
        read(connection, headers, &body)
    };
    let notice = notice.inspect_err(|_| {
        let remark = link.webhooks.lock().refused(Instant::now());
        log_remark(connection, remark);
    })?;
    let id = connection.id;
    match notice {
        Notice::Event(event) => keep_event(relay, connection, link, event).await,
        Notice::Ping => Ok(WebhookResult::Ignored),
        Notice::Ignored { topic } => {
            tracing::debug!(connection = %id, %topic, "an event under a topic that is not watched was ignored");
            Ok(WebhookResult::Ignored)
        }
        Notice::Dropped(Dropped::Draft) => Ok(WebhookResult::Ignored),
        Notice::Dropped(reason) => {
            tracing::warn!(connection = %id, ?reason, "connection {id}: a genuine webhook names no object; polling looks");
            Ok(WebhookResult::Unreadable)
        }
        Notice::ForeignSource { source } => {
            tracing::warn!(
                connection = %id, %source,
                "connection {id}: a genuine webhook of another site, perhaps a copy of the shop, was dropped"
            );
            Ok(WebhookResult::ForeignStore)
        }
    }
}

async fn keep_event(
    relay: &Relay,
    connection: &Arc<Connection>,
    link: &Link,
    event: ShopEvent,
) -> Result<WebhookResult, Refusal> {
    let at = Timestamp::now();
    {
        let mut evidence = link.webhooks.lock();
        let (_, remark) = evidence.genuine(true, Instant::now());
        evidence.came_late(event.lag(at).filter(|_| event.is_late(at)));
        drop(evidence);
        log_remark(connection, remark);
    }
    // A client may watch one list under several names.
    let mut result = WebhookResult::Ignored;
    for resource in connection.resources_of(event.resource) {
        let arrival = Arrival {
            key: ObjectKey { connection: connection.id, resource, id: event.id.clone() },
            change: event.change,
            // `X-WC-Webhook-Delivery-ID` is shared by many deliveries, so it cannot serve as one.
            event_id: None,
            content: None,
            created_at: None,
            look_only: false,
            at,
        };
        result = keep(relay, arrival).await?;
    }
    Ok(result)
}
