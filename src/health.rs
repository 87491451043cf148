//! How a connection is, judged once: facts read once → conditions, each with a severity, a text and a cure → the check
//! report, the headline and the alerts. Page, JSON, terminal, alerts and metrics render the same conditions.
//!
//! Everything here is pure. Who reads the facts, runs the probes and posts the alerts lives elsewhere.

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
