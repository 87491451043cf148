//! Every integration test, in one binary: modules by area.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod inbox;
mod support;
