//! One connection's callback, with everything needed to notify it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{
    Envelope, Event, MAX_EVENTS_POLLED, MAX_EVENTS_WEBHOOK,
    call::{deliver, probe},
};
use crate::{
    clock::Timestamp,
    elements::{catalog::Element, change::Poller, poller},
    http::{CallError, Http},
    metrics::Metrics,
    object::{ConnectionId, ResourceName},
    resource::{StoreApi, StoreRequest},
    spec::{CallbackSpec, ConnectionSpec},
};

/// A resource that a callback is notified of.
#[derive(Debug)]
pub struct Watched {
    /// How its rows are read: id, dates, kind of change.
    pub poller: Poller,
    /// The call for its list, without any filter.
    pub list: StoreRequest,
}

impl Watched {
    /// Whether one object can be asked for by its id.
    pub fn is_addressable(&self) -> bool {
        self.poller.resource().id_field == "id"
    }

    /// Whether its events may tell of deletions of other things: WooCommerce sends `product.deleted` and
    /// `coupon.deleted` for orders, pages and one another. Their own deletion only moves them to the trash, where they
    /// can still be read.
    pub fn has_foreign_deletions(&self) -> bool {
        self.list.api == StoreApi::WooCommerceV3 && matches!(self.list.path.as_str(), "products" | "coupons")
    }

    /// Whether it is the store's list of orders.
    pub fn is_orders(&self) -> bool {
        self.is_addressable() && self.list.api != StoreApi::BigCommerceV3 && self.list.path == "orders"
    }

    /// The topic of its webhooks at the store: `orders`, `products`, `customers`, or the resource's path.
    pub fn topic(&self) -> &str {
        self.list.path.strip_prefix("catalog/").unwrap_or(&self.list.path)
    }
}

/// The callback of one connection: where to, which resources, and the client to call it.
#[derive(Debug)]
pub struct Callback {
    http: Arc<Http>,
    spec: CallbackSpec,
    timeout: Duration,
    metrics: Arc<Metrics>,
    element_key: String,
    name: String,
    tags: Vec<String>,
    watched: HashMap<ResourceName, Watched>,
    has_webhooks: bool,
}

impl Callback {
    /// Builds the callback of a connection. Makes no call. A resource that can no longer be polled is left out.
    pub fn new(
        http: Arc<Http>,
        spec: &ConnectionSpec,
        callback: &CallbackSpec,
        timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let kind = spec.source.kind();
        let instance = spec.instance.as_ref();
        let watched = poller::watched(spec).into_iter().filter_map(|resource| {
            let poller = Poller::new(kind, &resource).ok()?;
            let list = poller.request(Timestamp::from_millis(0)).ok()?;
            Some((resource.name, Watched { poller, list: StoreRequest { query: Vec::new(), ..list } }))
        });
        Self {
            http,
            spec: callback.clone(),
            timeout,
            metrics,
            element_key: instance.map_or(Element::of(kind).key, |instance| &instance.element_key).to_owned(),
            name: spec.name.clone(),
            tags: instance.map(|instance| instance.tags.clone()).unwrap_or_default(),
            watched: watched.collect(),
            has_webhooks: spec.has_webhooks,
        }
    }

    /// A resource by its name, if it is still watched.
    pub fn watched(&self, resource: &ResourceName) -> Option<&Watched> {
        self.watched.get(resource)
    }

    /// The polled resources, by name.
    pub fn pollers(&self) -> impl Iterator<Item = &Poller> {
        let mut names: Vec<&ResourceName> = self.watched.keys().collect();
        names.sort_unstable();
        names.into_iter().filter_map(|name| Some(&self.watched.get(name)?.poller))
    }

    /// The resources under which an event of the store's topic (`orders`, `products`, `customers`) is reported.
    pub fn resources_of(&self, topic: &str) -> Vec<ResourceName> {
        let of_topic = |(_, watched): &(&ResourceName, &Watched)| watched.is_addressable() && watched.topic() == topic;
        let mut names: Vec<ResourceName> = self.watched.iter().filter(of_topic).map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// The distinct webhook topics of the watched resources.
    pub fn topics(&self) -> BTreeSet<&str> {
        self.watched.values().filter(|watched| watched.is_addressable()).map(Watched::topic).collect()
    }

    /// Most events in one notification.
    pub fn batch(&self) -> usize {
        if self.has_webhooks { MAX_EVENTS_WEBHOOK } else { MAX_EVENTS_POLLED }
    }

    /// Whether rows that a poll has read are new enough to be sent: true if changes are found by polling alone.
    pub fn takes_polled_rows(&self) -> bool {
        !self.has_webhooks
    }

    /// The body of a notification about objects of one resource.
    pub fn body(&self, instance: ConnectionId, id: &str, resource: &ResourceName, events: &[Event]) -> Bytes {
        let envelope = Envelope { element_key: &self.element_key, instance, name: &self.name, tags: &self.tags };
        envelope.body(&self.spec, id, resource, events)
    }

    /// Sends one notification. Any 2xx counts as taken.
    ///
    /// # Errors
    /// What happened instead of a 2xx.
    pub async fn deliver(&self, id: &str, body: Bytes) -> Result<(), CallError> {
        let outcome = deliver(&self.http, &self.spec, id, body, self.timeout).await;
        self.metrics.forwarded(outcome.as_ref().err().map(|error| error.failure));
        outcome
    }

    /// Checks whether the callback's host can be reached without sending a notification.
    ///
    /// # Errors
    /// Why no answer came.
    pub async fn probe(&self) -> Result<u16, CallError> {
        probe(&self.http, &self.spec, self.timeout).await
    }
}
