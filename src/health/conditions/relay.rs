//! The relay itself: its database, its disk, its settings, its clock, and the connection's state.

use std::time::Duration;

use crate::{
    health::{
        condition::{Action, CheckId, Code, Condition, Judgment, Severity},
        facts::{Facts, Health},
        wording::{operator, state_title},
    },
    humanize,
    inbox::{ConnectionState, PauseReason},
    spec::{Origin, SourceKind},
};

/// A smaller clock difference is not reported.
const SKEW_SHOWN: Duration = Duration::from_secs(60);
/// From this difference on, signed webhooks are refused (`signature::MAX_AHEAD`).
const SKEW_FATAL: Duration = crate::signature::MAX_AHEAD;

pub(super) fn storage(facts: &Facts, judgment: &mut Judgment) {
    let store = facts.connection.store_within();
    let keeps = match facts.connection.source {
        SourceKind::BigCommerce => format!("{store} tells of new orders again for up to 48 hours."),
        SourceKind::WooCommerce => {
            "WooCommerce tells of an order only once; the relay looks for those itself later (polling).".to_owned()
        }
    };
    let cure =
        operator("make room on the disk, or give the relay the right to write there. Its log says what is wrong.");
    let failing = |cause: &str| {
        Condition::new(Code::StorageFailing, Severity::Error, CheckId::Storage, "Orders cannot be kept")
            .text(cause, format!("New orders are not taken until it can. {keeps}"), cure.as_str())
            .alerting(true)
    };
    match (facts.relay.database, &facts.orders) {
        (Health::Trouble(since), _) => {
            let ago = humanize::ago(facts.age(since));
            let cause = format!("The relay's database cannot be written; this began {ago}.");
            judgment.conditions.push(failing(&cause).since(since));
        }
        (_, None) => judgment.conditions.push(failing("The relay's database cannot be read.")),
        (Health::Unknown, _) => drop(judgment.unknown.insert(Code::StorageFailing)),
        (Health::Well, _) => {}
    }
    if let Some(disk) = facts.relay.disk.filter(|disk| disk.is_low()) {
        let free = disk.free / 1_000_000;
        judgment.conditions.push(
            Condition::new(Code::DiskLow, Severity::Warning, CheckId::Storage, "The disk is nearly full")
                .text(
                    format!("Only {} MB are left on the disk that holds the database.", humanize::number(free)),
                    "When it is full, no order can be kept.",
                    operator("make room, or give the relay a larger disk."),
                )
                .alerting(true),
        );
    }
    if facts.relay.log_lines_dropped > 0 {
        let lines = humanize::count(facts.relay.log_lines_dropped, "log line");
        judgment.conditions.push(
            Condition::new(Code::LogLinesDropped, Severity::Info, CheckId::Configuration, "Log lines were dropped")
                .text(
                    format!("{lines} were dropped since the start: whoever reads the log is too slow."),
                    "No order is affected.",
                    operator("look at what reads the relay's output."),
                ),
        );
    }
}

pub(super) fn disconnected(facts: &Facts, judgment: &mut Judgment) {
    let cure = match facts.connection.origin {
        Origin::App => "Install the app in BigCommerce again to reconnect: the history is kept.",
        _ => "Connect the store again to take it up: the history is kept.",
    };
    judgment.conditions.push(
        Condition::new(
            Code::Disconnected,
            Severity::Warning,
            CheckId::Configuration,
            state_title(ConnectionState::Disconnected),
        )
        .text(
            "This connection has ended.",
            "Its credentials are deleted, and what the store still sends is answered and dropped.",
            cure,
        ),
    );
}

pub(super) fn configuration(facts: &Facts, judgment: &mut Judgment) {
    let connection = &facts.connection;
    match (connection.state, connection.pause_reason) {
        (ConnectionState::Incomplete, _) => judgment.conditions.push(incomplete()),
        (ConnectionState::Paused, reason) => judgment.conditions.push(paused(facts, reason)),
        _ => {}
    }
    let mut warn = |code, severity, title: &str, cause: &str, consequence: &str, cure: &str| {
        let condition = Condition::new(code, severity, CheckId::Configuration, title);
        judgment.conditions.push(condition.text(cause, consequence, cure));
    };
    let polls = connection.poll_interval.is_some();
    let has_public_url = connection.public_url.is_some();
    if connection.has_webhooks && !has_public_url {
        let cure =
            operator("set PUBLIC_URL to the https address under which the relay can be reached, and restart it.");
        if polls {
            let cause =
                format!("{} cannot tell the relay of new orders (PUBLIC_URL is not set).", connection.store_name());
            let late = connection.poll_interval.map(humanize::span).unwrap_or_default();
            let consequence = format!("The relay looks for them itself: they arrive up to {late} late.");
            let title = "Orders come late";
            warn(Code::PublicUrlMissing, Severity::Warning, title, &cause, &consequence, &cure);
        } else {
            let cause = "Nothing tells the relay of new orders (PUBLIC_URL is not set, and RECONCILE_INTERVAL is 0).";
            let consequence = "No new order is found.";
            warn(Code::PublicUrlMissing, Severity::Error, "Orders are not found", cause, consequence, &cure);
        }
    } else if !polls && connection.has_webhooks {
        let cause = format!(
            "An order that {} does not tell of is not found (RECONCILE_INTERVAL is 0: polling is switched off).",
            connection.store_within()
        );
        let title = "Missed orders are not looked for";
        warn(Code::PollingOff, Severity::Warning, title, &cause, "", &connection.enable_polling());
    }
    if connection.origin == Origin::Environment && !facts.relay.has_admin_token {
        let cause = "ADMIN_TOKEN is not set: the status page is closed.";
        let cure = operator("set ADMIN_TOKEN to a long random text, keep it, and restart the relay.");
        warn(Code::AdminTokenMissing, Severity::Warning, "The status page is closed", cause, "", &cure);
    }
    clock(facts, judgment);
}

fn incomplete() -> Condition {
    Condition::new(
        Code::Incomplete,
        Severity::Warning,
        CheckId::Configuration,
        state_title(ConnectionState::Incomplete),
    )
    .text(
        "One Tribe's payload URL is missing.",
        "New orders are kept here until it is entered; none is lost.",
        "Copy the payload URL from your One Tribe account and enter it.",
    )
    .action(Action::SetDestination)
}

fn paused(facts: &Facts, reason: Option<PauseReason>) -> Condition {
    let waiting = facts.summary().map_or(0, |summary| summary.waiting);
    let kept = match waiting {
        0 => "New orders are kept and wait; none is lost.".to_owned(),
        n => format!("{} {} kept and waiting; none is lost.", humanize::count(n, "order"), humanize::are(n)),
    };
    let release = "then release the queue with `PUT /notifications/subscriptions/deliveries` or Resume.";
    let renew = facts.connection.renew_destination();
    let (code, severity, cause, cure) = match reason {
        Some(PauseReason::CallbackGone) => (
            Code::CallbackGone,
            Severity::Error,
            "The callback has answered that it is gone for good (HTTP 410), so the connection is paused.",
            format!("{renew} If it is right, {release}"),
        ),
        Some(PauseReason::RetriesExhausted) => (
            Code::RetriesExhausted,
            Severity::Error,
            "The last retry of a notification has failed, so the connection is paused.",
            format!("Put the callback right, {release}"),
        ),
        _ => (
            Code::Paused,
            Severity::Warning,
            "Forwarding is paused.",
            "Resume when orders are to be forwarded again.".to_owned(),
        ),
    };
    let title = match code {
        Code::CallbackGone => "The callback is gone",
        Code::RetriesExhausted => "The callback is not taking notifications",
        _ => state_title(ConnectionState::Paused),
    };
    Condition::new(code, severity, CheckId::Configuration, title)
        .text(cause, kept, cure)
        .alerting(severity == Severity::Error)
        .action(Action::Resume)
}

fn clock(facts: &Facts, judgment: &mut Judgment) {
    let Some(ahead) = facts.store.clock_ahead_ms else { return };
    let off = Duration::from_millis(ahead.unsigned_abs());
    if off < SKEW_SHOWN {
        return;
    }
    let is_fatal = off >= SKEW_FATAL && facts.connection.source == SourceKind::BigCommerce;
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let consequence = match is_fatal {
        true => "New orders may be refused (webhooks are signed with the time), or be looked for too late.",
        false => "Times on this page are off by as much.",
    };
    let span = humanize::span(off);
    judgment.conditions.push(
        Condition::new(Code::ClockSkewed, Severity::Warning, CheckId::Configuration, "The clock is wrong")
            .text(
                format!("The relay's clock is {span} {direction} that of {}.", facts.connection.store_within()),
                consequence,
                operator("set the machine's clock, and keep it right with NTP."),
            )
            .alerting(is_fatal),
    );
}

/// Until an order has gone through or a check has run, a connection must not be called connected.
pub(super) fn not_checked(facts: &Facts, judgment: &mut Judgment) {
    if crate::health::verdict::is_proven(facts) || judgment.worst() >= Some(Severity::Warning) {
        return;
    }
    judgment.conditions.push(
        Condition::new(Code::NotChecked, Severity::Warning, CheckId::Deliveries, "Not checked yet")
            .text(
                "Nothing is known to be wrong, but nothing has been checked since the relay started.",
                "",
                "Click Check Integration.",
            )
            .action(Action::Check),
    );
}
