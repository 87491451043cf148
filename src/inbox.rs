//! The inbox: one durable row per object, a receipt per event, leases on the objects under way, and the small tables
//! that belong to a connection.
//!
//! This file has the trait and its types; `state` holds the rules for a row, `sqlite` and `postgres` carry them out.
//! Nothing personal is stored: ids, times, states, digests, and sealed credentials. Methods take the time as an
//! argument, so that tests can set it.

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

/// A duplicate may be dropped if its object was fetched at least this long after the event's own second: enough for
/// the store's clock and ours to disagree.
pub const WELL_AFTER: Duration = Duration::from_secs(60);

/// How many shards connections are spread over, by their store.
pub const SHARDS: u16 = 64;

/// Identifies a holder of a lock: a different number than before means that another process may have held it in
/// between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(pub(crate) i64);

/// The result of a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// The shards that this process now holds, ascending.
    pub shards: Vec<u16>,
    /// The revision of the newest change to any connection.
    pub revision: i64,
}

/// The durable store of events, objects and connections. A change is durable once its future completes.
#[async_trait]
pub trait Inbox: KeyRequests + Send + Sync {
    // Events and objects.

    /// Stores an event. Returns once it is synced to disk.
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, InboxError>;

    /// Makes objects due: to be fetched, and forwarded if they differ from what was forwarded last, or, with `force`,
    /// in any case.
    async fn want(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        objects: Vec<Wanted>,
        force: bool,
        now: Timestamp,
    ) -> Result<(), InboxError>;

    /// Stores the states of listed objects without reporting them, so that the same state seen again is not taken for
    /// a change. Of objects that have a row, only delivered ones are changed.
    async fn remember(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        states: Vec<(ObjectId, Digest)>,
        now: Timestamp,
    ) -> Result<(), InboxError>;

    /// Makes all objects in one settled state due, with `force`. Returns how many.
    async fn want_all(&self, connection: ConnectionId, state: ObjectState, now: Timestamp) -> Result<u64, InboxError>;

    /// Objects that may be claimed now: those never tried first, then those due longest.
    async fn due(&self, connection: ConnectionId, now: Timestamp, limit: u32) -> Result<Vec<Due>, InboxError>;

    /// When the connection's next object becomes due, of those that are not due yet.
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

    /// Ends a claim. False, and nothing has changed, if the claim was no longer its owner's.
    async fn settle(&self, settlement: Settlement) -> Result<bool, InboxError>;

    /// Ends an outage: objects deferred because of it are due as before. Returns how many.
    async fn recover(&self, connection: ConnectionId) -> Result<u64, InboxError>;

    /// Makes due what waits for a deadline too far in the future, because the clock has been set back since. Returns
    /// how many.
    async fn repair_deadlines(&self, now: Timestamp) -> Result<u64, InboxError>;

    /// Frees the claims of processes that are gone: all claims but this process's own, so it is only for a process
    /// that serves its database alone. Claims whose forward had begun keep their lease. Returns how many.
    async fn free_claims(&self, now: Timestamp) -> Result<u64, InboxError>;

    /// Marks claims as being forwarded: they are not freed before their leases end.
    async fn begin_forward(&self, claims: Vec<Claim>) -> Result<(), InboxError>;

    /// Objects by descending id.
    async fn objects(&self, connection: ConnectionId, query: ObjectQuery) -> Result<Vec<ObjectRow>, InboxError>;

    /// What was last forwarded of those of `ids` that have a row.
    async fn known(
        &self,
        connection: ConnectionId,
        resource: ResourceName,
        ids: Vec<ObjectId>,
    ) -> Result<Vec<Known>, InboxError>;

    /// The counts and times of one connection.
    async fn summary(&self, connection: ConnectionId) -> Result<Summary, InboxError>;

    /// The summaries of all connections with waiting, failed or gone objects.
    async fn summaries(&self) -> Result<HashMap<ConnectionId, Summary>, InboxError>;

    /// Removes at most `limit` objects settled before `before`, with their receipts, and notifications as old.
    /// Returns how many objects.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, InboxError>;

    /// Records how many objects of each connection wait now, for [`Inbox::history`], and drops hours older than
    /// [`HISTORY`].
    async fn sample(&self, now: Timestamp) -> Result<(), InboxError>;

    /// The hours from `since` on that have something recorded, the oldest first.
    async fn history(&self, connection: ConnectionId, since: Timestamp) -> Result<Vec<Hour>, InboxError>;

    // Connections.

    /// Every connection changed after `revision`, by revision; all connections for 0.
    async fn connections(&self, revision: i64) -> Result<Vec<ConnectionRecord>, InboxError>;

    /// Stores a new connection; see [`NewConnection::known_revision`].
    async fn create_connection(&self, connection: NewConnection, now: Timestamp) -> Result<ConnectionId, InboxError>;

    /// Changes a connection; see [`ConnectionUpdate::known_revision`]. False if there is none with this number.
    async fn update_connection(&self, id: ConnectionId, update: ConnectionUpdate) -> Result<bool, InboxError>;

    /// Whether the connection has ended, by this or another process.
    async fn has_ended(&self, id: ConnectionId) -> Result<bool, InboxError>;

    // Feeds, hooks, outages, alerts.

    /// How far one list of the connection has been read.
    async fn feed(&self, connection: ConnectionId, name: &str) -> Result<Option<Feed>, InboxError>;

    /// Every feed of the connection.
    async fn feeds(&self, connection: ConnectionId) -> Result<Vec<Feed>, InboxError>;

    /// Stores a feed; replaces the one with its name.
    async fn save_feed(&self, connection: ConnectionId, feed: Feed) -> Result<(), InboxError>;

    /// Removes a feed.
    async fn remove_feed(&self, connection: ConnectionId, name: &str) -> Result<(), InboxError>;

    /// The hooks that the relay has made or adopted.
    async fn hooks(&self, connection: ConnectionId) -> Result<Vec<HookRow>, InboxError>;

    /// Stores a hook; replaces the one for its topic.
    async fn save_hook(&self, connection: ConnectionId, hook: HookRow) -> Result<(), InboxError>;

    /// Removes a hook from the table.
    async fn remove_hook(&self, connection: ConnectionId, topic: &str) -> Result<(), InboxError>;

    /// Which sides are down, as noted by the process that delivers.
    async fn outages(&self, connection: ConnectionId) -> Result<Vec<Outage>, InboxError>;

    /// Stores that a side is down, or with `None` that it is not.
    async fn save_outage(&self, connection: ConnectionId, side: Side, outage: Option<Outage>)
    -> Result<(), InboxError>;

    /// The conditions with an open alert, by their codes.
    async fn alerts(&self) -> Result<Vec<(ConnectionId, String)>, InboxError>;

    /// Stores that a condition's alert has been sent, or (`is_open` false) that its end has.
    async fn save_alert(&self, connection: ConnectionId, code: &str, is_open: bool) -> Result<(), InboxError>;

    // Notifications to Cloud Elements callbacks.

    /// Stores a notification; replaces the one with its id.
    async fn save_notification(&self, notification: Notification) -> Result<(), InboxError>;

    /// One notification of a connection.
    async fn notification(&self, connection: ConnectionId, id: &str) -> Result<Option<Notification>, InboxError>;

    /// The newest notifications of a connection.
    async fn notifications(&self, connection: ConnectionId, limit: u32) -> Result<Vec<Notification>, InboxError>;

    /// The notifications of a connection that have not arrived, the oldest first.
    async fn outstanding(&self, connection: ConnectionId) -> Result<Vec<Notification>, InboxError>;

    // The process and its peers.

    /// Identifies this database: random bytes, the same for all processes that share it.
    async fn identity(&self) -> Result<Vec<u8>, InboxError>;

    /// Checks that the database can be written.
    async fn probe(&self, now: Timestamp) -> Result<(), InboxError>;

    /// Signals which connections may have new work.
    fn work(&self) -> WorkSignal;

    /// Keeps or takes this process's even share of the shards for `span`, in one statement, and returns the newest
    /// revision. A process that serves its database alone holds all of them.
    async fn heartbeat(&self, span: Duration) -> Result<Heartbeat, InboxError>;

    /// Gives all shards back: other processes can take them at once.
    async fn release_shards(&self) -> Result<(), InboxError>;

    /// Whether another process holds shards now, that is, serves this database. Takes no shard.
    async fn is_served(&self) -> Result<bool, InboxError>;

    /// Takes or keeps the lock on changing a connection's hooks, for `span` from the beginning of this call. `None`
    /// while another process has it. The epoch stays the same as long as no other process has had the lock in
    /// between.
    async fn lock_hooks(&self, connection: ConnectionId, span: Duration) -> Result<Option<Epoch>, InboxError>;

    /// Releases the lock, if this process has it.
    async fn unlock_hooks(&self, connection: ConnectionId) -> Result<(), InboxError>;

    /// Completes, with the reason, once this database must not be used any more: a newer relay has altered the
    /// tables, or the file is no longer the one that was opened. Nothing is stored from then on.
    async fn superseded(&self) -> InboxError;

    /// Completes the writes already handed in, then closes.
    async fn close(&self);
}
