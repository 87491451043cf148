//! Which connections may have new work: added by whoever writes, taken by the scheduler.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::object::ConnectionId;

/// A set of connections that fills up until it is taken. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct WorkSignal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    connections: Mutex<HashSet<ConnectionId>>,
    filled: Notify,
}

impl WorkSignal {
    /// Adds connections that may have work.
    pub fn add(&self, connections: impl IntoIterator<Item = ConnectionId>) {
        let mut set = self.0.connections.lock();
        let before = set.len();
        set.extend(connections);
        let has_grown = set.len() > before;
        drop(set);
        if has_grown {
            self.0.filled.notify_one();
        }
    }

    /// Waits until there are any, and takes them. Only one caller at a time.
    pub async fn take(&self) -> HashSet<ConnectionId> {
        loop {
            let filled = self.0.filled.notified();
            let taken = std::mem::take(&mut *self.0.connections.lock());
            if !taken.is_empty() {
                return taken;
            }
            filled.await;
        }
    }
}
