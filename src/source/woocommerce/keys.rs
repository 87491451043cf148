//! Connects a shop by one click: the address that the merchant's browser is sent to, and the keys that the shop's
//! server then posts. The caller keeps the pending requests. Pure.
//!
//! Source: WooCommerce, `class-wc-auth.php`.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::root::{Permalinks, RestRoot};
use crate::{secret::Secret, spec::fields::header_secret};

/// The largest body with keys that is accepted.
pub const MAX_BODY: usize = 16 * 1024;

/// A request for a shop's keys.
#[derive(Debug, Clone)]
pub struct KeyRequest<'a> {
    /// The app's name, shown to the merchant and put into the key's description.
    pub app_name: &'a str,
    /// Returned with the keys and by the browser; unguessable and used once. It is visible in the address bar.
    pub user_id: &'a str,
    /// Where the shop sends the browser afterwards.
    pub return_url: &'a Url,
    /// Where the shop's server posts the keys. WooCommerce posts to `https` only.
    pub callback_url: &'a Url,
}

/// The shop cannot be connected by one click.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKeyPage {
    /// With plain permalinks, WooCommerce's own page leads to the front page: the keys have to be pasted, or the
    /// permalinks changed (WordPress: Settings, Permalinks).
    #[error("the shop has plain permalinks, where WooCommerce's page for this does not work")]
    PlainPermalinks,
}

/// The address to send the merchant's browser to. `root` says how the shop writes its addresses (see
/// [`super::Shops::find_root`]).
///
/// # Errors
/// [`NoKeyPage`] if the shop has plain permalinks.
pub fn authorize_url(root: &RestRoot, request: &KeyRequest<'_>) -> Result<Url, NoKeyPage> {
    if root.permalinks() == Permalinks::Plain {
        return Err(NoKeyPage::PlainPermalinks);
    }
    Ok(key_page(root, request))
}

/// The address of WooCommerce's page, whether or not it works at this shop.
pub fn key_page(root: &RestRoot, request: &KeyRequest<'_>) -> Url {
    let mut url = root.site().clone();
    let folder = url.path().trim_end_matches('/').to_owned();
    let route: &[(&str, &str)] = match root.permalinks() {
        Permalinks::Pretty => {
            url.set_path(&format!("{folder}/wc-auth/v1/authorize"));
            &[]
        }
        Permalinks::IndexPhp => {
            url.set_path(&format!("{folder}/index.php/wc-auth/v1/authorize"));
            &[]
        }
        Permalinks::Plain => &[("wc-auth-version", "1"), ("wc-auth-route", "authorize")],
    };
    url.query_pairs_mut().extend_pairs(route).extend_pairs([
        ("app_name", request.app_name),
        // Creating webhooks needs keys with write permission.
        ("scope", "read_write"),
        ("user_id", request.user_id),
        ("return_url", request.return_url.as_str()),
        ("callback_url", request.callback_url.as_str()),
    ]);
    url
}

/// Keys as a shop's server posts them. They are not trusted until the shop itself has accepted them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedKeys {
    /// The `user_id` of the request, unchanged.
    pub user_id: Secret,
    /// The consumer key, `ck_…`.
    pub consumer_key: Secret,
    /// The consumer secret, `cs_…`.
    pub consumer_secret: Secret,
    /// Whether the keys have write permission, which webhooks need.
    pub may_write: bool,
}

/// The body contains no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body holds no keys")]
pub struct NoKeys;

#[derive(Deserialize)]
struct Posted {
    user_id: Value,
    consumer_key: String,
    consumer_secret: String,
    #[serde(default)]
    key_permissions: String,
}

/// Parses what a shop's server posts. Never panics, whatever the bytes.
///
/// # Errors
/// [`NoKeys`] if it contains none.
pub fn read_keys(body: &[u8]) -> Result<PostedKeys, NoKeys> {
    if body.len() > MAX_BODY {
        return Err(NoKeys);
    }
    let posted: Posted = serde_json::from_slice(body).map_err(|_| NoKeys)?;
    let user_id = match posted.user_id {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return Err(NoKeys),
    };
    // Whether these are real keys is for the shop to say.
    Ok(PostedKeys {
        user_id: user_id.into(),
        consumer_key: header_secret(&posted.consumer_key).map_err(|_| NoKeys)?,
        consumer_secret: header_secret(&posted.consumer_secret).map_err(|_| NoKeys)?,
        may_write: posted.key_permissions.contains("write"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::woocommerce::root::front_page;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn the_merchant_is_sent_to_the_shops_own_page() {
        let site = front_page("https://shop.example/blog").expect("an address");
        let (back, post) =
            (url("https://relay.example/woocommerce/connected"), url("https://relay.example/woocommerce/keys"));
        let request = KeyRequest { app_name: "OneTribe relay", user_id: "abc", return_url: &back, callback_url: &post };
        let asked = "app_name=OneTribe+relay&scope=read_write&user_id=abc\
                     &return_url=https%3A%2F%2Frelay.example%2Fwoocommerce%2Fconnected\
                     &callback_url=https%3A%2F%2Frelay.example%2Fwoocommerce%2Fkeys";
        for (root, page) in [
            (RestRoot::pretty(&site), "https://shop.example/blog/wc-auth/v1/authorize?"),
            (RestRoot::index_php(&site), "https://shop.example/blog/index.php/wc-auth/v1/authorize?"),
        ] {
            let page = format!("{page}{asked}");
            assert_eq!(authorize_url(&root, &request).map(String::from), Ok(page));
        }
        let plain = RestRoot::plain(&site);
        assert_eq!(authorize_url(&plain, &request), Err(NoKeyPage::PlainPermalinks));
        let page = format!("https://shop.example/blog/?wc-auth-version=1&wc-auth-route=authorize&{asked}");
        assert_eq!(key_page(&plain, &request).as_str(), page);
    }

    fn posted(key: &str, secret: &str, permissions: &str) -> Result<PostedKeys, NoKeys> {
        let body = format!(
            r#"{{"key_id":1,"user_id":"abc","consumer_key":"{key}","consumer_secret":"{secret}","key_permissions":"{permissions}"}}"#
        );
        read_keys(body.as_bytes())
    }

    #[test]
    fn keys_are_texts_that_a_header_can_carry() {
        let (key, secret) = (format!("ck_{}", "1".repeat(40)), format!("cs_{}", "a".repeat(40)));
        let keys = posted(&key, &secret, "read_write").expect("keys");
        assert_eq!((keys.user_id.expose(), keys.consumer_key.expose()), ("abc", key.as_str()));
        assert!(keys.may_write && !posted(&key, &secret, "read").expect("keys").may_write);
        assert!(!format!("{keys:?}").contains("aaaa"));
        for (key, secret) in [("", secret.as_str()), (&key, "a b"), (&key, "\u{e9}"), (&key, "")] {
            assert_eq!(posted(key, secret, "read"), Err(NoKeys));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read_keys(&body).is_err());
        }
    }
}
