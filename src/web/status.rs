//! The pages for people: the status page of a connection, also inside BigCommerce, the operator's list, and pages
//! with one message. Rendered here completely: one style and one small script, both allowed by their hash; all text
//! is escaped, and text from outside passes through `humanize::printable` first.
//!
//! `health` has the texts about a connection; nothing is judged here.

mod chart;
mod document;
mod list;
mod list_forms;
mod orders;
mod page;
mod parts;
mod search;
mod sections;
mod settings;
mod texts;

pub use chart::Activity;
pub use document::{Frame, message, password_needed, respond};
pub use list::{ListPage, ListQuery, ListRow, arrange};
pub use page::{Audience, Backfill, Merchant, Operator, RECENT_ROWS, StatusPage};
pub use search::{Search, SearchResult};
pub use texts::{ENGLISH, fill};

#[cfg(test)]
mod tests;
