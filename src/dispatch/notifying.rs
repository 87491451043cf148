//! What one connection has on its way to its callback.

use std::collections::HashSet;

use crate::object::{ObjectId, ResourceName};

/// Notifications of one connection that are under way.
#[derive(Debug, Default)]
pub(super) struct Notifying {
    pub objects: HashSet<(ResourceName, ObjectId)>,
    pub notifications: HashSet<String>,
    /// Set while the oldest failed notification is retried: nothing else goes out meanwhile.
    pub is_retrying: bool,
    /// Notifications whose failure has not been stored yet: nothing else begins meanwhile.
    pub failing: usize,
}

impl Notifying {
    pub fn is_idle(&self) -> bool {
        self.objects.is_empty() && !self.is_retrying
    }

    /// Whether nothing may begin before something under way has ended.
    pub fn is_closed(&self) -> bool {
        self.is_retrying || self.failing > 0
    }
}
