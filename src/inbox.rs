//! The inbox: one durable row per order, a receipt per event, and leases on the orders under way.
//!
//! Here are the trait and its types; `sqlite` keeps it in a file, `postgres` in a server's database. Nothing personal goes in: ids, times, states, digests.
//! Every method takes the time as an argument, so that a test can say what time it is.

mod backup;
mod change;
mod error;
mod group;
mod history;
mod lease;
mod moving;
mod order;
pub mod postgres;
mod queue;
mod rows;
mod schema;
pub mod sqlite;

pub use backup::back_up;
pub use error::InboxError;
pub use lease::{Lease, Term};
pub use moving::{Moved, move_inbox};
pub use order::{NotAState, OrderQuery, OrderRow, OrderState};

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    clock::Timestamp,
    config::Database,
    event::{OrderEvent, OrderId},
    one_tribe::Digest,
};

pub(crate) use history::hour_of;
pub use history::{HISTORY, Hour};

use change::{Change, Done};
use rows::Event;

/// Which connection (one store and its destination) a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub i64);

/// What a duplicate may be dropped for: its order was fetched at least this long after the event's own second. Wide enough
/// for the store's clock and ours to disagree.
pub const WELL_AFTER: Duration = Duration::from_secs(60);

/// An event on its way in: what it says, and by what it is recognised when it comes again.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Whose it is.
    pub connection: ConnectionId,
    /// What the payload said.
    pub event: OrderEvent,
    /// The `webhook-id` header, if it came.
    pub webhook_id: Option<String>,
    /// When it came.
    pub at: Timestamp,
}

/// What became of an event. In each case it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Never seen before: its order will be forwarded.
    First,
    /// Seen before, yet its order may have changed since: it will be fetched, and forwarded if it differs.
    Doubt,
    /// Seen before, and its order was fetched well after: nothing more to do.
    Duplicate,
}

/// An order that may be claimed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Which order.
    pub order: OrderId,
    /// Since when it is due; the oldest goes first.
    pub at: Timestamp,
}

/// The right to fetch and forward one order, until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose order.
    pub connection: ConnectionId,
    /// Which order.
    pub order: OrderId,
    /// Fences the settling: only the latest claim's owner can settle.
    pub owner: i64,
    /// The `wanted` number before the fetch; a success delivers up to it and no further.
    pub seen: i64,
    /// Forward even an unchanged snapshot: there is a first-time event or a resend behind it.
    pub insist: bool,
    /// Of the snapshot last forwarded.
    pub digest: Option<Digest>,
    /// Tries of its own that have failed so far.
    pub attempts: u32,
    /// Since when the order is refused.
    pub refused_since: Option<Timestamp>,
    /// Since when the store does not know the order.
    pub missing_since: Option<Timestamp>,
    /// When the event came that made it wait.
    pub waiting_since: Timestamp,
    /// When the right ends.
    pub lease_until: Timestamp,
}

/// How a claim ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has the state: sent now, or already there.
    Delivered {
        /// Of the snapshot.
        digest: Digest,
        /// When its fetch began.
        fetched_at: Timestamp,
        /// False when the snapshot was the one last forwarded and nothing was sent.
        forwarded: bool,
    },
    /// Its status is one that is not forwarded.
    Skipped {
        /// When its fetch began.
        fetched_at: Timestamp,
    },
    /// Refused; its own time for the next try has been set.
    Refused {
        /// The next try.
        retry_at: Timestamp,
        /// What was seen.
        error: String,
    },
    /// The store does not know it; it will be looked for again.
    Missing {
        /// The next look.
        retry_at: Timestamp,
        /// What was seen.
        error: String,
    },
    /// A far side is down: not the order's fault. Due again when the far side is back.
    Deferred {
        /// The next try, unless the outage ends before.
        retry_at: Timestamp,
        /// What was seen.
        error: String,
        /// False for an order that fails where others succeed: the end of the outage does not make it due.
        until_recovery: bool,
    },
    /// Not tried after all: due as before.
    Released,
    /// Refused for too long.
    Failed {
        /// What was seen last.
        error: String,
    },
    /// The store has had time enough to know it, and does not.
    Gone {
        /// What was seen last.
        error: String,
    },
}

/// A claim and how it ended.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The claim.
    pub claim: Claim,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// The whole inbox of one connection in a few numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Orders with work.
    pub waiting: u64,
    /// Since when the oldest of them waits.
    pub oldest_waiting: Option<Timestamp>,
    /// Orders refused for too long.
    pub failed: u64,
    /// Orders the store does not know.
    pub gone: u64,
    /// When the last event came.
    pub last_event_at: Option<Timestamp>,
    /// When the last order was forwarded.
    pub last_forwarded_at: Option<Timestamp>,
    /// When this connection was first served.
    pub first_start: Option<Timestamp>,
}

/// Opens the inbox that the configuration names.
///
/// # Errors
/// [`InboxError`], as the database says it.
pub async fn open(database: &Database) -> Result<Arc<dyn Inbox>, InboxError> {
    match database {
        Database::Sqlite(path) => Ok(Arc::new(sqlite::SqliteInbox::open(path).await?)),
        Database::Postgres(url) => Ok(Arc::new(postgres::PostgresInbox::open(url).await?)),
    }
}

/// The inbox. All changes are durable when their future is done.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Makes a change, by whichever writer makes those of its kind. All that change anything below go through here.
    #[doc(hidden)]
    async fn change(&self, change: Change) -> Result<Done, InboxError>;

    /// The connection of this kind and name, made if it is new.
    async fn connection(&self, kind: &str, name: &str, now: Timestamp) -> Result<ConnectionId, InboxError> {
        self.change(Change::Connection { kind: kind.to_owned(), name: name.to_owned(), now }).await?.connection()
    }

    /// Keeps an event. Done means synced to disk.
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, InboxError> {
        self.change(Change::Accept(Event::of(&arrival))).await?.accepted()
    }

    /// Makes orders wanted: to be looked at (fetched, forwarded if they differ), or, with `insist`, to be forwarded in any case.
    async fn want(
        &self,
        connection: ConnectionId,
        orders: Vec<OrderId>,
        insist: bool,
        now: Timestamp,
    ) -> Result<(), InboxError> {
        self.change(Change::Want { connection, orders, insist, now }).await.map(drop)
    }

    /// Makes all orders of one settled state wanted, insisting. Returns how many.
    async fn want_all(&self, connection: ConnectionId, state: OrderState, now: Timestamp) -> Result<u64, InboxError> {
        self.change(Change::WantAll { connection, state, now }).await?.count()
    }

    /// Orders that may be claimed now, those due longest first.
    async fn due(&self, connection: ConnectionId, now: Timestamp, limit: u32) -> Result<Vec<Due>, InboxError>;

    /// When the next order becomes due that is not due now.
    async fn next_due(&self, connection: ConnectionId, now: Timestamp) -> Result<Option<Timestamp>, InboxError>;

    /// Claims those of `orders` that are still due.
    async fn claim(
        &self,
        connection: ConnectionId,
        orders: Vec<OrderId>,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<Claim>, InboxError> {
        self.change(Change::Claim { connection, orders, until: now.after(lease), now }).await?.claims()
    }

    /// Ends a claim. False if it was no longer the owner's to end; nothing has changed then.
    async fn settle(&self, settlement: Settlement) -> Result<bool, InboxError> {
        self.change(Change::Settle(settlement)).await?.settled()
    }

    /// An outage is over: what was deferred for it is due as it was before.
    async fn recover(&self, connection: ConnectionId) -> Result<u64, InboxError> {
        self.change(Change::Recover(connection)).await?.count()
    }

    /// Rows by descending id.
    async fn orders(&self, connection: ConnectionId, query: OrderQuery) -> Result<Vec<OrderRow>, InboxError>;

    /// Digests of the snapshots last forwarded, and where they stand, for those of `orders` that have a row.
    async fn known(&self, connection: ConnectionId, orders: Vec<OrderId>) -> Result<Vec<Known>, InboxError>;

    /// A few numbers.
    async fn summary(&self, connection: ConnectionId) -> Result<Summary, InboxError>;

    /// Notes how many orders wait now, for [`Inbox::history`], and drops hours older than [`HISTORY`].
    async fn sample(&self, connection: ConnectionId, now: Timestamp) -> Result<(), InboxError> {
        self.change(Change::Sample { connection, now }).await.map(drop)
    }

    /// The hours from `since` on in which there was anything to note, the oldest first.
    async fn history(&self, connection: ConnectionId, since: Timestamp) -> Result<Vec<Hour>, InboxError>;

    /// A note kept for the connection: a watermark, a hook's number.
    async fn note(&self, connection: ConnectionId, name: &str) -> Result<Option<String>, InboxError>;

    /// Keeps a note; `None` removes it.
    async fn keep_note(&self, connection: ConnectionId, name: &str, value: Option<String>) -> Result<(), InboxError> {
        self.change(Change::KeepNote { connection, name: name.to_owned(), value }).await.map(drop)
    }

    /// Removes at most `limit` orders that have been settled since before `before`, each with its receipts. Returns how many.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, InboxError> {
        self.change(Change::Prune { before, limit }).await?.count()
    }

    /// Proves that the database can be written.
    async fn probe(&self, now: Timestamp) -> Result<(), InboxError> {
        self.change(Change::Probe(now)).await.map(drop)
    }

    /// Changes whenever work may have come in.
    fn arrivals(&self) -> watch::Receiver<u64>;

    /// Takes a lease, or keeps it, for `span` from the beginning of this call. `None` while another inbox over the same
    /// database has it. The term stays the same for as long as no other has had it in between. Who serves a database that
    /// only one relay can serve has the lead.
    async fn lease(&self, connection: ConnectionId, lease: Lease, span: Duration) -> Result<Option<Term>, InboxError>;

    /// Gives a lease back, if it is this inbox's: the next that asks has it.
    async fn release(&self, connection: ConnectionId, lease: Lease) -> Result<(), InboxError>;

    /// Returns, with the reason, once a newer relay has altered the database so that this one must not use it any more; never
    /// where that is not looked for. Nothing is kept any more by then.
    async fn outgrown(&self) -> InboxError {
        std::future::pending().await
    }

    /// Finishes what was handed in, then closes.
    async fn close(&self);
}

/// What the inbox knows of one order's last forwarded snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Which order.
    pub order: OrderId,
    /// Of the snapshot last forwarded.
    pub digest: Option<Digest>,
    /// Where it stands.
    pub state: OrderState,
    /// When it was settled, unless there is work for it.
    pub settled_at: Option<Timestamp>,
}
