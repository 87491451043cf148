//! What may be changed in an inbox, and what each change comes to.

use super::{Accepted, Claim, ConnectionId, InboxError, OrderState, Settlement, rows::Event};
use crate::{clock::Timestamp, event::OrderId};

/// One change.
pub enum Change {
    Accept(Event),
    Settle(Settlement),
    Want { connection: ConnectionId, orders: Vec<OrderId>, insist: bool, now: Timestamp },
    WantAll { connection: ConnectionId, state: OrderState, now: Timestamp },
    Claim { connection: ConnectionId, orders: Vec<OrderId>, until: Timestamp, now: Timestamp },
    Recover(ConnectionId),
    Connection { kind: String, name: String, now: Timestamp },
    KeepNote { connection: ConnectionId, name: String, value: Option<String> },
    Prune { before: Timestamp, limit: u32 },
    Sample { connection: ConnectionId, now: Timestamp },
    Probe(Timestamp),
}

impl Change {
    /// Whether there may be work for the dispatch afterwards.
    pub(super) fn brings_work(&self) -> bool {
        matches!(self, Self::Accept(_) | Self::Settle(_) | Self::Want { .. } | Self::WantAll { .. } | Self::Recover(_))
    }
}

/// What a change came to.
#[derive(Clone)]
pub enum Done {
    Accepted(Accepted),
    Settled(bool),
    Claimed(Vec<Claim>),
    Count(u64),
    Connection(ConnectionId),
    Nothing,
}

/// A change that comes to something else than its kind does: a fault of the writer's.
const OTHER: InboxError = InboxError::Closed;

impl Done {
    pub(super) fn accepted(self) -> Result<Accepted, InboxError> {
        if let Self::Accepted(accepted) = self { Ok(accepted) } else { Err(OTHER) }
    }

    pub(super) fn settled(self) -> Result<bool, InboxError> {
        if let Self::Settled(settled) = self { Ok(settled) } else { Err(OTHER) }
    }

    pub(super) fn claims(self) -> Result<Vec<Claim>, InboxError> {
        if let Self::Claimed(claims) = self { Ok(claims) } else { Err(OTHER) }
    }

    pub(super) fn count(self) -> Result<u64, InboxError> {
        if let Self::Count(count) = self { Ok(count) } else { Err(OTHER) }
    }

    pub(super) fn connection(self) -> Result<ConnectionId, InboxError> {
        if let Self::Connection(id) = self { Ok(id) } else { Err(OTHER) }
    }
}
