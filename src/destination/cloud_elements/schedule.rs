//! When a failed notification is tried again, and how many events one holds. Pure: the clock is an argument.
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

/// A callback that answers this will never take anything again.
const GONE: Failure = Failure::Status(410);

/// What happens after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTry {
    /// The notification is tried again at this time.
    At(Timestamp),
    /// The last retry has failed: the connection pauses, its events queue.
    Exhausted,
    /// The callback is gone for good: the same, at once.
    Gone,
}

/// The next try of a notification that first failed at `first_failure` and has failed `failures` times by now (from
/// 1): 4, 16, 64 … 262,144 seconds after the first failure. A try whose time has passed is due at once; `Retry-After`
/// lengthens a wait and never shortens one.
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

/// Splits a sequence into notifications: each about one resource, with at most `limit` items, the items of each
/// resource in their order. Resources come in the order of their first items.
pub fn batches<T>(
    items: Vec<T>,
    resource_of: impl Fn(&T) -> ResourceName,
    limit: usize,
) -> Vec<(ResourceName, Vec<T>)> {
    let limit = limit.max(1);
    let mut batches: Vec<(ResourceName, Vec<T>)> = Vec::new();
    for item in items {
        let resource = resource_of(&item);
        // Only the newest batch of a resource can have room.
        match batches.iter_mut().rev().find(|(name, _)| *name == resource) {
            Some((_, batch)) if batch.len() < limit => batch.push(item),
            _ => batches.push((resource, vec![item])),
        }
    }
    batches
}
