//! What the tests of several areas share.

pub mod chromium;
pub mod proxy;
pub mod receiver;
pub mod replica;
pub mod schema;
pub mod sealed;
pub mod tls;

pub use sandbox::postgres;
