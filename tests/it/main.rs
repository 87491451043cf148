//! Every integration test, in one binary: modules by area.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod app;
mod deploy;
mod documents;
mod elements;
mod field;
mod forge;
mod inbox;
mod many;
mod operator;
mod promises;
mod relay;
mod replicas;
mod support;
mod unit;
mod variables;
