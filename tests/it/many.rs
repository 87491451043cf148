//! Many connections in one relay: each gets only its own orders, and none delays, sees or affects another.

mod apart;
mod api;
mod bodies;
mod changes;
mod fairness;
mod kinds;
mod refused;
mod shops;
mod trouble;
pub mod world;
