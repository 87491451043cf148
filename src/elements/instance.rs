//! Requests that make or change instances, and the specs that result. Pure: the caller checks whether a store takes
//! the credentials and where hosts resolve to (see [`Draft`]).
//!
//! Source: Cloud Elements, "Post instances", and its API test suite. An instance is a connection.

mod credentials;
mod events;
mod request;
pub mod show;

use std::fmt;

use rand::seq::IndexedRandom;
pub use request::{Configuration, ProviderData};
use request::{configuration_of, element_of, find_element, name_of, provider_data, tags_of};
use serde_json::Value;
use url::Url;

pub use credentials::{CodeExchange, UrlCheck};

use super::{catalog::Element, error::ApiError, values};
use crate::{
    http::AddressPolicy,
    secret::Secret,
    spec::{ConnectionSpec, InstanceSpec, Origin, SourceKind, SourceSpec, WooCommerceSpec},
};

/// Replaces a secret in answers, and stands for "unchanged" in requests.
pub const MASK: &str = "********";

/// The body of POST, PUT or PATCH, parsed but not yet validated.
#[derive(Clone, Default)]
pub struct InstanceRequest {
    /// The element, if the body or the path names one.
    pub element: Option<&'static Element>,
    /// The name, without HTML.
    pub name: Option<String>,
    /// The tags, without HTML.
    pub tags: Option<Vec<String>>,
    /// The configuration, as far as it was given.
    pub configuration: Option<Configuration>,
    /// The parameters that BigCommerce redirected a browser with; never stored.
    pub provider_data: Option<ProviderData>,
}

/// Shows only the configuration's keys: its values hold secrets.
impl fmt::Debug for InstanceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceRequest")
            .field("element", &self.element.map(|element| element.key))
            .field("name", &self.name)
            .field("configuration", &self.configuration.as_ref().map(Configuration::keys))
            .finish_non_exhaustive()
    }
}

/// The settings of the relay that validation needs.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The value of `BIGCOMMERCE_API_URL`.
    pub api_url: &'a Url,
    /// Which addresses URLs may lead to.
    pub policy: &'a AddressPolicy,
}

/// An instance that has been validated as far as is possible without a call.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The spec to be stored. If `exchange` is set, its token is still empty: see [`Draft::set_token`].
    pub spec: ConnectionSpec,
    /// A code to be exchanged for the token first.
    pub exchange: Option<CodeExchange>,
    /// URLs whose hosts are to be resolved and checked before anything is stored.
    pub checks: Vec<UrlCheck>,
    /// Whether the store has to be asked if it takes the credentials: they are new or have changed.
    pub has_new_credentials: bool,
}

impl InstanceRequest {
    /// Parses a body. `element` is the one that the path names (`/elements/{keyOrId}/instances`).
    ///
    /// # Errors
    /// 400 naming the key; 404 for an unknown element.
    pub fn parse(body: &[u8], element: Option<&str>) -> Result<Self, ApiError> {
        let body: Value = serde_json::from_slice(body).map_err(|_| ApiError::new(400, "the body is no JSON"))?;
        let body = body.as_object().ok_or_else(|| ApiError::new(400, "the body is no JSON object"))?;
        let within = body.get("element").filter(|value| !value.is_null()).map(element_of).transpose()?;
        let of_path = element.map(find_element).transpose()?;
        if within.zip(of_path).is_some_and(|(within, of_path)| within != of_path) {
            return Err(ApiError::invalid("element", "the body names another element than the path"));
        }
        let configuration = match body.get("configuration") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let found =
                    value.as_object().ok_or_else(|| ApiError::invalid("configuration", "an object is needed"))?;
                Some(configuration_of(found)?)
            }
        };
        Ok(Self {
            element: of_path.or(within),
            name: body.get("name").filter(|name| !name.is_null()).map(name_of).transpose()?,
            tags: body.get("tags").filter(|tags| !tags.is_null()).map(tags_of).transpose()?,
            configuration,
            provider_data: body.get("providerData").filter(|data| !data.is_null()).map(provider_data).transpose()?,
        })
    }

    /// Validates a new instance.
    ///
    /// # Errors
    /// 400 naming the key that is missing, wrong or contradicts another.
    pub fn create(self, surroundings: Surroundings<'_>) -> Result<Draft, ApiError> {
        let element = self.element.ok_or_else(|| ApiError::missing("element.key"))?;
        let name = self.name.ok_or_else(|| ApiError::missing("name"))?;
        let configuration = self.configuration.unwrap_or_default();
        if let Some((key, _)) = configuration.iter().find(|(_, value)| value.as_str() == Some(MASK)) {
            return Err(ApiError::invalid(key, "`********` stands for a value that is there already"));
        }
        let given = Given { element, name, tags: self.tags.unwrap_or_default(), configuration };
        given.draft(self.provider_data.as_ref(), None, surroundings)
    }

    /// PUT: name, tags and configuration, as far as given, replace the old ones. Credentials that the configuration
    /// does not mention stay, and so does any value given as `********`.
    ///
    /// # Errors
    /// As [`InstanceRequest::create`].
    pub fn replace(self, old: &ConnectionSpec, surroundings: Surroundings<'_>) -> Result<Draft, ApiError> {
        self.change(old, surroundings, |before, mut given| {
            restore_masked(before, &mut given)?;
            let keys = credentials::KEYS;
            if !given.iter().any(|(key, value)| keys.contains(&key.as_str()) && before.get(key) != Some(value)) {
                let kept = before.iter().filter(|(key, _)| keys.contains(&key.as_str()));
                given.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
            }
            Ok(given)
        })
    }

    /// PATCH: configuration keys are merged one by one; null removes a key.
    ///
    /// # Errors
    /// As [`InstanceRequest::create`].
    pub fn merge(self, old: &ConnectionSpec, surroundings: Surroundings<'_>) -> Result<Draft, ApiError> {
        self.change(old, surroundings, |before, mut given| {
            restore_masked(before, &mut given)?;
            let mut merged = before.clone();
            merged.extend(given);
            merged.retain(|_, value| !value.is_null());
            Ok(merged)
        })
    }

    fn change(
        self,
        old: &ConnectionSpec,
        surroundings: Surroundings<'_>,
        combine: impl FnOnce(&Configuration, Configuration) -> Result<Configuration, ApiError>,
    ) -> Result<Draft, ApiError> {
        let instance = old.instance.as_ref().ok_or_else(|| ApiError::not_found("no such instance"))?;
        let element = Element::of(old.source.kind());
        if self.element.is_some_and(|wanted| wanted != element) {
            let problem = "an instance keeps its element; make another instance";
            return Err(ApiError::invalid("element", problem));
        }
        let configuration = match self.configuration {
            Some(given) => combine(&instance.configuration, given)?,
            None => instance.configuration.clone(),
        };
        let given = Given {
            element,
            name: self.name.unwrap_or_else(|| old.name.clone()),
            tags: self.tags.unwrap_or_else(|| instance.tags.clone()),
            configuration,
        };
        let draft = given.draft(self.provider_data.as_ref(), Some(old), surroundings)?;
        if draft.spec.source.store() != old.source.store() {
            let given = |key: &str| draft.spec.instance.as_ref().and_then(|now| now.configuration.get(key));
            let is_hash = given("store.hash") != instance.configuration.get("store.hash");
            let key = if is_hash { "store.hash" } else { "store.url" };
            return Err(ApiError::invalid(key, "an instance keeps its store; make another instance"));
        }
        Ok(draft)
    }
}

/// Replaces `********` with the value that it stands for.
fn restore_masked(before: &Configuration, given: &mut Configuration) -> Result<(), ApiError> {
    for (key, value) in given.iter_mut() {
        match before.get(key) {
            Some(old) if *value == show::masked(key, old) => *value = old.clone(),
            None if value.as_str() == Some(MASK) => {
                return Err(ApiError::invalid(key, "`********` stands for a value that is there already"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// All parts that an instance is made of.
struct Given {
    element: &'static Element,
    name: String,
    tags: Vec<String>,
    configuration: Configuration,
}

impl Given {
    fn draft(
        self,
        provider_data: Option<&ProviderData>,
        old: Option<&ConnectionSpec>,
        surroundings: Surroundings<'_>,
    ) -> Result<Draft, ApiError> {
        let mut checks = Vec::new();
        let keys = Keys(&self.configuration);
        let (mut source, exchange) = match self.element.kind {
            SourceKind::BigCommerce => credentials::bigcommerce(keys, provider_data, surroundings, &mut checks)?,
            SourceKind::WooCommerce => (credentials::woocommerce(keys, surroundings, &mut checks)?, None),
        };
        let events = events::read(self.element.kind, keys, surroundings, &mut checks)?;
        let has_webhooks = events.as_ref().is_some_and(|events| events.has_webhooks);
        if let SourceSpec::BigCommerce(store) = &mut source
            && has_webhooks
        {
            store.scopes = events::scopes(store, events.as_ref().map_or(&[], |events| &events.resources))?;
        }
        keep_webhook_secret(&mut source, old.map(|old| &old.source));
        let has_new_credentials =
            exchange.is_some() || old.is_none_or(|old| !credentials::are_same(&old.source, &source));
        let has_events = events.is_some();
        let (destination, resources, poll_interval) = match events {
            Some(events) => (Some(events.destination), events.resources, Some(events.interval)),
            None => (None, Vec::new(), None),
        };
        let instance = InstanceSpec {
            element_key: self.element.key.to_owned(),
            tags: self.tags,
            configuration: self.configuration,
            has_events,
        };
        let spec = ConnectionSpec {
            name: self.name,
            origin: Origin::Instance,
            source,
            destination,
            skip_statuses: Vec::new(),
            resources,
            poll_interval,
            has_webhooks,
            instance: Some(instance),
        };
        Ok(Draft { spec, exchange, checks, has_new_credentials })
    }
}

impl Draft {
    /// Stores the token that the code was exchanged for, under `oauth.user.token` and `store.hash`, so that a later
    /// change finds it. `hash` is the store that the login server's answer names.
    ///
    /// # Errors
    /// 400 if that is not the store that was to be connected.
    pub fn set_token(&mut self, hash: &str, token: Secret) -> Result<(), ApiError> {
        if let SourceSpec::BigCommerce(store) = &mut self.spec.source {
            if store.store_hash != hash {
                return Err(ApiError::invalid("providerData.context", "the code is for another store"));
            }
            if let Some(instance) = &mut self.spec.instance {
                let configuration = &mut instance.configuration;
                configuration.insert("oauth.user.token".to_owned(), token.expose().into());
                configuration.insert("store.hash".to_owned(), hash.into());
            }
            store.auth = crate::spec::BigCommerceAuth::Token(token);
        }
        self.exchange = None;
        Ok(())
    }
}

/// Keeps the secret that signs a shop's webhooks, or generates it once.
fn keep_webhook_secret(source: &mut SourceSpec, old: Option<&SourceSpec>) {
    let SourceSpec::WooCommerce(WooCommerceSpec { webhook_secret, .. }) = source else {
        return;
    };
    *webhook_secret = match old {
        Some(SourceSpec::WooCommerce(old)) => old.webhook_secret.clone(),
        _ => new_webhook_secret(),
    };
}

/// 48 letters and digits: WooCommerce decodes HTML entities in secrets before it signs.
fn new_webhook_secret() -> Secret {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    let letters = (0..48).filter_map(|_| LETTERS.choose(&mut rng).map(|letter| char::from(*letter)));
    letters.collect::<String>().into()
}

/// A configuration, read key by key.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Configuration);

impl<'a> Keys<'a> {
    /// The value of a key; null and blank count as missing.
    fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !values::is_blank(value))
    }

    fn text(self, key: &str) -> Result<Option<String>, ApiError> {
        let read = |value| values::as_text(value).ok_or_else(|| ApiError::invalid(key, "a text is needed"));
        let text = self.get(key).map(read).transpose()?;
        if text.as_ref().is_some_and(|text| text.len() > 4096 || text.chars().any(char::is_control)) {
            return Err(ApiError::invalid(key, "it is too long or holds control characters"));
        }
        Ok(text)
    }

    fn secret(self, key: &str) -> Result<Option<Secret>, ApiError> {
        Ok(self.text(key)?.map(Secret::from))
    }

    fn required(self, key: &str) -> Result<String, ApiError> {
        self.text(key)?.ok_or_else(|| ApiError::missing(key))
    }

    fn flag(self, key: &str, default: bool) -> Result<bool, ApiError> {
        self.get(key).map_or(Ok(default), |value| {
            values::boolean(value).ok_or_else(|| ApiError::invalid(key, "true or false is needed"))
        })
    }
}

#[cfg(test)]
mod tests;
