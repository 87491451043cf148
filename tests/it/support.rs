//! What tests of several areas need.

pub mod postgres;
pub mod tls;
