//! The inbox: one durable row per object, a receipt per event, leases on the objects under way, and the small tables
//! that belong to a connection.
//!
//! Here are the trait and its types; `state` holds the rules of a row, `sqlite` and `postgres` carry them out. Nothing
//! personal goes in: ids, times, states, digests, and sealed credentials. Every method takes the time as an argument,
//! so that a test can say what time it is.

mod backup;
mod connections;
mod database;
mod error;
mod events;
mod feeds;
mod history;
mod key_requests;
mod moving;
mod objects;
mod open;
pub mod postgres;
mod receipt;
mod schema;
pub mod sqlite;
pub mod state;
mod work;

pub use backup::back_up;
pub use connections::{ConnectionRecord, ConnectionState, ConnectionUpdate, NewConnection, PauseReason, shard_of};
pub use database::Database;
pub use error::InboxError;
pub use events::{Notification, NotificationStatus, NotifiedObject};
pub use feeds::{Feed, HookRow, HookState, Outage, Side};
pub use history::{HISTORY, Hour, hour_of};
pub use key_requests::{KeyRequest, KeyRequestState, KeyRequests, MOST_KEY_REQUESTS};
pub use moving::{Moved, move_inbox};
pub use objects::{
    Accepted, Arrival, Claim, Failed, Known, NotAState, ObjectQuery, ObjectRow, ObjectState, Outcome, Settlement,
    Summary, Wanted,
};
pub use open::open;
pub use work::WorkSignal;

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    object::{ConnectionId, Digest, Due, ObjectId, ResourceName},
};

/// A duplicate may be dropped if its object was fetched at least this long after the event's own second. Wide enough
/// for the store's clock and ours to disagree.
pub const WELL_AFTER: Duration = Duration::from_secs(60);

/// Over how many shards connections are spread, by their store.
pub const SHARDS: u16 = 64;

/// Which holder of a lock this is: another number than before means that another process may have held it in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(pub(crate) i64);

/// What a heartbeat returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// The shards that this process holds for the span it asked for, ascending.
    pub shards: Vec<u16>,
    /// The revision of the newest change to any connection.
    pub revision: i64,
}

/// The inbox. All changes are durable when their future is done.
#[async_trait]
pub trait Inbox: KeyRequests + Send + Sync {
    // Events and objects.

    /// Keeps an event. Done means synced to disk.
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, InboxError>;

    /// Makes objects wait to be looked at: fetched, and forwarded if they differ from what was forwarded last, or, with
    /// `force`, in any case.
    async fn want(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        objects: Vec<Wanted>,
        force: bool,
        now: Timestamp,
    ) -> Result<(), InboxError>;

    /// Keeps which states of objects a list shows that nobody is to be told of: what is seen again unchanged is no
    /// news. Objects that have work, or have failed, are left alone.
    async fn remember(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        states: Vec<(ObjectId, Digest)>,
        now: Timestamp,
    ) -> Result<(), InboxError>;

    /// Makes all objects of one settled state wait, forced. Returns how many.
    async fn want_all(&self, connection: ConnectionId, state: ObjectState, now: Timestamp) -> Result<u64, InboxError>;

    /// Objects that may be claimed now: those never tried first, then by how long they have been due.
    async fn due(&self, connection: ConnectionId, now: Timestamp, limit: u32) -> Result<Vec<Due>, InboxError>;

    /// When the next object of the connection becomes due that is not due now.
    async fn next_due(&self, connection: ConnectionId, now: Timestamp) -> Result<Option<Timestamp>, InboxError>;

    /// Every connection with waiting objects, and when the first of them is (or was) due.
    async fn waiting(&self) -> Result<Vec<(ConnectionId, Timestamp)>, InboxError>;

    /// Claims those of `objects` that are still due.
    async fn claim(
        &self,
        connection: ConnectionId,
        objects: Vec<(ResourceName, ObjectId)>,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<Claim>, InboxError>;

    /// Ends a claim. False if it was no longer the owner's to end; nothing has changed then.
    async fn settle(&self, settlement: Settlement) -> Result<bool, InboxError>;

    /// An outage is over: what was deferred for it is due as it was before.
    async fn recover(&self, connection: ConnectionId) -> Result<u64, InboxError>;

    /// Makes due what waits for a deadline that was set in the future: the clock has been set back since. Returns how
    /// many.
    async fn repair_deadlines(&self, now: Timestamp) -> Result<u64, InboxError>;

    /// Frees the claims of processes that are gone, which only a process that serves its database alone may ask: all
    /// claims but this process's own. Those whose forward had begun wait out their lease. Returns how many.
    async fn free_claims(&self, now: Timestamp) -> Result<u64, InboxError>;

    /// Notes that the forwarding of these claims begins: they are not freed before their leases end.
    async fn begin_forward(&self, claims: Vec<Claim>) -> Result<(), InboxError>;

    /// Rows by descending id.
    async fn objects(&self, connection: ConnectionId, query: ObjectQuery) -> Result<Vec<ObjectRow>, InboxError>;

    /// What is known of the snapshots last forwarded, for those of `ids` that have a row.
    async fn known(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        ids: Vec<ObjectId>,
    ) -> Result<Vec<Known>, InboxError>;

    /// A few numbers of one connection.
    async fn summary(&self, connection: ConnectionId) -> Result<Summary, InboxError>;

    /// The numbers of every connection that has waiting, failed or gone objects; the others have none.
    async fn summaries(&self) -> Result<HashMap<ConnectionId, Summary>, InboxError>;

    /// Removes at most `limit` objects settled since before `before`, each with its receipts, and what is as old of
    /// notifications. Returns how many objects.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, InboxError>;

    /// Notes how many objects of each connection wait now, for [`Inbox::history`], and drops hours older than
    /// [`HISTORY`].
    async fn sample(&self, now: Timestamp) -> Result<(), InboxError>;

    /// The hours from `since` on in which there was anything to note, the oldest first.
    async fn history(&self, connection: ConnectionId, since: Timestamp) -> Result<Vec<Hour>, InboxError>;

    // Connections.

    /// Every connection changed after `revision`, by revision; all of them for 0.
    async fn connections(&self, revision: i64) -> Result<Vec<ConnectionRecord>, InboxError>;

    /// Keeps a new connection; see [`NewConnection::known_revision`].
    async fn create_connection(&self, connection: NewConnection, now: Timestamp) -> Result<ConnectionId, InboxError>;

    /// Changes a connection; see [`ConnectionUpdate::known_revision`]. False if there is none with this id.
    async fn update_connection(&self, id: ConnectionId, update: ConnectionUpdate) -> Result<bool, InboxError>;

    // Feeds, hooks, outages, alerts.

    /// How far one list of the connection has been read.
    async fn feed(&self, connection: ConnectionId, name: &str) -> Result<Option<Feed>, InboxError>;

    /// Every feed of the connection.
    async fn feeds(&self, connection: ConnectionId) -> Result<Vec<Feed>, InboxError>;

    /// Keeps a feed; replaces the one of its name.
    async fn save_feed(&self, connection: ConnectionId, feed: Feed) -> Result<(), InboxError>;

    /// Forgets a feed.
    async fn remove_feed(&self, connection: ConnectionId, name: &str) -> Result<(), InboxError>;

    /// The hooks that the relay has made or taken for its own.
    async fn hooks(&self, connection: ConnectionId) -> Result<Vec<HookRow>, InboxError>;

    /// Keeps a hook; replaces the one of its topic.
    async fn save_hook(&self, connection: ConnectionId, hook: HookRow) -> Result<(), InboxError>;

    /// Forgets a hook.
    async fn remove_hook(&self, connection: ConnectionId, topic: &str) -> Result<(), InboxError>;

    /// Which sides are down, as whoever delivers has noted it.
    async fn outages(&self, connection: ConnectionId) -> Result<Vec<Outage>, InboxError>;

    /// Notes that a side is down, or with `None` that it is not.
    async fn save_outage(&self, connection: ConnectionId, side: Side, outage: Option<Outage>)
    -> Result<(), InboxError>;

    /// The conditions that have been alerted of and are not over, by their codes.
    async fn alerts(&self) -> Result<Vec<(ConnectionId, String)>, InboxError>;

    /// Notes that a condition has been alerted of, or (`is_open` false) that its end has.
    async fn save_alert(&self, connection: ConnectionId, code: &str, is_open: bool) -> Result<(), InboxError>;

    // Notifications to Cloud Elements callbacks.

    /// Keeps a notification; replaces the one of its id.
    async fn save_notification(&self, notification: Notification) -> Result<(), InboxError>;

    /// One notification of a connection.
    async fn notification(&self, connection: ConnectionId, id: &str) -> Result<Option<Notification>, InboxError>;

    /// The newest notifications of a connection.
    async fn notifications(&self, connection: ConnectionId, limit: u32) -> Result<Vec<Notification>, InboxError>;

    /// The notifications of a connection that have not arrived, the oldest first.
    async fn outstanding(&self, connection: ConnectionId) -> Result<Vec<Notification>, InboxError>;

    // The process and its peers.

    /// What tells this database from every other: random bytes, the same for all processes that share it.
    async fn identity(&self) -> Result<Vec<u8>, InboxError>;

    /// Proves that the database can be written.
    async fn probe(&self, now: Timestamp) -> Result<(), InboxError>;

    /// Which connections may have got work.
    fn work(&self) -> WorkSignal;

    /// Holds (or takes) this process's even share of the shards for `span`, in one statement, and tells the newest
    /// revision. A process that serves its database alone holds all of them.
    async fn heartbeat(&self, span: Duration) -> Result<Heartbeat, InboxError>;

    /// Gives all shards back: others take them at once.
    async fn release_shards(&self) -> Result<(), InboxError>;

    /// Whether another process holds shards now, that is, serves this database. Takes nothing.
    async fn is_served(&self) -> Result<bool, InboxError>;

    /// Takes the lock on changing a connection's hooks, or keeps it, for `span` from the beginning of this call. `None`
    /// while another process has it. The epoch stays the same for as long as no other has had it in between.
    async fn lock_hooks(&self, connection: ConnectionId, span: Duration) -> Result<Option<Epoch>, InboxError>;

    /// Gives the lock back, if it is this process's.
    async fn unlock_hooks(&self, connection: ConnectionId) -> Result<(), InboxError>;

    /// Returns, with the reason, once this database must not be used any more: a newer relay has altered the tables, or
    /// the file is no longer the one that was opened. Nothing is kept any more by then.
    async fn superseded(&self) -> InboxError;

    /// Finishes what was handed in, then closes.
    async fn close(&self);
}
