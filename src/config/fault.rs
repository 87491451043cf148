//! Faults of the configuration, all reported together.

use std::fmt;

use crate::humanize;

/// A fault of the configuration. Never contains the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable that is wrong or missing.
    pub variable: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All faults of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {}:", humanize::count(self.0.len() as u64, "fault"))?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {}: {}", fault.variable, fault.message))
    }
}
