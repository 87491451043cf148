//! How one state of an order, as the store's list has it, stands in the inbox.

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

/// How one state of an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No event announced it.
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

impl KnownOrders {
    /// Reads what is known of `orders`. Changes count from `begins_at` on.
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

    /// Whether there is a row of this order.
    pub fn is_known(&self, id: &ObjectId) -> bool {
        self.known.contains_key(id)
    }

    /// What changed in here and has no row may have been relayed: its row may have been cleared out since. The first
    /// poll looked back a little.
    pub fn pruned(&self, before: Timestamp) -> Range<Timestamp> {
        self.begins_at.before(OVERLAP)..before
    }

    /// How an order's state stands that came to be at `modified` and has this digest.
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
