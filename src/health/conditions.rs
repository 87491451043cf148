//! Facts → conditions. Each module judges one side; here they are put together and sorted.
//!
//! The newest evidence decides: a call that succeeded after a finding takes it back, a refusal after a success stands.
//! 401, 403 and 404 of either side are mistakes in the settings and are told with their cure, not as outages.

mod deliveries;
mod destination;
mod hooks;
mod relay;
mod shop;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{condition::Judgment, facts::Facts};
use crate::{inbox::ConnectionState, spec::DestinationKind};

/// An order that waits longer than this is a condition.
pub const LONG_WAIT: Duration = Duration::from_secs(15 * 60);
/// An outage shorter than this may be one lost call: the relay probes again within it.
const BRIEF: Duration = Duration::from_secs(10);
/// The title of such an outage, of either side.
const SHORT_INTERRUPTION: &str = "A short interruption";
/// A far side that is down for less than this may come back before an alert is read.
const DOWN_TOO_LONG: Duration = Duration::from_secs(300);
/// Hooks that cannot be looked after for less than this are tried again meanwhile, and polling finds the orders.
const HOOKS_TOO_LONG: Duration = Duration::from_secs(300);
/// An answer that names a mistake in the settings and has lasted this long is no deployment passing by.
const MISTAKE_TOO_LONG: Duration = Duration::from_secs(60);

/// What gateways answer while there is nothing behind them.
const NOBODY_BEHIND: [u16; 3] = [502, 503, 504];

/// Judges all facts of one connection.
pub fn judge(facts: &Facts) -> Judgment {
    let mut judgment = Judgment::default();
    relay::storage(facts, &mut judgment);
    if facts.connection.state == ConnectionState::Disconnected {
        relay::disconnected(facts, &mut judgment);
        return judgment;
    }
    relay::configuration(facts, &mut judgment);
    store::store(facts, &mut judgment);
    shop::shop(facts, &mut judgment);
    destination::destination(facts, &mut judgment);
    hooks::hooks(facts, &mut judgment);
    hooks::incoming(facts, &mut judgment);
    deliveries::deliveries(facts, &mut judgment);
    relay::not_checked(facts, &mut judgment);
    judgment.conditions.sort_by_key(|condition| (std::cmp::Reverse(condition.severity), condition.code));
    judgment
}

/// A destination that takes notifications rather than orders.
fn is_callback(facts: &Facts) -> bool {
    facts.connection.destination == Some(DestinationKind::CloudElements)
}
