//! Tables and properties that try to break the pure parts through their public faces. No clock runs here, nothing sleeps;
//! only `http` opens a socket, on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod breaker;
mod callback;
mod config;
mod config_urls;
mod digest;
mod event;
mod http;
mod orders;
mod quota;
mod quota_store;
mod retry;
mod secrets;
mod signature;
