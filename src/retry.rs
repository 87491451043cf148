//! Whose fault a failure is, and how long to wait. Pure: the clock and the random factor are arguments.

use std::time::Duration;

use crate::http::Failure;

/// Whose fault a failed fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchBlame {
    /// The store's API is down.
    Store,
    /// The store refuses the credentials.
    Credentials,
    /// The store's request quota is used up.
    Quota,
    /// This one object is refused or unusable.
    Object,
    /// The store does not (yet, or any more) know the object.
    Missing,
}

/// Whose fault a failed fetch is. Codes: BigCommerce, "API status codes"; a 404 for an order means that the call came
/// too early or that the order is deleted. A web page under any status comes from a gateway, a firewall or
/// maintenance: it says nothing about the object or the credentials.
pub fn blame_fetch(failure: Failure) -> FetchBlame {
    match failure {
        Failure::Status(404 | 410) => FetchBlame::Missing,
        Failure::Status(429) => FetchBlame::Quota,
        Failure::Status(401 | 403) => FetchBlame::Credentials,
        Failure::Status(204 | 400 | 405 | 406 | 409 | 411..=418 | 422)
        | Failure::NotJson
        | Failure::AnotherObject
        | Failure::TooLarge => FetchBlame::Object,
        _ => FetchBlame::Store,
    }
}

/// Whose fault a failed forward is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardBlame {
    /// The destination is taking no objects at the moment.
    Destination,
    /// This one object is refused.
    Object,
}

/// Whose fault a failed forward is: the object's only for statuses that are about its own content.
pub fn blame_forward(failure: Failure) -> ForwardBlame {
    match failure {
        Failure::Status(400 | 402 | 406 | 409 | 411..=418 | 422..=424 | 428 | 431 | 451) => ForwardBlame::Object,
        _ => ForwardBlame::Destination,
    }
}

/// An exponential wait with jitter: between half and the whole of `base · 2^(attempt−1)`, never above `cap`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Upper limit of the first wait.
    pub base: Duration,
    /// Upper limit of every wait.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after the `attempt`-th failure (from 1). `chance` is in [0, 1).
    pub fn wait(self, attempt: u32, chance: f64) -> Duration {
        let full = self.base.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1))).min(self.cap);
        full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// Between tries of an object that is refused.
pub const REFUSED: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(3600) };
/// Between fetches of an object that the store does not know.
pub const MISSING: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(150) };
/// How long an object that the store does not know is looked for.
pub const MISSING_MAX_AGE: Duration = Duration::from_secs(600);
/// Between tries of an object that fails while others succeed.
pub const SUSPECT: Backoff = Backoff { base: Duration::from_secs(4), cap: Duration::from_secs(600) };
/// How many failures of its own an object must have before it is given up, however long it has been in trouble.
pub const MIN_TRIES: u32 = 3;

/// What follows a failure that is the object's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is tried again after this wait.
    Retry(Duration),
    /// It has been tried for long enough.
    GiveUp,
}

/// What follows the `attempt`-th failure (from 1) of an object that has been in trouble for `age`, counting only time
/// in which it could be tried. The last try is made when `max_age` is reached.
pub fn next_try(
    backoff: Backoff,
    attempt: u32,
    age: Duration,
    max_age: Duration,
    asked: Option<Duration>,
    chance: f64,
) -> Verdict {
    if age >= max_age && attempt >= MIN_TRIES {
        return Verdict::GiveUp;
    }
    let wait = backoff.wait(attempt, chance);
    let wait = if age < max_age { wait.min(max_age - age) } else { wait };
    Verdict::Retry(wait.max(asked.unwrap_or_default()))
}
