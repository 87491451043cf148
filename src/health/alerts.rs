//! Alerts: one message when something needs a person, and one when it is over, per connection and condition.
//!
//! This file has the ledger of what has been sent; posting and storing it is done elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    condition::{Code, Condition, Judgment, Severity},
    facts::{ConnectionFacts, Facts},
};
use crate::{
    clock::Timestamp,
    humanize,
    object::ConnectionId,
    spec::{DestinationKind, SourceKind},
};

/// A condition is over once it has not held for this long, so that one that comes and goes counts as one.
pub const QUIET: Duration = Duration::from_secs(60);

/// Further failed orders, while others are still listed as failed, are reported at most this often.
const REMINDER: Duration = Duration::from_secs(3600);

/// Stands for all connections in alerts about the process itself: no connection has this number.
pub const RELAY: ConnectionId = ConnectionId(0);

/// One message to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The connection it is about; [`RELAY`] if it concerns all.
    pub connection: ConnectionId,
    /// The condition it is about.
    pub code: Code,
    /// Whether the condition is over.
    pub is_over: bool,
    /// The severity of the condition.
    pub severity: Severity,
    /// One line for a log: cause, consequence and cure, or that it is over.
    pub line: String,
    /// The full text.
    pub text: String,
}

type Key = (ConnectionId, Code);

/// The alerts that have been sent, and since when conditions have cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    told: BTreeSet<Key>,
    quiet_since: BTreeMap<Key, Timestamp>,
    /// For connections with an alert about failed orders: after what time, and above what count, there is another.
    failed: BTreeMap<ConnectionId, (Timestamp, u64)>,
}

impl Ledger {
    /// Reads the stored alerts (`Inbox::alerts`). Codes that this relay does not know are skipped.
    pub fn read(rows: impl IntoIterator<Item = (ConnectionId, String)>) -> Self {
        let told = rows.into_iter().filter_map(|(connection, code)| Some((connection, Code::from_name(&code)?)));
        Self { told: told.collect(), ..Self::default() }
    }

    /// The alerts that have been sent and are not over.
    pub fn told(&self) -> impl Iterator<Item = (ConnectionId, Code)> + '_ {
        self.told.iter().copied()
    }

    /// The messages due for a connection; the same are returned again until [`Ledger::record`] is called. `page` is
    /// the URL of its status page, if one can be reached.
    pub fn due(&mut self, facts: &Facts, judgment: &Judgment, page: Option<&str>) -> Vec<Message> {
        let connection = facts.connection.id;
        let concerned = |key: &Key| key.0 == connection || key.0 == RELAY;
        self.quiet_since.retain(|key, _| !concerned(key) || (self.told.contains(key) && !judgment.may_hold(key.1)));
        let more_failed = self.have_more_failed(facts);
        let begun = judgment.conditions.iter().filter(|condition| condition.alerts);
        let is_again = |condition: &Condition| condition.code == Code::OrderFailed && more_failed;
        let mut due: Vec<Message> = begun
            .filter(|condition| !self.told.contains(&key(connection, condition.code)) || is_again(condition))
            .map(|condition| begin(&facts.connection, condition, page))
            .collect();
        for key in self.told.iter().filter(|key| concerned(key) && !judgment.may_hold(key.1)) {
            let since = *self.quiet_since.entry(*key).or_insert(facts.at);
            if facts.age(since) >= QUIET {
                due.push(end(&facts.connection, *key, page));
            }
        }
        due
    }

    /// Whether more orders of a connection have failed since the last alert about failed ones, if that is long enough
    /// ago. Once a person has resent some, the next failure is reported.
    fn have_more_failed(&mut self, facts: &Facts) -> bool {
        let (connection, failed) = (facts.connection.id, facts.summary().map_or(0, |summary| summary.failed));
        if !self.told.contains(&(connection, Code::OrderFailed)) {
            self.failed.remove(&connection);
            return false;
        }
        let (from, count) = self.failed.entry(connection).or_insert((facts.at.after(REMINDER), failed));
        *count = failed.min(*count);
        failed > *count && facts.at >= *from
    }

    /// Records that a message was accepted.
    pub fn record(&mut self, message: &Message) {
        let key = (message.connection, message.code);
        if message.is_over {
            self.told.remove(&key);
            self.quiet_since.remove(&key);
        } else {
            self.told.insert(key);
            // Counted again at the next look.
            self.failed.remove(&message.connection);
        }
    }
}

fn key(connection: ConnectionId, code: Code) -> Key {
    (if concerns_all(code) { RELAY } else { connection }, code)
}

/// Whether a condition is about the process and not a connection, and so reported only once.
fn concerns_all(code: Code) -> bool {
    matches!(code, Code::StorageFailing | Code::DiskLow | Code::AdminTokenMissing | Code::LogLinesDropped)
}

/// The subject of an alert: `onetribe-relay, store Green Shop (abcde)`.
fn subject(connection: &ConnectionFacts, code: Code) -> String {
    if concerns_all(code) {
        return "onetribe-relay".to_owned();
    }
    let kind = if connection.source == SourceKind::BigCommerce { "store" } else { "shop" };
    let (label, store) = (connection.store_label(), humanize::printable(&connection.store));
    if label == store {
        return format!("onetribe-relay, {kind} {store}");
    }
    format!("onetribe-relay, {kind} {label} ({store})")
}

/// What to look at next: the page, or a command if no page can be reached; and the command that applies the cure.
fn onward(connection: ConnectionId, code: Code, page: Option<&str>) -> String {
    let look = match page {
        Some(page) => format!("Status page: {page}"),
        None => format!("To see more: `onetribe-relay check --connection {connection}`"),
    };
    match code {
        Code::OrderFailed => {
            format!("{look} To resend: `onetribe-relay orders resend --state failed --connection {connection}`")
        }
        _ => look,
    }
}

fn begin(connection: &ConnectionFacts, condition: &Condition, page: Option<&str>) -> Message {
    let line = condition.line();
    let onward = onward(connection.id, condition.code, page);
    let text = format!("Alert: {}: {line} {onward}", subject(connection, condition.code));
    let (connection, code) = key(connection.id, condition.code);
    Message { connection, code, is_over: false, severity: condition.severity, line, text }
}

fn end(connection: &ConnectionFacts, (told_of, code): Key, page: Option<&str>) -> Message {
    let line = over(connection, code);
    let page = page.map(|page| format!(" Status page: {page}")).unwrap_or_default();
    let text = format!("Over: {}: {line}{page}", subject(connection, code));
    Message { connection: told_of, code, is_over: true, severity: Severity::Info, line, text }
}

/// The text for a condition that is over.
fn over(connection: &ConnectionFacts, code: Code) -> String {
    let (store, credentials) = (connection.store_name(), connection.credentials());
    let name = connection.destination_name();
    let takes = match connection.destination {
        Some(DestinationKind::CloudElements) => "notifications",
        _ => "orders",
    };
    match code {
        Code::StorageFailing => "The database can be written again.".to_owned(),
        Code::DiskLow => "There is room on the disk again.".to_owned(),
        Code::CredentialsRefused => format!("{store} takes the relay's {credentials} again."),
        Code::StoreUnknown => format!("{store} knows the store."),
        Code::StoreDown | Code::ShopChallenge | Code::ShopNotHttps | Code::ShopRestOff => {
            format!("{store} answers again. What waited is being fetched.")
        }
        Code::DestinationDown | Code::DestinationRefuses => {
            format!("{name} takes {takes} again. What waited is being delivered.")
        }
        Code::CallbackGone | Code::RetriesExhausted => "The connection is active again.".to_owned(),
        Code::ClientSecretWrong => "Webhooks are taken again.".to_owned(),
        Code::ClockSkewed => "The clock is right again.".to_owned(),
        Code::HooksNotMendable => "The webhooks are in place again.".to_owned(),
        Code::WebhooksMissed => "Webhooks come again.".to_owned(),
        Code::PollingFailing => "Polling works again.".to_owned(),
        Code::OrderFailed => "No failed orders are left.".to_owned(),
        Code::OrdersRefused => "No order is refused any more.".to_owned(),
        Code::WaitingLong => "No order waits for long any more.".to_owned(),
        other => format!("`{other}` holds no more."),
    }
}

#[cfg(test)]
mod tests;
