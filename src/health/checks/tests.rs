use super::*;
use crate::{
    health::{
        facts::{Health, OrderFacts, Probe, Refusal},
        fixtures::{NOW, ago, counted, down, fine, with},
        judge,
    },
    http::Failure,
    inbox::Summary,
    spec::{DestinationKind, Origin},
};

fn reported(facts: &Facts) -> Report {
    let report = report(facts, &judge(facts));
    for check in &report.checks {
        let asks = matches!(check.status, Status::Warn | Status::Fail);
        assert_eq!(check.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), asks, "{check:?}");
        assert!(!check.detail.is_empty(), "{check:?}");
    }
    report
}

#[test]
fn a_sound_connection_passes_in_the_contracts_shape() {
    let report = reported(&fine());
    let ids: Vec<_> = report.checks.iter().map(|check| check.id).collect();
    assert_eq!(
        ids,
        [
            "configuration",
            "storage",
            "bigcommerce_api",
            "bigcommerce_hooks",
            "public_url",
            "one_tribe_destination",
            "deliveries"
        ]
    );
    assert!(report.checks.iter().all(|check| check.status == Status::Pass), "{report:?}");
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!((&json["status"], &json["checks"][2]["duration_ms"]), (&"pass".into(), &42.into()));
    assert!(json["checked_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    let woo = with(|facts| {
        facts.connection.source = SourceKind::WooCommerce;
        facts.connection.destination = Some(DestinationKind::CloudElements);
    });
    let ids: Vec<_> = reported(&woo).checks.iter().map(|check| check.id).collect();
    assert_eq!((ids[2], ids[3], ids[5]), ("woocommerce_api", "woocommerce_webhooks", "callback"));
}

#[test]
fn nothing_that_nobody_has_seen_is_green() {
    let mut facts = Facts::new(NOW, fine().connection);
    facts.orders = Some(OrderFacts::default());
    let report = reported(&facts);
    for check in &report.checks {
        let is_settings = matches!(check.id, "configuration" | "deliveries");
        assert!(is_settings || check.status == Status::Skip, "{check:?}");
    }
    facts.orders = None;
    assert_eq!(reported(&facts).checks[1].status, Status::Fail);
}

#[test]
fn in_an_outage_nothing_is_called_good_that_is_not_known() {
    let look = |facts: &Facts, id: &str| {
        let check = reported(facts).checks.into_iter().find(|check| check.id == id).expect("a check");
        (check.status, check.detail, check.remedy.unwrap_or_default())
    };
    let mut facts = counted(Summary { last_delivered_at: Some(ago(900)), waiting: 2, ..Summary::default() });
    facts.store.outage = down(600, Failure::Status(503));
    (facts.store.probe, facts.destination.probe) = (None, None);
    facts.destination.answered_at = Some(ago(900));
    let (status, detail, remedy) = look(&facts, "deliveries");
    assert_eq!((status, &*detail), (Status::Warn, "Nothing is delivered now: orders wait and none is lost."));
    assert_eq!(remedy, "See the check “BigCommerce: access to orders”.");
    let (status, detail, _) = look(&facts, "one_tribe_destination");
    assert_eq!(status, Status::Skip);
    assert_eq!(detail, "One Tribe took the last order 15 minutes ago. Nothing has been sent to it since.");
    facts.destination.probe = Some(Probe { at: ago(30), took: Duration::ZERO, outcome: Ok(405) });
    let (status, detail, _) = look(&facts, "one_tribe_destination");
    assert!(status == Status::Pass && detail.starts_with("One Tribe could be reached 30 seconds ago."), "{detail}");
    let facts = with(|facts| facts.destination.outage = down(600, Failure::Status(503)));
    assert_eq!(look(&facts, "deliveries").2, "See the check “One Tribe: destination”.");
    let facts = with(|facts| facts.connection.state = ConnectionState::Paused);
    assert_eq!(look(&facts, "deliveries").2, "See the check “Configuration”.");
}

#[test]
fn findings_come_out_as_before() {
    let probe = |failure| {
        with(|facts| {
            facts.store.probe = Some(Probe { at: NOW, took: Duration::ZERO, outcome: Err(failure) });
            facts.store.credentials = Health::Unknown;
        })
    };
    let refused = Health::Trouble(Refusal::new(Failure::Status(401), ago(1)));
    for (facts, id, status, says) in [
        (probe(Failure::Status(401)), "bigcommerce_api", Status::Fail, "refuses the access token"),
        (probe(Failure::Status(403)), "bigcommerce_api", Status::Fail, "may not read orders"),
        (probe(Failure::Status(404)), "bigcommerce_api", Status::Fail, "does not know this store"),
        (probe(Failure::Status(503)), "bigcommerce_api", Status::Fail, "does not answer as it should (HTTP 503)"),
        (probe(Failure::NotJson), "bigcommerce_api", Status::Fail, "BigCommerce does not answer as it should"),
        (probe(Failure::Timeout), "bigcommerce_api", Status::Fail, "BigCommerce has not answered within 10 seconds"),
        (probe(Failure::Status(429)), "bigcommerce_api", Status::Warn, "API limit is used up"),
        (with(|facts| facts.store.credentials = refused), "bigcommerce_hooks", Status::Skip, "see the check"),
        (
            with(|facts| facts.destination.outage = down(300, Failure::Status(404))),
            "one_tribe_destination",
            Status::Fail,
            "One Tribe has not been taking orders for 5 minutes",
        ),
        (
            counted(Summary { waiting: 1, ..Summary::default() }),
            "deliveries",
            Status::Pass,
            "1 order under way or waiting",
        ),
        (
            counted(Summary { failed: 1, ..Summary::default() }),
            "deliveries",
            Status::Warn,
            "1 order could not be delivered",
        ),
        (with(|facts| facts.connection.public_url = None), "bigcommerce_hooks", Status::Skip, "PUBLIC_URL"),
        (with(|facts| facts.connection.public_url = None), "public_url", Status::Skip, "PUBLIC_URL"),
        (
            with(|facts| {
                facts.connection.public_url = None;
                facts.connection.poll_interval = None;
            }),
            "configuration",
            Status::Fail,
            "Nothing tells the relay of new orders",
        ),
        (
            with(|facts| {
                facts.connection.origin = Origin::Instance;
                facts.connection.has_webhooks = false;
                facts.connection.public_url = None;
            }),
            "configuration",
            Status::Pass,
            "Everything needed",
        ),
    ] {
        let report = reported(&facts);
        let check = report.checks.iter().find(|check| check.id == id).expect("a check");
        assert!(check.status == status && check.detail.contains(says), "{check:?} is not {status:?}: {says}");
    }
}
