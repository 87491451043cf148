//! Many connections in one relay: each gets its own, and none holds up, sees or counts for another.

mod apart;
mod api;
mod changes;
mod fairness;
mod kinds;
mod refused;
mod shops;
mod trouble;
pub mod world;
