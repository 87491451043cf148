//! What tests of several areas need.

pub mod chromium;
pub mod receiver;
pub mod schema;
pub mod sealed;
pub mod tls;

pub use sandbox::postgres;
