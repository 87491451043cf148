//! Whose fault a failure is, and how long to wait. Pure: the clock and chance are arguments.

use std::time::Duration;

use crate::http::Failure;

/// Who has to change before fetching again makes sense.
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

/// Reads a failed fetch. Codes: BigCommerce, "API status codes"; a 404 for an order comes too early or for a deleted
/// one. A web page under any status is a gateway's, a firewall's or a maintenance page: it says nothing of the object,
/// nor of the credentials.
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

/// Who has to change before forwarding again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardBlame {
    /// The destination takes no objects now.
    Destination,
    /// This one object is refused.
    Object,
}

/// Reads a failed forward: only statuses that speak of the object's own content are the object's fault.
pub fn blame_forward(failure: Failure) -> ForwardBlame {
    match failure {
        Failure::Status(400 | 402 | 406 | 409 | 411..=418 | 422..=424 | 428 | 431 | 451) => ForwardBlame::Object,
        _ => ForwardBlame::Destination,
    }
}

/// An exponential wait with jitter: between half of and the whole of `base · 2^(attempt−1)`, never above `cap`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first wait, at most.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after the `attempt`-th failure (from 1). `chance` lies in [0, 1).
    pub fn wait(self, attempt: u32, chance: f64) -> Duration {
        let full = self.base.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1))).min(self.cap);
        full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// Between tries of one refused object.
pub const REFUSED: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(3600) };
/// Between looks for an object that the store does not know.
pub const MISSING: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(150) };
/// How long the store is asked for an object that it does not know.
pub const MISSING_MAX_AGE: Duration = Duration::from_secs(600);
/// Between tries of an object that fails alone where others succeed.
pub const SUSPECT: Backoff = Backoff { base: Duration::from_secs(4), cap: Duration::from_secs(600) };
/// Own failures before an object may be given up, however old its trouble is.
pub const MIN_TRIES: u32 = 3;

/// What comes after a failure that is the object's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after this wait.
    Retry(Duration),
    /// It has been tried long enough.
    GiveUp,
}

/// The next try of one object that has been in trouble for `age` (as far as it could be tried), after its `attempt`-th
/// failure (from 1). The last try falls on `max_age` itself.
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
