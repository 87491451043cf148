//! What of one connection is on its way to its callback.

use std::collections::HashSet;

use crate::object::{ObjectId, ResourceName};

/// What of one connection is on its way to its callback.
#[derive(Debug, Default)]
pub(super) struct Notifying {
    pub objects: HashSet<(ResourceName, ObjectId)>,
    pub notifications: HashSet<String>,
    /// Set while the oldest notification that has failed is tried again: nothing else goes out meanwhile.
    pub is_retrying: bool,
    /// Notifications that the callback has just not taken, until that is kept: nothing else begins meanwhile.
    pub failing: usize,
}

impl Notifying {
    pub fn is_idle(&self) -> bool {
        self.objects.is_empty() && !self.is_retrying
    }

    /// Whether nothing may begin before something has ended.
    pub fn is_closed(&self) -> bool {
        self.is_retrying || self.failing > 0
    }
}
