//! The shop's webhooks: how they are stored, and `webhooks` in the REST API.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::hook::ShopHook;
use super::list::{Params, param};
use super::rest_error::RestError;
use super::sender;
use super::state::State;
use crate::answer::Answer;

/// The fields that a call sets.
struct Draft {
    name: Option<String>,
    topic: Option<String>,
    delivery_url: Option<String>,
    secret: Option<String>,
    status: Option<String>,
}

impl Draft {
    fn read(body: &[u8]) -> Result<Self, RestError> {
        let body: Value = serde_json::from_slice(body).map_err(|_| RestError::NOT_JSON)?;
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let draft = Self {
            name: text("name"),
            topic: text("topic"),
            delivery_url: text("delivery_url"),
            secret: text("secret"),
            status: text("status"),
        };
        if draft.topic.as_deref().is_some_and(|topic| !is_topic(topic)) {
            return Err(RestError::invalid_param("topic"));
        }
        if draft.delivery_url.as_deref().is_some_and(|url| url::Url::parse(url).is_err()) {
            return Err(RestError::invalid_param("delivery_url"));
        }
        if draft.status.as_deref().is_some_and(|status| !["active", "paused", "disabled"].contains(&status)) {
            return Err(RestError::invalid_param("status"));
        }
        Ok(draft)
    }
}

fn is_topic(topic: &str) -> bool {
    match topic.split_once('.') {
        Some(("action", _)) => true,
        Some(("order" | "product" | "coupon", event)) => ["created", "updated", "deleted", "restored"].contains(&event),
        Some(("customer", event)) => ["created", "updated", "deleted"].contains(&event),
        _ => false,
    }
}

/// Answers a call below `webhooks`. A creation sends its ping before the answer.
pub(super) async fn serve(
    state: &State,
    method: &Method,
    id: Option<i64>,
    params: &Params,
    body: &[u8],
    maker: &str,
) -> Answer {
    let done = match (method.as_str(), id) {
        ("GET", None) => list(state, params),
        ("GET", Some(id)) => shown(state, id),
        ("POST", None) => create(state, body, maker).await,
        ("POST" | "PUT" | "PATCH", Some(id)) => update(state, id, body).await,
        ("DELETE", Some(id)) => remove(state, id, params),
        _ => Err(RestError::NO_ROUTE),
    };
    state.barrier.changed();
    done.unwrap_or_else(RestError::answer)
}

fn list(state: &State, params: &Params) -> Result<Answer, RestError> {
    let number = |name, default| param(params, name).map_or(Ok(default), str::parse::<usize>);
    let per_page = number("per_page", 10).ok().filter(|size| (1..=100).contains(size));
    let per_page = per_page.ok_or(RestError::invalid_param("per_page"))?;
    let page = number("page", 1).ok().filter(|page| *page > 0).ok_or(RestError::invalid_param("page"))?;
    let wanted = param(params, "status").unwrap_or("all");
    let data = state.data();
    let rows: Vec<Value> =
        data.hooks.values().filter(|hook| wanted == "all" || hook.status == wanted).map(ShopHook::show).collect();
    let shown: Vec<&Value> = rows.iter().skip((page - 1) * per_page).take(per_page).collect();
    let mut answer = Answer::json(200, json!(shown).to_string());
    answer.headers.extend(super::answers::totals(rows.len(), per_page));
    Ok(answer)
}

fn shown(state: &State, id: i64) -> Result<Answer, RestError> {
    let data = state.data();
    let hook = data.hooks.get(&id).ok_or(RestError::NO_HOOK)?;
    Ok(Answer::json(200, hook.show().to_string()))
}

async fn create(state: &State, body: &[u8], maker: &str) -> Result<Answer, RestError> {
    let draft = Draft::read(body)?;
    let hook = {
        let created = state.now();
        let mut data = state.data();
        let id = data.hooks.last_key_value().map_or(1, |(id, _)| id + 1);
        let hook = ShopHook {
            id,
            name: draft.name.unwrap_or_else(|| "Webhook".to_owned()),
            // Ignores the status that was asked for.
            status: "active".to_owned(),
            topic: draft.topic.ok_or(RestError::invalid_param("topic"))?,
            delivery_url: draft.delivery_url.ok_or(RestError::invalid_param("delivery_url"))?,
            // A random secret, never revealed.
            secret: draft.secret.unwrap_or_else(|| format!("{:050x}", rand::random::<u128>())),
            failures: 0,
            is_pending: true,
            maker: maker.to_owned(),
            created,
        };
        data.hooks.insert(id, hook.clone());
        hook
    };
    sender::ping(state, hook.id).await;
    Ok(Answer::json(201, hook.show().to_string()))
}

async fn update(state: &State, id: i64, body: &[u8]) -> Result<Answer, RestError> {
    let draft = Draft::read(body)?;
    let (shown, has_moved) = {
        let mut data = state.data();
        let hook = data.hooks.get_mut(&id).ok_or(RestError::NO_HOOK)?;
        let has_moved = draft.delivery_url.as_ref().is_some_and(|url| *url != hook.delivery_url);
        for (field, value) in [
            (&mut hook.name, draft.name),
            (&mut hook.topic, draft.topic),
            (&mut hook.delivery_url, draft.delivery_url),
            (&mut hook.secret, draft.secret),
            (&mut hook.status, draft.status),
        ] {
            if let Some(value) = value {
                *field = value;
            }
        }
        hook.is_pending |= has_moved;
        (hook.show(), hook.is_pending)
    };
    if has_moved {
        sender::ping(state, id).await;
    }
    Ok(Answer::json(200, shown.to_string()))
}

fn remove(state: &State, id: i64, params: &Params) -> Result<Answer, RestError> {
    if param(params, "force") != Some("true") {
        return Err(RestError::NO_TRASH);
    }
    let removed = state.data().hooks.remove(&id).ok_or(RestError::NO_HOOK)?;
    Ok(Answer::json(200, removed.show().to_string()))
}
