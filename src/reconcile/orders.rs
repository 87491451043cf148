//! The store's orders as a list of changes, and how each of them stands in the inbox.

use std::{collections::HashMap, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Feed, OVERLAP, PollError, Row};
use crate::{
    bigcommerce::orders::{Selection, Snapshot, Sort},
    clock::Timestamp,
    connection::Connection,
    event::OrderId,
    inbox::{ConnectionId, Inbox, InboxError, Known, OrderState},
    one_tribe::Digest,
};

/// The store's orders.
pub struct Orders {
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
    retention: Duration,
}

impl Orders {
    /// Of one connection. Rows of orders are kept for `retention` after the last that happened to them.
    pub fn new(connection: Arc<Connection>, inbox: Arc<dyn Inbox>, retention: Duration) -> Self {
        Self { connection, inbox, retention }
    }
}

#[async_trait]
impl Feed for Orders {
    type Value = Snapshot;

    fn watermark(&self) -> Option<&str> {
        Some("orders:watermark")
    }

    async fn page(&self, since: Timestamp, sort: Sort, page: u32, limit: u32) -> Result<Vec<Row<Snapshot>>, PollError> {
        changed_orders(&self.connection, since, sort, page, limit).await
    }

    async fn take(&self, rows: Vec<Row<Snapshot>>) -> Result<usize, PollError> {
        let skipped = &self.connection.config.skip_statuses;
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|row| row.value.status.is_none_or(|status| !skipped.contains(&status)))
            .map(|row| (row.value.id, row.modified, row.digest))
            .collect();
        if rows.is_empty() {
            return Ok(0);
        }
        let notes = Notes::read(self.inbox.as_ref(), self.connection.id, rows.iter().map(|row| row.0)).await?;
        let now = Timestamp::now();
        let pruned = notes.pruned(now.before(self.retention));
        let (mut wanted, mut missed, mut presumed) = (Vec::new(), 0, 0);
        for (id, modified, digest) in rows {
            match notes.standing(id, modified, digest, &pruned) {
                Stands::Missed => missed += 1,
                Stands::Waiting => {}
                Stands::Presumed => {
                    presumed += 1;
                    continue;
                }
                Stands::GivenUp | Stands::Relayed => continue,
            }
            wanted.push(id);
        }
        if presumed > 0 {
            tracing::warn!(
                presumed,
                "polled: {presumed} orders changed longer ago than EVENT_RETENTION and have no row any more: they count as relayed"
            );
        }
        if !wanted.is_empty() {
            self.inbox.want(self.connection.id, wanted, false, now).await?;
        }
        Ok(missed)
    }
}

/// What the inbox knows of some orders.
pub(crate) struct Notes {
    known: HashMap<OrderId, Known>,
    first_start: Option<Timestamp>,
}

/// How one state of an order, as the store's list has it, stands in the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Nobody has told of it.
    Missed,
    /// There is work for the order. What is under way may be older than this state, so it is to be looked at once more;
    /// where nothing is, that costs no call.
    Waiting,
    /// There is no row. It may have been cleared out: the order counts as relayed.
    Presumed,
    /// The relay has given up on just this state, or found it gone, well after it had come to be.
    GivenUp,
    /// The destination has just this state, or it is not to be forwarded.
    Relayed,
}

impl Notes {
    pub async fn read(
        inbox: &dyn Inbox,
        connection: ConnectionId,
        orders: impl Iterator<Item = OrderId>,
    ) -> Result<Self, InboxError> {
        let known = inbox.known(connection, orders.collect()).await?;
        let known = known.into_iter().map(|known| (known.order, known)).collect();
        Ok(Self { known, first_start: inbox.summary(connection).await?.first_start })
    }

    /// What changed in here and has no row may have been relayed: its row may have been cleared out since. The first poll
    /// looked back a little.
    pub fn pruned(&self, before: Timestamp) -> Range<Timestamp> {
        self.first_start.map_or(before, |first| first.before(OVERLAP))..before
    }

    pub fn standing(&self, order: OrderId, modified: Timestamp, digest: Digest, pruned: &Range<Timestamp>) -> Stands {
        let Some(known) = self.known.get(&order) else {
            return if pruned.contains(&modified) { Stands::Presumed } else { Stands::Missed };
        };
        match known.state {
            OrderState::Pending => Stands::Waiting,
            OrderState::Delivered | OrderState::Skipped if known.digest == Some(digest) => Stands::Relayed,
            OrderState::Failed | OrderState::Gone
                if known.settled_at.is_some_and(|at| at > modified.after(OVERLAP)) =>
            {
                Stands::GivenUp
            }
            _ => Stands::Missed,
        }
    }
}

/// One page of the orders that changed from `since` on, in its turn at the quota.
pub(crate) async fn changed_orders(
    connection: &Connection,
    since: Timestamp,
    sort: Sort,
    page: u32,
    limit: u32,
) -> Result<Vec<Row<Snapshot>>, PollError> {
    let token = connection.api.take().await;
    dated(connection.api.orders(token, &Selection::Modified { since, sort }, page, limit).await?)
}

/// Rows of a list that is sorted by date. One without a date holds up no other: it stands beside its neighbour.
fn dated(rows: Vec<Snapshot>) -> Result<Vec<Row<Snapshot>>, PollError> {
    let Some(first) = rows.iter().find_map(|row| row.modified) else {
        return if rows.is_empty() { Ok(Vec::new()) } else { Err(PollError::NotAsAsked) };
    };
    let mut last = first;
    let row = |value: Snapshot| {
        last = value.modified.unwrap_or(last);
        Row { id: value.id.get(), modified: last, digest: Digest::of(&value.body), value }
    };
    Ok(rows.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn rows(list: &[(i64, &str)]) -> Vec<Snapshot> {
        let order = |(id, date): &(i64, &str)| format!(r#"{{"id":{id},"date_modified":"{date}"}}"#);
        list.iter().map(|row| Snapshot::read(Bytes::from(order(row))).expect("an order")).collect()
    }

    #[test]
    fn a_row_without_a_date_stands_beside_its_neighbour() {
        let (one, two) = ("Tue, 05 Mar 2019 21:40:11 +0000", "Tue, 05 Mar 2019 21:40:12 +0000");
        let seconds = |list| -> Vec<i64> {
            let rows = dated(rows(list)).expect("dates can be told");
            rows.iter().map(|row| row.modified.millis() / 1000 - 1_551_822_000).collect()
        };
        assert_eq!(seconds(&[(1, ""), (2, one), (3, "soon"), (4, two), (5, "")]), [11, 11, 11, 12, 12]);
        assert!(dated(Vec::new()).is_ok_and(|rows| rows.is_empty()));
        assert!(matches!(dated(rows(&[(1, ""), (2, "")])), Err(PollError::NotAsAsked)));
    }
}
