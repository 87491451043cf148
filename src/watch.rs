//! Watches the state of every connection: the operator's list shows what was seen, and what needs a person is logged
//! and posted to `ALERT_URL`, once when it begins and once when it is over. `health` judges the state.

use std::{
    cmp::Reverse,
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::{Method, header::CONTENT_TYPE};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    checker::{Checker, Examined},
    connection::{Connection, Link},
    health::{Code, Ledger, Message, Severity},
    http::{CallError, Http},
    humanize,
    inbox::{ConnectionState, InboxError, Side},
    leader::HeldShards,
    object::ConnectionId,
    retry::Backoff,
    secret::Secret,
    services::Services,
};

/// The pause between rounds, and the pause after each connection within a round.
const LOOK: Duration = Duration::from_secs(5);
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Connections without trouble that are looked at per round: ten thousand of them within ten minutes.
const LOOKS: usize = 100;
/// A check calls both sides, so in each round at most this many connections in trouble are checked again; and if
/// there are more than [`LOOKS`] others, at most this many that have not been checked since the start. As many are
/// checked side by side.
const CHECKS: usize = 5;
/// The wait before an alert is posted again after a failure.
const RETRY: Backoff = Backoff { base: Duration::from_secs(10), cap: Duration::from_secs(900) };
/// How long posting one alert may take.
const POST_TIME: Duration = Duration::from_secs(10);
/// How long an alert under way may take when the relay stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Watches the connections of the shards that this process holds.
pub struct Watcher {
    services: Services,
    checker: Arc<Checker>,
    shards: watch::Receiver<HeldShards>,
    /// The conditions that this process has logged.
    logged: Ledger,
    alerts: Option<Alerts>,
    /// The last connection without trouble that was looked at in turn.
    last: ConnectionId,
}

/// Posts alerts, and remembers what has been sent.
struct Alerts {
    url: Url,
    ledger: Option<Ledger>,
    failures: u32,
    not_before: Instant,
}

#[derive(Serialize)]
struct Body<'a> {
    text: &'a str,
}

impl Watcher {
    /// Looks at nothing yet.
    pub fn new(services: Services, checker: Arc<Checker>, shards: watch::Receiver<HeldShards>) -> Self {
        let url = services.settings.alert_url.as_ref().map(Secret::expose).and_then(|url| Url::parse(url).ok());
        let alerts = url.map(|url| Alerts { url, ledger: None, failures: 0, not_before: Instant::now() });
        Self { services, checker, shards, logged: Ledger::default(), alerts, last: ConnectionId(0) }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // An alert that was accepted is recorded before the end.
            tokio::select! {
                () = self.round(&stop) => {}
                () = async { stop.cancelled().await; tokio::time::sleep(SHUTDOWN_GRACE).await } => return,
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.shards.changed() => if changed.is_ok() { self.forget_told() },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Forgets which alerts have been sent: the process that held the new shards until now has sent others, which are
    /// read from the inbox again.
    fn forget_told(&mut self) {
        if let Some(alerts) = &mut self.alerts {
            alerts.ledger = None;
        }
    }

    async fn round(&mut self, stop: &CancellationToken) {
        // Without the inbox, connections are still looked at in turn.
        let waiting = self.services.inbox.waiting().await.unwrap_or_default();
        let waiting: HashSet<ConnectionId> = waiting.into_iter().map(|(id, _)| id).collect();
        let mut rechecks = CHECKS;
        for some in self.chosen(&waiting).chunks(CHECKS) {
            // Otherwise the pages of a relay that has just started would show nothing. A check may take as long as a call.
            let due = some.iter().filter(|connection| {
                let is_due_again = rechecks > 0 && self.checker.is_recheck_due(connection);
                rechecks -= usize::from(is_due_again);
                is_due_again || !self.checker.has_checked(connection)
            });
            join_all(due.map(|connection| self.checker.check(&self.services, connection))).await;
            for connection in some {
                if stop.is_cancelled() {
                    return;
                }
                self.look(connection).await;
                tokio::time::sleep(PAUSE_BETWEEN_LOOKS).await;
            }
        }
    }

    /// The connections of this round: those that may be in trouble; those that have not been checked yet, the latest
    /// changed first; and the next of the others in turn.
    fn chosen(&mut self, waiting: &HashSet<ConnectionId>) -> Vec<Arc<Connection>> {
        let held = self.shards.borrow().clone();
        let mine = self
            .services
            .catalog
            .select(|connection| held.holds(connection.shard) && connection.state != ConnectionState::Disconnected);
        let posted = self.alerts.as_ref().and_then(|alerts| alerts.ledger.as_ref());
        let told = [Some(&self.logged), posted].into_iter().flatten().flat_map(Ledger::told);
        let told: HashSet<ConnectionId> = told.map(|(id, _)| id).collect();
        let (mut chosen, rest): (Vec<_>, Vec<_>) = mine.into_iter().partition(|connection| {
            waiting.contains(&connection.id) || told.contains(&connection.id) || self.shows_trouble(connection)
        });
        let (quiet, mut fresh): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|connection| self.checker.has_checked(connection));
        fresh.sort_unstable_by_key(|connection| Reverse(connection.revision));
        fresh.truncate(if fresh.len() + quiet.len() > LOOKS { CHECKS } else { LOOKS });
        let turn = in_turn(&quiet, |connection| connection.id, self.last, LOOKS - fresh.len());
        self.last = turn.last().map_or(self.last, |connection| connection.id);
        chosen.extend(fresh);
        chosen.extend(turn);
        chosen
    }

    /// Whether a connection was in trouble when last looked at, or has had any failure since.
    fn shows_trouble(&self, connection: &Connection) -> bool {
        let is_troubled = |link: &Link| {
            let is_down = |side| link.breaker(side).health().trouble().is_some();
            Side::ALL.into_iter().any(is_down) || link.source.credentials().trouble().is_some()
        };
        self.checker.has_trouble(connection)
            || connection.link.as_ref().is_some_and(is_troubled)
            || self.services.registrar.health(connection.id).trouble().is_some()
    }

    async fn look(&mut self, connection: &Connection) {
        let examined = self.checker.examine(&self.services, connection).await;
        for message in self.logged.due(&examined.facts, &examined.judgment, None) {
            log(connection, &message);
            self.logged.record(&message);
        }
        if let Some(alerts) = &mut self.alerts
            && let Err(error) = alerts.tell(&self.services, connection, &examined).await
        {
            // The inbox's fault is reported elsewhere, where it matters more.
            tracing::debug!(%error, "alerts wait for the inbox: {error}");
        }
    }
}

/// At most `most` of the ascending list `all`, beginning after `last` and wrapping around.
fn in_turn<T: Clone, K: Ord>(all: &[T], key: impl Fn(&T) -> K, last: K, most: usize) -> Vec<T> {
    let (before, after) = all.split_at(all.partition_point(|one| key(one) <= last));
    after.iter().chain(before).take(most).cloned().collect()
}

impl Alerts {
    async fn tell(
        &mut self,
        services: &Services,
        connection: &Connection,
        examined: &Examined,
    ) -> Result<(), InboxError> {
        let mut ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => Ledger::read(services.inbox.alerts().await?),
        };
        let due = ledger.due(&examined.facts, &examined.judgment, page_of(services, connection).as_deref());
        let due = if Instant::now() >= self.not_before { due } else { Vec::new() };
        let mut kept = Ok(());
        for message in &due {
            match post_alert(&services.http, self.url.clone(), &message.text).await {
                Ok(()) => {
                    self.failures = 0;
                    ledger.record(message);
                    let (id, alert) = (connection.id, message.code.name());
                    let what = if message.is_over { "that it is over" } else { "an alert" };
                    tracing::info!(connection = %id, alert, over = message.is_over, "connection {id}: ALERT_URL was told {what}: {alert}");
                    kept = services.inbox.save_alert(message.connection, message.code.name(), !message.is_over).await;
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    let wait = RETRY.wait(self.failures, rand::random());
                    self.not_before = Instant::now() + wait;
                    let next = humanize::span(wait);
                    let seen = humanize::failure(error.failure);
                    tracing::warn!(%error, "ALERT_URL takes no alert ({seen}), next try in {next}");
                    break;
                }
            }
        }
        self.ledger = Some(ledger);
        kept
    }
}

/// Logs what the page shows: cause, consequence and cure.
fn log(connection: &Connection, message: &Message) {
    let (id, name, line) = (connection.id, &connection.name, &message.line);
    let condition = message.code.name();
    match (message.code, message.is_over, message.severity) {
        // The webhook handler has logged this already, with the system's error.
        (Code::StorageFailing, ..) => {}
        (Code::DiskLow, false, _) => tracing::warn!(condition, "{line}"),
        (Code::DiskLow, true, _) => tracing::info!(condition, "{line}"),
        (_, true, _) => tracing::info!(connection = %id, condition, "connection {id} ({name}): {line}"),
        // One failed order is no fault of the connection, but needs a person, so it is logged with the same severity
        // as an error.
        (Code::OrderFailed, false, _) | (_, false, Severity::Error) => {
            tracing::error!(connection = %id, condition, "connection {id} ({name}): {line}")
        }
        (_, false, _) => tracing::warn!(connection = %id, condition, "connection {id} ({name}): {line}"),
    }
}

/// Posts one message to `ALERT_URL`.
///
/// # Errors
/// Why the alert was not accepted.
pub async fn post_alert(http: &Http, url: Url, text: &str) -> Result<(), CallError> {
    let body = serde_json::to_vec(&Body { text }).expect("a struct of one text becomes JSON");
    let request = http.operator(Method::POST, url, POST_TIME);
    let sent = request.header(CONTENT_TYPE, "application/json").body(body).send().await?;
    if sent.status().is_success() { Ok(()) } else { Err(CallError::of_status(&sent)) }
}

/// The URL of a connection's status page, if there is a public address.
fn page_of(services: &Services, connection: &Connection) -> Option<String> {
    let base = services.settings.public_url.as_ref()?.as_str().trim_end_matches('/').to_owned();
    Some(match connection.is_environments() {
        true => format!("{base}/integration"),
        false => format!("{base}/connections/{}/integration", connection.id),
    })
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn whoever_shows_no_trouble_is_looked_at_in_turn_and_nobody_twice_in_a_round() {
        let all: Vec<u8> = (1..=7).collect();
        let (mut last, mut seen) = (0, Vec::new());
        for _ in 0..7 {
            let turn = in_turn(&all, |one| *one, last, 3);
            last = turn.last().copied().unwrap_or(last);
            seen.extend(turn);
        }
        let expected: Vec<u8> = all.iter().copied().cycle().take(21).collect();
        assert_eq!(seen, expected);
        assert_eq!(in_turn(&all, |one| *one, 5, 100), [6, 7, 1, 2, 3, 4, 5]);
        assert_eq!(in_turn(&[], |one: &u8| *one, 5, 100), [0; 0]);
    }
}
