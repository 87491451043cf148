//! A connection: one store, one destination, and the state of both, passed along as one value.

pub mod catalog;
pub mod environment;
pub mod evidence;
pub mod request;
mod trial;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    breaker::Breaker,
    clock::Timestamp,
    config::Settings,
    destination::{Destination, cloud_elements::Callback, one_tribe::OneTribe},
    http::Http,
    inbox::{ConnectionRecord, ConnectionState, Outage, PauseReason, Side, shard_of},
    metrics::Metrics,
    object::{ConnectionId, ResourceName, Snapshot},
    secret::Secret,
    signature,
    source::{
        Source,
        bigcommerce::{self, Platform},
        hooks::WantedHook,
        woocommerce::{self, Shops},
    },
    spec::{
        self, ConnectionSpec, DestinationKind, DestinationSpec, Origin, SourceKind, SourceSpec,
        keyring::destination_mark,
    },
};
use evidence::WebhookEvidence;

/// The live connections of the process.
pub type LiveCatalog = catalog::Catalog<Connection>;

/// The route of the environment's own connection, relative to the public address.
pub const ENVIRONMENT_HOOK_PATH: &str = "webhooks/bigcommerce";

/// An outage that began longer ago is a new one if the side fails after a restart.
const TAKEN_OVER: Duration = Duration::from_secs(3600);

/// One store and its destination as of one revision. A change makes a new value.
#[derive(Debug)]
pub struct Connection {
    /// The connection's number in the database and in the API.
    pub id: ConnectionId,
    /// Which way it was made: variables, API, app or instance.
    pub origin: Origin,
    /// Whether its events are delivered, wait, or are dropped.
    pub state: ConnectionState,
    /// Why it is paused; `None` unless it is.
    pub pause_reason: Option<PauseReason>,
    /// The display name.
    pub name: String,
    /// The kind of store.
    pub source_kind: SourceKind,
    /// Which store: a BigCommerce hash, or a shop's address.
    pub store: String,
    /// The unguessable part of its webhook URL.
    pub hook_key: String,
    /// The destination's kind and host, if there is one.
    pub destination_host: Option<(DestinationKind, String)>,
    /// A digest of the destination, keyed with `hook_key`; kept after the credentials are wiped.
    destination_mark: Option<Vec<u8>>,
    /// When the connection was made.
    pub created_at: Timestamp,
    /// Changes before this time are not relayed.
    pub begins_at: Timestamp,
    /// The shard that its store belongs to.
    pub shard: u16,
    /// Raised by every change.
    pub revision: i64,
    /// The store and the destination; `None` once disconnected.
    pub link: Option<Link>,
}

/// The two sides of a connection.
#[derive(Debug)]
pub struct Link {
    /// The validated description that both sides were built from.
    pub spec: ConnectionSpec,
    /// The store's client.
    pub source: Source,
    /// The destination, if one is set yet.
    pub destination: Option<Destination>,
    /// Verifies the store's webhooks.
    pub proof: Proof,
    /// What the webhooks so far say about secrets and missed events.
    pub webhooks: Mutex<WebhookEvidence>,
    store_breaker: Mutex<Breaker>,
    destination_breaker: Mutex<Breaker>,
}

/// What verifies a connection's webhooks.
#[derive(Debug)]
pub enum Proof {
    /// Signatures and the relay's own token.
    BigCommerce(bigcommerce::webhook::Verifier),
    /// A signature of the whole body.
    WooCommerce(woocommerce::webhook::Verifier),
}

impl Link {
    /// The breaker of one side.
    pub fn breaker(&self, side: Side) -> MutexGuard<'_, Breaker> {
        match side {
            Side::Store => self.store_breaker.lock(),
            Side::Destination => self.destination_breaker.lock(),
        }
    }

    /// Whether an object's status excludes it from being forwarded.
    pub fn skips(&self, snapshot: &Snapshot) -> bool {
        let is_skipped = |status: &String| self.spec.skip_statuses.contains(status);
        snapshot.status.as_ref().is_some_and(is_skipped) || self.source.is_draft(snapshot)
    }

    /// Takes over outages whose end nobody has seen yet, unless they began too long ago to be still the same.
    pub fn take_over(&self, outages: &[Outage]) {
        for outage in outages {
            let age = Timestamp::now().since(outage.since);
            let since = Instant::now().checked_sub(age).filter(|_| age < TAKEN_OVER);
            self.breaker(outage.side).take_over(since);
        }
    }

    /// Forgets the outages of both sides: no waiting object is left that could find out whether they are over.
    pub fn forget_outages(&self) {
        for side in Side::ALL {
            self.breaker(side).forget_outage();
        }
    }

    /// Forgets the state of both sides, once another process may know more of it.
    pub fn forget_sides(&self) {
        self.source.forget();
        for side in Side::ALL {
            *self.breaker(side) = Breaker::default();
        }
    }
}

impl Connection {
    /// Both sides, if objects may be delivered now.
    pub fn deliverable(&self) -> Option<(&Link, &Destination)> {
        let link = self.link.as_ref().filter(|_| self.state == ConnectionState::Active)?;
        Some((link, link.destination.as_ref()?))
    }

    /// The resources under which an event of the store's topic (`orders`, `products`, `customers`) is kept; none if
    /// the event is not reported.
    pub fn resources_of(&self, topic: &str) -> Vec<ResourceName> {
        let Some(link) = &self.link else { return Vec::new() };
        match &link.destination {
            Some(Destination::CloudElements(callback)) => callback.resources_of(topic),
            // An instance without events only serves its client's calls.
            None if link.spec.instance.is_some() => Vec::new(),
            Some(Destination::OneTribe(_)) | None if topic == ResourceName::orders().as_str() => {
                vec![ResourceName::orders()]
            }
            Some(Destination::OneTribe(_)) | None => Vec::new(),
        }
    }

    /// Whether it is the connection that the environment's variables describe.
    pub fn is_environments(&self) -> bool {
        self.origin == Origin::Environment
    }

    /// Whether this is its destination, or was before it ended.
    pub fn has_destination(&self, destination: &DestinationSpec) -> bool {
        match &self.link {
            Some(link) => link.spec.destination.as_ref().is_some_and(|own| own.url() == destination.url()),
            None => self.destination_mark.as_ref() == Some(&destination_mark(&self.hook_key, destination)),
        }
    }

    /// The path of its webhooks, relative to the public address.
    pub fn hook_path(&self) -> String {
        if self.is_environments() { ENVIRONMENT_HOOK_PATH.to_owned() } else { format!("webhooks/{}", self.hook_key) }
    }
}

/// Builds live connections from records and their opened specs.
#[derive(Debug)]
pub struct ConnectionBuilder {
    /// The settings of the process.
    pub settings: Arc<Settings>,
    /// The HTTP clients that all connections share.
    pub http: Arc<Http>,
    /// What all BigCommerce stores share.
    pub platform: Arc<Platform>,
    /// What all WooCommerce shops share.
    pub shops: Arc<Shops>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

impl ConnectionBuilder {
    /// Builds a live connection. Makes no call. If the spec is missing or no longer usable, `link` is `None`.
    pub fn build(&self, record: &ConnectionRecord, spec: Option<ConnectionSpec>) -> Connection {
        let link = spec.and_then(|spec| match self.link(record.origin, &record.hook_key, spec) {
            Ok(link) => Some(link),
            Err(error) => {
                tracing::error!(connection = %record.id, %error, "connection {}: cannot be used: {error}", record.id);
                None
            }
        });
        Connection {
            id: record.id,
            origin: record.origin,
            state: record.state,
            pause_reason: record.pause_reason,
            name: record.name.clone(),
            source_kind: record.source_kind,
            store: record.store.clone(),
            hook_key: record.hook_key.clone(),
            destination_host: record.destination_kind.zip(record.destination_host.clone()),
            destination_mark: record.destination_mark.clone(),
            created_at: record.created_at,
            begins_at: record.begins_at,
            shard: shard_of(record.source_kind, &record.store),
            revision: record.revision,
            link,
        }
    }

    /// A link to try credentials with before the connection is made; `None` if the store's address cannot be used.
    pub fn try_link(&self, spec: &ConnectionSpec) -> Option<Link> {
        self.link(spec.origin, "", spec.clone()).ok()
    }

    fn link(&self, origin: Origin, hook_key: &str, spec: ConnectionSpec) -> Result<Link, bigcommerce::BadAddress> {
        let destination = spec.destination.as_ref().and_then(|destination| self.destination(&spec, destination));
        let (source, proof) = match &spec.source {
            SourceSpec::BigCommerce(store) => {
                let secrets = self.callback_secrets(store);
                let tokens = self.hook_tokens(origin, hook_key, store);
                let tolerance = self.settings.webhook_tolerance;
                let verifier = bigcommerce::webhook::Verifier::new(&store.store_hash, secrets, tokens, tolerance);
                let source = bigcommerce::Store::new(self.platform.clone(), store)?;
                (Source::BigCommerce(Arc::new(source)), Proof::BigCommerce(verifier))
            }
            SourceSpec::WooCommerce(shop) => {
                let topics = watched_topics(destination.as_ref());
                let verifier =
                    woocommerce::webhook::Verifier::new(&shop.url, std::slice::from_ref(&shop.webhook_secret), topics);
                let source = woocommerce::Shop::new(self.shops.clone(), shop)?;
                (Source::WooCommerce(Arc::new(source)), Proof::WooCommerce(verifier))
            }
        };
        Ok(Link {
            source,
            destination,
            proof,
            webhooks: Mutex::default(),
            store_breaker: Mutex::default(),
            destination_breaker: Mutex::default(),
            spec,
        })
    }

    fn destination(&self, spec: &ConnectionSpec, destination: &DestinationSpec) -> Option<Destination> {
        match destination {
            DestinationSpec::OneTribe { url } => Some(Destination::OneTribe(OneTribe::new(
                self.http.clone(),
                url.clone(),
                spec.origin == Origin::Environment,
                spec.source.store(),
                self.settings.forward_timeout,
                self.metrics.clone(),
            ))),
            DestinationSpec::CloudElements(callback) => {
                let (http, metrics) = (self.http.clone(), self.metrics.clone());
                let callback = Callback::new(http, spec, callback, self.settings.forward_timeout, metrics);
                Some(Destination::CloudElements(Box::new(callback)))
            }
        }
    }

    /// The secrets that may sign a BigCommerce store's webhooks.
    fn callback_secrets(&self, store: &spec::BigCommerceSpec) -> Vec<Secret> {
        match &self.settings.app {
            Some(app) if store.is_app => vec![app.client_secret.clone()],
            _ => store.client_secrets.clone(),
        }
    }

    /// The values of `x-relay-token` on a BigCommerce store's hooks, one for each secret it may be derived from; the
    /// first is current.
    pub fn hook_tokens(&self, origin: Origin, hook_key: &str, store: &spec::BigCommerceSpec) -> Vec<Secret> {
        let subject = if origin == Origin::Environment { &store.store_hash } else { hook_key };
        let mut secrets = self.callback_secrets(store);
        if secrets.is_empty() {
            secrets.push(match &store.auth {
                spec::BigCommerceAuth::Token(token) => token.clone(),
                spec::BigCommerceAuth::Legacy { password, .. } => password.clone(),
            });
        }
        secrets.iter().map(|secret| signature::derive_token(secret, "hook", subject)).collect()
    }

    /// The relay's own secrets that may appear on a connection's hooks.
    pub fn own_tokens(&self, connection: &Connection) -> Vec<Secret> {
        match connection.link.as_ref().map(|link| &link.spec.source) {
            Some(SourceSpec::BigCommerce(store)) => self.hook_tokens(connection.origin, &connection.hook_key, store),
            Some(SourceSpec::WooCommerce(_)) | None => Vec::new(),
        }
    }

    /// The hooks that a connection should have; none without a public address, or where no webhooks are wanted.
    pub fn wanted_hooks(&self, connection: &Connection) -> Vec<WantedHook> {
        let Some((public_url, link)) = self.settings.public_url.as_ref().zip(connection.link.as_ref()) else {
            return Vec::new();
        };
        if !link.spec.has_webhooks {
            return Vec::new();
        }
        let destination = format!("{}/{}", public_url.as_str().trim_end_matches('/'), connection.hook_path());
        match &link.spec.source {
            SourceSpec::BigCommerce(store) => {
                let tokens = self.hook_tokens(connection.origin, &connection.hook_key, store);
                let Some(secret) = tokens.into_iter().next() else { return Vec::new() };
                let wanted = |topic: &String| WantedHook {
                    topic: topic.clone(),
                    destination: destination.clone(),
                    secret: secret.clone(),
                };
                store.scopes.iter().map(wanted).collect()
            }
            SourceSpec::WooCommerce(shop) => watched_topics(link.destination.as_ref())
                .into_iter()
                .map(|topic| WantedHook {
                    topic,
                    destination: destination.clone(),
                    secret: shop.webhook_secret.clone(),
                })
                .collect(),
        }
    }
}

/// The webhook topics that a connection to a WooCommerce shop watches.
fn watched_topics(destination: Option<&Destination>) -> Vec<String> {
    match destination {
        Some(Destination::CloudElements(callback)) => {
            callback.topics().into_iter().flat_map(woocommerce::hooks::topics_of).collect()
        }
        Some(Destination::OneTribe(_)) | None => woocommerce::hooks::topics_of("orders"),
    }
}
