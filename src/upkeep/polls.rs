//! Polls one connection: its orders, or the resources reported to its callback, one after the other.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    clock::Timestamp,
    connection::Connection,
    destination::Destination,
    humanize,
    inbox::InboxError,
    object::ResourceName,
    reconcile::{LatestOrders, OrderFeed, Poll, PollError, PollTools, Polled, ResourcePoll, Turn},
    source::plan::PageSize,
};

/// Changes more recent than this are left to their webhooks, if the interval is long enough.
pub(super) const WEBHOOK_FIRST: Duration = Duration::from_secs(60);
/// How long after a poll that failed the list is read again, if the interval is not shorter.
const RETRY: Duration = Duration::from_secs(60);
/// A second must be over before its changes count as seen.
pub(super) const SETTLING: Duration = Duration::from_secs(2);

/// What a connection's polls remember from one time to the next.
pub(super) struct StorePoll {
    lists: Lists,
    turn: Arc<Turn>,
}

enum Lists {
    /// The orders, for One Tribe; whether they have been polled before; the trouble last logged.
    Orders(Box<Poll<LatestOrders>>, bool, LoggedTrouble),
    /// The resources that are reported to a callback.
    Resources(Arc<Connection>, Vec<(ResourcePoll, LoggedTrouble)>),
}

/// The trouble of a list that was last logged. It is logged when it begins, when it changes, and when it is over.
#[derive(Debug, Default)]
struct LoggedTrouble(Option<String>);

/// A list that could not be read is read again sooner than the next poll would be.
fn retry_of(interval: Duration) -> Duration {
    interval.min(RETRY)
}

impl LoggedTrouble {
    fn is_any(&self) -> bool {
        self.0.is_some()
    }

    fn failed(&mut self, connection: &Connection, list: &ResourceName, error: &PollError, interval: Duration) {
        let (id, name, next) = (connection.id, &connection.name, humanize::span(retry_of(interval)));
        let seen = error.to_string();
        if self.0.as_ref() == Some(&seen) {
            tracing::debug!(connection = %id, resource = %list, %error, "polling {list} still does not work: {error}");
            return;
        }
        tracing::warn!(
            connection = %id, resource = %list, %error,
            "connection {id} ({name}): polling {list} does not work: {error}; it is tried again in {next}, and nothing is lost"
        );
        self.0 = Some(seen);
    }

    fn worked(&mut self, connection: &Connection, list: &ResourceName) {
        if self.0.take().is_some() {
            let (id, name) = (connection.id, &connection.name);
            tracing::info!(connection = %id, resource = %list, "connection {id} ({name}): polling {list} works again");
        }
    }
}

impl StorePoll {
    /// Prepares the polls with the stored progress.
    pub async fn new(connection: Arc<Connection>, tools: &PollTools, turns: Arc<Semaphore>) -> Self {
        let turn = Arc::new(Turn::new(turns));
        Self { lists: Lists::new(connection, tools, &turn).await, turn }
    }

    /// The connection that the polls were prepared for.
    pub fn connection(&self) -> &Arc<Connection> {
        match &self.lists {
            Lists::Orders(poll, ..) => &poll.walk().0.connection,
            Lists::Resources(connection, _) => connection,
        }
    }

    /// Polls once in its turn, and records the result. Returns when the next poll is due.
    pub async fn once(&mut self, tools: &PollTools, interval: Duration) -> Duration {
        self.turn.begin().await;
        let mut next = interval;
        match &mut self.lists {
            Lists::Orders(poll, has_polled, logged) => {
                let missed = poll_orders(poll, logged, interval).await;
                if logged.is_any() {
                    next = retry_of(interval);
                }
                // Not counted for the first poll: no relay may have been running to receive the webhooks for what it
                // finds.
                let link = poll.walk().0.connection.link.as_ref();
                if let Some(link) = link.filter(|_| *has_polled && missed > 0) {
                    link.webhooks.lock().missed(missed as u64, Timestamp::now());
                }
                *has_polled = true;
            }
            Lists::Resources(connection, polls) => {
                for (poll, logged) in polls.iter_mut() {
                    poll_resource(connection, poll, logged, tools, interval).await;
                }
                if polls.iter().any(|(_, logged)| logged.is_any()) {
                    next = retry_of(interval);
                }
            }
        }
        self.turn.end();
        next
    }
}

impl Lists {
    async fn new(connection: Arc<Connection>, tools: &PollTools, turn: &Arc<Turn>) -> Self {
        let link = connection.link.as_ref();
        if let Some(Destination::CloudElements(callback)) = link.and_then(|link| link.destination.as_ref()) {
            let polls = callback
                .pollers()
                .map(|poller| (ResourcePoll::new(poller.clone(), turn.clone()), LoggedTrouble::default()))
                .collect();
            return Self::Resources(connection, polls);
        }
        let widest = link.map_or(1, |link| link.source.widest_page());
        let walk = LatestOrders::new(connection, tools.inbox.clone(), tools.retention, turn.clone());
        let kept = walk.0.state().await.ok().and_then(|feed| feed.page_size);
        Self::Orders(Box::new(Poll::new(walk, PageSize::kept(widest, kept))), false, LoggedTrouble::default())
    }
}

async fn poll_resource(
    connection: &Connection,
    poll: &mut ResourcePoll,
    logged: &mut LoggedTrouble,
    tools: &PollTools,
    interval: Duration,
) {
    let polled = poll.once(connection, tools).await;
    let (id, resource) = (connection.id, poll.name());
    match polled {
        Ok(polled) => {
            logged.worked(connection, resource);
            tracing::debug!(
                connection = %id, %resource, calls = polled.calls, news = polled.news,
                "connection {id}: polled {resource}"
            );
        }
        Err(error) => logged.failed(connection, resource, &error, interval),
    }
}

/// Returns how many orders were found for which no webhook had come.
async fn poll_orders(poll: &mut Poll<LatestOrders>, logged: &mut LoggedTrouble, interval: Duration) -> usize {
    let grace = (interval / 15).clamp(SETTLING, WEBHOOK_FIRST);
    let polled = poll.once(Timestamp::now().before(grace)).await;
    let (connection, orders) = (&poll.walk().0.connection, ResourceName::orders());
    let id = connection.id;
    match &polled {
        Ok(Polled { missed, calls, .. }) => {
            logged.worked(connection, &orders);
            match missed {
                0 => tracing::debug!(connection = %id, calls, "connection {id}: polled: nothing was missed"),
                _ => {
                    let found = humanize::count(*missed as u64, "order");
                    tracing::info!(
                        connection = %id, missed, calls,
                        "connection {id}: polling found {found} that no webhook had told of"
                    );
                }
            }
        }
        Err(error) => logged.failed(connection, &orders, error, interval),
    }
    if let Err(error) = note_poll(&poll.walk().0, poll.page_size(), polled.as_ref().err()).await {
        tracing::debug!(%error, "how polling went could not be noted: {error}");
    }
    polled.map_or(0, |polled| polled.missed)
}

async fn note_poll(feed: &OrderFeed, page_size: Option<u32>, error: Option<&PollError>) -> Result<(), InboxError> {
    // A failure of the inbox is only logged: it is not the list's.
    let failure = match error {
        Some(error) => match error.failure() {
            Some(failure) => Some(failure),
            None => return Ok(()),
        },
        None => None,
    };
    let now = Timestamp::now();
    feed.keep(|feed| {
        feed.page_size = page_size;
        feed.trouble = failure.map(|failure| (feed.trouble.map_or(now, |(since, _)| since), failure));
        if failure.is_none() && feed.trouble.is_none() {
            // Rounded to the minute: a poll that found nothing is not worth a write each time.
            let minute = Timestamp::from_millis(now.millis() / 60_000 * 60_000);
            feed.polled_at = Some(minute);
        }
    })
    .await
}
