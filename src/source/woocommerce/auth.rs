//! Authentication with WooCommerce: Basic, keys in the query, or one-legged OAuth 1.0a.
//!
//! Source: WooCommerce, `includes/class-wc-rest-authentication.php`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use sha2::Sha256;
use url::Url;

use super::root::Query;
use crate::{clock::Timestamp, secret::Secret};

/// The way that calls are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// The header `Authorization: Basic`, which WooCommerce accepts over `https` only.
    Basic,
    /// `consumer_key` and `consumer_secret` in the query, over `https` only, for web servers that remove the header.
    /// The shop's access log then contains the secret.
    QueryKeys,
    /// A signature in the query, for shops without `https`.
    OAuth,
}

impl AuthMode {
    /// The default for an address.
    pub fn for_site(site: &Url) -> Self {
        if site.scheme() == "https" { Self::Basic } else { Self::OAuth }
    }
}

/// A pair of REST API keys.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub key: Secret,
    pub secret: Secret,
}

impl Keys {
    /// The same key with a secret that is certainly wrong: WooCommerce's answer to it shows whether it knows the key.
    pub fn with_wrong_secret(&self) -> Self {
        Self { key: self.key.clone(), secret: format!("cs_{}", "0".repeat(40)).into() }
    }

    /// The parameters that contain the keys as plain text.
    pub fn as_query(&self) -> Query {
        vec![
            ("consumer_key".to_owned(), self.key.expose().to_owned()),
            ("consumer_secret".to_owned(), self.secret.expose().to_owned()),
        ]
    }

    /// The parameters of OAuth 1.0a for a request made now.
    pub fn sign_now(&self, method: &Method, url: &Url) -> Query {
        let nonce = format!("{:032x}", rand::random::<u128>());
        self.sign(method, url, &nonce, Timestamp::now().millis().div_euclid(1000))
    }

    /// The parameters of OAuth 1.0a for a request, including its signature. `at` is in Unix seconds; WooCommerce
    /// allows 15 minutes either way, and accepts each `nonce` once.
    pub fn sign(&self, method: &Method, url: &Url, nonce: &str, at: i64) -> Query {
        let mut oauth: Query = [
            ("oauth_consumer_key", self.key.expose()),
            ("oauth_nonce", nonce),
            ("oauth_signature_method", "HMAC-SHA256"),
            ("oauth_timestamp", &at.to_string()),
            ("oauth_version", "1.0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let text = base_string(method, url, &oauth);
        let signature = hmac_sha256(format!("{}&", self.secret.expose()).as_bytes(), text.as_bytes());
        oauth.push(("oauth_signature".to_owned(), STANDARD.encode(signature.finalize().into_bytes())));
        oauth
    }
}

/// The text to sign: method, address and sorted parameters (RFC 5849, section 3.4.1). Where the route is a parameter,
/// WooCommerce leaves out the slash at the end of the address.
fn base_string(method: &Method, url: &Url, oauth: &[(String, String)]) -> String {
    let mut address = url.clone();
    address.set_query(None);
    address.set_fragment(None);
    let mut pairs: Query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let has_route = pairs.iter().any(|(name, _)| name == "rest_route");
    let address = if has_route { address.as_str().trim_end_matches('/') } else { address.as_str() };
    pairs.extend(oauth.iter().cloned());
    pairs.sort();
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
    format!("{method}&{}&{}", percent(address), percent(&pairs.join("&")))
}

/// Escapes everything but the unreserved characters of RFC 3986.
pub(super) fn percent(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A MAC that has been fed `text`.
pub(super) fn hmac_sha256(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys { key: "ck_1".into(), secret: "cs_2".into() }
    }

    #[test]
    fn what_is_signed_is_what_woocommerce_puts_together() {
        let url = Url::parse("http://shop.example/wp-json/wc/v3/orders?status=any&after=2026-11-26T10%3A00%3A00")
            .expect("a URL");
        let oauth = vec![("oauth_nonce".to_owned(), "n".to_owned())];
        assert_eq!(
            base_string(&Method::GET, &url, &oauth),
            "GET&http%3A%2F%2Fshop.example%2Fwp-json%2Fwc%2Fv3%2Forders\
             &after%3D2026-11-26T10%253A00%253A00%26oauth_nonce%3Dn%26status%3Dany"
        );
        let plain = Url::parse("http://shop.example/?rest_route=/wc/v3/orders&x=wp-json/wc/").expect("a URL");
        assert_eq!(
            base_string(&Method::POST, &plain, &[]),
            "POST&http%3A%2F%2Fshop.example&rest_route%3D%252Fwc%252Fv3%252Forders%26x%3Dwp-json%252Fwc%252F"
        );
    }

    #[test]
    fn the_signature_is_hmac_sha256_under_the_secret_and_an_ampersand() {
        let url = Url::parse("http://shop.example/wp-json/wc/v3/orders").expect("a URL");
        let signed = keys().sign(&Method::GET, &url, "abc", 1_700_000_000);
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.is_sorted_by(|a, b| a < b || *b == "oauth_signature"), "{names:?}");
        let text = base_string(&Method::GET, &url, &signed[..5]);
        let expected = STANDARD.encode(hmac_sha256(b"cs_2&", text.as_bytes()).finalize().into_bytes());
        assert_eq!(signed[5], ("oauth_signature".to_owned(), expected));
    }
}
