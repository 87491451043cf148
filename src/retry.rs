//! Whose fault a failure is, how long to wait, and when a far side counts as down. Pure: clock and chance are arguments.

use std::time::{Duration, Instant};

use crate::http::Seen;

/// Who has to change before trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The destination takes no orders now.
    Destination,
    /// The store's API is down, or refuses the credentials.
    Store,
    /// The store's request quota is used up.
    Quota,
    /// This one order is refused or unusable.
    Order,
    /// The store does not (yet, or any more) know the order.
    Missing,
}

/// Reads a failed fetch. Codes: BigCommerce, "API status codes"; a 404 for an order comes too early or for a deleted one.
pub fn blame_fetch(seen: Seen) -> Blame {
    match seen {
        Seen::Status(404 | 410) => Blame::Missing,
        Seen::Status(429) => Blame::Quota,
        Seen::Status(400 | 405 | 406 | 409 | 411..=418 | 422) | Seen::Unusable(_) => Blame::Order,
        Seen::Status(_) | Seen::Transport(_) => Blame::Store,
    }
}

/// Reads a failed forward: only statuses that speak of the order's own content are the order's fault.
pub fn blame_forward(seen: Seen) -> Blame {
    match seen {
        Seen::Status(400 | 402 | 406 | 409 | 411..=418 | 422..=424 | 428 | 431 | 451) => Blame::Order,
        _ => Blame::Destination,
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

/// Between tries of one refused order.
pub const REFUSED: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(3600) };
/// Between looks for an order that the store does not know.
pub const MISSING: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(150) };
/// How long the store is asked for an order that it does not know.
pub const MISSING_MAX_AGE: Duration = Duration::from_secs(600);
/// Between tries of an order that fails alone where others succeed.
pub const SUSPECT: Backoff = Backoff { base: Duration::from_secs(4), cap: Duration::from_secs(600) };
/// Between probes of a far side that is down.
pub const PROBE: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// What comes after a failure that is the order's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after this wait.
    Retry(Duration),
    /// It has been tried long enough.
    GiveUp,
}

/// The next try of one order in trouble for `age`, after its `attempt`-th failure. The last try falls on `max_age` itself.
pub fn next_try(
    backoff: Backoff,
    attempt: u32,
    age: Duration,
    max_age: Duration,
    asked: Option<Duration>,
    chance: f64,
) -> Verdict {
    if age >= max_age {
        return Verdict::GiveUp;
    }
    let wait = backoff.wait(attempt, chance).min(max_age - age);
    Verdict::Retry(wait.max(asked.unwrap_or_default()))
}

/// What is known of something that may be in trouble. Having seen no trouble is not the same as having seen that all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing<T> {
    /// Not tried yet.
    #[default]
    Unknown,
    /// It worked the last time.
    Well,
    /// It did not.
    Trouble(T),
}

impl<T> Standing<T> {
    /// What the trouble is, if there is any.
    pub fn trouble(self) -> Option<T> {
        if let Self::Trouble(trouble) = self { Some(trouble) } else { None }
    }

    /// The same, the trouble told in other words.
    pub fn map<U>(self, words: impl FnOnce(T) -> U) -> Standing<U> {
        match self {
            Self::Unknown => Standing::Unknown,
            Self::Well => Standing::Well,
            Self::Trouble(trouble) => Standing::Trouble(words(trouble)),
        }
    }
}

/// Whether one far side is taking calls.
#[derive(Debug, Default)]
pub struct Breaker {
    down: Option<Down>,
    /// Set once a call has gone through.
    has_answered: bool,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    failures: u32,
    probe_at: Instant,
    probing: bool,
    reason: Seen,
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// As many calls as wanted.
    Go,
    /// One call, to find out.
    Probe,
    /// None before this moment.
    Until(Instant),
    /// None before the probe under way has come back.
    AfterProbe,
}

impl Breaker {
    /// What may go out now. Asking changes nothing; see [`Breaker::begin_probe`].
    pub fn permit(&self, now: Instant) -> Permit {
        match &self.down {
            None => Permit::Go,
            Some(down) if down.probing => Permit::AfterProbe,
            Some(down) if down.probe_at > now => Permit::Until(down.probe_at),
            Some(_) => Permit::Probe,
        }
    }

    /// The probe that [`Permit::Probe`] allowed is going out.
    pub fn begin_probe(&mut self) {
        if let Some(down) = &mut self.down {
            down.probing = true;
        }
    }

    /// The probe came to nothing that says anything about the far side: another may go out.
    pub fn probe_undecided(&mut self) {
        if let Some(down) = &mut self.down {
            down.probing = false;
        }
    }

    /// A call went through. True if the far side had been down: an outage is over.
    pub fn succeeded(&mut self) -> bool {
        self.has_answered = true;
        self.down.take().is_some()
    }

    /// A call failed through the far side's fault. True if that opened the breaker.
    pub fn failed(&mut self, now: Instant, reason: Seen, asked: Option<Duration>, chance: f64) -> bool {
        let opened = self.down.is_none();
        let down = self.down.get_or_insert(Down { since: now, failures: 0, probe_at: now, probing: false, reason });
        // Of many calls that fail together, one counts.
        if opened || down.probing {
            down.failures = down.failures.saturating_add(1);
            let full = PROBE.wait(down.failures, 1.0);
            // Jitter only below the cap: at the cap there is one probe a minute, no more.
            let wait = if full < PROBE.cap { PROBE.wait(down.failures, chance) } else { full };
            down.probe_at = now + wait;
            down.probing = false;
            down.reason = reason;
        }
        down.probe_at = down.probe_at.max(now + asked.unwrap_or_default());
        opened
    }

    /// Nobody is left who could find out whether an outage is over: nothing is known of the far side then.
    pub fn forget_outage(&mut self) {
        if self.down.is_some() {
            *self = Self::default();
        }
    }

    /// Since when the far side is down and what was last seen of it.
    pub fn outage(&self) -> Option<(Instant, Seen)> {
        self.down.as_ref().map(|down| (down.since, down.reason))
    }

    /// The same, and whether it is known to be up.
    pub fn standing(&self) -> Standing<(Instant, Seen)> {
        match self.outage() {
            Some(outage) => Standing::Trouble(outage),
            None if self.has_answered => Standing::Well,
            None => Standing::Unknown,
        }
    }
}
