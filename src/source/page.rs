//! What a page of a list of changes is asked for.

use crate::clock::Timestamp;

/// The order of a list of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The longest unchanged first.
    OldestFirst,
    /// The latest change first.
    NewestFirst,
}

/// One page of what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangesRequest {
    /// From when on.
    pub since: Timestamp,
    /// In which order.
    pub sort: Sort,
    /// Which page, from 1.
    pub page: u32,
    /// At most so many rows.
    pub limit: u32,
}
