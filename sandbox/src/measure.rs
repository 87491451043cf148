//! What benchmarks share: a table of figures beside their goals, a load generator, and a program under measurement.

pub mod figures;
pub mod load;
pub mod process;
