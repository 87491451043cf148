//! The one-time offer of past orders on the page: counted first, then forwarded by `upkeep`, or declined.

use std::{sync::Arc, time::Duration};

use jiff::{civil::Date, tz::TimeZone};

use super::{super::Relay, App};
use crate::{
    clock::Timestamp,
    connection::Connection,
    directory::{Change, DirectoryError},
    object::ConnectionId,
    reconcile::{
        PollError,
        backfill::{Backfill, Span},
        requested::Offer,
    },
};

/// The earliest date that is accepted: the year in which BigCommerce opened.
pub(super) const EARLIEST: &str = "2009-01-01";
/// Time limit for counting, for which a person waits.
const COUNT_TIME: Duration = Duration::from_secs(20);
/// The beginning of a day in UTC; `None` for an invalid date, or one that is too early or not in the past.
pub(super) fn beginning(day: &str) -> Option<Timestamp> {
    let day: Date = day.parse().ok()?;
    let earliest: Date = EARLIEST.parse().ok()?;
    let at = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (day >= earliest && at <= jiff::Timestamp::now()).then(|| Timestamp::from_millis(at.as_millisecond()))
}

/// The result of counting.
pub(super) struct Count {
    /// Orders that would be forwarded.
    pub orders: u64,
    /// Whether the store's whole list was read in time.
    pub is_whole: bool,
}

/// Counts the orders that a backfill would forward. Sends and changes nothing.
///
/// # Errors
/// [`PollError`] if the store's list cannot be read.
pub(super) async fn count(relay: &Relay, connection: &Arc<Connection>, since: Timestamp) -> Result<Count, PollError> {
    let span = Span { since, until: None, dry_run: true };
    let services = &relay.services;
    let retention = services.settings.event_retention;
    let mut walk = Backfill::new(connection.clone(), services.inbox.clone(), span, retention);
    let tally = walk.tally();
    match tokio::time::timeout(COUNT_TIME, walk.run()).await {
        Ok(whole) => Ok(Count { orders: whole?.wanted, is_whole: true }),
        Err(_) => Ok(Count { orders: tally().wanted, is_whole: false }),
    }
}

/// Stores the answer to the offer, if that is still open: forward orders from `since` on, or none. The process that
/// holds the connection then forwards them, across restarts, until all are done.
///
/// # Errors
/// [`DirectoryError`] if the answer cannot be stored.
pub(super) async fn answer(
    relay: &Relay,
    app: &App,
    id: ConnectionId,
    since: Option<Timestamp>,
) -> Result<(), DirectoryError> {
    let services = &relay.services;
    let inbox = services.inbox.as_ref();
    let _changing = app.changing.lock().await;
    if Offer::read(inbox, id).await? != Offer::Open {
        return Ok(());
    }
    match since {
        None => Offer::decline(inbox, id, Timestamp::now()).await?,
        Some(since) => {
            Offer::accept(inbox, id, since).await?;
            // The new revision tells the process that holds the connection that there is something to do.
            services.directory.change(id, Change::default()).await?;
        }
    }
    Ok(())
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
}
