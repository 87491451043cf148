//! The check report: for each check, what the conditions say, or that it passed or was skipped.

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

/// The time limit of one check.
pub const LIMIT: Duration = Duration::from_secs(10);

/// A webhook this recent proves that the public address can be reached.
const LATELY: Duration = Duration::from_secs(3600);

/// The result of one check, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not applicable, or unknown.
    Skip,
    /// Everything is as it should be.
    Pass,
    /// It works, but needs attention.
    Warn,
    /// It does not work.
    Fail,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The check's fixed name.
    pub id: &'static str,
    /// Its result.
    pub status: Status,
    /// What was checked.
    pub title: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do next; present exactly when the status is `warn` or `fail`.
    pub remedy: Option<String>,
    /// How long the newest call for it took, in milliseconds.
    pub duration_ms: u64,
}

/// All checks of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst result; `skip` does not count.
    pub status: Status,
    /// When the facts were read.
    pub checked_at: Timestamp,
    /// The checks in order.
    pub checks: Vec<Check>,
}

/// Makes the report from the facts and their judgment.
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
        CheckId::Hooks if is_bigcommerce => "BigCommerce: notices of orders (webhooks)",
        CheckId::Hooks => "WooCommerce: notices of orders (webhooks)",
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

/// The result of a check without a condition: passed if that is known, otherwise skipped.
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
    if probed || facts.store.delivered_at.is_some() || facts.store.credentials.is_well() {
        let verb = if facts.connection.source == SourceKind::BigCommerce { "is right" } else { "are right" };
        return (Status::Pass, format!("The {} {verb} and may read orders.", facts.connection.credentials()));
    }
    (Status::Skip, format!("{} has not been asked since the relay started.", facts.connection.store_name()))
}

fn hooks(facts: &Facts, judgment: &Judgment) -> (Status, String) {
    let connection = &facts.connection;
    let skip = |detail: String| (Status::Skip, detail);
    if !connection.has_webhooks {
        return skip("The relay looks for new orders itself (this connection has no webhooks).".to_owned());
    }
    if connection.public_url.is_none() {
        return skip(format!(
            "{} is not asked to tell of new orders (webhooks), since PUBLIC_URL is not set.",
            connection.store_name()
        ));
    }
    if judgment.of_check(CheckId::StoreApi).any(|found| found.severity == Severity::Error) {
        let store = connection.store_within();
        return skip(format!("They cannot be looked at: see the check of the access to {store}."));
    }
    let is_complete = facts.hooks.healthy() >= facts.hooks.expected;
    match facts.hooks.looked_at {
        Some(at) if is_complete => {
            let ago = humanize::ago(facts.age(at));
            (Status::Pass, format!("They are set up and lead to this relay (looked at {ago})."))
        }
        _ => skip("They have not been looked at since the relay started.".to_owned()),
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
        (Some(probe), _) if probe.outcome.is_ok() => (
            Status::Pass,
            format!("The public address leads to this relay (tried {}).", humanize::ago(facts.age(probe.at))),
        ),
        (_, Some(age)) if age < LATELY => {
            (Status::Pass, format!("The store got through {} (webhook).", humanize::ago(age)))
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
        return (Status::Skip, "The list of orders cannot be read: see the check \"Storage\".".to_owned());
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
mod tests;
