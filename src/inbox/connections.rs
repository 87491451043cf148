//! Connections as the database keeps them: what is not secret in plain columns, everything else sealed.

use serde::Serialize;

use crate::{
    clock::Timestamp,
    object::ConnectionId,
    spec::{
        ConnectionSpec, DestinationKind, DestinationSpec, Origin, SourceKind, codes,
        keyring::{Sealed, destination_mark},
    },
};

/// What happens with a connection's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// They are kept and delivered.
    Active,
    /// They are kept and wait.
    Paused,
    /// They are kept and wait for a payload URL.
    Incomplete,
    /// They are answered and dropped; the credentials are wiped.
    Disconnected,
}

/// Why a connection is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// A person or a client has asked for it.
    Asked,
    /// The callback answered 410: it is gone for good.
    CallbackGone,
    /// The last retry of a notification has failed.
    RetriesExhausted,
}

codes!(ConnectionState { Active 0 "active" Paused 1 "paused" Incomplete 2 "incomplete" Disconnected 3 "disconnected" });
codes!(PauseReason { Asked 0 "asked" CallbackGone 1 "callback_gone" RetriesExhausted 2 "retries_exhausted" });

/// The shard of a store's connections: two connections of one store share one, and so one quota. The same in every
/// build.
pub fn shard_of(kind: SourceKind, store: &str) -> u16 {
    // FNV-1a, 64 bits.
    let seed = 0xcbf2_9ce4_8422_2325u64;
    let bytes = [kind.code().to_le_bytes()[0]].into_iter().chain(store.bytes());
    let hash = bytes.fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    u16::try_from(hash % u64::from(super::SHARDS)).unwrap_or(0)
}

/// A connection as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// Its number.
    pub id: ConnectionId,
    /// Where it came from.
    pub origin: Origin,
    /// What happens with its events.
    pub state: ConnectionState,
    /// Why it is paused, if it is.
    pub pause_reason: Option<PauseReason>,
    /// What people call it.
    pub name: String,
    /// The kind of store.
    pub source_kind: SourceKind,
    /// Which store: a BigCommerce hash, or a shop's address without scheme, `www.` and trailing slash.
    pub store: String,
    /// The kind of destination, if there is one.
    pub destination_kind: Option<DestinationKind>,
    /// The destination's host, without the rest of its URL.
    pub destination_host: Option<String>,
    /// A keyed digest of the destination, by which the same one is recognised later.
    pub destination_mark: Option<Vec<u8>>,
    /// The unguessable part of its webhook address.
    pub hook_key: String,
    /// A digest of its Element token, if it is an instance.
    pub token_digest: Option<Vec<u8>>,
    /// The whole [`crate::spec::ConnectionSpec`], sealed; none for the environment's and for ended ones.
    pub sealed: Option<Sealed>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on changes count: when it was made, or taken up again after its end.
    pub begins_at: Timestamp,
    /// When the last event came.
    pub last_event_at: Option<Timestamp>,
    /// When the last object was forwarded.
    pub last_delivered_at: Option<Timestamp>,
    /// Goes up with each change to any connection.
    pub revision: i64,
}

/// A connection to be kept.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// Where it came from.
    pub origin: Origin,
    /// What happens with its events.
    pub state: ConnectionState,
    /// What people call it.
    pub name: String,
    /// The kind of store.
    pub source_kind: SourceKind,
    /// Which store.
    pub store: String,
    /// The kind of destination, if there is one.
    pub destination_kind: Option<DestinationKind>,
    /// The destination's host.
    pub destination_host: Option<String>,
    /// See [`ConnectionRecord::destination_mark`].
    pub destination_mark: Option<Vec<u8>>,
    /// The unguessable part of its webhook address.
    pub hook_key: String,
    /// A digest of its Element token.
    pub token_digest: Option<Vec<u8>>,
    /// The spec; none for the environment's.
    pub sealed: Option<Sealed>,
    /// See [`ConnectionUpdate::known_revision`].
    pub known_revision: Option<i64>,
}

impl NewConnection {
    /// A connection by its spec, as far as columns of their own keep it; the spec itself in `sealed`.
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

/// What of a connection is to change; `None` leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct ConnectionUpdate {
    /// What happens with its events, and why it is paused, if it is.
    pub state: Option<(ConnectionState, Option<PauseReason>)>,
    /// What people call it.
    pub name: Option<String>,
    /// Kind, host and mark of the destination.
    pub destination: Option<Option<(DestinationKind, String, Vec<u8>)>>,
    /// The sealed spec; `Some(None)` wipes it.
    pub sealed: Option<Option<Sealed>>,
    /// A digest of its Element token; `Some(None)` removes it.
    pub token_digest: Option<Option<Vec<u8>>>,
    /// From when on changes count.
    pub begins_at: Option<Timestamp>,
    /// Where it comes from now, and its hook key: of a row of the environment's that is taken up by others.
    pub identity: Option<(Origin, String)>,
    /// The newest revision of any connection that this was decided on. If one has changed since, nothing is written,
    /// and the answer is [`super::InboxError::Superseded`].
    pub known_revision: Option<i64>,
}
