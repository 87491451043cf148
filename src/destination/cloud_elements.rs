//! The client of a Cloud Elements callback: one notification per call, signed, with the headers that the instance
//! asks for. `envelope` builds the body, `schedule` says when to retry.
//!
//! Source: Cloud Elements, "Event management: security" and its API test suite.

mod call;
mod callback;
mod envelope;
mod schedule;

pub use call::{ID_HEADER, SIGNATURE_HEADER, deliver, probe, sign};
pub use callback::{Callback, Watched};
pub use envelope::{Envelope, Event, event_record, new_event_id};
pub use schedule::{MAX_EVENTS_POLLED, MAX_EVENTS_WEBHOOK, NextTry, RETRIES, batches, next_try};

#[cfg(test)]
mod tests;
