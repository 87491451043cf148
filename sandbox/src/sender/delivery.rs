//! One event on its way to one hook: attempts, waits between them, and the end of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Acknowledged, Shared};
use crate::callback::{self, SendOptions};
use crate::event::Event;
use crate::store::{Hook, system_clock};

/// Seconds before each retry, about 48 hours in all (BigCommerce, "Webhooks overview").
pub const RETRY_AFTER: [u64; 11] = [60, 180, 300, 600, 900, 1800, 3600, 7200, 21_600, 50_400, 86_400];

/// Counts the delivery as done however it ends, by a stop too.
struct Pending(Arc<Shared>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.done();
    }
}

struct Delivery {
    event: Event,
    webhook_id: String,
    first_timestamp: i64,
}

pub(super) async fn deliver(shared: Arc<Shared>, hook_id: i64, event: Event) {
    let pending = Pending(Arc::clone(&shared));
    let delivery = Delivery { webhook_id: event.webhook_id(), event, first_timestamp: system_clock() };
    if !tried_until_done(&shared, hook_id, &delivery).await {
        shared.abandoned.fetch_add(1, Ordering::AcqRel);
    }
    drop(pending);
}

/// Says whether the event was acknowledged in the end.
async fn tried_until_done(shared: &Shared, hook_id: i64, delivery: &Delivery) -> bool {
    for wait in RETRY_AFTER.map(Some).into_iter().chain([None]) {
        // The hook as it is now: it may have been mended, moved or removed since the last attempt.
        let Some(hook) = shared.store.hook(hook_id).filter(|hook| hook.is_active) else { return false };
        if attempt(shared, &hook, delivery).await {
            for _ in 1..shared.options.copies {
                post(shared, &hook, delivery).await;
            }
            return true;
        }
        match wait {
            Some(seconds) => tokio::time::sleep(scaled(shared, seconds)).await,
            None => shared.store.deactivate_hook(hook_id),
        }
    }
    false
}

fn scaled(shared: &Shared, seconds: u64) -> Duration {
    Duration::from_secs(seconds).mul_f64(shared.options.time_factor)
}

/// Posts once, unless the domain is blocked; says whether it was acknowledged, and remembers it.
async fn attempt(shared: &Shared, hook: &Hook, delivery: &Delivery) -> bool {
    if is_blocked(shared, &hook.destination) {
        return false;
    }
    let order = delivery.event.order();
    let (success, revision) = post(shared, hook, delivery).await;
    note(shared, &hook.destination, success);
    if success {
        let webhook_id = delivery.webhook_id.clone();
        let acknowledged = Acknowledged { order, revision, webhook_id, at: Instant::now() };
        shared.acknowledged.lock().expect("no holder of this lock panics").push(acknowledged);
    }
    shared.barrier.changed();
    success
}

/// Says whether the answer was a 2xx, and which revision the order had when the request went out.
async fn post(shared: &Shared, hook: &Hook, delivery: &Delivery) -> (bool, u64) {
    let _permit = shared.permits.acquire().await.expect("the semaphore is never closed");
    let revision = shared.store.revision(delivery.event.order()).unwrap_or(0);
    let options = SendOptions {
        signature: shared.options.signature,
        timestamp: (!shared.options.renew_timestamp).then_some(delivery.first_timestamp),
        headers: hook.header_list(),
    };
    let secret = &shared.store.config().client_secret;
    let (headers, body) = callback::request(secret, &delivery.webhook_id, delivery.event.body(), &options);
    shared.attempts.fetch_add(1, Ordering::AcqRel);
    let sent = callback::post(&shared.client, &hook.destination, headers, body);
    let answer = tokio::time::timeout(shared.options.timeout, sent).await;
    (matches!(answer, Ok(Ok(200..=299))), revision)
}

fn is_blocked(shared: &Shared, destination: &str) -> bool {
    let blocklists = shared.blocklists.lock().expect("no holder of this lock panics");
    blocklists.get(&domain(destination)).is_some_and(|list| list.is_blocked(Instant::now()))
}

fn note(shared: &Shared, destination: &str, success: bool) {
    let domain = domain(destination);
    let factor = shared.options.time_factor;
    let blocked = {
        let mut blocklists = shared.blocklists.lock().expect("no holder of this lock panics");
        blocklists.entry(domain.clone()).or_default().note(success, Instant::now(), factor)
    };
    if let Some(until) = blocked {
        shared.store.block_domain(&domain, until);
    }
}

/// Scheme, host and port.
fn domain(destination: &str) -> String {
    url::Url::parse(destination).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}
