//! The sandbox: a simulated store, a simulated One Tribe, and the real relay between them, on loopback. Needs no
//! account and no configuration. Places orders, shows the way of each, and breaks things on request.

mod command;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    command::main().await
}
