//! Turns what `POST /connections`, `PATCH /connections/{id}`, the operator's form and the file of `connections add`
//! ask for into a validated spec. No call is made here: the caller checks whether the store takes the credentials.

mod object;

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt, distr::Alphanumeric};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use crate::{
    config::Settings,
    http::{AddressPolicy, LookupError},
    inbox::ConnectionState,
    secret::Secret,
    spec::{
        BigCommerceAuth, BigCommerceSpec, CallbackSpec, ConnectionSpec, DestinationSpec, Origin, SourceKind,
        SourceSpec, WooCommerceSpec, fields, normalized_shop,
        payload_url::{OneTribeHosts, check_payload_url},
    },
};

pub use object::FieldProblem;
use object::{Object, Read};

/// Length of a generated webhook secret: 285 bits. WooCommerce decodes HTML entities in the secret before it signs
/// (`wp_specialchars_decode`), so only letters and digits are safe.
const WEBHOOK_SECRET: usize = 48;

/// How long a DNS lookup may take before the connection is made without it: each connect checks its address again.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Most entries of `skip_order_statuses`.
const MAX_STATUSES: usize = 100;

/// What a request may contain, according to the settings of the process.
#[derive(Debug, Clone)]
pub struct RequestRules {
    /// Which addresses URLs may lead to.
    pub policy: AddressPolicy,
    /// Which hosts a payload URL may use.
    pub one_tribe_hosts: OneTribeHosts,
    /// The scopes that hooks of BigCommerce stores are registered for.
    pub scopes: Vec<String>,
}

impl RequestRules {
    /// The rules that follow from the operator's settings.
    pub fn of(settings: &Settings) -> Self {
        Self {
            policy: AddressPolicy::new(settings.allowed_private_networks.clone()),
            one_tribe_hosts: settings.one_tribe_hosts.clone(),
            scopes: settings.scopes.clone(),
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestProblem {
    /// The body is not JSON (400).
    #[error("the body is not JSON (line {line}, column {column}): send an object as in the README")]
    NotJson {
        /// The line at which parsing stopped, from 1.
        line: usize,
        /// The column within that line.
        column: usize,
    },
    /// A field is wrong, missing or unknown (422).
    #[error(transparent)]
    Field(#[from] FieldProblem),
}

/// A validated request for a new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRequest {
    /// The spec to be stored.
    pub spec: ConnectionSpec,
    /// The initial state: `Active` or `Paused`.
    pub state: ConnectionState,
}

/// A validated change of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionChange {
    /// The whole spec after the change; equal to the former one if only the state changes.
    pub spec: ConnectionSpec,
    /// The new state, `Active` or `Paused`, if one was given.
    pub state: Option<ConnectionState>,
    /// Whether the store's address or credentials change: they are tried first.
    pub is_source_changed: bool,
}

fn parse(body: &[u8]) -> Result<Value, RequestProblem> {
    serde_json::from_slice(body).map_err(|error| RequestProblem::NotJson { line: error.line(), column: error.column() })
}

impl ConnectionRequest {
    /// Reads the body of `POST /connections`.
    ///
    /// # Errors
    /// [`RequestProblem`] names the first field that is wrong.
    pub fn from_json(body: &[u8], rules: &RequestRules) -> Result<Self, RequestProblem> {
        Ok(Self::from_value(&parse(body)?, rules)?)
    }

    /// Like [`Self::from_json`] for a parsed value, such as the operator's form turned into an object.
    ///
    /// # Errors
    /// [`FieldProblem`] names the first field that is wrong.
    pub fn from_value(value: &Value, rules: &RequestRules) -> Result<Self, FieldProblem> {
        let whole = Object::whole(value)?;
        whole.only(&["name", "source", "destination", "skip_order_statuses", "state"])?;
        let name = whole.required("name", fields::name)?;
        let source = whole.object("source")?.ok_or_else(|| whole.problem("source", "is missing"))?;
        let source = new_source(&source, rules)?;
        let destination = whole.object("destination")?.ok_or_else(|| whole.problem("destination", "is missing"))?;
        let destination = read_destination(&destination, rules)?;
        let skip_statuses = statuses(&whole, source.kind())?.unwrap_or_default();
        let state = state(&whole)?.unwrap_or(ConnectionState::Active);
        let spec = ConnectionSpec {
            name,
            origin: Origin::Api,
            source,
            destination: Some(destination),
            skip_statuses,
            resources: Vec::new(),
            poll_interval: None,
            has_webhooks: true,
            instance: None,
        };
        Ok(Self { spec, state })
    }
}

impl ConnectionChange {
    /// Applies the body of `PATCH /connections/{id}` to the spec of that connection. Fields of `source` change one by
    /// one; a `destination` replaces the former one whole.
    ///
    /// # Errors
    /// [`RequestProblem`] names the first field that is wrong, or that cannot be changed.
    pub fn from_json(body: &[u8], former: &ConnectionSpec, rules: &RequestRules) -> Result<Self, RequestProblem> {
        let value = parse(body)?;
        let whole = Object::whole(&value)?;
        whole.only(&["name", "source", "destination", "skip_order_statuses", "state"])?;
        whole.without_nulls()?;
        let mut spec = former.clone();
        if let Some(name) = whole.checked("name", fields::name)? {
            spec.name = name;
        }
        let source = whole.object("source")?;
        if let Some(given) = &source {
            check_changeable(&whole, "source", former.origin)?;
            given.without_nulls()?;
            change_source(given, &mut spec.source, rules)?;
        }
        if let Some(given) = whole.object("destination")? {
            if former.origin == Origin::Instance {
                check_changeable(&whole, "destination", former.origin)?;
            }
            spec.destination = Some(read_destination(&given, rules)?);
        }
        if let Some(statuses) = statuses(&whole, spec.source.kind())? {
            spec.skip_statuses = statuses;
        }
        let state = state(&whole)?;
        Ok(Self { is_source_changed: spec.source != former.source, spec, state })
    }
}

/// Refuses fields that are managed another way than by this request.
fn check_changeable(whole: &Object<'_>, name: &str, origin: Origin) -> Read<()> {
    match origin {
        Origin::Api => Ok(()),
        Origin::Environment => Err(whole.problem(name, "is set by the relay's variables: change those and restart")),
        Origin::App => Err(whole.problem(name, "is the app's: open or install the app in the store to renew it")),
        Origin::Instance => {
            Err(whole.problem(name, "is an instance's: change it through PATCH /elements/api-v2/instances/{id}"))
        }
    }
}

fn new_source(given: &Object<'_>, rules: &RequestRules) -> Read<SourceSpec> {
    match given.required("kind", |kind| kind.parse::<SourceKind>().map_err(|_| KIND_OF_SOURCE))? {
        SourceKind::BigCommerce => {
            given.only(&BIGCOMMERCE)?;
            Ok(SourceSpec::BigCommerce(BigCommerceSpec {
                store_hash: given.required("store_hash", fields::store_hash)?,
                auth: BigCommerceAuth::Token(given.required("access_token", fields::header_secret)?),
                client_secrets: given.required("client_secret", fields::client_secrets)?,
                scopes: rules.scopes.clone(),
                is_app: false,
            }))
        }
        SourceKind::WooCommerce => {
            given.only(&WOOCOMMERCE)?;
            Ok(SourceSpec::WooCommerce(WooCommerceSpec {
                url: given.required("url", |url| fields::shop_url(url, &rules.policy))?,
                consumer_key: given.required("consumer_key", fields::header_secret)?,
                consumer_secret: given.required("consumer_secret", fields::header_secret)?,
                webhook_secret: new_webhook_secret(),
            }))
        }
    }
}

const KIND_OF_SOURCE: &str = "must be \"bigcommerce\" or \"woocommerce\"";
const BIGCOMMERCE: [&str; 4] = ["kind", "store_hash", "access_token", "client_secret"];
const WOOCOMMERCE: [&str; 4] = ["kind", "url", "consumer_key", "consumer_secret"];
const SAME_STORE: &str = "cannot be changed: a connection stays with its store; make another one for another store";

fn change_source(given: &Object<'_>, source: &mut SourceSpec, rules: &RequestRules) -> Read<()> {
    let kind = given.checked("kind", |kind| kind.parse::<SourceKind>().map_err(|_| KIND_OF_SOURCE))?;
    if kind.is_some_and(|kind| kind != source.kind()) {
        return Err(given.problem("kind", SAME_STORE));
    }
    match source {
        SourceSpec::BigCommerce(store) => {
            given.only(&BIGCOMMERCE)?;
            if given.checked("store_hash", fields::store_hash)?.is_some_and(|hash| hash != store.store_hash) {
                return Err(given.problem("store_hash", SAME_STORE));
            }
            if let Some(token) = given.checked("access_token", fields::header_secret)? {
                store.auth = BigCommerceAuth::Token(token);
            }
            if let Some(secrets) = given.checked("client_secret", fields::client_secrets)? {
                store.client_secrets = secrets;
            }
        }
        SourceSpec::WooCommerce(shop) => {
            given.only(&WOOCOMMERCE)?;
            if let Some(url) = given.checked("url", |url| fields::shop_url(url, &rules.policy))? {
                if normalized_shop(&url) != normalized_shop(&shop.url) {
                    return Err(given.problem("url", SAME_STORE));
                }
                shop.url = url;
            }
            if let Some(key) = given.checked("consumer_key", fields::header_secret)? {
                shop.consumer_key = key;
            }
            if let Some(secret) = given.checked("consumer_secret", fields::header_secret)? {
                shop.consumer_secret = secret;
            }
        }
    }
    Ok(())
}

fn read_destination(given: &Object<'_>, rules: &RequestRules) -> Read<DestinationSpec> {
    const KIND: &str = "must be \"one_tribe\" or \"cloud_elements\"";
    let is_one_tribe = given.required("kind", |kind| match kind {
        "one_tribe" => Ok(true),
        "cloud_elements" => Ok(false),
        _ => Err(KIND),
    })?;
    if is_one_tribe {
        given.only(&["kind", "url"])?;
        let url = given.required("url", |url| check_payload_url(url, &rules.one_tribe_hosts, &rules.policy))?;
        return Ok(DestinationSpec::OneTribe { url: String::from(url).into() });
    }
    given.only(&["kind", "callback_url", "signature_key"])?;
    Ok(DestinationSpec::CloudElements(CallbackSpec {
        url: given.required("callback_url", |url| fields::callback_url(url, &rules.policy))?,
        signature_key: given.checked("signature_key", fields::signature_key)?,
        headers: BTreeMap::new(),
        basic: None,
        has_raw: true,
        drops_nulls: true,
    }))
}

/// Reads `skip_order_statuses`, in the store's own terms. BigCommerce's ids may be numbers or strings.
fn statuses(whole: &Object<'_>, kind: SourceKind) -> Read<Option<Vec<String>>> {
    let Some(items) = whole.list("skip_order_statuses")? else { return Ok(None) };
    if items.len() > MAX_STATUSES {
        return Err(whole.problem("skip_order_statuses", "must hold at most 100 statuses"));
    }
    let mut statuses = Vec::new();
    for (path, item) in items {
        let status = match (kind, item) {
            (SourceKind::BigCommerce, Value::Number(id)) => fields::bigcommerce_status(&id.to_string()),
            (SourceKind::BigCommerce, Value::String(id)) => fields::bigcommerce_status(id),
            (SourceKind::BigCommerce, _) => Err("must be the id of a status, such as 0 (Incomplete)"),
            (SourceKind::WooCommerce, Value::String(slug)) => fields::woocommerce_status(slug),
            (SourceKind::WooCommerce, _) => Err("must be the slug of a status, such as \"pending\""),
        };
        let status = status.map_err(|problem| FieldProblem::new(path, problem))?;
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    Ok(Some(statuses))
}

fn state(whole: &Object<'_>) -> Read<Option<ConnectionState>> {
    whole.checked("state", |state| match state {
        "active" => Ok(ConnectionState::Active),
        "paused" => Ok(ConnectionState::Paused),
        _ => Err("must be \"active\" or \"paused\""),
    })
}

/// Generates the secret under which a WooCommerce shop signs its webhooks.
pub fn new_webhook_secret() -> Secret {
    let secret: String = rand::rng().sample_iter(Alphanumeric).take(WEBHOOK_SECRET).map(char::from).collect();
    secret.into()
}

/// Looks up the hosts of a spec's URLs: none may lead to a private address. A name that does not resolve now is left
/// to the first call, which reports it; every call checks the address again.
///
/// # Errors
/// [`FieldProblem`] names the URL that leads to a private address.
pub async fn check_addresses(spec: &ConnectionSpec, policy: &AddressPolicy) -> Result<(), FieldProblem> {
    let source = match &spec.source {
        SourceSpec::WooCommerce(shop) => Some(("source.url", shop.url.as_str())),
        SourceSpec::BigCommerce(BigCommerceSpec { auth: BigCommerceAuth::Legacy { api_url, .. }, .. }) => {
            Some(("source.url", api_url.as_str()))
        }
        SourceSpec::BigCommerce(_) => None,
    };
    let destination = spec.destination.as_ref().map(|destination| {
        let field = match destination {
            DestinationSpec::OneTribe { .. } => "destination.url",
            DestinationSpec::CloudElements(_) => "destination.callback_url",
        };
        (field, destination.url().expose())
    });
    for (field, url) in source.into_iter().chain(destination) {
        let url = Url::parse(url).map_err(|_| FieldProblem::new(field, "is not a URL"))?;
        if let Ok(Err(LookupError::Private)) = timeout(LOOKUP_TIMEOUT, policy.look_up(&url)).await {
            return Err(FieldProblem::new(field, fields::PRIVATE));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
