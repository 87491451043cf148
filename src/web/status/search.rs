//! A search for an order, and its result.

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
    /// The order was found.
    Found(Box<ObjectRow>),
    /// No order with this number has been seen.
    Unknown,
    /// The text is not an order number.
    NotANumber,
}
