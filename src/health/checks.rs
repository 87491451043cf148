//! The check report: each check with what the conditions say of it, or that it is well, or that it is unknown.

use std::time::Duration;

use serde::Serialize;

use super::{
    condition::{CheckId, Condition, Judgment, Severity},
    facts::{Facts, Health},
};
use crate::{
    clock::Timestamp,
    humanize,
    inbox::{ConnectionState, Side},
    spec::SourceKind,
};

/// How long one check may take.
pub const LIMIT: Duration = Duration::from_secs(10);

/// A webhook this young proves that the public address can be reached.
const LATELY: Duration = Duration::from_secs(3600);

/// How one check, or all of them, came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Does not apply here, or is unknown.
    Skip,
    /// As it should be.
    Pass,
    /// Works, and needs attention.
    Warn,
    /// Does not work.
    Fail,
}

/// One check's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its fixed name.
    pub id: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was checked.
    pub title: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do next; there when the status is `warn` or `fail`, and only then.
    pub remedy: Option<String>,
    /// How long the newest call for it took.
    pub duration_ms: u64,
}

/// All checks of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of them; `skip` counts as nothing.
    pub status: Status,
    /// When the facts were read.
    pub checked_at: Timestamp,
    /// Each of them.
    pub checks: Vec<Check>,
}

/// What the facts and the judgment made from them say of each check.
pub fn report(facts: &Facts, judgment: &Judgment) -> Report {
    let checks: Vec<Check> = CheckId::ALL.into_iter().map(|check| one(check, facts, judgment)).collect();
    let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Pass).max(Status::Pass);
    Report { status, checked_at: facts.at, checks }
}

fn one(id: CheckId, facts: &Facts, judgment: &Judgment) -> Check {
    let connection = &facts.connection;
    let found: Vec<&Condition> = judgment.of_check(id).filter(|found| found.severity > Severity::Info).collect();
    let worst = found.iter().map(|condition| condition.severity).max();
    let (status, detail, remedy) = match (worst, judgment.holds_all()) {
        (Some(worst), _) => {
            let details: Vec<String> = found.iter().map(|condition| condition.detail()).collect();
            let mut cures: Vec<&str> = found.iter().map(|condition| condition.cure.as_str()).collect();
            cures.dedup();
            let status = if worst == Severity::Error { Status::Fail } else { Status::Warn };
            (status, details.join(" "), Some(cures.join(" ")))
        }
        (None, Some(cause)) if id == CheckId::Deliveries => {
            let detail = "Nothing is delivered now: orders wait and none is lost.".to_owned();
            (Status::Warn, detail, Some(format!("See the check “{}”.", title(cause.check, facts))))
        }
        _ => {
            let (status, detail) = well(id, facts, judgment);
            (status, detail, None)
        }
    };
    Check {
        id: id.code(connection.source, connection.destination),
        status,
        title: title(id, facts),
        detail,
        remedy,
        duration_ms: u64::try_from(took(id, facts).as_millis()).unwrap_or(u64::MAX),
    }
}

fn title(id: CheckId, facts: &Facts) -> &'static str {
    let is_bigcommerce = facts.connection.source == SourceKind::BigCommerce;
    match id {
        CheckId::Configuration => "Configuration",
        CheckId::Storage => "Storage",
        CheckId::StoreApi if is_bigcommerce => "BigCommerce: access to orders",
        CheckId::StoreApi => "WooCommerce: access to orders",
        CheckId::Hooks if is_bigcommerce => "BigCommerce: webhooks",
        CheckId::Hooks => "WooCommerce: webhooks",
        CheckId::PublicUrl => "Public address",
        CheckId::Destination if facts.connection.destination_name() == "One Tribe" => "One Tribe: destination",
        CheckId::Destination => "Callback",
        CheckId::Deliveries => "Deliveries",
    }
}

fn took(id: CheckId, facts: &Facts) -> Duration {
    match id {
        CheckId::Configuration | CheckId::Deliveries => Duration::ZERO,
        CheckId::Storage => facts.relay.database_took,
        CheckId::StoreApi => facts.store.probe.as_ref().map_or(Duration::ZERO, |probe| probe.took),
        CheckId::Hooks => facts.hooks.took,
        CheckId::PublicUrl => facts.public_address.as_ref().map_or(Duration::ZERO, |probe| probe.took),
        CheckId::Destination => facts.destination.probe.as_ref().map_or(Duration::ZERO, |probe| probe.took),
    }
}

/// A check to which no condition belongs: well as far as that is known, else skipped.
fn well(id: CheckId, facts: &Facts, judgment: &Judgment) -> (Status, String) {
    let connection = &facts.connection;
    let pass = |detail: String| (Status::Pass, detail);
    let skip = |detail: &str| (Status::Skip, detail.to_owned());
    if connection.state == ConnectionState::Disconnected && id != CheckId::Storage {
        return skip("The connection has ended.");
    }
    match id {
        CheckId::Configuration => {
            pass(format!("Everything needed is set, for the store {}.", connection.store_label()))
        }
        CheckId::Storage => match facts.relay.database {
            Health::Well => pass("The database can be written.".to_owned()),
            _ => skip("Nothing has been written since the relay started."),
        },
        CheckId::StoreApi => store_api(facts),
        CheckId::Hooks => hooks(facts, judgment),
        CheckId::PublicUrl => public_url(facts),
        CheckId::Destination => destination(facts, judgment),
        CheckId::Deliveries => deliveries(facts),
    }
}

fn store_api(facts: &Facts) -> (Status, String) {
    let probed = facts.store.probe.as_ref().is_some_and(|probe| probe.outcome.is_ok());
    if probed || facts.store.answered_at.is_some() || facts.store.credentials.is_well() {
        let verb = if facts.connection.source == SourceKind::BigCommerce { "is right" } else { "are right" };
        return (Status::Pass, format!("The {} {verb} and may read orders.", facts.connection.credentials()));
    }
    (Status::Skip, format!("{} has not been asked since the relay started.", facts.connection.store_name()))
}

fn hooks(facts: &Facts, judgment: &Judgment) -> (Status, String) {
    let connection = &facts.connection;
    let skip = |detail: String| (Status::Skip, detail);
    if !connection.has_webhooks {
        return skip("This connection has no webhooks: the store is polled.".to_owned());
    }
    if connection.public_url.is_none() {
        return skip("No webhooks are registered, since PUBLIC_URL is not set.".to_owned());
    }
    if judgment.of_check(CheckId::StoreApi).any(|found| found.severity == Severity::Error) {
        let store = connection.store_within();
        return skip(format!("The webhooks cannot be looked at: see the check of the access to {store}."));
    }
    let is_complete = facts.hooks.healthy() >= facts.hooks.expected;
    match facts.hooks.looked_at {
        Some(_) if is_complete => (Status::Pass, "The webhooks are there, active, and point to this relay.".to_owned()),
        _ => skip("The webhooks have not been looked at since the relay started.".to_owned()),
    }
}

fn public_url(facts: &Facts) -> (Status, String) {
    if facts.connection.public_url.is_none() {
        return (Status::Skip, "PUBLIC_URL is not set.".to_owned());
    }
    if !facts.connection.has_webhooks {
        return (Status::Skip, "This connection has no webhooks.".to_owned());
    }
    let last = facts.summary().and_then(|summary| summary.last_event_at).map(|at| facts.age(at));
    match (&facts.public_address, last) {
        (Some(probe), _) if probe.outcome.is_ok() => {
            (Status::Pass, "The public address reaches this relay.".to_owned())
        }
        (_, Some(age)) if age < LATELY => {
            (Status::Pass, format!("A webhook came {}: the public address can be reached.", humanize::ago(age)))
        }
        _ => (Status::Skip, "The public address has not been tried since the relay started.".to_owned()),
    }
}

/// Says when it was last known: while nothing comes from the store, nobody sees how the destination is.
fn destination(facts: &Facts, judgment: &Judgment) -> (Status, String) {
    let name = facts.connection.destination_name();
    if facts.connection.destination.is_none() {
        return (Status::Skip, "There is no payload URL yet.".to_owned());
    }
    let answered = facts.destination.answered_at;
    let probed = facts.destination.probe.as_ref().filter(|probe| probe.outcome.is_ok()).map(|probe| probe.at);
    let Some(known) = answered.max(probed) else {
        return (Status::Skip, format!("{name} has not been asked since the relay started."));
    };
    let ago = humanize::ago(facts.age(known));
    let said = match answered == Some(known) {
        true => format!("{name} took the last order {ago}."),
        false => format!("{name} could be reached {ago}. (No order was sent to find out.)"),
    };
    match judgment.in_the_way(Side::Store).and_then(|cause| cause.since) {
        Some(since) if known < since => (Status::Skip, format!("{said} Nothing has been sent to it since.")),
        _ => (Status::Pass, said),
    }
}

fn deliveries(facts: &Facts) -> (Status, String) {
    let Some(summary) = facts.summary() else {
        return (Status::Skip, "The list of orders cannot be read: see the check of the storage.".to_owned());
    };
    let detail = match (summary.waiting, summary.last_delivered_at) {
        (0, None) => "No order has come yet.".to_owned(),
        (0, Some(at)) => {
            format!("All orders are delivered, the last one {}.", humanize::ago(facts.age(at)))
        }
        (waiting, _) => format!("{} under way or waiting for a turn.", humanize::count(waiting, "order")),
    };
    (Status::Pass, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{
            facts::{OrderFacts, Probe, Refusal},
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
            })
        };
        let refused = Health::Trouble(Refusal::new(Failure::Status(401), ago(1)));
        for (facts, id, status, says) in [
            (probe(Failure::Status(401)), "bigcommerce_api", Status::Fail, "refuses the access token"),
            (probe(Failure::Status(403)), "bigcommerce_api", Status::Fail, "may not read orders"),
            (probe(Failure::Status(404)), "bigcommerce_api", Status::Fail, "does not know this store"),
            (probe(Failure::Status(503)), "bigcommerce_api", Status::Fail, "does not answer as it should: HTTP 503"),
            (probe(Failure::NotJson), "bigcommerce_api", Status::Fail, "BigCommerce does not answer as it should"),
            (
                probe(Failure::Timeout),
                "bigcommerce_api",
                Status::Fail,
                "BigCommerce has not answered within 10 seconds",
            ),
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
                "nothing tells the relay of new orders",
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
}
