//! What tests of several areas need.

pub mod postgres;
pub mod schema;
pub mod tls;
