//! The parameters of a request for one page of a list of changes.

use crate::clock::Timestamp;

/// The order of a list of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The oldest change first.
    OldestFirst,
    /// The latest change first.
    NewestFirst,
}

/// A request for one page of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangesRequest {
    /// Changes from this time on.
    pub since: Timestamp,
    /// The order of the rows.
    pub sort: Sort,
    /// The page number, from 1.
    pub page: u32,
    /// Most rows on the page.
    pub limit: u32,
}
