//! Many connections in one relay: each gets its own, and none holds up, sees or counts for another.

mod api;
mod fairness;
mod shops;
pub mod world;
