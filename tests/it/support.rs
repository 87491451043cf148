//! What tests of several areas need.

pub mod postgres;
pub mod receiver;
pub mod schema;
pub mod tls;
