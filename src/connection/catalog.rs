//! Stand-in.
use crate::{connection::Connection, object::ConnectionId};
use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::watch;
/// x
pub type LiveCatalog = Catalog<Connection>;
/// x
pub struct Catalog<T> {
    by_id: RwLock<HashMap<ConnectionId, Arc<T>>>,
    changes: watch::Sender<u64>,
}
impl<T> Catalog<T> {
    /// x
    pub fn get(&self, id: ConnectionId) -> Option<Arc<T>> {
        self.by_id.read().get(&id).cloned()
    }
    /// x
    pub fn all(&self) -> Vec<Arc<T>> {
        self.by_id.read().values().cloned().collect()
    }
    /// x
    /// # Errors
    /// x
    pub async fn refresh(&self, _: &dyn crate::inbox::Inbox) -> Result<(), crate::inbox::InboxError> {
        Ok(())
    }
    /// x
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
