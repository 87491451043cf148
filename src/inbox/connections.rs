//! Connections as stored: what is not secret in plain columns, everything else sealed.

use serde::Serialize;

use crate::{
    clock::Timestamp,
    object::ConnectionId,
    spec::{
        ConnectionSpec, DestinationKind, DestinationSpec, Origin, SourceKind, codes,
        keyring::{Sealed, destination_mark},
    },
};

/// Whether a connection's events are delivered, wait, or are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Events are stored and delivered.
    Active,
    /// Events are stored and wait.
    Paused,
    /// Events are stored and wait for a payload URL.
    Incomplete,
    /// Webhooks are answered and dropped; the credentials are wiped.
    Disconnected,
}

/// Why a connection is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// A person or a client has paused it.
    Asked,
    /// The callback answered 410: it is gone for good.
    CallbackGone,
    /// The last retry of a notification has failed.
    RetriesExhausted,
}

codes!(ConnectionState { Active 0 "active" Paused 1 "paused" Incomplete 2 "incomplete" Disconnected 3 "disconnected" });
codes!(PauseReason { Asked 0 "asked" CallbackGone 1 "callback_gone" RetriesExhausted 2 "retries_exhausted" });

/// The shard of a store: two connections of one store share it, and so one quota. Stable across builds.
pub fn shard_of(kind: SourceKind, store: &str) -> u16 {
    // The offset basis of FNV-1a, 64 bits.
    let seed = 0xcbf2_9ce4_8422_2325u64;
    let bytes = [kind.code().to_le_bytes()[0]].into_iter().chain(store.bytes());
    let hash = bytes.fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    u16::try_from(hash % u64::from(super::SHARDS)).unwrap_or(0)
}

/// A connection as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// The connection's number.
    pub id: ConnectionId,
    /// Which way it was made: variables, API, app or instance.
    pub origin: Origin,
    /// Whether its events are delivered, wait, or are dropped.
    pub state: ConnectionState,
    /// Why it is paused; `None` unless it is.
    pub pause_reason: Option<PauseReason>,
    /// The display name.
    pub name: String,
    /// The kind of store.
    pub source_kind: SourceKind,
    /// Which store: a BigCommerce hash, or a shop's address without scheme, `www.` and trailing slash.
    pub store: String,
    /// The kind of destination, if there is one.
    pub destination_kind: Option<DestinationKind>,
    /// The destination's host, without the rest of its URL.
    pub destination_host: Option<String>,
    /// A keyed digest of the destination, to recognise the same one later.
    pub destination_mark: Option<Vec<u8>>,
    /// The unguessable part of its webhook URL.
    pub hook_key: String,
    /// A digest of its Element token, if it is an instance.
    pub token_digest: Option<Vec<u8>>,
    /// The whole [`crate::spec::ConnectionSpec`], sealed; `None` for the environment's own and for ended ones.
    pub sealed: Option<Sealed>,
    /// When the connection was made.
    pub created_at: Timestamp,
    /// Changes before this time are not relayed: when it was made, or revived after its end.
    pub begins_at: Timestamp,
    /// When the last event came.
    pub last_event_at: Option<Timestamp>,
    /// When the last object was forwarded.
    pub last_delivered_at: Option<Timestamp>,
    /// Raised with each change; the highest of all connections is the catalog's revision.
    pub revision: i64,
}

/// A connection to be stored.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// Which way it was made.
    pub origin: Origin,
    /// Whether its events are delivered, wait, or are dropped.
    pub state: ConnectionState,
    /// The display name.
    pub name: String,
    /// The kind of store.
    pub source_kind: SourceKind,
    /// Which store; see [`ConnectionRecord::store`].
    pub store: String,
    /// The kind of destination, if there is one.
    pub destination_kind: Option<DestinationKind>,
    /// The destination's host.
    pub destination_host: Option<String>,
    /// See [`ConnectionRecord::destination_mark`].
    pub destination_mark: Option<Vec<u8>>,
    /// The unguessable part of its webhook URL.
    pub hook_key: String,
    /// A digest of its Element token, if it is an instance.
    pub token_digest: Option<Vec<u8>>,
    /// The sealed spec; `None` for the environment's own.
    pub sealed: Option<Sealed>,
    /// See [`ConnectionUpdate::known_revision`].
    pub known_revision: Option<i64>,
}

impl NewConnection {
    /// A new connection with the plain columns of `spec`; `sealed` is the whole spec.
    pub fn of(spec: &ConnectionSpec, state: ConnectionState, hook_key: String, sealed: Option<Sealed>) -> Self {
        let destination = spec.destination.as_ref();
        Self {
            origin: spec.origin,
            state,
            name: spec.name.clone(),
            source_kind: spec.source.kind(),
            store: spec.source.store(),
            destination_kind: destination.map(DestinationSpec::kind),
            destination_host: destination.map(DestinationSpec::host),
            destination_mark: destination.map(|destination| destination_mark(&hook_key, destination)),
            hook_key,
            token_digest: None,
            sealed,
            known_revision: None,
        }
    }
}

/// A change of a connection; `None` leaves a value as it is.
#[derive(Debug, Clone, Default)]
pub struct ConnectionUpdate {
    /// The new state, and why it is paused, if it is.
    pub state: Option<(ConnectionState, Option<PauseReason>)>,
    /// The display name.
    pub name: Option<String>,
    /// Kind, host and mark of the destination; `Some(None)` removes them.
    pub destination: Option<Option<(DestinationKind, String, Vec<u8>)>>,
    /// The sealed spec; `Some(None)` wipes it.
    pub sealed: Option<Option<Sealed>>,
    /// A digest of its Element token; `Some(None)` removes it.
    pub token_digest: Option<Option<Vec<u8>>>,
    /// Changes before this time are not relayed.
    pub begins_at: Option<Timestamp>,
    /// A new origin and hook key, when a row of the environment is revived through another way.
    pub identity: Option<(Origin, String)>,
    /// The newest revision of any connection when this change was decided on. If a connection has changed since,
    /// nothing is written and the result is [`super::InboxError::Superseded`].
    pub known_revision: Option<i64>,
}
