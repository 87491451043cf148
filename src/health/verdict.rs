//! The headline of page and terminal: connected, connected with a warning, or what is wrong, since when, and the cure.

use super::{
    condition::{Action, CheckId, Code, Condition, Judgment, Severity},
    facts::Facts,
    wording::state_title,
};
use crate::{clock::Timestamp, humanize, inbox::ConnectionState};

/// Green, amber or red.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Light {
    /// Everything known is well.
    Green,
    /// It works, but needs attention.
    Amber,
    /// It does not work.
    Red,
}

/// The headline of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The colour.
    pub light: Light,
    /// The title, a few words.
    pub title: String,
    /// Cause and consequence, in one to three sentences.
    pub sentence: String,
    /// What to do, if anything.
    pub cure: Option<String>,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
    /// The button that helps most.
    pub action: Action,
    /// The other conditions, the gravest first, as indexes into the judgment's conditions.
    pub others: Vec<usize>,
}

/// Chooses what to say first.
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

/// Whether orders flow despite the condition.
fn orders_flow(condition: &Condition) -> bool {
    let is_about_orders = condition.check == CheckId::Deliveries && condition.code != Code::PollingFailing;
    let stops = [
        Code::Disconnected,
        Code::Incomplete,
        Code::Paused,
        Code::StoreDown,
        Code::DestinationDown,
        Code::NotificationsOutstanding,
        Code::QuotaUsedUp,
    ];
    !is_about_orders && !stops.contains(&condition.code)
}

/// Whether an order has gone through, or both sides have answered since the start.
pub(super) fn is_proven(facts: &Facts) -> bool {
    let probed_store = facts.store.probe.as_ref().is_some_and(|probe| probe.outcome.is_ok());
    let probed_destination = facts.destination.probe.as_ref().is_some_and(|probe| probe.outcome.is_ok());
    let store = facts.store.delivered_at.is_some() || facts.store.credentials.is_well() || probed_store;
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
        title: state_title(ConnectionState::Active).to_owned(),
        sentence: format!("Your store is connected to {destination}. {last}"),
        cure: None,
        since: None,
        action: Action::Check,
        others: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{
            facts::{Health, OrderFacts},
            fixtures::{ago, counted, down, fine, with},
            judge,
        },
        http::Failure,
        inbox::{HookState, Summary},
    };

    fn judged(facts: &Facts) -> Verdict {
        verdict(facts, &judge(facts))
    }

    #[test]
    fn the_worst_that_is_known_decides() {
        let forwarded = Summary { last_delivered_at: Some(ago(120)), ..Summary::default() };
        let outage = with(|facts| facts.destination.outage = down(300, Failure::Status(503)));
        for (facts, light, title, said) in [
            (fine(), Light::Green, "Connected", "No order has come yet."),
            (counted(forwarded), Light::Green, "Connected", "forwarded 2 minutes ago"),
            (with(|facts| facts.orders = None), Light::Red, "Orders cannot be kept", "cannot be read"),
            (outage, Light::Red, "One Tribe is not taking orders", "5 minutes (HTTP 503)"),
            (
                with(|facts| facts.store.outage = down(1, Failure::Status(401))),
                Light::Red,
                "BigCommerce refuses the access token",
                "access token (HTTP 401)",
            ),
            (
                with(|facts| facts.hooks.rows[0].state = HookState::Missing),
                Light::Amber,
                "Connected, with a warning",
                "up to 15 minutes late",
            ),
            (
                counted(Summary { failed: 1, ..forwarded }),
                Light::Amber,
                "1 order failed",
                "1 order could not be delivered.",
            ),
            (
                with(|facts| facts.connection.state = ConnectionState::Incomplete),
                Light::Amber,
                "One step is left",
                "payload URL is missing",
            ),
            (
                with(|facts| (facts.store.probe, facts.store.credentials) = (None, Health::Unknown)),
                Light::Amber,
                "Not checked yet",
                "has been checked",
            ),
        ] {
            let verdict = judged(&facts);
            assert_eq!((verdict.light, &*verdict.title), (light, title), "{verdict:?}");
            assert!(verdict.sentence.contains(said), "{verdict:?} does not say `{said}`");
        }
    }

    #[test]
    fn the_button_that_helps_comes_first() {
        let failed = counted(Summary { failed: 3, ..Summary::default() });
        assert_eq!(judged(&failed).action, Action::ResendFailed);
        let hooks = with(|facts| facts.hooks.rows[0].state = HookState::Inactive);
        assert_eq!(judged(&hooks).action, Action::Update);
        assert_eq!(judged(&fine()).action, Action::Check);
    }

    #[test]
    fn what_loses_or_holds_orders_comes_before_settings() {
        let failed = Summary { failed: 2, last_delivered_at: Some(ago(60)), ..Summary::default() };
        let mut facts = counted(failed);
        facts.connection.public_url = None;
        facts.relay.has_admin_token = false;
        let verdict = judged(&facts);
        assert_eq!((&*verdict.title, verdict.action), ("2 orders failed", Action::ResendFailed));
        let codes: Vec<_> = judge(&facts).conditions.iter().map(|condition| condition.code).collect();
        assert_eq!(codes, [Code::OrderFailed, Code::PublicUrlMissing, Code::AdminTokenMissing]);
    }

    #[test]
    fn a_second_trouble_is_told_as_well() {
        let facts = with(|facts| {
            facts.relay.database = Health::Trouble(ago(30));
            facts.destination.outage = down(400, Failure::Connect);
            facts.orders = Some(OrderFacts::default());
        });
        let verdict = judged(&facts);
        assert_eq!((&*verdict.title, verdict.others), ("Orders cannot be kept", vec![1]));
    }
}
