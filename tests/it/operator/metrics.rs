//! The metrics as Prometheus reads them, and the three documents that name them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sandbox::{Event, Scope, SendOptions};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use crate::{relay::world::World, support::postgres::Database};

const PREFIX: &str = "onetribe_relay_";
/// What Prometheus asks for.
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

async fn rendered(accept: &str) -> String {
    let port = sandbox::relay::free_port().unwrap().to_string();
    let world = World::start_with(&[("METRICS_PORT", &port)]).await;
    let order = world.store.place_order_as(None, 11);
    world.settled(order, "delivered").await;
    let url = format!("http://127.0.0.1:{port}/metrics");
    let answer = world.client.get(url).header("accept", accept).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap();
    let expected = match accept {
        OPENMETRICS => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        _ => "text/plain; version=0.0.4; charset=utf-8",
    };
    assert_eq!(kind, expected);
    let text = answer.text().await.unwrap();
    world.finish().await;
    text
}

/// Families by name, with their type.
fn families(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
}

/// Every name of ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(PREFIX) {
        let name: String = text[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        found.insert(name);
    }
    found
}

/// Samples' names that a query may use.
fn samples(text: &str) -> BTreeSet<String> {
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    text.lines().filter(|line| !line.starts_with('#')).map(name).collect()
}

/// Whoever does not ask for OpenMetrics gets the older format: types that it knows, under the samples' names.
#[actix_web::test]
async fn the_text_is_prometheus_s_own_unless_openmetrics_is_asked_for() {
    let text = rendered("*/*").await;
    let families = families(&text);
    let known = ["counter", "gauge", "histogram", "untyped"];
    assert!(families.values().all(|kind| known.contains(kind)), "{families:?}");
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    for sample in samples(&text) {
        let ends = ["_bucket", "_sum", "_count"].map(|end| sample.strip_suffix(end));
        let of_histogram = ends.into_iter().flatten().any(|name| families.get(name) == Some(&"histogram"));
        assert!(of_histogram || families.contains_key(&*sample), "{sample}: {families:?}");
    }
    assert_eq!(families.get("onetribe_relay_webhooks_total"), Some(&"counter"));
    assert_eq!(families.get("onetribe_relay_build_info"), Some(&"gauge"));
}

#[actix_web::test]
async fn the_text_is_openmetrics_and_everything_that_names_a_metric_agrees() {
    let text = rendered(OPENMETRICS).await;
    // OpenMetrics 1.0: ends so, counters end in `_total`, a unit is the name's own ending, each sample has its family.
    assert!(text.ends_with("# EOF\n"));
    let families = families(&text);
    for line in text.lines().filter(|line| !line.starts_with("# EOF")) {
        if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').unwrap();
            assert!(name.ends_with(&format!("_{unit}")), "{line}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = families.iter().find(|(family, kind)| match **kind {
                "counter" => name.strip_suffix("_total") == Some(**family),
                "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(**family)),
                "info" => name.strip_suffix("_info") == Some(**family),
                _ => name == **family,
            });
            assert!(family.is_some(), "{line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    // docs/metrics.md has each of them, and no other.
    let public = |(family, kind): (&&str, &&str)| match *kind {
        "counter" => format!("{family}_total"),
        "info" => format!("{family}_info"),
        _ => (*family).to_owned(),
    };
    let ours: BTreeSet<String> = families.iter().map(public).collect();
    let table = include_str!("../../../docs/metrics.md").lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<String> = table.filter_map(|line| line.split('`').nth(1)).map(str::to_owned).collect();
    // These two have a series only while there is trouble.
    let quiet = ["down", "connection_orders_failed"].map(|name| format!("{PREFIX}{name}"));
    assert_eq!(ours.into_iter().chain(quiet).collect::<BTreeSet<_>>(), documented);

    let samples = samples(&text);
    let rules = include_str!("../../../docs/alerts.rules.yml");
    let dashboard = include_str!("../../../docs/dashboard.json");
    for name in names(rules).iter().chain(&names(dashboard)) {
        assert!(samples.contains(name), "{name} is not rendered");
    }
}

#[actix_web::test]
async fn what_is_counted_is_told_while_the_database_cannot_be_read() {
    let world = World::start_with(&[("METRICS_PORT", "0")]).await;
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.settled(order, "delivered").await;
    let database = rusqlite::Connection::open(world.database()).unwrap();
    database.execute_batch("ALTER TABLE objects RENAME TO away").unwrap();
    assert_eq!(world.send(&Event::new(Scope::Created, order), &SendOptions::default()).await, 503);
    let during = world.metrics().await;
    database.execute_batch("ALTER TABLE away RENAME TO objects").unwrap();
    for line in ["onetribe_relay_database_unreadable 1", r#"onetribe_relay_webhooks_total{result="unavailable"} 1"#] {
        assert!(during.contains(line), "{line}: {during}");
    }
    for family in ["orders_waiting", "oldest_waiting", "orders_failed", "last_webhook", "last_forwarded"] {
        assert!(!during.contains(&format!("{PREFIX}{family}")), "{family}: {during}");
    }
    assert!(during.contains("\nprocess_max_fds "), "it is whole: {during}");
    let after = world.metrics().await;
    assert!(after.contains("onetribe_relay_database_unreadable 0") && after.contains("onetribe_relay_orders_waiting"));
    world.finish().await;
}

#[actix_web::test]
async fn a_database_that_does_not_answer_holds_the_metrics_up_for_two_seconds() {
    let Some(database) = Database::fresh().await else { return };
    let world = World::start_with(&[("METRICS_PORT", "0"), ("DATABASE_URL", &database.url())]).await;
    let mut lock = database.look().await.begin().await.unwrap();
    sqlx::query("LOCK TABLE objects IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let began = Instant::now();
    let during = world.metrics().await;
    let took = began.elapsed();
    lock.rollback().await.unwrap();
    assert!(during.contains("onetribe_relay_database_unreadable 1"), "{during}");
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
    world.finish().await;
}

#[test]
fn the_alert_rules_are_whole() {
    let rules = Yaml::load_from_str(include_str!("../../../docs/alerts.rules.yml")).unwrap();
    let rules = rules[0]["groups"][0]["rules"].as_vec().unwrap();
    assert!(rules.len() >= 8);
    for rule in rules {
        let text = |value: &Yaml| value.as_str().unwrap().to_owned();
        assert!(text(&rule["alert"]).starts_with("OneTribeRelay"));
        let expr = text(&rule["expr"]);
        assert!(!names(&expr).is_empty() && expr.matches('(').count() == expr.matches(')').count(), "{expr}");
        assert!(["warning", "critical"].contains(&&*text(&rule["labels"]["severity"])));
        assert!(!text(&rule["annotations"]["summary"]).is_empty());
    }
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(include_str!("../../../docs/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 12);
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()));
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            assert!(!names(expr).is_empty() && expr.matches('(').count() == expr.matches(')').count(), "{expr}");
        }
    }
}
