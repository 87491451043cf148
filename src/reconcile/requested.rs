//! Past orders that a merchant has asked for: offered once for a connection, and walked by whichever process holds it.
//!
//! The answer is a feed of the connection, so that it outlasts every process: none while the offer stands, one without
//! `polled_at` while the walk goes on, one with it afterwards.

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

/// How the feeds begin; the earliest change follows, or nothing if the offer was declined.
const PREFIX: &str = "requested:";

/// How the offer to forward past orders stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Nobody has answered it.
    Open,
    /// The orders that changed from then on are being handed on.
    Running(Timestamp),
    /// Done, or declined.
    Closed,
}

impl Offer {
    /// As a connection's feeds have it.
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

    /// Reads it.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn read(inbox: &dyn Inbox, connection: ConnectionId) -> Result<Self, InboxError> {
        Ok(Self::of(&inbox.feeds(connection).await?))
    }

    /// Keeps that orders are to be handed on from `since` on. Whoever holds the connection does so once it takes the
    /// connection up anew.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub async fn accept(inbox: &dyn Inbox, connection: ConnectionId, since: Timestamp) -> Result<(), InboxError> {
        inbox.save_feed(connection, Feed::new(&feed_of(since))).await
    }

    /// Keeps that no past orders are wanted.
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

/// What the walks of this process have found so far.
#[derive(Default)]
pub struct Progress(Mutex<HashMap<ConnectionId, ReadTally>>);

impl Progress {
    /// How many orders the connection's walk has found to forward; 0 if another process walks.
    pub fn wanted(&self, id: ConnectionId) -> u64 {
        self.0.lock().get(&id).map_or(0, |read| read().wanted)
    }
}

/// Goes on with what was asked for, to its end. False if nothing was.
///
/// # Errors
/// [`PollError`]; the next walk goes on from there.
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

/// Takes a walk's count away however the walk ends.
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
