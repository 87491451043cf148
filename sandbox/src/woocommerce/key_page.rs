//! `/wc-auth/v1/`: keys in one click. The merchant is always logged in here.

use actix_web::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use serde_json::json;
use url::form_urlencoded;

use super::answers::{front_page, page};
use super::config::{KeyRights, ShopPermalinks};
use super::key::ShopKey;
use super::list::{Params, param};
use super::state::State;
use crate::answer::Answer;

const NEEDED: [&str; 5] = ["app_name", "scope", "user_id", "return_url", "callback_url"];

/// The consent page, with its two links.
pub(super) fn authorize(state: &State, params: &Params) -> Answer {
    let missing = NEEDED.iter().find(|name| param(params, name).is_none_or(str::is_empty));
    if let Some(name) = missing {
        return page(401, &format!("Error: Missing parameter {name}."));
    }
    let url = |name| param(params, name).unwrap_or_default();
    let allowed = |callback: &str| callback.starts_with("https://") || state.config().posts_keys_to_http;
    if !["read", "write", "read_write"].contains(&url("scope")) || !allowed(url("callback_url")) {
        return page(401, "Error: Invalid scope, or the callback_url needs to be over SSL.");
    }
    let query: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params.iter().filter(|(name, _)| NEEDED.contains(&name.as_str())))
        .finish();
    let granted = match state.config().permalinks {
        ShopPermalinks::Pretty => format!("{}/wc-auth/v1/access_granted?", state.home()),
        ShopPermalinks::IndexPhp => format!("{}/index.php/wc-auth/v1/access_granted?", state.home()),
        ShopPermalinks::Plain => format!("{}/?wc-auth-version=1&wc-auth-route=access_granted&", state.home()),
    };
    let approve = escaped(&format!("{granted}{query}"));
    let deny = escaped(&with_outcome(url("return_url"), "0", url("user_id")));
    let app = escaped(url("app_name"));
    page(
        200,
        &format!(
            r#"<h1>{app} would like to connect to your store</h1><a id="approve" href="{approve}">Approve</a> <a id="deny" href="{deny}">Deny</a>"#
        ),
    )
}

/// The "Approve" link: makes a key, posts it, and deletes it again unless the answer is exactly 200.
pub(super) async fn grant(state: &State, params: &Params) -> Answer {
    if state.config().permalinks == ShopPermalinks::Plain {
        return front_page(state);
    }
    let text = |name| param(params, name).unwrap_or_default();
    let rights = if text("scope").contains("write") { KeyRights::ReadWrite } else { KeyRights::Read };
    let key = ShopKey {
        consumer_key: format!("ck_{:040x}", rand::random::<u128>()),
        consumer_secret: format!("cs_{:040x}", rand::random::<u128>()),
        rights,
    };
    let key_id = {
        let mut data = state.data();
        data.keys.push(key.clone());
        data.keys.len()
    };
    let body = json!({
        "key_id": key_id, "user_id": text("user_id"), "consumer_key": key.consumer_key,
        "consumer_secret": key.consumer_secret, "key_permissions": text("scope"),
    });
    let posted = state
        .client
        .post(text("callback_url"))
        .header(CONTENT_TYPE.as_str(), "application/json;charset=UTF-8")
        .body(body.to_string())
        .send()
        .await;
    state.barrier.changed();
    if posted.is_ok_and(|response| response.status().as_u16() == 200) {
        let mut answer = Answer::empty(302);
        let back = with_outcome(text("return_url"), "1", text("user_id"));
        if let Ok(back) = HeaderValue::from_str(&back) {
            answer.headers.push((LOCATION, back));
        }
        return answer;
    }
    state.data().keys.retain(|known| *known != key);
    page(401, "Error: An error occurred in the request and at the time were unable to send the consumer data.")
}

fn with_outcome(return_url: &str, success: &str, user_id: &str) -> String {
    let Ok(mut url) = url::Url::parse(return_url) else { return return_url.to_owned() };
    url.query_pairs_mut().append_pair("success", success).append_pair("user_id", user_id);
    url.into()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
