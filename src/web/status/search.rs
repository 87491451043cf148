//! What a person has searched for, and what was found.

use crate::inbox::ObjectRow;

/// An order that was searched for.
#[derive(Debug, Clone)]
pub struct Search {
    /// What was typed.
    pub typed: String,
    /// What was found.
    pub result: SearchResult,
}

/// What a search found.
#[derive(Debug, Clone)]
pub enum SearchResult {
    /// The order.
    Found(Box<ObjectRow>),
    /// No order of this number has been seen.
    Unknown,
    /// What was typed is no order number.
    NotANumber,
}
