//! A shop's webhooks, one for each topic. WooCommerce never shows their secrets again.
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

/// The topics of orders; each needs a webhook of its own.
pub const ORDER_TOPICS: [&str; 4] = ["order.created", "order.updated", "order.deleted", "order.restored"];

/// The largest list of webhooks that is read.
const MAX_HOOKS: usize = 4 * 1024 * 1024;
/// Most pages that are read: ends the loop if a shop repeats itself.
const MAX_PAGES: usize = 40;
/// Rows per page.
const PAGE: usize = 100;

/// The topics for a resource of the REST API (`orders`, `products`, `coupons`, `customers`); none for other resources.
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
    /// All webhooks of the shop, whoever made them. Secrets are never shown, so `_tokens` is not used.
    ///
    /// # Errors
    /// The failure of a call.
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

    /// Creates a webhook and returns its id. WooCommerce sends the ping during this call, so the relay must be able
    /// to answer it meanwhile.
    ///
    /// # Errors
    /// The call's failure. Read-only keys are refused with 401.
    pub async fn create_hook(&self, permit: Permit, wanted: &WantedHook) -> Result<i64, CallError> {
        let made = self.hooks_call(&permit, Method::POST, "webhooks", Query::new(), Some(wanted)).await?;
        read_number(&made["id"]).ok_or_else(|| Failure::NotJson.into())
    }

    /// Updates topic, address and secret of a webhook, and switches it on again. WooCommerce keeps its count of
    /// failures until a delivery succeeds.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn update_hook(&self, permit: Permit, id: i64, wanted: &WantedHook) -> Result<(), CallError> {
        let route = format!("webhooks/{id}");
        self.hooks_call(&permit, Method::PUT, &route, Query::new(), Some(wanted)).await?;
        Ok(())
    }

    /// Removes a webhook permanently. One that is already gone counts as removed.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn remove_hook(&self, permit: Permit, id: i64) -> Result<(), CallError> {
        let route = format!("webhooks/{id}");
        // Webhooks have no trash: without `force` the answer is 501.
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

/// The body for creating and updating a webhook.
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
