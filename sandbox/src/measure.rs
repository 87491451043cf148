//! What the benchmarks share: a table of results beside their goals, a load generator, and a process under measurement.

pub mod figures;
pub mod load;
pub mod process;
