//! What is wrong with the configuration, all of it at once.

use std::fmt;

use crate::humanize;

/// One thing wrong with the configuration. Never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable that was set, or that is missing.
    pub variable: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Every fault of the configuration at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {}:", humanize::count(self.0.len() as u64, "fault"))?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {}: {}", fault.variable, fault.message))
    }
}
