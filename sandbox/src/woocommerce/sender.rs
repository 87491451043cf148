//! The shop's webhook queue: bodies are built when a delivery runs, no delivery is retried, and a webhook that fails
//! too often is disabled. Modelled on WooCommerce's `class-wc-webhook.php`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONNECTION, CONTENT_TYPE, USER_AGENT};
use serde_json::json;
use sha2::Sha256;

use super::config::KeyRights;
use super::delivery::{Due, ShopDelivery};
use super::hook::{MOST_FAILURES, ShopHook};
use super::rest_error::RestError;
use super::state::State;

/// How long a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Works off the queue as it fills, until the task is aborted. Does nothing for a shop without WP-Cron.
pub(super) async fn run(state: Arc<State>) {
    loop {
        state.wake.notified().await;
        let Some(delay) = state.config().queue_delay else { continue };
        tokio::time::sleep(delay).await;
        work_off(&state).await;
    }
}

/// Makes all deliveries that are queued now.
pub(super) async fn work_off(state: &Arc<State>) {
    let due = {
        let mut data = state.data();
        let due = std::mem::take(&mut data.queue);
        data.under_way += due.len();
        due
    };
    let deliveries = due.into_iter().map(|due| async move {
        let _permit = state.senders.acquire().await.expect("the semaphore is never closed");
        deliver(state, due).await;
        state.data().under_way -= 1;
        state.barrier.changed();
    });
    futures_util::future::join_all(deliveries).await;
}

async fn deliver(state: &State, due: Due) {
    let Some(hook) = state.data().hooks.get(&due.hook).cloned() else { return };
    let (body, revision) = body_of(state, &hook, due.id);
    let status = post(state, &hook, body).await;
    let delivery =
        ShopDelivery { hook: hook.id, topic: hook.topic.clone(), id: due.id, revision, status, at: Instant::now() };
    let is_success = delivery.is_success();
    let pings = {
        let mut data = state.data();
        data.deliveries.push(delivery);
        match data.hooks.get_mut(&due.hook) {
            Some(hook) if is_success => {
                hook.failures = 0;
                hook.is_pending
            }
            Some(hook) if hook.failures > MOST_FAILURES => {
                hook.status = "disabled".to_owned();
                false
            }
            Some(hook) => {
                hook.failures += 1;
                hook.is_pending
            }
            None => false,
        }
    };
    // Each delivery saves the webhook, and saving it sends a ping as long as none has been answered with 200.
    if pings {
        ping(state, due.hook).await;
    }
}

/// What a REST call by the webhook's creator would return now, and the order's revision in it.
fn body_of(state: &State, hook: &ShopHook, id: i64) -> (String, u64) {
    let (resource, event) = hook.topic.split_once('.').unwrap_or_default();
    if event == "deleted" {
        return (json!({ "id": id }).to_string(), 0);
    }
    let rights = {
        let data = state.data();
        let maker = data.keys.iter().find(|key| key.consumer_key == hook.maker);
        maker.map_or(KeyRights::Deleted, |key| key.rights)
    };
    if matches!(rights, KeyRights::Demoted | KeyRights::Deleted) {
        return (RestError::cannot_view(rights == KeyRights::Demoted).body().to_string(), 0);
    }
    if resource == "order" {
        let order = state.data().orders.get(&id).cloned();
        return match order {
            Some(order) => (state.render(&order), order.revision),
            None => (RestError::NO_ORDER.body().to_string(), 0),
        };
    }
    let data = state.data();
    let object = data.others.get(&format!("{resource}s")).and_then(|objects| objects.get(&id));
    let body = object.map(|object| String::from_utf8_lossy(&object.body).into_owned());
    (body.unwrap_or_else(|| RestError::NO_OBJECT.body().to_string()), 0)
}

async fn post(state: &State, hook: &ShopHook, body: String) -> Option<u16> {
    let config = state.config();
    let (resource, event) = hook.topic.split_once('.').unwrap_or_default();
    let source = config.source.clone().unwrap_or_else(|| format!("{}/", state.home()));
    // The same for all deliveries of a webhook within one second.
    let delivery_id =
        format!("{:032x}", u128::from(state.now().unsigned_abs()) << 32 | u128::from(hook.id.unsigned_abs()));
    let request = state
        .client
        .post(&hook.delivery_url)
        .timeout(config.delivery_timeout)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, user_agent(state))
        .header(CONNECTION, "close")
        .header("X-WC-Webhook-Source", source)
        .header("X-WC-Webhook-Topic", &hook.topic)
        .header("X-WC-Webhook-Resource", resource)
        .header("X-WC-Webhook-Event", event)
        .header("X-WC-Webhook-Signature", signature(&hook.secret, body.as_bytes()))
        .header("X-WC-Webhook-ID", hook.id)
        .header("X-WC-Webhook-Delivery-ID", delivery_id)
        .body(body);
    request.send().await.ok().map(|response| response.status().as_u16())
}

fn user_agent(state: &State) -> String {
    format!("WooCommerce/{} Hookshot (WordPress/7.1)", state.config().version.name())
}

/// Base64 of HMAC-SHA256. WooCommerce decodes HTML entities in the secret first; one without entities is the key as it
/// is.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key");
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Sends a ping, an unsigned form. Its answer only decides whether more pings follow.
pub(super) async fn ping(state: &State, id: i64) {
    let Some(url) = state.data().hooks.get(&id).map(|hook| hook.delivery_url.clone()) else { return };
    let request = state
        .client
        .post(url)
        .timeout(PING_TIMEOUT)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(USER_AGENT, user_agent(state))
        .body(format!("webhook_id={id}"));
    let is_answered = request.send().await.is_ok_and(|response| response.status().as_u16() == 200);
    let mut data = state.data();
    data.pings += 1;
    if let Some(hook) = data.hooks.get_mut(&id) {
        hook.is_pending &= !is_answered;
    }
    drop(data);
    state.barrier.changed();
}
