//! The store's API: refused credentials, an unknown store, an outage, a used-up quota.

use std::time::Duration;

use super::{BRIEF, DOWN_TOO_LONG, SHORT_INTERRUPTION};
use crate::{
    clock::Timestamp,
    health::{
        condition::{Action, CheckId, Code, Condition, Judgment, Severity},
        facts::{Facts, Health, ShopProblem},
    },
    http::Failure,
    humanize,
    source::reach::Silence,
    spec::SourceKind,
};

/// A quota that is used up for a shorter time is not reported.
const QUOTA_SHOWN: Duration = Duration::from_secs(10);

/// The newest failure seen at the store.
struct Finding {
    failure: Failure,
    since: Timestamp,
    /// Whether delivery saw it, so that orders wait for it; otherwise only a probe did.
    is_outage: bool,
    /// Whether it was seen at least twice, some time apart.
    is_confirmed: bool,
}

pub(super) fn store(facts: &Facts, judgment: &mut Judgment) {
    quota(facts, judgment);
    if let Some(found) = finding(facts) {
        let condition = condition(facts, &found);
        // While one of them holds, the others cannot be observed.
        judgment.unknown.extend(
            [Code::CredentialsRefused, Code::StoreUnknown, Code::StoreDown]
                .into_iter()
                .filter(|code| *code != condition.code),
        );
        // A cause that the shop's own answers show is reported instead of its symptom (see `shop`).
        if !facts.shop.iter().any(|problem| explains(*problem)) {
            judgment.conditions.push(condition);
        }
        return;
    }
    let is_known = facts.store.answered_at.is_some() || facts.store.credentials.is_well();
    if facts.store.credentials.is_unknown() && !is_known {
        judgment.unknown.extend([Code::CredentialsRefused, Code::StoreUnknown]);
    }
    if facts.store.outage.is_unknown() && !is_known {
        judgment.unknown.insert(Code::StoreDown);
    }
}

fn explains(problem: ShopProblem) -> bool {
    !matches!(
        problem,
        ShopProblem::HeaderStripped | ShopProblem::ReadOnly | ShopProblem::WebhooksDisabled | ShopProblem::CronLate(_)
    )
}

/// The finding that no later success has cancelled: refused credentials first, then outages, then probes.
fn finding(facts: &Facts) -> Option<Finding> {
    let store = &facts.store;
    let stands = |at: Timestamp, success: Option<Timestamp>| success.is_none_or(|success| success < at);
    if let Health::Trouble(refusal) = store.credentials
        && stands(refusal.last_at, store.delivered_at)
    {
        let is_outage = store.outage.trouble().is_some();
        let (failure, since) = (refusal.failure, refusal.first_at);
        return Some(Finding { failure, since, is_outage, is_confirmed: refusal.is_confirmed() });
    }
    if let Health::Trouble(outage) = store.outage {
        let is_confirmed = facts.age(outage.since) >= DOWN_TOO_LONG;
        return Some(Finding { failure: outage.failure, since: outage.since, is_outage: true, is_confirmed });
    }
    if let Some(silence) = store.silence.filter(Silence::is_certain) {
        let is_confirmed = facts.age(silence.since) >= DOWN_TOO_LONG;
        return Some(Finding { failure: silence.failure, since: silence.since, is_outage: true, is_confirmed });
    }
    let probe = store.probe.as_ref()?;
    let failure = probe.outcome.err().filter(|failure| failure.status() != Some(429))?;
    // An answer alone does not show that the relay may read, or that the answers are right.
    let success = match failure {
        Failure::Status(401 | 403 | 404 | 410) if store.credentials.is_well() => return None,
        Failure::Status(401 | 403 | 404 | 410) => store.delivered_at,
        Failure::Html(_) | Failure::NotJson | Failure::AnotherObject | Failure::TooLarge => store.delivered_at,
        _ => store.answered_at,
    };
    let since = store.probes_fail_since.unwrap_or(probe.at);
    stands(probe.at, success).then_some(Finding { failure, since, is_outage: false, is_confirmed: false })
}

fn condition(facts: &Facts, found: &Finding) -> Condition {
    let connection = &facts.connection;
    let (store, credentials) = (connection.store_name(), connection.credentials());
    let seen = humanize::failure(found.failure);
    let waits = "Orders cannot be fetched: they wait here and none is lost.";
    let settings = |code, title: String, cause: String, cure: String| {
        Condition::new(code, Severity::Error, CheckId::StoreApi, title)
            .text(cause, waits, cure)
            .since(found.since)
            .alerting(found.is_confirmed)
            .action(Action::Check)
    };
    match found.failure {
        Failure::Status(401) => settings(
            Code::CredentialsRefused,
            format!("{store} refuses the {credentials}"),
            format!("{store} refuses the {credentials} (HTTP 401)."),
            connection.renew_credentials(),
        ),
        Failure::Status(403) => settings(
            Code::CredentialsRefused,
            "Orders may not be read".to_owned(),
            format!("The {credentials} may not read orders (HTTP 403)."),
            connection.grant_rights(),
        ),
        Failure::Status(404 | 410) => settings(
            Code::StoreUnknown,
            "The store is not known".to_owned(),
            match connection.source {
                SourceKind::BigCommerce => format!("BigCommerce does not know this store ({seen})."),
                SourceKind::WooCommerce => format!("There is no WooCommerce API at this address ({seen})."),
            },
            connection.name_the_store(),
        ),
        failure => down(facts, found, failure, &seen),
    }
}

fn down(facts: &Facts, found: &Finding, failure: Failure, seen: &str) -> Condition {
    let connection = &facts.connection;
    let store = connection.store_name();
    let age = facts.age(found.since);
    let span = humanize::span(age);
    let is_brief = found.is_outage && age < BRIEF;
    let cause = match failure {
        Failure::Timeout if !found.is_outage => {
            format!("{store} has not answered within {} seconds.", crate::health::checks::LIMIT.as_secs())
        }
        _ if !found.is_outage => format!("{store} does not answer as it should ({seen})."),
        _ if is_brief => format!("{store} has just failed to answer as it should ({seen})."),
        _ => format!("{store} has not been answering as it should for {span} ({seen})."),
    };
    let cure = match (failure, connection.source) {
        (Failure::PrivateAddress, _) => {
            "The shop's name leads to a private address. Whoever runs the relay: use its public one, or list the network in ALLOWED_PRIVATE_NETWORKS."
        }
        (Failure::Dns, SourceKind::WooCommerce) => "Check the shop's address: its name does not exist.",
        (Failure::Tls, SourceKind::WooCommerce) => "Have the shop's certificate renewed.",
        (Failure::Html(_), SourceKind::WooCommerce) => {
            "If the shop is in maintenance, there is nothing to do. Otherwise have the shop's firewall let the relay through (User-Agent `onetribe-relay`)."
        }
        (_, SourceKind::WooCommerce) => {
            "Usually this passes and the relay goes on by itself. If it lasts, see whether the shop is up."
        }
        (_, SourceKind::BigCommerce) => {
            "Usually this passes and the relay goes on by itself. If it lasts, look at BigCommerce's status page."
        }
    };
    let severity = if is_brief { Severity::Warning } else { Severity::Error };
    let title = if is_brief { SHORT_INTERRUPTION.to_owned() } else { format!("{store} does not answer") };
    Condition::new(Code::StoreDown, severity, CheckId::StoreApi, title)
        .text(cause, "Orders wait meanwhile and none is lost.", cure)
        .since(found.since)
        .alerting(found.is_confirmed && found.is_outage)
}

fn quota(facts: &Facts, judgment: &mut Judgment) {
    let closed = facts.store.quota_closed_for.filter(|span| *span >= QUOTA_SHOWN);
    let probed = facts.store.probe.as_ref().is_some_and(|probe| {
        let is_quota = probe.outcome.is_err_and(|failure| failure.status() == Some(429));
        is_quota && facts.store.answered_at.is_none_or(|answered| answered < probe.at)
    });
    if closed.is_none() && !probed {
        return;
    }
    let how_long = closed.map(|span| format!(" for {} more", humanize::span(span))).unwrap_or_default();
    let limit = match facts.connection.source {
        SourceKind::BigCommerce => "The store's API limit is used up",
        SourceKind::WooCommerce => "The shop asks the relay to slow down",
    };
    judgment.conditions.push(
        Condition::new(Code::QuotaUsedUp, Severity::Warning, CheckId::StoreApi, "Waiting for the store's API limit")
            .text(
                format!("{limit}{how_long}, perhaps by another app."),
                "Orders wait for it and none is lost.",
                "Nothing to do: the relay waits its turn and goes on by itself.",
            ),
    );
}
