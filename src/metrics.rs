//! The numbers, in the Prometheus text format: names with units, labels from closed sets, nothing of any order.
//! `docs/metrics.md` describes each.

use std::time::Duration;

use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::sync::atomic::AtomicU64;

use crate::{clock::Timestamp, http::Failure};

/// What became of one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookResult {
    /// Kept, first time.
    Accepted,
    /// Kept, seen before, looked at again.
    PossibleDuplicate,
    /// Seen before, nothing to do.
    Duplicate,
    /// Not about orders.
    Ignored,
    /// An order scope in no known shape.
    Unreadable,
    /// Not genuine (401).
    Unauthentic,
    /// Malformed (400).
    Malformed,
    /// Another store's; dropped.
    ForeignStore,
    /// Too large (413) or too slow (408).
    TooLarge,
    /// Could not be stored (503).
    Unavailable,
    /// The connection is disconnected; dropped.
    Disconnected,
}

impl WebhookResult {
    const ALL: [Self; 11] = [
        Self::Accepted,
        Self::PossibleDuplicate,
        Self::Duplicate,
        Self::Ignored,
        Self::Unreadable,
        Self::Unauthentic,
        Self::Malformed,
        Self::ForeignStore,
        Self::TooLarge,
        Self::Unavailable,
        Self::Disconnected,
    ];

    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::PossibleDuplicate => "possible_duplicate",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Unreadable => "unreadable",
            Self::Unauthentic => "unauthentic",
            Self::Malformed => "malformed",
            Self::ForeignStore => "foreign_store",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
            Self::Disconnected => "disconnected",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    kind: &'static str,
    operation: &'static str,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SideLabel {
    side: &'static str,
}

/// Numbers that are read when somebody asks, rather than counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gauges {
    /// What the database says of the orders; `None` when it cannot be read.
    pub orders: Option<OrderGauges>,
    /// What the store has left of its quota in this window, as last heard.
    pub quota_left: Option<i64>,
    /// Whether the store counts as down.
    pub store_down: bool,
    /// Whether the destination counts as down.
    pub destination_down: bool,
    /// Hooks that are as they should be, as last seen.
    pub hooks_healthy: Option<u64>,
    /// How many there should be.
    pub hooks_wanted: u64,
    /// Whether the store refuses the credentials.
    pub credentials_refused: bool,
}

/// The numbers that come from the database.
#[derive(Debug, Clone, Copy, Default)]
pub struct OrderGauges {
    /// Orders with work.
    pub waiting: u64,
    /// Age of the oldest of them.
    pub oldest_waiting: Duration,
    /// Orders refused for too long.
    pub failed: u64,
    /// When the last webhook was kept.
    pub last_webhook_at: Option<Timestamp>,
    /// When the last order was forwarded.
    pub last_forwarded_at: Option<Timestamp>,
}

/// How an order can be settled, as `dispatch` names it.
const OUTCOMES: [&str; 9] =
    ["delivered", "unchanged", "skipped", "refused", "missing", "deferred", "released", "failed", "gone"];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    webhooks: Family<ResultLabel, Counter>,
    acknowledgement: Histogram,
    deliveries: Family<OutcomeLabel, Counter>,
    forwards: Family<StatusLabel, Counter>,
    lag: Histogram,
    calls: Family<CallLabels, Counter>,
    quota_left: Gauge,
    down: Family<SideLabel, Gauge>,
    hooks_healthy: Gauge,
    hooks_wanted: Gauge,
    credentials_refused: Gauge,
    database_unreadable: Gauge,
    orders: OrderMetrics,
}

/// What is told of the orders, apart from the rest: it is left out while the database cannot be read.
#[derive(Debug)]
struct OrderMetrics {
    registry: Registry,
    waiting: Gauge,
    oldest_waiting: Gauge<f64, AtomicU64>,
    failed: Gauge,
    last_webhook: Gauge<f64, AtomicU64>,
    last_forwarded: Gauge<f64, AtomicU64>,
}

const PREFIX: &str = "onetribe_relay";

impl Default for OrderMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let metrics = Self {
            waiting: Gauge::default(),
            oldest_waiting: Gauge::default(),
            failed: Gauge::default(),
            last_webhook: Gauge::default(),
            last_forwarded: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("orders_waiting", "Orders that wait to be forwarded", metrics.waiting.clone());
        registry.register_with_unit(
            "oldest_waiting",
            "How long the oldest waiting order has waited",
            Unit::Seconds,
            metrics.oldest_waiting.clone(),
        );
        registry.register("orders_failed", "Orders refused for too long, until resent", metrics.failed.clone());
        registry.register_with_unit(
            "last_webhook_timestamp",
            "When the last webhook was kept, unix time; 0 before the first",
            Unit::Seconds,
            metrics.last_webhook.clone(),
        );
        registry.register_with_unit(
            "last_forwarded_timestamp",
            "When the last order was forwarded, unix time; 0 before the first",
            Unit::Seconds,
            metrics.last_forwarded.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl OrderMetrics {
    fn set(&self, gauges: &OrderGauges) {
        self.waiting.set(whole(gauges.waiting));
        self.oldest_waiting.set(gauges.oldest_waiting.as_secs_f64());
        self.failed.set(whole(gauges.failed));
        let seconds = |at: Option<Timestamp>| at.map_or(0.0, |at| at.millis() as f64 / 1000.0);
        self.last_webhook.set(seconds(gauges.last_webhook_at));
        self.last_forwarded.set(seconds(gauges.last_forwarded_at));
    }
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let metrics = Self {
            webhooks: Family::default(),
            acknowledgement: Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
            deliveries: Family::default(),
            forwards: Family::default(),
            lag: Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0]),
            calls: Family::default(),
            quota_left: Gauge::default(),
            down: Family::default(),
            hooks_healthy: Gauge::default(),
            hooks_wanted: Gauge::default(),
            credentials_refused: Gauge::default(),
            database_unreadable: Gauge::default(),
            orders: OrderMetrics::default(),
            registry: Registry::default(),
        };
        registry.register("webhooks", "Webhooks by result", metrics.webhooks.clone());
        registry.register_with_unit(
            "acknowledgement",
            "Time from a webhook's arrival to its answer",
            Unit::Seconds,
            metrics.acknowledgement.clone(),
        );
        registry.register("deliveries", "Orders settled, by outcome", metrics.deliveries.clone());
        registry.register("forwards", "Calls to the destination, by status", metrics.forwards.clone());
        registry.register_with_unit(
            "lag",
            "Time from the event that made an order wait to its arrival at the destination",
            Unit::Seconds,
            metrics.lag.clone(),
        );
        registry.register(
            "store_calls",
            "Calls to stores, by kind of store, operation and status",
            metrics.calls.clone(),
        );
        registry.register(
            "bigcommerce_quota_left",
            "Requests left in the store's window, as last heard; -1 before the first answer",
            metrics.quota_left.clone(),
        );
        registry.register("down", "1 while a far side counts as down", metrics.down.clone());
        registry.register(
            "hooks_healthy",
            "Hooks that are as they should be, as last seen; -1 before the first look",
            metrics.hooks_healthy.clone(),
        );
        registry.register("hooks_wanted", "Hooks that there should be", metrics.hooks_wanted.clone());
        registry.register(
            "credentials_refused",
            "1 while BigCommerce refuses the access token, or its right to read orders",
            metrics.credentials_refused.clone(),
        );
        registry.register(
            "database_unreadable",
            "1 while the database cannot be read: what it says of orders is left out then",
            metrics.database_unreadable.clone(),
        );
        // Counters that begin at nought have a rate from their first event on.
        for result in WebhookResult::ALL {
            drop(metrics.webhooks.get_or_create(&ResultLabel { result: result.label() }));
        }
        for outcome in OUTCOMES {
            drop(metrics.deliveries.get_or_create(&OutcomeLabel { outcome }));
        }
        drop(metrics.forwards.get_or_create(&StatusLabel { status: TAKEN.to_owned() }));
        Self { registry, ..metrics }
    }
}

/// The label of a call to the destination that was a success, whatever 2xx it was.
const TAKEN: &str = "2xx";

/// `200`, or the failure's code.
fn status_label(outcome: Result<u16, Failure>) -> String {
    match outcome {
        Ok(status) | Err(Failure::Status(status)) => status.to_string(),
        Err(failure) => failure.to_string(),
    }
}

impl Metrics {
    /// A webhook was answered.
    pub fn webhook(&self, result: WebhookResult, took: Duration) {
        self.webhooks.get_or_create(&ResultLabel { result: result.label() }).inc();
        self.acknowledgement.observe(took.as_secs_f64());
    }

    /// A call to a store ended.
    pub fn store_call(&self, kind: &'static str, operation: &'static str, outcome: Result<u16, Failure>) {
        let labels = CallLabels { kind, operation, status: status_label(outcome) };
        self.calls.get_or_create(&labels).inc();
    }

    /// A call to the destination ended.
    pub fn forwarded(&self, failure: Option<Failure>) {
        let status = failure.map_or_else(|| TAKEN.to_owned(), |failure| status_label(Err(failure)));
        self.forwards.get_or_create(&StatusLabel { status }).inc();
    }

    /// An order was settled. `lag` for one that arrived.
    pub fn settled(&self, outcome: &'static str, lag: Option<Duration>) {
        self.deliveries.get_or_create(&OutcomeLabel { outcome }).inc();
        if let Some(lag) = lag {
            self.lag.observe(lag.as_secs_f64());
        }
    }

    /// All of it as Prometheus text, with `gauges` as they are now.
    pub fn render(&self, gauges: &Gauges) -> String {
        self.quota_left.set(gauges.quota_left.unwrap_or(-1));
        for (side, down) in [("store", gauges.store_down), ("destination", gauges.destination_down)] {
            self.down.get_or_create(&SideLabel { side }).set(i64::from(down));
        }
        self.hooks_healthy.set(gauges.hooks_healthy.map_or(-1, whole));
        self.hooks_wanted.set(whole(gauges.hooks_wanted));
        self.credentials_refused.set(i64::from(gauges.credentials_refused));
        self.database_unreadable.set(i64::from(gauges.orders.is_none()));
        let mut text = String::new();
        let mut encoded = encode_registry(&mut text, &self.registry);
        if let Some(orders) = &gauges.orders {
            self.orders.set(orders);
            encoded = encoded.and_then(|()| encode_registry(&mut text, &self.orders.registry));
        }
        encoded.and_then(|()| encode_eof(&mut text)).expect("a String takes whatever is written to it");
        text
    }
}
