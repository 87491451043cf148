//! The destination: an address that is not accepted, an outage, a callback's troubles.

use super::{BRIEF, DOWN_TOO_LONG, MISTAKE_TOO_LONG, NOBODY_BEHIND, SHORT_INTERRUPTION, is_callback};
use crate::{
    clock::Timestamp,
    health::{
        condition::{Action, CheckId, Code, Condition, Judgment, Severity},
        facts::{Facts, Health, Trouble},
    },
    http::Failure,
    humanize,
    spec::Origin,
};

pub(super) fn destination(facts: &Facts, judgment: &mut Judgment) {
    if facts.connection.destination.is_none() {
        return;
    }
    callback(facts, judgment);
    match facts.destination.outage {
        Health::Trouble(outage) => {
            let condition = outage_condition(facts, outage);
            let other =
                if condition.code == Code::DestinationDown { Code::DestinationRefuses } else { Code::DestinationDown };
            judgment.unknown.insert(other);
            judgment.conditions.push(condition);
        }
        Health::Unknown => {
            judgment.unknown.extend([Code::DestinationDown, Code::DestinationRefuses]);
            judgment.conditions.extend(probed(facts));
        }
        Health::Well => judgment.conditions.extend(probed(facts)),
    }
}

/// How many orders wait: `1 order is waiting; none is lost.`
fn waiting(facts: &Facts) -> String {
    match facts.summary().map_or(0, |summary| summary.waiting) {
        0 => "New orders wait here; none is lost.".to_owned(),
        n => format!("{} {} waiting; none is lost.", humanize::count(n, "order"), humanize::are(n)),
    }
}

fn outage_condition(facts: &Facts, outage: Trouble) -> Condition {
    let connection = &facts.connection;
    let name = connection.destination_name();
    let age = facts.age(outage.since);
    let seen = humanize::failure(outage.failure);
    let takes = if is_callback(facts) { "notifications" } else { "orders" };
    let stopped = match humanize::span_if_any(age) {
        Some(span) => format!("{name} has not been taking {takes} for {span}"),
        None => format!("{name} has just stopped taking {takes}"),
    };
    let runs = if is_callback(facts) { "whoever runs it" } else { "One Tribe" };
    let build =
        |code, severity, title: String| Condition::new(code, severity, CheckId::Destination, title).since(outage.since);
    match outage.failure {
        Failure::Status(401 | 403 | 404 | 410) | Failure::PrivateAddress => {
            let what = if is_callback(facts) { "callback URL" } else { "payload URL" };
            let condition = build(
                Code::DestinationRefuses,
                Severity::Error,
                format!(
                    "{name} does not accept the {what}",
                    name = if is_callback(facts) { "The server" } else { name }
                ),
            );
            let condition = match connection.origin {
                Origin::App => condition.action(Action::SetDestination),
                _ => condition,
            };
            condition
                .text(
                    format!("{stopped}: this {what} is not accepted ({seen})."),
                    waiting(facts),
                    connection.renew_destination(),
                )
                .alerting(age >= MISTAKE_TOO_LONG)
        }
        _ if age < BRIEF => build(Code::DestinationDown, Severity::Warning, SHORT_INTERRUPTION.to_owned()).text(
            format!("{stopped} ({seen})."),
            waiting(facts),
            connection.wait_for_destination(),
        ),
        failure => build(Code::DestinationDown, Severity::Error, format!("{name} is not taking {takes}"))
            .text(
                format!("{stopped} ({seen})."),
                waiting(facts),
                match failure {
                    Failure::Status(300..400) => format!(
                        "The address has moved, and redirects are not followed. {}",
                        connection.renew_destination()
                    ),
                    Failure::Dns | Failure::Tls => connection.renew_destination(),
                    _ => format!("{} If it lasts, tell {runs}.", connection.wait_for_destination()),
                },
            )
            .alerting(age >= DOWN_TOO_LONG),
    }
}

/// The finding of a probe, unless the destination has taken something since.
fn probed(facts: &Facts) -> Option<Condition> {
    let probe = facts.destination.probe.as_ref()?;
    let is_outdated = |at: Timestamp| facts.destination.answered_at.is_some_and(|answered| answered > at);
    if is_outdated(probe.at) {
        return None;
    }
    let connection = &facts.connection;
    let name = connection.destination_name();
    let is_mistake = matches!(probe.outcome, Err(Failure::Dns | Failure::PrivateAddress));
    let (severity, cause) = match probe.outcome {
        Ok(status) if NOBODY_BEHIND.contains(&status) => {
            (Severity::Warning, format!("{name}'s server answers, and says that it is not available (HTTP {status})."))
        }
        Ok(_) => return None,
        Err(Failure::Dns) => {
            (Severity::Error, format!("The name in the address of {} does not exist.", connection.destination_within()))
        }
        Err(Failure::PrivateAddress) => {
            (Severity::Error, format!("The address of {} is private.", connection.destination_within()))
        }
        Err(Failure::Tls) => (Severity::Error, format!("{name}'s certificate is not valid.")),
        Err(Failure::Timeout) => (
            Severity::Error,
            format!("{name} has not answered within {} seconds.", crate::health::checks::LIMIT.as_secs()),
        ),
        Err(failure) => (Severity::Error, format!("{name} cannot be reached: {}.", humanize::failure(failure))),
    };
    let cure = match severity {
        Severity::Error if is_mistake => connection.renew_destination(),
        Severity::Error => {
            format!("Usually this passes by itself. Else the address may be wrong. {}", connection.renew_destination())
        }
        _ => connection.wait_for_destination(),
    };
    let code = if is_mistake { Code::DestinationRefuses } else { Code::DestinationDown };
    let title = format!("{name} cannot be reached");
    let since = facts.destination.probes_fail_since.unwrap_or(probe.at);
    Some(
        Condition::new(code, severity, CheckId::Destination, title)
            .text(cause, waiting(facts), cure)
            .since(since)
            .alerting(severity == Severity::Error && facts.age(since) >= DOWN_TOO_LONG)
            .action(Action::Check),
    )
}

fn callback(facts: &Facts, judgment: &mut Judgment) {
    if !is_callback(facts) {
        return;
    }
    if facts.callback.is_plain_http {
        judgment.conditions.push(
            Condition::new(
                Code::CallbackPlain,
                Severity::Warning,
                CheckId::Destination,
                "The callback is not encrypted",
            )
            .text(
                "The callback's URL is plain http.",
                "Anyone on the network path can read the notifications.",
                format!("Use an https address. {}", facts.connection.renew_destination()),
            ),
        );
    }
    let outstanding = facts.callback.outstanding;
    if outstanding > 0 {
        let next = facts.callback.next_try_at.map(|at| humanize::due_in(at.since(facts.at)));
        let next = next.map(|when| format!(", the next try is {when}")).unwrap_or_default();
        let (notifications, are) = (humanize::count(outstanding, "notification"), humanize::are(outstanding));
        judgment.conditions.push(
            Condition::new(
                Code::NotificationsOutstanding,
                Severity::Warning,
                CheckId::Destination,
                "Notifications are late",
            )
            .text(
                format!("{notifications} {are} not taken yet{next}."),
                "Later ones wait behind, in order.",
                "Nothing to do at first: they are tried again by a fixed schedule.",
            ),
        );
    }
}
