//! The headline of page and terminal: connected, connected with a warning, or what is wrong, since when, and the cure.

use super::{
    condition::{Action, CheckId, Code, Condition, Judgment, Severity},
    facts::Facts,
};
use crate::{clock::Timestamp, humanize};

/// Green, amber or red.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Light {
    /// All that is known is well.
    Green,
    /// Works, and somebody should look at it.
    Amber,
    /// Does not work.
    Red,
}

/// What is said first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its colour.
    pub light: Light,
    /// A few words.
    pub title: String,
    /// One to three sentences: cause and consequence.
    pub sentence: String,
    /// What to do, if anything.
    pub cure: Option<String>,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// The button that helps most.
    pub action: Action,
    /// What else is wrong, the gravest first: places in the judgment's conditions.
    pub others: Vec<usize>,
}

/// Judges what is worth saying first.
pub fn verdict(facts: &Facts, judgment: &Judgment) -> Verdict {
    let grave = |condition: &&Condition| condition.severity > Severity::Info;
    let Some(first) = judgment.conditions.iter().find(grave) else { return connected(facts) };
    let light = if first.severity == Severity::Error { Light::Red } else { Light::Amber };
    let title = if light == Light::Amber && orders_flow(first) && is_proven(facts) {
        "Connected, with a warning".to_owned()
    } else {
        first.title.clone()
    };
    let others = judgment.conditions.iter().enumerate().filter(|(_, condition)| grave(condition)).skip(1);
    Verdict {
        light,
        title,
        sentence: first.detail(),
        cure: Some(first.cure.clone()).filter(|cure| !cure.is_empty()),
        since: first.since,
        action: first.action.unwrap_or(Action::Check),
        others: others.map(|(at, _)| at).collect(),
    }
}

/// Whether the connection works all the same.
fn orders_flow(condition: &Condition) -> bool {
    let is_about_orders = condition.check == CheckId::Deliveries && condition.code != Code::PollingFailing;
    let stops = [Code::Disconnected, Code::Incomplete, Code::Paused, Code::StoreDown, Code::DestinationDown];
    !is_about_orders && !stops.contains(&condition.code)
}

/// Whether an order has gone through, or both sides have answered since the start.
pub(super) fn is_proven(facts: &Facts) -> bool {
    let probed_store = facts.store.probe.as_ref().is_some_and(|probe| probe.outcome.is_ok());
    let probed_destination = facts.destination.probe.as_ref().is_some_and(|probe| probe.outcome.is_ok());
    let store = facts.store.answered_at.is_some() || probed_store;
    let destination = facts.destination.answered_at.is_some() || probed_destination;
    let has_delivered = facts.summary().is_some_and(|summary| summary.last_delivered_at.is_some());
    has_delivered || (store && destination)
}

fn connected(facts: &Facts) -> Verdict {
    let last = match facts.summary().and_then(|summary| summary.last_delivered_at) {
        Some(at) => format!("The last order was forwarded {}.", humanize::ago(facts.age(at))),
        None => "No order has come yet.".to_owned(),
    };
    let destination = match facts.connection.destination_within() {
        "the callback" => "its callback",
        other => other,
    };
    Verdict {
        light: Light::Green,
        title: "Connected".to_owned(),
        sentence: format!("Your store is connected to {destination}. {last}"),
        cure: None,
        since: None,
        action: Action::Check,
        others: Vec::new(),
    }
}
