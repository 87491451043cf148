//! What the lanes of all connections share.

use std::{sync::Arc, time::Duration};

use super::capacity::Capacity;
use crate::{
    clock::Timestamp,
    config::Settings,
    connection::LiveCatalog,
    inbox::{Claim, Inbox, InboxError, WorkSignal},
    metrics::Metrics,
    object::{ConnectionId, ObjectId, ResourceName},
    polled::PolledRows,
    storage::Storage,
};

/// What the lanes of all connections share.
pub(super) struct Shared {
    pub inbox: Arc<dyn Inbox>,
    pub metrics: Arc<Metrics>,
    pub settings: Arc<Settings>,
    pub catalog: Arc<LiveCatalog>,
    pub rows: Arc<PolledRows>,
    pub capacity: Capacity,
    pub storage: Arc<Storage>,
    /// Connections whose deliveries have ended.
    pub moved: WorkSignal,
}

impl Shared {
    /// Claims these objects, as `Inbox::claim` does. What is claimed shows at once that claims can be written: its
    /// delivery may arrive before the turn has ended.
    pub async fn claim(
        &self,
        connection: ConnectionId,
        objects: Vec<(ResourceName, ObjectId)>,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<Claim>, InboxError> {
        let claims = self.inbox.claim(connection, objects, lease, now).await?;
        if !claims.is_empty() {
            self.storage.claims_worked(connection);
        }
        Ok(claims)
    }
}
