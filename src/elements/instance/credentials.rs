//! The credentials of an instance: three kinds for BigCommerce, one for WooCommerce.

use std::net::IpAddr;

use url::Url;

use super::{Keys, ProviderData, Surroundings};
use crate::{
    elements::error::ApiError,
    http::{AddressPolicy, LookupError},
    secret::Secret,
    spec::{BigCommerceAuth, BigCommerceSpec, SourceSpec, WooCommerceSpec},
};

/// The configuration keys for the store and its credentials.
pub const KEYS: [&str; 8] = [
    "username",
    "password",
    "store.url",
    "store.hash",
    "oauth.user.token",
    "oauth.api.key",
    "oauth.api.secret",
    "oauth.callback.url",
];

/// Shorter client secrets are refused; the same limit as for `BIGCOMMERCE_CLIENT_SECRET`.
const MIN_CLIENT_SECRET: usize = 16;

/// A code to be exchanged for a token at `{BIGCOMMERCE_LOGIN_URL}/oauth2/token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeExchange {
    /// From `oauth.api.key`.
    pub client_id: String,
    /// From `oauth.api.secret`.
    pub client_secret: Secret,
    /// From `providerData.code`.
    pub code: Secret,
    /// From `providerData.context`.
    pub context: String,
    /// From `providerData.scope`.
    pub scope: String,
    /// From `oauth.callback.url`.
    pub redirect_uri: String,
}

/// A URL whose host must resolve to permitted addresses only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlCheck {
    /// The configuration key that the URL was given under.
    pub key: &'static str,
    /// The URL to check.
    pub url: Url,
    /// Set for plain `http`, which is accepted only for addresses in networks that the operator has opened.
    pub needs_opened: bool,
}

impl UrlCheck {
    /// Judges the result of [`AddressPolicy::look_up`] for the URL.
    ///
    /// # Errors
    /// 400 naming the key.
    pub fn judge(&self, policy: &AddressPolicy, found: Result<Vec<IpAddr>, LookupError>) -> Result<(), ApiError> {
        let addresses = match found {
            // A name that cannot be resolved just now says nothing about the URL; every call checks it again.
            Err(LookupError::NoAddress) if !self.needs_opened => return Ok(()),
            found => found.map_err(|error| ApiError::invalid(self.key, error))?,
        };
        if self.needs_opened && !addresses.iter().all(|address| policy.is_opened(*address)) {
            return Err(ApiError::invalid(self.key, "https is needed"));
        }
        Ok(())
    }
}

/// Reads the credentials of a BigCommerce store. If a code is to be exchanged first, the token is still empty.
///
/// # Errors
/// 400 naming the keys that are missing or contradict each other.
pub fn bigcommerce(
    keys: Keys<'_>,
    provider_data: Option<&ProviderData>,
    surroundings: Surroundings<'_>,
    checks: &mut Vec<UrlCheck>,
) -> Result<(SourceSpec, Option<CodeExchange>), ApiError> {
    let has = |key: &str| keys.get(key).is_some();
    let legacy = ["username", "password"].into_iter().find(|key| has(key));
    let app = ["oauth.user.token", "oauth.api.key", "oauth.api.secret"].into_iter().find(|key| has(key));
    match (legacy, app) {
        (Some(legacy), Some(app)) => {
            Err(ApiError::invalid(legacy, format!("it contradicts {app}: give one kind of credentials")))
        }
        (Some(legacy), None) if provider_data.is_some() => {
            Err(ApiError::invalid(legacy, "it contradicts providerData: give one kind of credentials"))
        }
        (Some(_), None) => Ok((with_account(keys, surroundings, checks)?, None)),
        (None, _) if provider_data.is_some() => with_code(keys, provider_data),
        (None, Some(_)) if has("oauth.user.token") => Ok((with_token(keys, surroundings)?, None)),
        (None, Some(_)) => Err(ApiError::new(
            400,
            "oauth.user.token is missing, and so is providerData with code, context and scope: give one of them",
        )),
        (None, None) => Err(ApiError::new(
            400,
            "username, password and store.url are missing (or oauth.user.token with store.hash)",
        )),
    }
}

/// Reads a legacy API account: basic authentication at the store's own address.
fn with_account(
    keys: Keys<'_>,
    surroundings: Surroundings<'_>,
    checks: &mut Vec<UrlCheck>,
) -> Result<SourceSpec, ApiError> {
    let (username, password) = (keys.required("username")?, keys.required("password")?);
    let mut url = store_url(&keys.required("store.url")?, surroundings, checks)?;
    let path = url.path().trim_end_matches('/').to_owned();
    match path.as_str() {
        "" => url.set_path("/api/v2"),
        "/api/v2" => url.set_path(&path),
        _ => return Err(ApiError::invalid("store.url", "the API path is needed, https://<store>/api/v2")),
    }
    let host = url.host_str().unwrap_or_default();
    let store_hash = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let auth = BigCommerceAuth::Legacy { api_url: url.to_string(), username, password: password.into() };
    Ok(store(store_hash, auth, Vec::new()))
}

fn with_token(keys: Keys<'_>, surroundings: Surroundings<'_>) -> Result<SourceSpec, ApiError> {
    let token = keys.required("oauth.user.token")?;
    let by_url = keys.text("store.url")?.map(|url| hash_of_url(&url, surroundings.api_url)).transpose()?;
    let by_hash = keys.text("store.hash")?.map(|hash| checked_hash("store.hash", hash.trim())).transpose()?;
    let hash = match (by_hash, by_url) {
        (Some(by_hash), Some(by_url)) if by_hash != by_url => {
            return Err(ApiError::invalid("store.hash", "it contradicts store.url"));
        }
        (Some(hash), _) | (None, Some(hash)) => hash,
        (None, None) => {
            return Err(ApiError::new(400, "store.hash is missing (or store.url with the API path of the store)"));
        }
    };
    Ok(store(hash, BigCommerceAuth::Token(token.into()), client_secrets(keys)?))
}

fn with_code(
    keys: Keys<'_>,
    provider_data: Option<&ProviderData>,
) -> Result<(SourceSpec, Option<CodeExchange>), ApiError> {
    let data = provider_data.ok_or_else(|| ApiError::missing("providerData"))?;
    let exchange = CodeExchange {
        client_id: keys.required("oauth.api.key")?,
        client_secret: keys.required("oauth.api.secret")?.into(),
        code: data.code.clone(),
        context: data.context.clone(),
        scope: data.scope.clone(),
        redirect_uri: keys.required("oauth.callback.url")?,
    };
    let hash = data.context.strip_prefix("stores/").unwrap_or(&data.context);
    let hash = checked_hash("providerData.context", hash)?;
    Ok((store(hash, BigCommerceAuth::Token("".into()), client_secrets(keys)?), Some(exchange)))
}

/// The app's secret signs the webhooks of hooks made with its token.
fn client_secrets(keys: Keys<'_>) -> Result<Vec<Secret>, ApiError> {
    let secret = keys.secret("oauth.api.secret")?;
    Ok(secret.into_iter().filter(|secret| secret.expose().len() >= MIN_CLIENT_SECRET).collect())
}

fn store(store_hash: String, auth: BigCommerceAuth, client_secrets: Vec<Secret>) -> SourceSpec {
    SourceSpec::BigCommerce(BigCommerceSpec { store_hash, auth, client_secrets, scopes: Vec::new(), is_app: false })
}

fn checked_hash(key: &str, hash: &str) -> Result<String, ApiError> {
    let fits = (1..=64).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_alphanumeric());
    let wrong = || ApiError::invalid(key, "a store hash is needed, `abcde` in `stores/abcde`");
    if fits { Ok(hash.to_owned()) } else { Err(wrong()) }
}

/// The store hash in `{BIGCOMMERCE_API_URL}/stores/{hash}/v2`, or in a store's permanent address
/// `https://store-{hash}.mybigcommerce.com`.
fn hash_of_url(url: &str, api_url: &Url) -> Result<String, ApiError> {
    let wrong = || {
        let form = format!("{}/stores/<hash>/v2", api_url.as_str().trim_end_matches('/'));
        ApiError::invalid("store.url", format!("with oauth.user.token it is {form} (or give store.hash)"))
    };
    let url = Url::parse(url.trim()).map_err(|_| wrong())?;
    let host = url.host_str().unwrap_or_default();
    if let Some(hash) = host.strip_prefix("store-").and_then(|rest| rest.strip_suffix(".mybigcommerce.com")) {
        return checked_hash("store.url", hash);
    }
    let is_api = url.origin() == api_url.origin();
    let path = url.path().strip_prefix(api_url.path().trim_end_matches('/')).filter(|_| is_api).ok_or_else(wrong)?;
    match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["stores", hash] | ["stores", hash, "v2" | "v3"] => checked_hash("store.url", hash),
        _ => Err(wrong()),
    }
}

/// Reads the credentials of a WooCommerce shop. The secret that signs its webhooks is added later.
///
/// # Errors
/// 400 naming the key.
pub fn woocommerce(
    keys: Keys<'_>,
    surroundings: Surroundings<'_>,
    checks: &mut Vec<UrlCheck>,
) -> Result<SourceSpec, ApiError> {
    let url = store_url(&keys.required("store.url")?, surroundings, checks)?;
    Ok(SourceSpec::WooCommerce(WooCommerceSpec {
        url: url.as_str().trim_end_matches('/').to_owned(),
        consumer_key: keys.required("oauth.api.key")?.into(),
        consumer_secret: keys.required("oauth.api.secret")?.into(),
        webhook_secret: "".into(),
    }))
}

/// Reads a store's address: https, or http in networks that the operator has opened. The default scheme is https.
fn store_url(text: &str, surroundings: Surroundings<'_>, checks: &mut Vec<UrlCheck>) -> Result<Url, ApiError> {
    const KEY: &str = "store.url";
    let text = text.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&text).map_err(|_| ApiError::invalid(KEY, "the address of a store is needed"))?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !is_plain || url.host_str().is_none_or(str::is_empty) {
        return Err(ApiError::invalid(KEY, "an address without user, query and fragment is needed"));
    }
    let needs_opened = match url.scheme() {
        "https" => false,
        "http" => true,
        _ => return Err(ApiError::invalid(KEY, "https is needed")),
    };
    let policy = surroundings.policy;
    policy.check_literal(&url).map_err(|error| ApiError::invalid(KEY, error))?;
    match AddressPolicy::literal(&url) {
        Some(address) if needs_opened && !policy.is_opened(address) => {
            return Err(ApiError::invalid(KEY, "https is needed"));
        }
        Some(_) => {}
        None => checks.push(UrlCheck { key: KEY, url: url.clone(), needs_opened }),
    }
    Ok(url)
}

/// Whether both are the same store with the same credentials.
pub fn are_same(one: &SourceSpec, other: &SourceSpec) -> bool {
    match (one, other) {
        (SourceSpec::BigCommerce(one), SourceSpec::BigCommerce(other)) => {
            one.store_hash == other.store_hash && one.auth == other.auth
        }
        (SourceSpec::WooCommerce(one), SourceSpec::WooCommerce(other)) => {
            one.url == other.url
                && one.consumer_key == other.consumer_key
                && one.consumer_secret == other.consumer_secret
        }
        _ => false,
    }
}
