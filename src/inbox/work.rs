//! Which connections may have got work: noted by whoever writes, taken by the scheduler.

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
    /// There may be work for these.
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

    /// Waits until there are any, and takes them. One taker at a time.
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
