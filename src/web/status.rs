//! The pages that people see: the status page of a connection, inside BigCommerce as well, the operator's list, and
//! pages of one message. Rendered here and sent whole: one style and one small script, both allowed by their hash;
//! every text is escaped, and what comes from outside passes `humanize::printable` first.
//!
//! What is said about a connection comes from `health`; nothing here judges.

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
