//! The part of a configuration that is about events: callback, polling or webhooks, resources.

use std::{collections::BTreeMap, time::Duration};

use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::{Keys, Surroundings, UrlCheck};
use crate::{
    elements::{error::ApiError, poller, template::UrlTemplate, values},
    http::AddressPolicy,
    resource::PolledResource,
    secret::Secret,
    spec::{BigCommerceAuth, BigCommerceSpec, CallbackSpec, DestinationSpec, SourceKind},
};

const CALLBACK: &str = "event.notification.callback.url";
const HEADERS: &str = "event.notification.callback.headers";
const USERNAME: &str = "event.notification.basic.username";
const PASSWORD: &str = "event.notification.basic.password";
const VENDOR_TYPE: &str = "event.vendor.type";
const NOTIFICATION_TYPE: &str = "event.notification.type";

/// Most extra headers for one callback.
const MAX_HEADERS: usize = 32;
/// Headers that the relay or its HTTP client sets.
const RESERVED_HEADERS: [&str; 7] =
    ["host", "content-type", "content-length", "transfer-encoding", "connection", "expect", "upgrade"];

/// The events that a client wants, and where they go.
#[derive(Debug, Clone)]
pub struct Events {
    /// The callback's URL, headers and options.
    pub destination: DestinationSpec,
    /// The resources to poll.
    pub resources: Vec<PolledResource>,
    /// The time between polls.
    pub interval: Duration,
    /// Whether the store's webhooks are used as well.
    pub has_webhooks: bool,
}

/// Reads the events part; `None` while events are not enabled. What is given is validated either way.
///
/// # Errors
/// 400 naming the key.
pub fn read(
    kind: SourceKind,
    keys: Keys<'_>,
    surroundings: Surroundings<'_>,
    checks: &mut Vec<UrlCheck>,
) -> Result<Option<Events>, ApiError> {
    let is_enabled = keys.flag("event.notification.enabled", false)?;
    if keys.text(NOTIFICATION_TYPE)?.is_some_and(|kind| !is_webhook(&kind)) {
        return Err(ApiError::invalid(NOTIFICATION_TYPE, "only `webhook` is there"));
    }
    let has_webhooks = match keys.text(VENDOR_TYPE)? {
        None => false,
        Some(kind) if is_webhook(&kind) => true,
        Some(kind) if kind.trim().eq_ignore_ascii_case("polling") => false,
        Some(_) => return Err(ApiError::invalid(VENDOR_TYPE, "`polling` or `webhook` is needed")),
    };
    let interval = poller::interval(keys.get(poller::INTERVAL))?;
    let resources = poller::resources(kind, |key| keys.get(key))?;
    let callback = keys.text(CALLBACK)?.map(|url| callback(&url, keys, surroundings, checks)).transpose()?;
    match callback {
        _ if !is_enabled => Ok(None),
        None => Err(ApiError::missing(CALLBACK)),
        Some(callback) => {
            let destination = DestinationSpec::CloudElements(callback);
            Ok(Some(Events { destination, resources, interval, has_webhooks }))
        }
    }
}

/// The documentation uses both `webhook` and `webhooks`.
fn is_webhook(text: &str) -> bool {
    let text = text.trim();
    text.eq_ignore_ascii_case("webhook") || text.eq_ignore_ascii_case("webhooks")
}

fn callback(
    url: &str,
    keys: Keys<'_>,
    surroundings: Surroundings<'_>,
    checks: &mut Vec<UrlCheck>,
) -> Result<CallbackSpec, ApiError> {
    let parsed = Url::parse(url.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let parsed = parsed.filter(|url| url.host_str().is_some_and(|host| !host.is_empty()));
    let parsed = parsed.ok_or_else(|| ApiError::invalid(CALLBACK, "an http or https URL is needed"))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        let problem = format!("user and password belong under {USERNAME} and {PASSWORD}");
        return Err(ApiError::invalid(CALLBACK, problem));
    }
    surroundings.policy.check_literal(&parsed).map_err(|error| ApiError::invalid(CALLBACK, error))?;
    if AddressPolicy::literal(&parsed).is_none() {
        checks.push(UrlCheck { key: CALLBACK, url: parsed.clone(), needs_opened: false });
    }
    let headers = headers(keys)?;
    let basic = match (keys.text(USERNAME)?, keys.secret(PASSWORD)?) {
        // RFC 7617, section 2: a user name must not contain a colon.
        (Some(user), Some(_)) if user.contains(':') => {
            return Err(ApiError::invalid(USERNAME, "it must not contain a colon"));
        }
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) => return Err(ApiError::missing(PASSWORD)),
        (None, Some(_)) => return Err(ApiError::missing(USERNAME)),
    };
    if basic.is_some() && headers.keys().any(|name| name == "authorization") {
        return Err(ApiError::invalid(HEADERS, format!("`authorization` contradicts {USERNAME}")));
    }
    Ok(CallbackSpec {
        url: parsed.as_str().into(),
        signature_key: keys.secret("event.notification.signature.key")?,
        headers,
        basic,
        has_raw: keys.flag("event.raw.enabled", true)?,
        drops_nulls: keys.flag("filter.response.nulls", true)?,
    })
}

/// Reads the extra headers, keyed by lower-case name.
fn headers(keys: Keys<'_>) -> Result<BTreeMap<String, Secret>, ApiError> {
    let Some(value) = keys.get(HEADERS) else {
        return Ok(BTreeMap::new());
    };
    let given = values::object(value)
        .ok_or_else(|| ApiError::invalid(HEADERS, "an object is needed, or the same as JSON in a text"))?;
    if given.len() > MAX_HEADERS {
        return Err(ApiError::invalid(HEADERS, format!("at most {MAX_HEADERS} headers")));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in &given {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let wrong = |problem: &str| ApiError::invalid(HEADERS, format!("`{shown}` {problem}"));
        let parsed = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong("is no name of a header"))?;
        let name = parsed.as_str();
        if RESERVED_HEADERS.contains(&name) || name.starts_with("elements-webhook-") {
            return Err(wrong("is set by the relay"));
        }
        let value = values::as_text(value).filter(|value| HeaderValue::from_str(value).is_ok());
        let value = value.ok_or_else(|| wrong("has a value that no header can have"))?;
        if headers.insert(name.to_owned(), Secret::from(value)).is_some() {
            return Err(wrong("comes twice"));
        }
    }
    Ok(headers)
}

/// The BigCommerce webhook scopes for these resources.
///
/// # Errors
/// 400 where the credentials allow no webhooks.
pub fn scopes(store: &BigCommerceSpec, resources: &[PolledResource]) -> Result<Vec<String>, ApiError> {
    if let BigCommerceAuth::Legacy { .. } = store.auth {
        let problem = "`webhook` needs oauth.user.token: a legacy API account can make no webhooks";
        return Err(ApiError::invalid(VENDOR_TYPE, problem));
    }
    let mut scopes = Vec::new();
    for resource in resources {
        let Ok(template) = UrlTemplate::parse(&resource.url) else { continue };
        let path = template.path().segments().join("/");
        let path = path.strip_prefix("v2/").or_else(|| path.strip_prefix("v3/")).unwrap_or(&path);
        let scope = match path {
            "orders" => "store/order/*",
            "products" | "catalog/products" => "store/product/*",
            "customers" | "contacts" => "store/customer/*",
            _ => continue,
        };
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    Ok(scopes)
}
