//! The delivery of one event to one hook: attempts, waits between them, and the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Acknowledged, Shared};
use crate::callback::{self, SendOptions};
use crate::clock::system_clock;
use crate::event::Event;
use crate::store::{Hook, StoreSim};

/// Seconds before each retry, about 48 hours in total (BigCommerce, "Webhooks overview").
pub const RETRY_AFTER: [u64; 11] = [60, 180, 300, 600, 900, 1800, 3600, 7200, 21_600, 50_400, 86_400];

/// Counts the delivery as done when dropped, however it ends.
struct Pending(Arc<Shared>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.done();
    }
}

struct Delivery {
    store: StoreSim,
    event: Event,
    webhook_id: String,
    first_timestamp: i64,
}

pub(super) async fn deliver(shared: Arc<Shared>, store: StoreSim, hook_id: i64, event: Event) {
    let pending = Pending(Arc::clone(&shared));
    let delivery = Delivery { store, webhook_id: event.webhook_id(), event, first_timestamp: system_clock() };
    if !tried_until_done(&shared, hook_id, &delivery).await {
        shared.abandoned.fetch_add(1, Ordering::AcqRel);
    }
    drop(pending);
}

/// Returns whether the event was acknowledged in the end.
async fn tried_until_done(shared: &Shared, hook_id: i64, delivery: &Delivery) -> bool {
    for wait in RETRY_AFTER.map(Some).into_iter().chain([None]) {
        // Read anew for each attempt: the hook may have been changed or removed since the last one.
        let Some(hook) = delivery.store.hook(hook_id).filter(|hook| hook.is_active) else { return false };
        if attempt(shared, &hook, delivery).await {
            for _ in 1..shared.options.copies {
                post(shared, &hook, delivery).await;
            }
            return true;
        }
        match wait {
            Some(seconds) => tokio::time::sleep(scaled(shared, seconds)).await,
            None => delivery.store.deactivate_hook(hook_id),
        }
    }
    false
}

fn scaled(shared: &Shared, seconds: u64) -> Duration {
    Duration::from_secs(seconds).mul_f64(shared.options.time_factor)
}

/// Posts once, unless the domain is blocked; records and returns whether the event was acknowledged.
async fn attempt(shared: &Shared, hook: &Hook, delivery: &Delivery) -> bool {
    let blocklists = &delivery.store.farm().blocklists;
    let domain = domain(&hook.destination);
    if blocklists.is_blocked(&hook.client_id, &domain, Instant::now()) {
        return false;
    }
    let order = delivery.event.order();
    let (success, revision) = post(shared, hook, delivery).await;
    let factor = shared.options.time_factor;
    if let Some(until) = blocklists.note(&hook.client_id, &domain, success, Instant::now(), factor) {
        delivery.store.farm().block_domain(&hook.client_id, &domain, until);
    }
    if success {
        let (store, webhook_id) = (&delivery.store.config().hash, delivery.webhook_id.clone());
        let acknowledged =
            Acknowledged { store: store.as_str().into(), order, revision, webhook_id, at: Instant::now() };
        shared.acknowledged.lock().expect("no holder of this lock panics").push(acknowledged);
    }
    shared.barrier.changed();
    success
}

/// Returns whether the answer was a 2xx, and which revision the order had when the request went out.
async fn post(shared: &Shared, hook: &Hook, delivery: &Delivery) -> (bool, u64) {
    let _permit = shared.permits.acquire().await.expect("the semaphore is never closed");
    let revision = delivery.store.revision(delivery.event.order()).unwrap_or(0);
    let options = SendOptions {
        signature: shared.options.signature,
        timestamp: (!shared.options.renew_timestamp).then_some(delivery.first_timestamp),
        headers: hook.header_list(),
    };
    let (headers, body) = callback::request(&hook.client_secret, &delivery.webhook_id, delivery.event.body(), &options);
    shared.attempts.fetch_add(1, Ordering::AcqRel);
    let sent = callback::post(&shared.client, &hook.destination, headers, body);
    let answer = tokio::time::timeout(shared.options.timeout, sent).await;
    (matches!(answer, Ok(Ok(200..=299))), revision)
}

/// Scheme, host and port.
fn domain(destination: &str) -> String {
    url::Url::parse(destination).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}
