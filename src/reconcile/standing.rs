//! Compares the state of an order in the store's list with the inbox.

use std::{collections::HashMap, ops::Range};

use super::poll::OVERLAP;
use crate::{
    clock::Timestamp,
    inbox::{Inbox, InboxError, Known, ObjectState},
    object::{ConnectionId, Digest, ObjectId, ResourceName},
};

/// What the inbox knows of some orders.
pub struct KnownOrders {
    known: HashMap<ObjectId, Known>,
    begins_at: Timestamp,
}

/// How the state of an order compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No event announced this state.
    Missed,
    /// The order is waiting. What is under way may be older than this state, so the order is to be fetched again; if
    /// nothing is under way, that costs no extra call.
    Waiting,
    /// There is no row, but it may have been removed: the order counts as relayed.
    Presumed,
    /// The relay gave up on this very state, or found the order gone, well after this change.
    GivenUp,
    /// The destination has this state, or it is not to be forwarded.
    Relayed,
}

impl KnownOrders {
    /// Reads the rows of `orders`. Changes before `begins_at` do not count.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn read(
        inbox: &dyn Inbox,
        connection: ConnectionId,
        begins_at: Timestamp,
        orders: impl Iterator<Item = ObjectId>,
    ) -> Result<Self, InboxError> {
        let known = inbox.known(connection, ResourceName::orders(), orders.collect()).await?;
        Ok(Self { known: known.into_iter().map(|known| (known.id.clone(), known)).collect(), begins_at })
    }

    /// Whether the inbox has a row for this order.
    pub fn is_known(&self, id: &ObjectId) -> bool {
        self.known.contains_key(id)
    }

    /// Whether another state of this order than the one with this digest was delivered last.
    pub fn is_delivered_otherwise(&self, id: &ObjectId, digest: Digest) -> bool {
        let is_other = |known: &Known| known.state == ObjectState::Delivered && known.digest != Some(digest);
        self.known.get(id).is_some_and(is_other)
    }

    /// Changes in this span may have been relayed even if there is no row, which may have been removed since. It
    /// begins a little early, as the first poll does.
    pub fn pruned(&self, before: Timestamp) -> Range<Timestamp> {
        self.begins_at.before(OVERLAP)..before
    }

    /// How a state compares that arose at `modified` and has this digest.
    pub fn standing(&self, id: &ObjectId, modified: Timestamp, digest: Digest, pruned: &Range<Timestamp>) -> Standing {
        let Some(known) = self.known.get(id) else {
            return if pruned.contains(&modified) { Standing::Presumed } else { Standing::Missed };
        };
        match known.state {
            ObjectState::Pending => Standing::Waiting,
            ObjectState::Delivered | ObjectState::Skipped if known.digest == Some(digest) => Standing::Relayed,
            ObjectState::Failed | ObjectState::Gone
                if known.settled_at.is_some_and(|at| at > modified.after(OVERLAP)) =>
            {
                Standing::GivenUp
            }
            _ => Standing::Missed,
        }
    }
}
