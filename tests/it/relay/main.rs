//! The whole relay between the simulators: real sockets, a real database, nothing but the far sides simulated.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admin;
mod delivery;
mod durable;
mod hooks;
mod outages;
#[path = "../support/postgres.rs"]
mod postgres;
mod privacy;
mod process;
mod quota;
mod reconcile;
mod turns;
mod webhook;
mod world;
