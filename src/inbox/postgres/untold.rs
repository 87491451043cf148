//! Announcements to other relays that have not been sent yet.

use std::collections::HashSet;

use crate::object::ConnectionId;

/// Beyond this many connections, none is listed: other relays are told to look for themselves.
pub(super) const LISTED: usize = 1000;
/// Connections in one message: PostgreSQL's limit is just under 8,000 bytes.
pub(super) const IN_A_MESSAGE: usize = 200;
/// Replaces a list that would be too long.
pub(super) const ANY: &str = "*";

/// Connections still to be announced to other relays.
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

    /// The messages that announce them, in this relay's name.
    pub fn messages(&self, relay: i64) -> Vec<String> {
        if self.are_too_many {
            return vec![format!("{relay}:{ANY}")];
        }
        let ids: Vec<String> = self.connections.iter().map(ConnectionId::to_string).collect();
        ids.chunks(IN_A_MESSAGE).map(|ids| format!("{relay}:{}", ids.join(","))).collect()
    }
}
