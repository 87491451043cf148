//! Past orders that a merchant asks for in the app: offered once per connection, and walked by whichever process
//! holds it.
//!
//! The answer to the offer is stored as a feed of the connection, so that it outlasts every process: no feed while
//! the offer is open, one without `polled_at` while the walk goes on, and one with it afterwards.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    backfill::{Backfill, Tally},
    poll::PollError,
    resource::PollTools,
};
use crate::{
    clock::Timestamp,
    connection::Connection,
    inbox::{Feed, Inbox, InboxError},
    object::ConnectionId,
};

/// The prefix of the feed's name; the time to begin at follows, or nothing if the offer was declined.
const PREFIX: &str = "requested:";

/// The state of the offer to forward past orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It has not been answered.
    Open,
    /// Orders that changed from this time on are being handed on.
    Running(Timestamp),
    /// It is done, or was declined.
    Closed,
}

impl Offer {
    /// The state that a connection's feeds show.
    pub fn of(feeds: &[Feed]) -> Self {
        let mut offer = Self::Open;
        for (feed, since) in feeds.iter().filter_map(|feed| Some((feed, feed.name.strip_prefix(PREFIX)?))) {
            offer = match since.parse::<jiff::Timestamp>() {
                Ok(since) if feed.polled_at.is_none() => {
                    return Self::Running(Timestamp::from_millis(since.as_millisecond()));
                }
                _ => Self::Closed,
            };
        }
        offer
    }

    /// Reads the state from the inbox.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn read(inbox: &dyn Inbox, connection: ConnectionId) -> Result<Self, InboxError> {
        Ok(Self::of(&inbox.feeds(connection).await?))
    }

    /// Records that orders changed from `since` on are to be forwarded. The process that holds the connection begins
    /// once it sees the connection's change.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub async fn accept(inbox: &dyn Inbox, connection: ConnectionId, since: Timestamp) -> Result<(), InboxError> {
        inbox.save_feed(connection, Feed::new(&feed_of(since))).await
    }

    /// Records that no past orders are wanted.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub async fn decline(inbox: &dyn Inbox, connection: ConnectionId, now: Timestamp) -> Result<(), InboxError> {
        inbox.save_feed(connection, Feed { polled_at: Some(now), ..Feed::new(PREFIX) }).await
    }
}

fn feed_of(since: Timestamp) -> String {
    format!("{PREFIX}{since}")
}

type ReadTally = Box<dyn Fn() -> Tally + Send>;

/// The counts of the walks under way in this process.
#[derive(Default)]
pub struct Progress(Mutex<HashMap<ConnectionId, ReadTally>>);

impl Progress {
    /// How many orders the connection's walk has found to forward; 0 if it runs in another process.
    pub fn wanted(&self, id: ConnectionId) -> u64 {
        self.0.lock().get(&id).map_or(0, |read| read().wanted)
    }
}

/// Continues the accepted walk to its end. False if there is none.
///
/// # Errors
/// [`PollError`]; the next walk continues from there.
pub async fn go_on(connection: &Arc<Connection>, tools: &PollTools, progress: &Progress) -> Result<bool, PollError> {
    let id = connection.id;
    let Offer::Running(since) = Offer::read(tools.inbox.as_ref(), id).await? else { return Ok(false) };
    tracing::info!(connection = %id, "connection {id}: orders changed since {since} are forwarded, asked for in the app");
    let mut walk = Backfill::kept(connection.clone(), tools.inbox.clone(), feed_of(since), since, tools.retention);
    progress.0.lock().insert(id, Box::new(walk.tally()));
    let forget = Forget { progress, id };
    let tally = walk.run().await?;
    drop(forget);
    tracing::info!(
        connection = %id, seen = tally.seen, wanted = tally.wanted,
        "connection {id}: past orders are all looked at, {} to forward", tally.wanted
    );
    Ok(true)
}

/// Removes a walk's count, however the walk ends.
struct Forget<'a> {
    progress: &'a Progress,
    id: ConnectionId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.progress.0.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_open_until_it_is_answered_and_never_again() {
        let (since, now) = (Timestamp::from_millis(1_709_596_800_000), Timestamp::from_millis(1_800_000_000_000));
        let begun = Feed::new(&feed_of(since));
        let done = Feed { polled_at: Some(now), ..begun.clone() };
        let declined = Feed { polled_at: Some(now), ..Feed::new(PREFIX) };
        let others = [Feed::new("orders"), Feed::new("backfill:2024-01-01T00:00:00Z..now")];
        assert_eq!(Offer::of(&others), Offer::Open);
        assert_eq!(Offer::of(std::slice::from_ref(&begun)), Offer::Running(since));
        assert_eq!(Offer::of(std::slice::from_ref(&done)), Offer::Closed);
        assert_eq!(Offer::of(std::slice::from_ref(&declined)), Offer::Closed);
        assert_eq!(Offer::of(&[declined, begun, done]), Offer::Running(since));
    }
}
