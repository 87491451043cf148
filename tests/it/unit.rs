//! Tables and properties that try to break the pure parts through their public faces. No clock runs here, nothing sleeps.

mod config;
mod config_together;
mod config_urls;
mod secrets;
