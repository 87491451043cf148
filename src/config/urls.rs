//! The rules for URLs that the operator sets: `https` except for loopback, and no parts that would be lost or misread.

use url::{Host, Url};

use super::input::{Parsed, Rejection};
use crate::secret::Secret;

/// Whether a URL's host is this machine itself (`localhost`, `127.0.0.0/8`, `::1`).
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Parses a URL with `https` (or plain `http` where `plain_is_fine`), a host, no credentials and no fragment.
fn secure_url(text: &str, plain_is_fine: impl FnOnce(&Url) -> bool) -> Parsed<Url> {
    let url = Url::parse(text).map_err(|_| "must be a URL such as `https://example.com/…`")?;
    match url.scheme() {
        "https" => {}
        "http" if plain_is_fine(&url) => {}
        "http" => return Err("must begin with `https://`; plain http is taken for loopback addresses only".into()),
        _ => return Err("must begin with `https://`".into()),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must name a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".into());
    }
    if url.fragment().is_some() {
        return Err("must not hold a `#` part".into());
    }
    Ok(url)
}

/// A base URL that paths are appended to.
fn base_url(mut url: Url) -> Parsed<Url> {
    if url.query().is_some() {
        return Err("must not hold a `?` part".into());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

pub(super) fn api_url(text: &str) -> Parsed<Url> {
    let url = login_url(text)?;
    if url.path().contains("/stores/") {
        return Err("must not hold the path of a store: BIGCOMMERCE_STORE_HASH says which it is".into());
    }
    Ok(url)
}

pub(super) fn login_url(text: &str) -> Parsed<Url> {
    secure_url(text, is_loopback).and_then(base_url)
}

/// With `api_is_local` the store is simulated on this machine, and can reach the relay at any address.
pub(super) fn public_url(text: &str, api_is_local: bool) -> Parsed<Url> {
    let url = secure_url(text, |url| api_is_local || is_loopback(url)).and_then(base_url)?;
    let is_local = api_is_local || is_loopback(&url);
    if !is_local && url.port().is_some() {
        return Err("must be on port 443: BigCommerce calls no other".into());
    }
    if url.path().ends_with("/webhooks/bigcommerce") {
        return Err("must end before `/webhooks/bigcommerce`, which the relay adds".into());
    }
    Ok(url)
}

pub(super) fn destination(text: &str) -> Parsed<Secret> {
    secure_url(text, is_loopback).map(|url| String::from(url).into())
}

pub(super) fn alert_url(text: &str) -> Parsed<Secret> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.host_str().is_some() => Ok(String::from(url).into()),
        _ => Err("must be a URL that begins with `https://` or `http://`".into()),
    }
}

/// Sources of a `frame-ancestors` directive: origins whose leftmost label, and whose port, may be `*`. They are
/// written into a header unchanged, so nothing else is allowed in them (CSP Level 3, `host-source`).
pub(super) fn frame_ancestors(text: &str) -> Parsed<Vec<String>> {
    let mut origins: Vec<String> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let origin = frame_ancestor(item).map_err(|message| Rejection::of_item(item, message))?;
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    if origins.is_empty() {
        Err("must name at least one origin, such as `https://*.mybigcommerce.com`".into())
    } else {
        Ok(origins)
    }
}

fn frame_ancestor(item: &str) -> Result<String, &'static str> {
    const SHAPE: &str = "is not an origin such as `https://*.mybigcommerce.com`";
    let (scheme, rest) = item.split_once("://").ok_or(SHAPE)?;
    let is_plain = match scheme {
        "https" => false,
        "http" => true,
        _ => return Err("must begin with `https://`"),
    };
    let (rest, any_port) = rest.strip_suffix(":*").map_or((rest, ""), |rest| (rest, ":*"));
    let (rest, any_label) = rest.strip_prefix("*.").map_or((rest, ""), |rest| (rest, "*."));
    if rest.ends_with('/') || !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)) {
        return Err(SHAPE);
    }
    let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| SHAPE)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(SHAPE)?;
    if !any_port.is_empty() && url.port().is_some() {
        return Err(SHAPE);
    }
    if !any_label.is_empty() && !host.contains('.') {
        return Err("would let the sites of a whole top-level domain frame the app");
    }
    if is_plain && !is_loopback(&url) {
        return Err("must begin with `https://`; plain http is taken for loopback addresses only");
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{scheme}://{any_label}{host}{port}{any_port}"))
}
