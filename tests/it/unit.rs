//! Tables and properties that try to break the pure parts through their public interfaces. No clock runs here, and
//! nothing sleeps.

mod api;
mod breaker;
mod callback;
mod config;
mod config_together;
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
mod unshown;
