//! A connection: one store, one destination, and how both stand, passed along as one value.

pub mod catalog;
pub mod environment;
pub mod evidence;
pub mod request;
mod trial;

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::{
    breaker::Breaker,
    clock::Timestamp,
    config::Settings,
    destination::{Destination, cloud_elements::Callback, one_tribe::OneTribe},
    http::Http,
    inbox::{ConnectionRecord, ConnectionState, PauseReason, Side, shard_of},
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

/// One store and its destination, as they are now. A change makes another value.
#[derive(Debug)]
pub struct Connection {
    /// Its number.
    pub id: ConnectionId,
    /// Where it came from.
    pub origin: Origin,
    /// What happens with its events.
    pub state: ConnectionState,
    /// Why it is paused, if it is.
    pub pause_reason: Option<PauseReason>,
    /// What people call it.
    pub name: String,
    /// The kind of store.
    pub source_kind: SourceKind,
    /// Which store: a BigCommerce hash, or a shop's address.
    pub store: String,
    /// The unguessable part of its webhook address.
    pub hook_key: String,
    /// The destination's kind and host, if there is one.
    pub destination_host: Option<(DestinationKind, String)>,
    /// A digest of the destination, keyed with `hook_key`, which outlasts the credentials.
    destination_mark: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on changes count.
    pub begins_at: Timestamp,
    /// Which shard it belongs to.
    pub shard: u16,
    /// Goes up with every change.
    pub revision: i64,
    /// The store and the destination; none once it is disconnected.
    pub link: Option<Link>,
}

/// The two sides of a connection.
#[derive(Debug)]
pub struct Link {
    /// What it was asked for.
    pub spec: ConnectionSpec,
    /// The store.
    pub source: Source,
    /// Where its objects go, if that is known yet.
    pub destination: Option<Destination>,
    /// What proves its callbacks.
    pub proof: Proof,
    /// What its webhooks have shown.
    pub webhooks: Mutex<WebhookEvidence>,
    store_breaker: Mutex<Breaker>,
    destination_breaker: Mutex<Breaker>,
}

/// What proves a connection's callbacks.
#[derive(Debug)]
pub enum Proof {
    /// Signatures and the relay's token.
    BigCommerce(bigcommerce::webhook::Verifier),
    /// A signature of the whole body.
    WooCommerce(woocommerce::webhook::Verifier),
}

impl Link {
    /// Whether a side takes calls.
    pub fn breaker(&self, side: Side) -> MutexGuard<'_, Breaker> {
        match side {
            Side::Store => self.store_breaker.lock(),
            Side::Destination => self.destination_breaker.lock(),
        }
    }

    /// Whether an object is not forwarded, since its status says so.
    pub fn skips(&self, snapshot: &Snapshot) -> bool {
        let is_skipped = |status: &String| self.spec.skip_statuses.contains(status);
        snapshot.status.as_ref().is_some_and(is_skipped) || self.source.is_draft(snapshot)
    }

    /// Forgets the outages of both sides: no object waits any more that could see the end of one.
    pub fn forget_outages(&self) {
        for side in Side::ALL {
            self.breaker(side).forget_outage();
        }
    }

    /// Forgets whatever was seen of both sides, since another process may see, or has seen, more of them.
    pub fn forget_sides(&self) {
        self.source.forget();
        for side in Side::ALL {
            *self.breaker(side) = Breaker::default();
        }
    }
}

impl Connection {
    /// Its link, if its objects may be delivered now.
    pub fn deliverable(&self) -> Option<(&Link, &Destination)> {
        let link = self.link.as_ref().filter(|_| self.state == ConnectionState::Active)?;
        Some((link, link.destination.as_ref()?))
    }

    /// The resources under which an event of the store's own `orders`, `products` or `customers` is kept; none for what
    /// is not worth reporting.
    pub fn resources_of(&self, topic: &str) -> Vec<ResourceName> {
        let Some(link) = &self.link else { return Vec::new() };
        match &link.destination {
            Some(Destination::CloudElements(callback)) => callback.resources_of(topic),
            // An instance without events only answers its client.
            None if link.spec.instance.is_some() => Vec::new(),
            Some(Destination::OneTribe(_)) | None if topic == ResourceName::orders().as_str() => {
                vec![ResourceName::orders()]
            }
            Some(Destination::OneTribe(_)) | None => Vec::new(),
        }
    }

    /// Whether it is the one that the environment's variables describe.
    pub fn is_environments(&self) -> bool {
        self.origin == Origin::Environment
    }

    /// Whether this is (or was, before it ended) its destination.
    pub fn has_destination(&self, destination: &DestinationSpec) -> bool {
        match &self.link {
            Some(link) => link.spec.destination.as_ref().is_some_and(|own| own.url() == destination.url()),
            None => self.destination_mark.as_ref() == Some(&destination_mark(&self.hook_key, destination)),
        }
    }

    /// Where its hooks point, relative to the public address.
    pub fn hook_path(&self) -> String {
        if self.is_environments() { ENVIRONMENT_HOOK_PATH.to_owned() } else { format!("webhooks/{}", self.hook_key) }
    }
}

/// Makes live connections of records and their opened specs.
#[derive(Debug)]
pub struct ConnectionBuilder {
    /// What holds for the whole process.
    pub settings: Arc<Settings>,
    /// The clients that all share.
    pub http: Arc<Http>,
    /// What all BigCommerce stores share.
    pub platform: Arc<Platform>,
    /// What all WooCommerce shops share.
    pub shops: Arc<Shops>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
}

impl ConnectionBuilder {
    /// A live connection. Makes no call. One whose spec cannot be used any more is without a link.
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

    /// A link to try credentials with, before a connection is made of them; none if the store's address cannot be used.
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

    /// What signs the callbacks of a BigCommerce store.
    fn callback_secrets(&self, store: &spec::BigCommerceSpec) -> Vec<Secret> {
        match &self.settings.app {
            Some(app) if store.is_app => vec![app.client_secret.clone()],
            _ => store.client_secrets.clone(),
        }
    }

    /// What the relay puts on a BigCommerce store's hooks as `x-relay-token`, one for each secret that it may be
    /// derived from; the first is current.
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

    /// The relay's own secrets that a connection's hooks may show.
    pub fn own_tokens(&self, connection: &Connection) -> Vec<Secret> {
        match connection.link.as_ref().map(|link| &link.spec.source) {
            Some(SourceSpec::BigCommerce(store)) => self.hook_tokens(connection.origin, &connection.hook_key, store),
            Some(SourceSpec::WooCommerce(_)) | None => Vec::new(),
        }
    }

    /// The hooks that a connection should have; none without a public address, or where none are wanted.
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

/// The topics of a WooCommerce shop that a connection watches.
fn watched_topics(destination: Option<&Destination>) -> Vec<String> {
    match destination {
        Some(Destination::CloudElements(callback)) => {
            callback.topics().into_iter().flat_map(woocommerce::hooks::topics_of).collect()
        }
        Some(Destination::OneTribe(_)) | None => woocommerce::hooks::topics_of("orders"),
    }
}
