//! What tests of several areas need.

pub mod receiver;
pub mod schema;
pub mod tls;

pub use sandbox::postgres;
