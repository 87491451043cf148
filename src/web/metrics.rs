//! `/metrics`: the counters, and values that are read on each scrape. Connections have a label of their own only
//! while they are in trouble: ten thousand healthy stores add no series.

mod process;

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, web};
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use super::Relay;
use crate::{
    checker,
    clock::Timestamp,
    inbox::{ConnectionState, Side, Summary},
    metrics::PREFIX,
    object::ConnectionId,
    telemetry,
};

/// Time limit for reading from the database: scrapers do not wait long either.
const READ_TIME: Duration = Duration::from_secs(2);
/// Most connections in trouble that get series of their own.
const MOST_LABELLED: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SideLabel {
    side: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabel {
    connection: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TroubleLabel {
    connection: i64,
    side: &'static str,
}

/// Answers even if the database does not: the counters are needed most while it is in trouble.
pub(super) async fn metrics(request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_plain = !accept.contains("openmetrics");
    let mut text = String::new();
    relay.services.metrics.encode(&mut text);
    let registry = gauges(&relay).await;
    let mut own = Registry::default();
    process::register(&mut own);
    let encoded = encode_registry(&mut text, &registry)
        .and_then(|()| encode_registry(&mut text, &own))
        .and_then(|()| encode_eof(&mut text));
    encoded.expect("a String takes whatever is written to it");
    let kind = if is_plain {
        "text/plain; version=0.0.4; charset=utf-8"
    } else {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    };
    HttpResponse::Ok().content_type(kind).body(if is_plain { plain(&text) } else { text })
}

/// OpenMetrics in Prometheus's older format, in which the name of a family is that of its samples and some types are
/// unknown.
fn plain(openmetrics: &str) -> String {
    let kinds: HashMap<&str, &str> =
        openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut plain = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let about = line.strip_prefix("# ").and_then(|line| line.split_once(' '));
        let about = about.and_then(|(what, rest)| rest.split_once(' ').map(|(name, text)| (what, name, text)));
        let Some((what, name, text)) = about else {
            plain.push_str(line);
            plain.push('\n');
            continue;
        };
        let (ending, kind) = match kinds.get(name) {
            Some(&"counter") => ("_total", "counter"),
            Some(&"info") => ("_info", "gauge"),
            Some(&"unknown") | None => ("", "untyped"),
            Some(kind) => ("", *kind),
        };
        let text = if what == "TYPE" { kind } else { text };
        let _ = writeln!(plain, "# {what} {name}{ending} {text}");
    }
    plain
}

async fn gauges(relay: &Relay) -> Registry {
    let services = &relay.services;
    let mut registry = Registry::with_prefix(PREFIX);
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version of the relay", build);
    connections(relay, &mut registry);
    if let Some(shards) = relay.shards.get() {
        let held = gauge(whole(shards.borrow().count() as u64));
        registry.register("shards_held", "Of the 64 shards, those at whose connections this relay works", held);
    }
    let writable = gauge(i64::from(relay.services.storage.failing_since().is_none()));
    registry.register("database_writable", "1 unless the last event could not be kept", writable);
    if let Some(disk) = checker::disk_space(&services.settings.database) {
        for (name, help, bytes) in [
            ("database_disk_free", "Bytes left on the disk that holds the database", disk.free),
            (
                "database_disk_size",
                "Bytes of the disk that holds the database, without what is reserved for others",
                disk.total,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge(whole(bytes)));
        }
    }
    let dropped = Counter::<u64>::default();
    dropped.inc_by(telemetry::dropped_lines());
    registry.register("log_lines_dropped", "Log lines dropped because the reader of the log did not keep up", dropped);
    let summaries = match tokio::time::timeout(READ_TIME, services.inbox.summaries()).await {
        Ok(Ok(summaries)) => Some(summaries),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the metrics of the orders are left out: {error}");
            None
        }
        Err(_) => {
            tracing::warn!("the metrics of the orders are left out: the database does not answer");
            None
        }
    };
    registry.register(
        "database_unreadable",
        "1 while the database cannot be read: what it says of orders is left out then",
        gauge(i64::from(summaries.is_none())),
    );
    if let Some(summaries) = summaries {
        orders(&summaries, &mut registry);
    }
    registry
}

fn gauge(value: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The number of connections by state, and the sides that are down. Trouble is counted only by the replica that holds
/// the connection: another one may have seen it once, in a check, and would not see its end.
fn connections(relay: &Relay, registry: &mut Registry) {
    let held = relay.shards.get().map(|shards| shards.borrow().clone()).unwrap_or_default();
    let states = Family::<StateLabel, Gauge>::default();
    let down_count = Family::<SideLabel, Gauge>::default();
    let down = Family::<TroubleLabel, Gauge>::default();
    let refused = gauge(0);
    let states_of =
        [ConnectionState::Active, ConnectionState::Paused, ConnectionState::Incomplete, ConnectionState::Disconnected];
    for state in states_of {
        drop(states.get_or_create(&StateLabel { state: state.name() }));
    }
    for side in Side::ALL {
        drop(down_count.get_or_create(&SideLabel { side: side.code() }));
    }
    let mut labelled = 0;
    for connection in relay.services.catalog.all() {
        states.get_or_create(&StateLabel { state: connection.state.name() }).inc();
        let Some(link) = connection.link.as_ref().filter(|_| held.holds(connection.shard)) else { continue };
        for side in Side::ALL {
            if link.breaker(side).outage().is_none() && !relay.checker.is_down(&connection, side) {
                continue;
            }
            down_count.get_or_create(&SideLabel { side: side.code() }).inc();
            if labelled < MOST_LABELLED {
                labelled += 1;
                down.get_or_create(&TroubleLabel { connection: connection.id.0, side: side.code() }).set(1);
            }
        }
        if link.source.credentials().trouble().is_some() {
            refused.inc();
        }
    }
    registry.register("connections", "Connections, by state", states);
    registry.register("connections_down", "Connections with a side that counts as down", down_count);
    registry.register("down", "1 while this side of this connection counts as down", down);
    registry.register("credentials_refused", "Connections whose store refuses the credentials", refused);
}

/// The values from the database: totals, and those of connections with failed orders.
fn orders(summaries: &HashMap<ConnectionId, Summary>, registry: &mut Registry) {
    let now = Timestamp::now();
    let total = |count: fn(&Summary) -> u64| gauge(whole(summaries.values().map(count).sum()));
    registry.register("orders_waiting", "Orders that wait to be forwarded", total(|summary| summary.waiting));
    registry.register("orders_refused", "Waiting orders that were refused before", total(|summary| summary.refused));
    registry.register("orders_failed", "Orders refused for too long, until resent", total(|summary| summary.failed));
    let oldest = summaries.values().filter_map(|summary| summary.oldest_waiting).min();
    let seconds = |value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        gauge
    };
    registry.register_with_unit(
        "oldest_waiting",
        "How long the oldest waiting order has waited",
        Unit::Seconds,
        seconds(oldest.map_or(0.0, |since| now.since(since).as_secs_f64())),
    );
    let latest = |at: Option<Timestamp>| at.map(|at| at.millis() as f64 / 1000.0);
    for (name, help, at) in [
        (
            "last_webhook_timestamp",
            "When the last webhook was kept, unix time; absent before the first",
            latest(summaries.values().filter_map(|summary| summary.last_event_at).max()),
        ),
        (
            "last_forwarded_timestamp",
            "When the last order was forwarded, unix time; absent before the first",
            latest(summaries.values().filter_map(|summary| summary.last_delivered_at).max()),
        ),
    ] {
        if let Some(at) = at {
            registry.register_with_unit(name, help, Unit::Seconds, seconds(at));
        }
    }
    let failed = Family::<ConnectionLabel, Gauge>::default();
    let mut troubled: Vec<_> = summaries.iter().filter(|(_, summary)| summary.failed > 0).collect();
    troubled.sort_unstable_by_key(|(_, summary)| std::cmp::Reverse(summary.failed));
    for (id, summary) in troubled.into_iter().take(MOST_LABELLED) {
        failed.get_or_create(&ConnectionLabel { connection: id.0 }).set(whole(summary.failed));
    }
    registry.register("connection_orders_failed", "Failed orders of connections that have any", failed);
}
