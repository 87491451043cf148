//! Orders on their way (failed, refused, late), and the lists in which polling finds orders without webhooks.

use std::time::Duration;

use super::{LONG_WAIT, is_callback};
use crate::{
    health::{
        condition::{Action, CheckId, Code, Condition, Judgment, Severity},
        facts::{Facts, OrderFacts},
        wording::failed_title,
    },
    http::Failure,
    humanize,
    inbox::{ConnectionState, Failed, ObjectRow, ObjectState, Side},
    retry,
};

/// An order refused for less than this may be accepted at the next try.
const REFUSED_TOO_LONG: Duration = Duration::from_secs(300);
/// How long working off the backlog after an outage may take.
const CATCHING_UP: Duration = Duration::from_secs(15 * 60);
/// Most orders that are named.
const NAMED: usize = 5;

pub(super) fn deliveries(facts: &Facts, judgment: &mut Judgment) {
    polling(facts, judgment);
    let Some(orders) = &facts.orders else {
        judgment.unknown.extend([Code::OrderFailed, Code::OrdersRefused, Code::WaitingLong]);
        return;
    };
    failed(facts, orders, judgment);
    refused(facts, orders, judgment);
    waiting(facts, orders, judgment);
}

/// The failures, the most frequent first: `HTTP 422; timed out`.
fn reasons(rows: &[ObjectRow]) -> String {
    let mut counted: Vec<(Failed, u64)> = Vec::new();
    for failed in rows.iter().filter_map(|row| row.last_failure) {
        match counted.iter_mut().find(|(known, _)| *known == failed) {
            Some((_, count)) => *count += 1,
            None => counted.push((failed, 1)),
        }
    }
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counted.iter().take(3).map(|(failed, _)| humanize::failure(failed.failure)).collect::<Vec<_>>().join("; ")
}

fn names(rows: &[ObjectRow], total: u64) -> String {
    let ids: Vec<String> = rows.iter().map(|row| humanize::printable(&row.id.to_string()).into_owned()).collect();
    humanize::listed(&ids, total.max(ids.len() as u64), NAMED)
}

fn failed(facts: &Facts, orders: &OrderFacts, judgment: &mut Judgment) {
    let count = orders.summary.failed;
    if count == 0 {
        return;
    }
    let consequence = match count {
        1 => "It will not be tried again by itself.",
        _ => "They will not be tried again by themselves.",
    };
    let rows: Vec<ObjectRow> = orders.failed.iter().filter(|row| row.state == ObjectState::Failed).cloned().collect();
    let which = match rows.as_slice() {
        [] => String::new(),
        rows => format!(": {} ({})", names(rows, count), reasons(rows)),
    };
    let them = if count == 1 { "it" } else { "them" };
    let is_refused = rows.iter().any(|row| row.last_failure.is_some_and(is_refusal));
    let tell = if is_refused {
        let numbers = if count == 1 { "its number" } else { "their numbers" };
        format!("Tell {}, with {numbers}; ", facts.connection.destination_within())
    } else {
        String::new()
    };
    let resend = if tell.is_empty() {
        format!("Look at {them} among the orders, and resend {them} once the reason is gone.")
    } else {
        format!("{tell}then look at {them} among the orders, and resend {them}.")
    };
    let noun = humanize::count(count, "order");
    let mut condition = Condition::new(Code::OrderFailed, Severity::Warning, CheckId::Deliveries, failed_title(count))
        .text(format!("{noun} could not be delivered{which}."), consequence, resend)
        .alerting(true)
        .action(Action::ResendFailed);
    condition.orders = rows.iter().take(NAMED).map(|row| row.id.clone()).collect();
    judgment.conditions.push(condition);
}

/// Whether the far side refused this object, rather than not answering.
fn is_refusal(failed: Failed) -> bool {
    failed.side == Side::Destination && matches!(failed.failure, Failure::Status(400..500))
}

fn refused(facts: &Facts, orders: &OrderFacts, judgment: &mut Judgment) {
    // The store may have been asked too early for a new order, which is no trouble.
    let is_new = |row: &ObjectRow| facts.age(row.first_event_at) < retry::MISSING_MAX_AGE;
    let in_trouble = |row: &ObjectRow, may_be_early: bool| {
        row.last_failure.is_some_and(|failed| !(may_be_early && failed.is_missing()))
    };
    // Resent, or changed since they failed.
    let (anew, tried): (Vec<ObjectRow>, Vec<ObjectRow>) =
        orders.troubled.iter().cloned().partition(|row| row.attempts == 0);
    let rows: Vec<ObjectRow> = tried.into_iter().filter(|row| in_trouble(row, true)).collect();
    if rows.is_empty() {
        let anew: Vec<ObjectRow> = anew.into_iter().filter(|row| in_trouble(row, is_new(row))).collect();
        return tried_anew(orders, &anew, judgment);
    }
    let is_refused = |row: &ObjectRow| row.last_failure.is_some_and(|failed| failed.side == Side::Destination);
    let (refused, unfetched): (Vec<ObjectRow>, Vec<ObjectRow>) = rows.iter().cloned().partition(is_refused);
    // For those not listed here, the side is not known: they are counted with the more frequent one.
    let unlisted = orders.summary.refused.saturating_sub(orders.troubled.len() as u64);
    let (more_refused, more_unfetched) = if refused.len() >= unfetched.len() { (unlisted, 0) } else { (0, unlisted) };
    let since = rows.iter().filter_map(|row| row.waiting_since).min();
    let waiting = rows.iter().filter(|row| !row.is_claimed);
    let next = waiting.filter_map(|row| row.next_attempt_at).filter(|at| *at > facts.at).min();
    let next =
        next.map_or_else(String::new, |at| format!(" The next try is {}.", humanize::due_in(at.since(facts.at))));
    let (name, tell) = (facts.connection.destination_name(), facts.connection.destination_within());
    let mut causes = Vec::new();
    let mut title = String::new();
    if !unfetched.is_empty() {
        let count = unfetched.len() as u64 + more_unfetched;
        let which = names(&unfetched, count);
        let orders = humanize::count(count, "order");
        title = format!("{orders} {} not given by the store", humanize::are(count));
        causes.push(format!("{orders} cannot be fetched: {which} ({}).", reasons(&unfetched)));
    }
    if !refused.is_empty() {
        let count = refused.len() as u64 + more_refused;
        let which = names(&refused, count);
        let orders = humanize::count(count, "order");
        title = format!("{orders} {} refused", humanize::are(count));
        causes.insert(0, format!("{name} refuses {orders}: {which} ({}).", reasons(&refused)));
    }
    let is_one = rows.len() as u64 + unlisted == 1;
    let (they, these, numbers) = match is_one {
        true => ("It is", "this order", "its number"),
        false => ("They are", "these orders", "their numbers"),
    };
    let cure = match refused.is_empty() {
        true => format!("If it lasts, look at {these} in the store."),
        false => format!("If it lasts, tell {tell}, with {numbers} and the reason."),
    };
    let mut condition = Condition::new(Code::OrdersRefused, Severity::Warning, CheckId::Deliveries, title)
        .text(causes.join(" "), format!("{they} tried again.{next}"), cure)
        .alerting(since.is_some_and(|since| facts.age(since) >= REFUSED_TOO_LONG));
    condition.since = since;
    condition.orders = rows.iter().take(NAMED).map(|row| row.id.clone()).collect();
    judgment.conditions.push(condition);
}

/// Orders that failed or were refused before, and of which nothing is known since they were resent or changed.
fn tried_anew(orders: &OrderFacts, anew: &[ObjectRow], judgment: &mut Judgment) {
    if anew.is_empty() {
        return;
    }
    let unlisted = orders.summary.refused.saturating_sub(orders.troubled.len() as u64);
    let count = anew.len() as u64 + unlisted;
    let noun = format!("{} {}", humanize::count(count, "order"), humanize::are(count));
    let before = reasons(anew);
    let before = if before.is_empty() { String::new() } else { format!(", after {before}") };
    let cure = "Look again in a minute: by then the answers are known.";
    let mut condition = Condition::new(
        Code::OrdersRefused,
        Severity::Warning,
        CheckId::Deliveries,
        format!("{noun} being tried again"),
    )
    .text(format!("{noun} on the way again: {}{before}.", names(anew, count)), "None is lost.", cure);
    condition.since = anew.iter().filter_map(|row| row.waiting_since).min();
    condition.orders = anew.iter().take(NAMED).map(|row| row.id.clone()).collect();
    judgment.conditions.push(condition);
}

/// Whether another condition already explains why orders wait.
fn is_explained(judgment: &Judgment) -> bool {
    let causes = [Code::StorageFailing, Code::OrdersRefused, Code::NotificationsOutstanding];
    judgment.holds_all().is_some() || causes.into_iter().any(|code| judgment.find(code).is_some())
}

fn waiting(facts: &Facts, orders: &OrderFacts, judgment: &mut Judgment) {
    let summary = &orders.summary;
    let Some(since) = summary.oldest_waiting.filter(|since| facts.age(*since) >= LONG_WAIT) else { return };
    if facts.connection.state != ConnectionState::Active {
        return;
    }
    let recovered = facts.store.recovered_at.max(facts.destination.recovered_at);
    let is_catching_up = recovered.is_some_and(|at| facts.age(at) < CATCHING_UP);
    let waiting = humanize::count(summary.waiting, "order");
    let noun = if is_callback(facts) { "Notifications" } else { "Orders" };
    let is_explained = is_explained(judgment);
    let cure = match (is_explained, is_catching_up) {
        (true, _) => "See the reason above. Nothing is lost meanwhile.",
        (_, true) => "Nothing to do: what waited is being delivered.",
        _ => "If no other check tells why, tell whoever runs the relay: its log says more. Nothing is lost meanwhile.",
    };
    let span = humanize::span(facts.age(since));
    let late: Vec<ObjectRow> = orders.waiting.iter().take(NAMED).cloned().collect();
    let which = match late.as_slice() {
        [] => String::new(),
        late => format!(": {}", names(late, summary.waiting)),
    };
    let mut condition =
        Condition::new(Code::WaitingLong, Severity::Warning, CheckId::Deliveries, format!("{noun} are late"))
            .text(
                format!("{waiting} {} waiting, the oldest for {span}{which}.", humanize::are(summary.waiting)),
                "None is lost.",
                cure,
            )
            .since(since)
            .alerting(!is_explained && !is_catching_up);
    condition.orders = late.into_iter().map(|row| row.id).collect();
    judgment.conditions.push(condition);
}

fn polling(facts: &Facts, judgment: &mut Judgment) {
    let trouble = facts.feeds.iter().filter_map(|feed| feed.trouble).min_by_key(|(since, _)| *since);
    let Some((since, failure)) = trouble else { return };
    if facts.connection.poll_interval.is_none() || judgment.in_the_way(Side::Store).is_some() {
        return;
    }
    // The check shows it at once; there is no alert for something that may be over by the next poll.
    let is_lasting = facts.age(since) >= LONG_WAIT;
    let span = humanize::span_if_any(facts.age(since));
    let span = span.map_or_else(|| " just now".to_owned(), |span| format!(" for {span}"));
    let consequence = if facts.connection.expects_webhooks() {
        "An order that the store does not tell of (webhook) is not found meanwhile."
    } else {
        "New orders are not found meanwhile."
    };
    judgment.conditions.push(
        Condition::new(Code::PollingFailing, Severity::Warning, CheckId::Deliveries, "New orders cannot be looked for")
            .text(
                format!(
                    "The relay could not look for new orders itself{span} (polling: {}).",
                    humanize::failure(failure)
                ),
                consequence,
                "If the other checks are well, tell whoever runs the relay.",
            )
            .since(since)
            .alerting(is_lasting && !facts.connection.expects_webhooks()),
    );
}
