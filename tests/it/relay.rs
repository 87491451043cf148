//! The whole relay between the simulators: real sockets and a real database; only the store and One Tribe are
//! simulated.

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
