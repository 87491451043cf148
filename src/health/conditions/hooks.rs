//! Webhooks: their registration at the store, their arrival, and the public address.

use std::time::Duration;

use super::{HOOKS_TOO_LONG, MISTAKE_TOO_LONG};
use crate::{
    health::{
        condition::{Action, CheckId, Code, Condition, Judgment, Severity},
        facts::{AddressFault, Facts, Health, HookFault, Probe},
        wording::operator,
    },
    http::Failure,
    humanize,
    inbox::{HookRow, HookState, Side},
    spec::SourceKind,
};

/// A webhook this recent proves that the store can reach the relay, even if the relay cannot.
const LATELY: Duration = Duration::from_secs(3600);
/// This many orders without a webhook are no coincidence.
const MISSED: u64 = 3;

fn about_hooks(code: Code, severity: Severity, title: &str) -> Condition {
    Condition::new(code, severity, CheckId::Hooks, title)
}

pub(super) fn hooks(facts: &Facts, judgment: &mut Judgment) {
    if !facts.connection.expects_webhooks() {
        return;
    }
    match facts.hooks.upkeep {
        // What prevents orders from being fetched also prevents hooks from being checked: it is reported once.
        _ if judgment.in_the_way(Side::Store).is_some() => drop(judgment.unknown.insert(Code::HooksNotMendable)),
        Health::Trouble((since, fault)) => match fault {
            HookFault::Quota | HookFault::Busy => drop(judgment.unknown.insert(Code::HooksNotMendable)),
            _ => {
                let age = facts.age(since);
                let condition = not_mendable(facts, age, fault).since(since);
                judgment.conditions.push(condition.alerting(age >= HOOKS_TOO_LONG));
            }
        },
        Health::Unknown => drop(judgment.unknown.insert(Code::HooksNotMendable)),
        Health::Well => {}
    }
    wrong(facts, judgment);
    if let Some(span) = facts.hooks.blocked_for {
        let seconds = humanize::count(span.as_secs(), "second");
        judgment.conditions.push(
            about_hooks(Code::Blocklisted, Severity::Warning, "Notices of new orders are held back").text(
                format!("BigCommerce holds back its notices of new orders (webhooks): the relay's domain is on its blocklist, for {seconds} more."),
                facts.connection.meanwhile(),
                "It comes off by itself. If it happens again, the relay has been answering too slowly or not at all.",
            ),
        );
    }
}

fn not_mendable(facts: &Facts, age: Duration, fault: HookFault) -> Condition {
    let connection = &facts.connection;
    let severity = if connection.poll_interval.is_some() { Severity::Warning } else { Severity::Error };
    let span = humanize::span_if_any(age).map_or_else(|| " just now".to_owned(), |span| format!(" for {span}"));
    let not_put_right = format!("The notices of new orders (webhooks) could not be put right{span}");
    let store = connection.store_name();
    let (cause, cure) = match fault {
        HookFault::Call(Failure::Status(401 | 403)) => (
            format!(
                "{store} does not let the relay set up the notices of new orders (webhooks) with the present {}.",
                connection.credentials()
            ),
            connection.renew_credentials(),
        ),
        HookFault::Call(failure) => (
            format!("{not_put_right} ({store}: {}).", humanize::failure(failure)),
            match failure {
                Failure::Status(400..500) => {
                    operator("look whether the store allows so many webhooks, then click Update Integration.")
                }
                _ => "The relay tries again by itself. If it lasts, click Update Integration.".to_owned(),
            },
        ),
        _ => (
            format!("{not_put_right}, since the relay's database cannot be used."),
            "See the check \"Storage\".".to_owned(),
        ),
    };
    about_hooks(Code::HooksNotMendable, severity, "Notices of new orders cannot be set up")
        .text(cause, connection.meanwhile(), cure)
        .action(Action::Update)
}

fn wrong(facts: &Facts, judgment: &mut Judgment) {
    let connection = &facts.connection;
    let faults: Vec<String> = facts.hooks.rows.iter().filter_map(|row| fault(row, connection.source)).collect();
    let absent = facts.hooks.looked_at.is_some() && facts.hooks.rows.len() < facts.hooks.expected;
    if faults.is_empty() && !absent {
        return;
    }
    let is_doubled = |row: &HookRow| matches!(row.state, HookState::Healthy | HookState::Doubled);
    let consequence = if !absent && facts.hooks.rows.iter().all(is_doubled) {
        "No order is lost or sent twice for it.".to_owned()
    } else {
        connection.meanwhile()
    };
    let severity = if connection.poll_interval.is_some() { Severity::Warning } else { Severity::Error };
    let cause = if faults.is_empty() { "one is missing".to_owned() } else { faults.join("; ") };
    judgment.conditions.push(
        about_hooks(Code::HooksWrong, severity, "Notices of new orders are being put right")
            .text(
                format!("The store's notices of new orders (webhooks) are not as they should be: {cause}."),
                consequence,
                "The relay puts them right by itself within minutes; Update Integration (or `onetribe-relay hooks update`) does it now.",
            )
            .action(Action::Update),
    );
}

/// What is wrong with a hook, if anything is.
fn fault(row: &HookRow, source: SourceKind) -> Option<String> {
    let by = if source == SourceKind::BigCommerce { "BigCommerce" } else { "WooCommerce" };
    let what = match row.state {
        HookState::Healthy => return None,
        HookState::Missing => "is missing".to_owned(),
        HookState::Inactive => format!("has been switched off by {by}"),
        HookState::Elsewhere => "points to another address".to_owned(),
        HookState::WithoutToken => "does not carry the relay's token".to_owned(),
        HookState::Doubled => "is there more than once, so that they come twice".to_owned(),
    };
    Some(format!("the one for {} {what}", humanize::printable(&row.topic)))
}

pub(super) fn incoming(facts: &Facts, judgment: &mut Judgment) {
    if !facts.connection.expects_webhooks() {
        return;
    }
    if let Some(probe) = &facts.public_address {
        judgment.conditions.extend(address(facts, probe));
    }
    let last_event = facts.summary().and_then(|summary| summary.last_event_at);
    let later_event = |at| last_event.is_some_and(|last| last > at);
    let webhooks = &facts.webhooks;
    if let Some(seen) = webhooks.wrong_signature.filter(|seen| !later_event(seen.last_at)) {
        judgment.conditions.push(
            about_hooks(Code::ClientSecretWrong, Severity::Error, "Notices of new orders are refused")
                .text(
                    "The store's notices of new orders (webhooks) come with the right token and a signature that does not fit: the configured client secret is not the store's.",
                    format!("They are refused. {}", facts.connection.meanwhile()),
                    facts.connection.renew_secret(),
                )
                .since(seen.first_at)
                .action(match facts.connection.source {
                    SourceKind::WooCommerce => Action::Update,
                    SourceKind::BigCommerce => Action::Check,
                })
                .alerting(facts.age(seen.first_at) >= MISTAKE_TOO_LONG),
        );
    }
    if let Some(at) = webhooks.unsigned_at {
        let ago = humanize::ago(facts.age(at));
        judgment.conditions.push(
            about_hooks(Code::WebhooksUnsigned, Severity::Warning, "Notices of new orders come unsigned")
                .text(
                    format!("A notice of an order (webhook) without a signature came {ago}; they used to be signed."),
                    "It was taken, since it carries the relay's token.",
                    "Usually this is the store's own change. If you have changed nothing, click Update Integration, which renews the token.",
                )
                .since(at)
                .action(Action::Update),
        );
    }
    if webhooks.refused > 0 && webhooks.wrong_signature.is_none() {
        judgment.conditions.push(about_hooks(Code::WebhooksRefused, Severity::Info, "Webhooks were refused").text(
            format!("{} refused within the last hour: not genuine.", humanize::count(webhooks.refused, "webhook")),
            "",
            "Nothing to do, unless orders come late.",
        ));
    }
    if webhooks.missed >= MISSED && judgment.in_the_way(Side::Store).is_none() {
        let last = match last_event {
            Some(at) => format!("the last one came {}", humanize::ago(facts.age(at))),
            None => "none has ever come".to_owned(),
        };
        let orders = humanize::count(webhooks.missed, "order");
        judgment.conditions.push(
            about_hooks(Code::WebhooksMissed, Severity::Warning, "Notices of new orders do not come")
                .text(
                    format!("The relay has itself found {orders} that no webhook told of; {last}."),
                    facts.connection.meanwhile(),
                    "Click Check Integration: it tells whether the relay can be reached from outside, and whether the webhooks are in place. If it finds nothing, something in front of the relay (a firewall, a protection against bots) refuses the store's webhooks: tell whoever runs the relay.",
                )
                .alerting(true)
                .action(Action::Check),
        );
    }
}

fn address(facts: &Facts, probe: &Probe<Result<(), AddressFault>>) -> Option<Condition> {
    const CURE: &str =
        "check that PUBLIC_URL is the relay's own address and that it can be reached from the internet on port 443.";
    const CANNOT_COME_IN: &str = "Notices of new orders cannot come in";
    let fault = probe.outcome.err()?;
    let last = facts.summary().and_then(|summary| summary.last_event_at);
    let store = facts.connection.store_within();
    let build = |severity, title: &str, cause: String, consequence: String, cure: &str| {
        let condition = Condition::new(Code::PublicUrlWrong, severity, CheckId::PublicUrl, title);
        Some(condition.text(cause, consequence, operator(cure)).since(probe.at).action(Action::Check))
    };
    // In some networks a machine cannot call its own public address, although others can.
    if let AddressFault::Unreachable(failure) = fault
        && let Some(at) = last.filter(|at| facts.age(*at) < LATELY)
    {
        let ago = humanize::ago(facts.age(at));
        let seen = humanize::failure(failure);
        return build(
            Severity::Warning,
            "The public address cannot be checked",
            format!("The relay cannot reach its own public address ({seen}), yet a webhook came {ago}."),
            String::new(),
            "if webhooks keep coming, your network only keeps the relay from calling itself, and there is nothing to do.",
        );
    }
    if last.is_some_and(|last| last > probe.at) {
        return None;
    }
    let cause = match fault {
        AddressFault::NotAvailable(status) => {
            format!("The public address answers that it is not available (HTTP {status}).")
        }
        AddressFault::AnotherServer(status) => {
            format!("Something answers at the public address (HTTP {status}), and it is not this relay.")
        }
        AddressFault::Certificate(problem) => {
            return build(
                Severity::Error,
                CANNOT_COME_IN,
                format!("The certificate of the public address is not valid: {problem}."),
                facts.connection.meanwhile(),
                &format!("install a valid certificate with its whole chain: {store} calls no address without one."),
            );
        }
        AddressFault::Unreachable(failure) => {
            format!("The public address cannot be reached: {}.", humanize::failure(failure))
        }
        AddressFault::Unproven => {
            return build(
                Severity::Error,
                "Notices of new orders may not come in",
                "Something answers at the public address. Whether it is this relay cannot be told, since the database cannot be read.".to_owned(),
                String::new(),
                "see the check \"Storage\".",
            );
        }
    };
    build(Severity::Error, CANNOT_COME_IN, cause, facts.connection.meanwhile(), CURE)
}
