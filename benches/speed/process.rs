//! The programs under measurement.

use std::{env, path::PathBuf};

pub use sandbox::measure::process::{Process, own_busy};

/// The relay built together with this benchmark.
pub fn this_relay() -> PathBuf {
    env!("CARGO_BIN_EXE_onetribe-relay").into()
}

/// An older relay to compare with, if `BASELINE` names one.
pub fn baseline() -> Option<PathBuf> {
    env::var_os("BASELINE").map(PathBuf::from)
}
