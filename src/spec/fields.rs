//! The rules for single values of a connection, the same wherever a value came from: a variable, a request, a file,
//! an install. Each returns the value, or what would be right; no message repeats the value.

use url::Url;

use crate::{http::AddressPolicy, secret::Secret};

/// Shorter client secrets could be guessed offline from a recorded webhook.
pub const MIN_CLIENT_SECRET: usize = 16;

/// Longest secret that is accepted; servers refuse headers of several kilobytes.
const MAX_SECRET: usize = 1024;

/// Longest URL that is accepted.
const MAX_URL: usize = 2048;

/// Longest name of a connection, in characters.
const MAX_NAME: usize = 200;

/// A valid value, or what would be right ("must be …").
pub type Checked<T> = Result<T, &'static str>;

/// The name of a connection: any printable text of at most 200 characters. Refuses invisible characters, which could
/// make one name look like another, or reorder the text around it.
pub fn name(text: &str) -> Checked<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("must not be empty");
    }
    if text.chars().count() > MAX_NAME {
        return Err("must be at most 200 characters long");
    }
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err("must not contain control characters, line breaks or invisible characters");
    }
    Ok(text.to_owned())
}

/// Whether a character is a line separator, has no width, or changes the direction of text (Unicode, `Bidi_Control`).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Longest store hash that is taken. They are about ten characters long; access tokens, which are letters and digits
/// too, have 31.
const MAX_STORE_HASH: usize = 24;

/// A BigCommerce store hash: it becomes part of a path.
pub fn store_hash(text: &str) -> Checked<String> {
    if !text.is_empty() && text.len() <= MAX_STORE_HASH && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err("must be the store's hash alone, letters and digits (`abcde` of `stores/abcde`)")
    }
}

/// A secret that is sent as the value of a header.
pub fn header_secret(text: &str) -> Checked<Secret> {
    if text.is_empty() || text.len() > MAX_SECRET {
        return Err("must be 1 to 1024 characters long");
    }
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.into())
    } else {
        Err("must be printable ASCII without spaces")
    }
}

/// A client secret, under which webhooks are signed.
pub fn client_secret(text: &str) -> Checked<Secret> {
    match text.chars().count() {
        ..MIN_CLIENT_SECRET => Err("must be at least 16 characters long, as BigCommerce's client secrets are"),
        length if length > MAX_SECRET => Err("must be at most 1024 characters long"),
        _ if text.chars().any(char::is_control) => Err("must not contain control characters"),
        _ => Ok(text.into()),
    }
}

/// One client secret, or several separated by commas during a rotation, the current one first.
pub fn client_secrets(text: &str) -> Checked<Vec<Secret>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let secrets = items.map(client_secret).collect::<Checked<Vec<_>>>()?;
    if secrets.is_empty() { Err("must hold at least one secret") } else { Ok(secrets) }
}

/// A scope of BigCommerce's webhooks, such as `store/order/*`.
pub fn scope(text: &str) -> Checked<String> {
    let path = |b: u8| b.is_ascii_alphanumeric() || b"/*_-".contains(&b);
    if text.strip_prefix("store/").is_some_and(|rest| !rest.is_empty()) && text.bytes().all(path) {
        Ok(text.to_owned())
    } else {
        Err("is not a scope such as `store/order/*`")
    }
}

/// Whether a scope is about orders: `store/order/…` or `store/channel/{id}/order/…`.
pub fn is_order_scope(scope: &str) -> bool {
    let channel = || {
        let (channel, event) = scope.strip_prefix("store/channel/")?.split_once('/')?;
        Some(!channel.is_empty() && event.starts_with("order/") && event.len() > "order/".len())
    };
    scope.strip_prefix("store/order/").is_some_and(|event| !event.is_empty()) || channel().unwrap_or(false)
}

/// The id of a BigCommerce order status, without leading zeros.
pub fn bigcommerce_status(text: &str) -> Checked<String> {
    match text.parse::<u32>() {
        Ok(status) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(status.to_string()),
        _ => Err("is not a status id; they are whole numbers, such as 0 (Incomplete)"),
    }
}

/// The slug of a WooCommerce order status, without the prefix `wc-`, which the API never shows.
pub fn woocommerce_status(text: &str) -> Checked<String> {
    let slug = text.strip_prefix("wc-").unwrap_or(text);
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if !slug.is_empty() && slug.len() <= 64 && slug.bytes().all(fits) {
        Ok(slug.to_owned())
    } else {
        Err("is not the slug of a status; they are small letters, such as \"pending\" or \"on-hold\"")
    }
}

/// A URL that was given through an API or a page; checks the parts that it must have or must not have.
fn web_url(text: &str) -> Checked<Url> {
    if text.len() > MAX_URL {
        return Err("must be at most 2048 characters long");
    }
    let url = Url::parse(text.trim()).map_err(|_| "must be a URL such as `https://example.com/…`")?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err("must begin with `https://`");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password before the host");
    }
    if url.fragment().is_some() {
        return Err("must not hold a `#` part");
    }
    Ok(url)
}

/// The problem of a URL whose host is a literal address that may not be called.
pub const PRIVATE: &str = "leads to a private, loopback or link-local address; whoever runs the relay can open a network in \
                       ALLOWED_PRIVATE_NETWORKS";

/// The address of a WooCommerce shop, normalised: without a trailing slash, and without any part of the REST API.
/// Plain `http` is accepted for addresses in networks that the operator has opened. The caller has to look up a host
/// name.
pub fn shop_url(text: &str, policy: &AddressPolicy) -> Checked<String> {
    let mut url = web_url(text)?;
    if url.query().is_some() {
        return Err("must not hold a `?` part; give the shop's address alone, such as `https://shop.example`");
    }
    policy.check_literal(&url).map_err(|_| PRIVATE)?;
    let is_opened = AddressPolicy::literal(&url).is_some_and(|address| policy.is_opened(address));
    if url.scheme() == "http" && !is_opened {
        return Err("must begin with `https://`: the keys would travel in the clear");
    }
    let path: Vec<&str> = url.path().split('/').take_while(|part| *part != "wp-json").collect();
    let path = path.join("/");
    url.set_path(path.trim_end_matches('/'));
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The callback URL of a Cloud Elements client. Plain `http` is accepted. The caller has to look up a host name.
pub fn callback_url(text: &str, policy: &AddressPolicy) -> Checked<Secret> {
    let url = web_url(text)?;
    policy.check_literal(&url).map_err(|_| PRIVATE)?;
    Ok(String::from(url).into())
}

/// The key that signs notifications: any text without control characters.
pub fn signature_key(text: &str) -> Checked<Secret> {
    match text.len() {
        0 => Err("must not be empty; leave it out if notifications are not to be signed"),
        1..=MAX_SECRET if !text.chars().any(char::is_control) => Ok(text.into()),
        1..=MAX_SECRET => Err("must not contain control characters"),
        _ => Err("must be at most 1024 characters long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> AddressPolicy {
        AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("a network")])
    }

    #[test]
    fn names_are_printable() {
        assert_eq!(name("  Shop of Jane – Zürich 店 "), Ok("Shop of Jane – Zürich 店".into()));
        for bad in ["", " ", "a\nb", "a\u{1b}[31m", "a\u{202e}b", "a\u{2028}b", "a\u{200b}b", &"x".repeat(201)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn order_scopes_are_told_from_others() {
        for scope in
            ["store/order/*", "store/order/created", "store/channel/1/order/*", "store/channel/*/order/created"]
        {
            assert!(is_order_scope(scope), "{scope}");
        }
        for scope in
            ["store/cart/*", "store/order/", "store/orders/x", "store/channel/1/cart/*", "store/channel//order/x"]
        {
            assert!(!is_order_scope(scope), "{scope}");
        }
    }

    #[test]
    fn statuses_are_those_of_the_store() {
        assert_eq!(bigcommerce_status("011"), Ok("11".into()));
        for bad in ["", "-1", "+1", "Incomplete", "1.5", "99999999999"] {
            assert!(bigcommerce_status(bad).is_err(), "{bad}");
        }
        assert_eq!(woocommerce_status("wc-on-hold"), Ok("on-hold".into()));
        for bad in ["", "wc-", "Pending", "a b", "0é"] {
            assert!(woocommerce_status(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_shop_has_one_spelling() {
        for (given, kept) in [
            ("https://shop.example", "https://shop.example"),
            ("https://Shop.Example/", "https://shop.example"),
            ("https://shop.example/a/b//", "https://shop.example/a/b"),
            ("https://shop.example/a/wp-json/wc/v3/", "https://shop.example/a"),
            ("https://shop.example:8443", "https://shop.example:8443"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ] {
            assert_eq!(shop_url(given, &policy()), Ok(kept.into()), "{given}");
        }
    }

    #[test]
    fn shops_are_called_by_https_at_public_addresses() {
        for bad in [
            "shop.example",
            "http://shop.example",
            "ftp://shop.example",
            "https://user:pass@shop.example",
            "https://shop.example/?a=b",
            "https://shop.example/#a",
            "https://10.0.0.1",
            "https://[::1]",
            "https://0x7f.1.1.1.example:x",
            "https://169.254.169.254/latest",
            "http://8.8.8.8",
            "javascript:alert(1)",
        ] {
            assert!(shop_url(bad, &policy()).is_err(), "{bad}");
        }
    }

    #[test]
    fn callbacks_may_be_plain_but_never_private() {
        for good in ["http://client.example/cb?x=1", "https://8.8.8.8/", "http://127.0.0.1:1/x"] {
            assert!(callback_url(good, &policy()).is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1/", "https://[fd00::1]/", "https://u:p@client.example/", "client.example"] {
            assert!(callback_url(bad, &policy()).is_err(), "{bad}");
        }
    }
}
