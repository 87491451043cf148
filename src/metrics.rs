//! Metrics in the Prometheus text format: names with units, labels from closed sets, no data of any order.
//! `docs/metrics.md` describes each.

use std::time::Duration;

use crate::http::Failure;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode_registry},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// How a webhook was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookResult {
    /// Stored; not seen before.
    Accepted,
    /// Stored; seen before, and its order is fetched again.
    PossibleDuplicate,
    /// Seen before; nothing to do.
    Duplicate,
    /// Not about anything that is relayed.
    Ignored,
    /// About orders, in an unknown format.
    Unreadable,
    /// Not genuine (401).
    Unauthentic,
    /// Malformed (400).
    Malformed,
    /// Of another store; dropped.
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

    /// The value of the label `result`.
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

/// The outcomes of an order, as `dispatch` names them.
const OUTCOMES: [&str; 9] =
    ["delivered", "unchanged", "skipped", "refused", "missing", "deferred", "released", "failed", "gone"];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    webhooks: Family<ResultLabel, Counter>,
    acknowledgement: Histogram,
    deliveries: Family<OutcomeLabel, Counter>,
    forwards: Family<StatusLabel, Counter>,
    lag: Histogram,
    calls: Family<CallLabels, Counter>,
}

/// The prefix of every name.
pub const PREFIX: &str = "onetribe_relay";

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
        // Counters that start at zero have a rate from their first event on.
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

/// The label of a successful call to the destination, whichever 2xx it was.
const TAKEN: &str = "2xx";

/// `200`, or the failure's code.
fn status_label(outcome: Result<u16, Failure>) -> String {
    match outcome {
        Ok(status) | Err(Failure::Status(status)) => status.to_string(),
        Err(failure) => failure.to_string(),
    }
}

impl Metrics {
    /// Counts an answered webhook.
    pub fn webhook(&self, result: WebhookResult, took: Duration) {
        self.webhooks.get_or_create(&ResultLabel { result: result.label() }).inc();
        self.acknowledgement.observe(took.as_secs_f64());
    }

    /// Counts a call to a store.
    pub fn store_call(&self, kind: &'static str, operation: &'static str, outcome: Result<u16, Failure>) {
        let labels = CallLabels { kind, operation, status: status_label(outcome) };
        self.calls.get_or_create(&labels).inc();
    }

    /// Counts a call to the destination.
    pub fn forwarded(&self, failure: Option<Failure>) {
        let status = failure.map_or_else(|| TAKEN.to_owned(), |failure| status_label(Err(failure)));
        self.forwards.get_or_create(&StatusLabel { status }).inc();
    }

    /// Counts a settled order. `lag` is given for one that arrived.
    pub fn settled(&self, outcome: &'static str, lag: Option<Duration>) {
        self.deliveries.get_or_create(&OutcomeLabel { outcome }).inc();
        if let Some(lag) = lag {
            self.lag.observe(lag.as_secs_f64());
        }
    }

    /// Appends all metrics in the OpenMetrics text format, without the `# EOF` at its end.
    pub fn encode(&self, text: &mut String) {
        encode_registry(text, &self.registry).expect("a String takes whatever is written to it");
    }
}
