//! A shop's webhooks: one topic each. WooCommerce never shows their secrets again.
//!
//! Source: WooCommerce, `class-wc-rest-webhooks-v1-controller.php`.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Code, Operation, Permit, Refusal, Shop, call::Ask, objects::pairs, root::Query};
use crate::{
    http::{CallError, Failure, json_start, not_json},
    secret::Secret,
    source::hooks::{Hook, HookToken, WantedHook},
};

/// What happens to orders; each topic takes a webhook of its own.
pub const ORDER_TOPICS: [&str; 4] = ["order.created", "order.updated", "order.deleted", "order.restored"];

/// No list of webhooks is larger than this.
const MAX_HOOKS: usize = 4 * 1024 * 1024;
/// More pages than any shop can have; keeps a shop that repeats itself from keeping us for ever.
const MAX_PAGES: usize = 40;
/// Rows a page.
const PAGE: usize = 100;

/// The topics to watch for a resource of the REST API (`orders`, `products`, `coupons`, `customers`); none for others.
pub fn topics_of(resource: &str) -> Vec<String> {
    let (singular, events): (&str, &[&str]) = match resource {
        "orders" => ("order", &["created", "updated", "deleted", "restored"]),
        "products" => ("product", &["created", "updated", "deleted", "restored"]),
        "coupons" => ("coupon", &["created", "updated", "deleted", "restored"]),
        "customers" => ("customer", &["created", "updated", "deleted"]),
        _ => return Vec::new(),
    };
    events.iter().map(|event| format!("{singular}.{event}")).collect()
}

impl Shop {
    /// All webhooks of the shop, whoever made them. Secrets are never shown, so `_tokens` tell nothing.
    ///
    /// # Errors
    /// Whatever went wrong with a call.
    pub async fn hooks(&self, _tokens: &[Secret]) -> Result<Vec<Hook>, CallError> {
        let mut hooks: Vec<Hook> = Vec::new();
        let mut disabled = Vec::new();
        for page in 1..=MAX_PAGES {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let query =
                pairs([("status", "all"), ("orderby", "id"), ("order", "asc"), ("page", &page), ("per_page", &size)]);
            let permit = self.take_urgent().await?;
            let reply = self.call(&permit, &Ask::get(Operation::Hooks, "webhooks", query, MAX_HOOKS)).await?;
            let rows: Vec<Value> =
                serde_json::from_slice(json_start(&reply.body)).map_err(|_| not_json(reply.status, &reply.body))?;
            let before = hooks.len();
            for row in &rows {
                let Some(hook) = read_hook(row).filter(|hook| hooks.iter().all(|known| known.id != hook.id)) else {
                    continue;
                };
                if row["status"] == "disabled" {
                    disabled.push(hook.id);
                }
                hooks.push(hook);
            }
            if rows.len() < PAGE || hooks.len() == before {
                break;
            }
        }
        self.state.lock().disabled_hooks = disabled;
        Ok(hooks)
    }

    /// Makes a webhook; returns its number. WooCommerce sends the ping within this very call: whatever listens there
    /// has to answer meanwhile.
    ///
    /// # Errors
    /// Whatever went wrong with the call. Keys that may only read are refused with 401.
    pub async fn create_hook(&self, permit: Permit, wanted: &WantedHook) -> Result<i64, CallError> {
        let made = self.hooks_call(&permit, Method::POST, "webhooks", Query::new(), Some(wanted)).await?;
        read_number(&made["id"]).ok_or_else(|| Failure::NotJson.into())
    }

    /// Puts a webhook right: topic, address and secret, and switches it on again. WooCommerce keeps its count of
    /// failures until a delivery succeeds.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn update_hook(&self, permit: Permit, id: i64, wanted: &WantedHook) -> Result<(), CallError> {
        let route = format!("webhooks/{id}");
        self.hooks_call(&permit, Method::PUT, &route, Query::new(), Some(wanted)).await?;
        Ok(())
    }

    /// Removes a webhook for good. One that is gone already counts as removed.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn remove_hook(&self, permit: Permit, id: i64) -> Result<(), CallError> {
        let route = format!("webhooks/{id}");
        // There is no trash for webhooks: without `force` it is a 501.
        let query = pairs([("force", "true")]);
        match self.hooks_call(&permit, Method::DELETE, &route, query, None).await {
            Err(Refusal { code: Code::InvalidId, .. }) => Ok(()),
            answer => Ok(answer.map(drop)?),
        }
    }

    async fn hooks_call(
        &self,
        permit: &Permit,
        method: Method,
        route: &str,
        query: Query,
        wanted: Option<&WantedHook>,
    ) -> Result<Value, Refusal> {
        let body = wanted.map(|wanted| body_of(wanted).to_string().into_bytes());
        let ask = Ask { operation: Operation::Hooks, method, route, query, body, limit: MAX_HOOKS };
        let reply = self.call(permit, &ask).await?;
        serde_json::from_slice(json_start(&reply.body)).map_err(|_| not_json(reply.status, &reply.body).into())
    }
}

/// The whole of a webhook, for making it and for mending it.
fn body_of(wanted: &WantedHook) -> Value {
    let WantedHook { topic, destination, secret } = wanted;
    json!({
        "name": format!("onetribe-relay {topic}"),
        "topic": topic,
        "delivery_url": destination,
        "secret": secret.expose(),
        "status": "active",
    })
}

fn read_hook(row: &Value) -> Option<Hook> {
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    Some(Hook {
        id: read_number(&row["id"])?,
        topic: text("topic")?,
        destination: text("delivery_url")?,
        is_active: row["status"] == "active",
        token: HookToken::Hidden,
    })
}

fn read_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_has_its_topics() {
        assert_eq!(topics_of("orders"), ORDER_TOPICS);
        assert_eq!(topics_of("customers").len(), 3, "customers have no trash");
        assert!(topics_of("reports").is_empty());
    }

    #[test]
    fn a_row_is_a_hook_that_shows_no_secret() {
        let row =
            json!({"id": 3, "topic": "order.updated", "delivery_url": "https://relay.example/x", "status": "paused"});
        let hook = read_hook(&row).expect("a hook");
        assert_eq!((hook.id, hook.is_active, hook.token), (3, false, HookToken::Hidden));
        assert!(read_hook(&json!({"id": 3})).is_none() && read_hook(&json!([])).is_none());
    }
}
