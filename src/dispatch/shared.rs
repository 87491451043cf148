//! What the lanes of all connections share.

use std::sync::Arc;

use super::capacity::Capacity;
use crate::{
    config::Settings,
    connection::LiveCatalog,
    inbox::{Inbox, WorkSignal},
    metrics::Metrics,
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
