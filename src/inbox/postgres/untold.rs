//! What other relays have not been told of, and how it is told.

use std::collections::HashSet;

use crate::object::ConnectionId;

/// More connections than this at once are not listed: "look for yourself".
pub(super) const LISTED: usize = 1000;
/// Connections in one message. PostgreSQL takes less than 8,000 bytes.
pub(super) const IN_A_MESSAGE: usize = 200;
/// What stands for a list that would be too long.
pub(super) const ANY: &str = "*";

/// Connections that other relays have not been told of.
#[derive(Debug, Default)]
pub(super) struct Untold {
    pub connections: HashSet<ConnectionId>,
    are_too_many: bool,
}

impl Untold {
    pub fn add(&mut self, connections: impl IntoIterator<Item = ConnectionId>) {
        if !self.are_too_many {
            self.connections.extend(connections);
        }
        if self.connections.len() > LISTED {
            self.connections.clear();
            self.are_too_many = true;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.connections.is_empty() && !self.are_too_many
    }

    /// As messages of this relay.
    pub fn messages(&self, relay: i64) -> Vec<String> {
        if self.are_too_many {
            return vec![format!("{relay}:{ANY}")];
        }
        let ids: Vec<String> = self.connections.iter().map(ConnectionId::to_string).collect();
        ids.chunks(IN_A_MESSAGE).map(|ids| format!("{relay}:{}", ids.join(","))).collect()
    }
}
