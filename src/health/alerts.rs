//! Alerts: one message when something needs a person, and one when it is over, per connection and condition.
//!
//! Here is the ledger of what has been sent; who posts the messages and keeps the ledger lives elsewhere.

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

/// A condition is over when it is known not to hold for this long: one that comes and goes is one condition.
pub const QUIET: Duration = Duration::from_secs(60);

/// Stands for all connections in alerts about the process itself: no connection has this id.
pub const RELAY: ConnectionId = ConnectionId(0);

/// One message to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose trouble it is; [`RELAY`] for what concerns all connections.
    pub connection: ConnectionId,
    /// Of what.
    pub code: Code,
    /// Whether it is over.
    pub is_over: bool,
    /// How grave it is.
    pub severity: Severity,
    /// Cause, consequence and cure, or that it is over: one line for a log.
    pub line: String,
    /// What is said, in full.
    pub text: String,
}

type Key = (ConnectionId, Code);

/// What has been sent, and what has cleared since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    told: BTreeSet<Key>,
    quiet_since: BTreeMap<Key, Timestamp>,
}

impl Ledger {
    /// As the database has it (`Inbox::alerts`). Codes that this relay does not know are passed over.
    pub fn read(rows: impl IntoIterator<Item = (ConnectionId, String)>) -> Self {
        let told = rows.into_iter().filter_map(|(connection, code)| Some((connection, Code::from_name(&code)?)));
        Self { told: told.collect(), quiet_since: BTreeMap::new() }
    }

    /// What has been sent and is not over.
    pub fn told(&self) -> impl Iterator<Item = (ConnectionId, Code)> + '_ {
        self.told.iter().copied()
    }

    /// What has to be told now of one connection; the same again until [`Ledger::record`] says that it was. `page` is
    /// the address of its status page, where one can be reached.
    pub fn due(&mut self, facts: &Facts, judgment: &Judgment, page: Option<&str>) -> Vec<Message> {
        let connection = facts.connection.id;
        let concerned = |key: &Key| key.0 == connection || key.0 == RELAY;
        self.quiet_since.retain(|key, _| !concerned(key) || (self.told.contains(key) && !judgment.may_hold(key.1)));
        let begun = judgment.conditions.iter().filter(|condition| condition.alerts);
        let mut due: Vec<Message> = begun
            .filter(|condition| !self.told.contains(&key(connection, condition.code)))
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

    /// A message has arrived.
    pub fn record(&mut self, message: &Message) {
        let key = (message.connection, message.code);
        if message.is_over {
            self.told.remove(&key);
            self.quiet_since.remove(&key);
        } else {
            self.told.insert(key);
        }
    }
}

fn key(connection: ConnectionId, code: Code) -> Key {
    (if concerns_all(code) { RELAY } else { connection }, code)
}

/// Whether a condition is the process's rather than a connection's: told once, not once per connection.
fn concerns_all(code: Code) -> bool {
    matches!(code, Code::StorageFailing | Code::DiskLow | Code::AdminTokenMissing | Code::LogLinesDropped)
}

/// `onetribe-relay, store abcde`
fn subject(connection: &ConnectionFacts, code: Code) -> String {
    if concerns_all(code) {
        return "onetribe-relay".to_owned();
    }
    let kind = if connection.source == SourceKind::BigCommerce { "store" } else { "shop" };
    format!("onetribe-relay, {kind} {}", humanize::printable(&connection.store))
}

fn with_page(text: String, page: Option<&str>) -> String {
    match page {
        Some(page) => format!("{text} Status page: {page}"),
        None => text,
    }
}

fn begin(connection: &ConnectionFacts, condition: &Condition, page: Option<&str>) -> Message {
    let line = condition.line();
    let text = format!("Alert: {}: {line}", subject(connection, condition.code));
    let (connection, code) = key(connection.id, condition.code);
    Message { connection, code, is_over: false, severity: condition.severity, line, text: with_page(text, page) }
}

fn end(connection: &ConnectionFacts, (told_of, code): Key, page: Option<&str>) -> Message {
    let line = over(connection, code);
    let text = format!("Over: {}: {line}", subject(connection, code));
    Message { connection: told_of, code, is_over: true, severity: Severity::Info, line, text: with_page(text, page) }
}

/// What is said when a condition is over.
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
