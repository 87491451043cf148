//! When a notification that has failed is tried again, and how many events one holds. Pure: the clock is an argument.
//!
//! Source: Cloud Elements, "Webhook failure policy": up to nine retries, the x-th 2^(2x) seconds after the original
//! failure, then the subscription is switched off and later events queue.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    http::{CallError, Failure},
    object::ResourceName,
};

/// Retries after the original failure.
pub const RETRIES: u32 = 9;
/// Most events of one notification when an instance polls.
pub const MAX_EVENTS_POLLED: usize = 10;
/// Most events of one notification when an instance has webhooks.
pub const MAX_EVENTS_WEBHOOK: usize = 20;

/// The status that says that a callback will never take anything again.
const GONE: Failure = Failure::Status(410);

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTry {
    /// Try again then.
    At(Timestamp),
    /// The last retry has failed: the connection pauses, its events queue.
    Exhausted,
    /// The callback is gone for good: likewise, at once.
    Gone,
}

/// The next try of a notification that failed first at `first_failure` and has failed `failures` times by now (from 1):
/// 4, 16, 64 … 262,144 seconds after the first failure. What has been missed meanwhile is made up for at once;
/// `Retry-After` lengthens a wait and never shortens one.
pub fn next_try(first_failure: Timestamp, failures: u32, seen: &CallError, now: Timestamp) -> NextTry {
    if seen.failure == GONE {
        return NextTry::Gone;
    }
    let retry = failures.max(1);
    if retry > RETRIES {
        return NextTry::Exhausted;
    }
    let planned = first_failure.after(Duration::from_secs(4_u64.pow(retry)));
    NextTry::At(planned.max(now.after(seen.retry_after.unwrap_or_default())))
}

/// Parts a sequence into notifications: each about one resource, with at most `limit` items, every resource's items in
/// their order. Resources come in the order of their first items.
pub fn batches<T>(
    items: Vec<T>,
    resource_of: impl Fn(&T) -> ResourceName,
    limit: usize,
) -> Vec<(ResourceName, Vec<T>)> {
    let limit = limit.max(1);
    let mut batches: Vec<(ResourceName, Vec<T>)> = Vec::new();
    for item in items {
        let resource = resource_of(&item);
        // The newest batch of a resource is the only one with room.
        match batches.iter_mut().rev().find(|(name, _)| *name == resource) {
            Some((_, batch)) if batch.len() < limit => batch.push(item),
            _ => batches.push((resource, vec![item])),
        }
    }
    batches
}
