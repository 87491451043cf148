//! The whole relay between the simulators: real sockets, a real database, nothing but the far sides simulated.

mod admin;
mod clients;
mod delivery;
mod durable;
mod hooks;
mod outages;
mod privacy;
pub mod process;
mod quota;
mod reconcile;
mod turns;
mod webhook;
pub mod world;
