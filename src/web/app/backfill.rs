//! Past orders, asked for on the page: counted first, then forwarded in the background of this process.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{civil::Date, tz::TimeZone};
use parking_lot::Mutex;

use super::super::Relay;
use crate::{
    clock::Timestamp,
    connection::Connection,
    inbox::ConnectionState,
    object::ConnectionId,
    reconcile::{
        PollError,
        backfill::{Backfill, Span, Tally},
    },
    retry::Backoff,
};

/// BigCommerce opened in this year.
pub(super) const EARLIEST: &str = "2009-01-01";
/// A person waits for the count.
const COUNT_TIME: Duration = Duration::from_secs(20);
/// Between tries while the store cannot be read.
const RETRY: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(600) };

type ReadTally = Box<dyn Fn() -> Tally + Send>;

/// Backfills that this process runs, one of a connection at a time.
#[derive(Default)]
pub(super) struct Backfills(Mutex<HashMap<ConnectionId, Option<ReadTally>>>);

impl Backfills {
    /// Whether it can begin: none of the connection is running.
    fn begin(&self, id: ConnectionId) -> bool {
        let mut running = self.0.lock();
        if running.contains_key(&id) {
            return false;
        }
        running.insert(id, None);
        true
    }

    fn watch(&self, id: ConnectionId, tally: impl Fn() -> Tally + Send + 'static) {
        self.0.lock().insert(id, Some(Box::new(tally)));
    }

    fn end(&self, id: ConnectionId) {
        self.0.lock().remove(&id);
    }

    /// How many orders the connection's backfill has found to forward, if one is running.
    pub fn wanted(&self, id: ConnectionId) -> Option<u64> {
        let running = self.0.lock();
        running.get(&id).map(|tally| tally.as_ref().map_or(0, |read| read().wanted))
    }
}

/// The beginning of a day in UTC; none of one that is no day, or not in the past.
pub(super) fn beginning(day: &str) -> Option<Timestamp> {
    let day: Date = day.parse().ok()?;
    let earliest: Date = EARLIEST.parse().ok()?;
    let at = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (day >= earliest && at <= jiff::Timestamp::now()).then(|| Timestamp::from_millis(at.as_millisecond()))
}

/// What was counted.
pub(super) struct Count {
    /// Orders that would be forwarded.
    pub orders: u64,
    /// Whether the store's whole list was read in time.
    pub is_whole: bool,
}

/// Counts what a backfill would forward. Sends and changes nothing.
///
/// # Errors
/// The store's list cannot be read.
pub(super) async fn count(relay: &Relay, connection: &Arc<Connection>, since: Timestamp) -> Result<Count, PollError> {
    let mut walk = walk_of(relay, connection.clone(), since, true);
    let tally = walk.tally();
    match tokio::time::timeout(COUNT_TIME, walk.run()).await {
        Ok(whole) => Ok(Count { orders: whole?.wanted, is_whole: true }),
        Err(_) => Ok(Count { orders: tally().wanted, is_whole: false }),
    }
}

fn walk_of(relay: &Relay, connection: Arc<Connection>, since: Timestamp, dry_run: bool) -> Backfill {
    let services = &relay.services;
    let span = Span { since, until: None, dry_run };
    Backfill::new(connection, services.inbox.clone(), span, services.settings.event_retention)
}

/// Begins to forward past orders, unless that is under way.
pub(super) fn start(relay: &Arc<Relay>, id: ConnectionId, since: Timestamp) {
    let Some(app) = &relay.app else { return };
    if !app.backfills.begin(id) {
        return;
    }
    tracing::info!(connection = %id, "connection {id}: orders changed since {since} are forwarded, asked for in the app");
    let work = relay.clone();
    relay.jobs.spawn(async move {
        run(&work, id, since).await;
        if let Some(app) = &work.app {
            app.backfills.end(id);
        }
    });
}

/// Goes on with a backfill that an earlier process was running when it ended.
pub(super) async fn resume(relay: &Arc<Relay>, connection: &Connection) {
    if relay.app.as_ref().is_none_or(|app| app.backfills.wanted(connection.id).is_some()) {
        return;
    }
    let Ok(feeds) = relay.services.inbox.feeds(connection.id).await else { return };
    let since = feeds.iter().find_map(|feed| {
        let since = feed.name.strip_prefix("backfill:")?.strip_suffix("..now")?;
        let since: jiff::Timestamp = since.parse().ok()?;
        Some(Timestamp::from_millis(since.as_millisecond()))
    });
    if let Some(since) = since {
        start(relay, connection.id, since);
    }
}

/// Walks to the end, through outages of the store and changes of the connection, until that ends.
async fn run(relay: &Relay, id: ConnectionId, since: Timestamp) {
    let mut failures: u32 = 0;
    loop {
        let live = relay.services.connection(id).filter(|live| live.state != ConnectionState::Disconnected);
        let (Some(connection), Some(app)) = (live.filter(|live| live.link.is_some()), &relay.app) else {
            tracing::info!(connection = %id, "connection {id} has ended, and its backfill with it");
            return;
        };
        let mut walk = walk_of(relay, connection.clone(), since, false);
        app.backfills.watch(id, walk.tally());
        let walked = tokio::select! {
            walked = walk.run() => walked,
            // With a new token, or to the end.
            () = replaced(relay, &connection) => continue,
        };
        match walked {
            Ok(tally) => {
                tracing::info!(
                    connection = %id, seen = tally.seen, wanted = tally.wanted,
                    "connection {id}: past orders are all looked at, {} to forward", tally.wanted
                );
                return;
            }
            Err(error) => {
                tracing::warn!(connection = %id, %error, "connection {id}: the backfill pauses: {error}");
                failures += 1;
                tokio::time::sleep(RETRY.wait(failures, rand::random())).await;
            }
        }
    }
}

/// Returns once the live connection is another value than this one.
async fn replaced(relay: &Relay, connection: &Arc<Connection>) {
    let mut changes = relay.services.catalog.changes();
    loop {
        let is_current =
            relay.services.connection(connection.id).is_some_and(|current| Arc::ptr_eq(&current, connection));
        if !is_current || changes.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_in_the_past_are_taken() {
        assert_eq!(beginning("2024-03-05").map(|at| at.millis()), Some(1_709_596_800_000));
        assert!(beginning(EARLIEST).is_some());
        for wrong in ["", "yesterday", "2008-12-31", "2999-01-01", "2024-02-30", "2024-03-05T00:00:00Z;", "05.03.2024"]
        {
            assert_eq!(beginning(wrong).map(|at| at.millis()), None, "{wrong}");
        }
    }

    #[test]
    fn one_backfill_of_a_connection_at_a_time() {
        let (all, id) = (Backfills::default(), ConnectionId(1));
        assert_eq!(all.wanted(id), None);
        assert!(all.begin(id) && !all.begin(id));
        assert_eq!(all.wanted(id), Some(0));
        all.watch(id, || Tally { wanted: 7, ..Tally::default() });
        assert_eq!(all.wanted(id), Some(7));
        all.end(id);
        assert!(all.begin(id));
    }
}
