//! Facts → conditions. Each module judges one side; this file combines and sorts them.
//!
//! The newest evidence counts: a success after a finding cancels it, a refusal after a success stands. 401, 403 and
//! 404 from either side mean wrong settings, and are reported with their cure, not as outages.

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

/// An order that waits for longer is a condition.
pub const LONG_WAIT: Duration = Duration::from_secs(15 * 60);
/// A shorter outage may be one lost call: the relay probes again within this time.
const BRIEF: Duration = Duration::from_secs(10);
/// The title of such an outage, of either side.
const SHORT_INTERRUPTION: &str = "A short interruption";
/// A shorter outage may be over before an alert is read.
const DOWN_TOO_LONG: Duration = Duration::from_secs(300);
/// If hooks fail for less than this, the next try may succeed, and polling finds the orders meanwhile.
const HOOKS_TOO_LONG: Duration = Duration::from_secs(300);
/// An answer that means wrong settings may come from a deployment in progress, until it has lasted this long.
const MISTAKE_TOO_LONG: Duration = Duration::from_secs(60);

/// The statuses of a gateway with nothing behind it.
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

/// Whether the destination takes notifications rather than orders.
fn is_callback(facts: &Facts) -> bool {
    facts.connection.destination == Some(DestinationKind::CloudElements)
}
