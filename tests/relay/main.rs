//! The whole relay between the simulators: real sockets, a real database, nothing but the far sides simulated.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admin;
mod delivery;
mod hooks;
mod outages;
mod privacy;
mod process;
mod quota;
mod reconcile;
mod webhook;
mod world;
