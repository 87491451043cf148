//! The simulators over real HTTP.

mod api;
mod control_panel;
mod farm;
mod faults;
mod hooks;
mod one_tribe;
mod orders;
mod receiver;
mod sender;

use std::time::Duration;

/// Long enough on any machine; only a failing test waits that long.
const SOON: Duration = Duration::from_secs(10);
