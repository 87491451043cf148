//! The health of a connection, judged once: facts → conditions, each with a severity, a text and a cure → check
//! report, headline and alerts. Page, JSON, terminal, alerts and metrics show the same conditions.
//!
//! Everything here is pure. Reading the facts, running the probes and posting the alerts is done elsewhere.

pub mod alerts;
pub mod checks;
mod condition;
mod conditions;
pub mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod verdict;
mod wording;

pub use alerts::{Ledger, Message};
pub use checks::{Check, Report, Status, report};
pub use condition::{Action, CheckId, Code, Condition, Judgment, Severity};
pub use conditions::{LONG_WAIT, judge};
pub use facts::{Facts, Health};
pub use verdict::{Light, Verdict, verdict};
pub use wording::{failed_title, state_title};
