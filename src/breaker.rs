//! Whether a far side is taking calls: a circuit breaker, and what is known of something that may be in trouble. Pure:
//! the clock and chance are arguments.

use std::time::{Duration, Instant};

use crate::{http::Failure, retry::Backoff};

/// Between probes with objects that have not been tried yet. Some objects can never be taken: a few of them in a row,
/// each tried once, are soon passed.
const QUICK_PROBE: Duration = Duration::from_millis(250);
/// So many of an outage's probes may be quick.
const QUICK_PROBES: u32 = 12;
/// Between all other probes of a far side that is down.
const PROBE: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// The wait after the `failures`-th failure in a row (from 1) that was no quick probe's.
fn probe_wait(failures: u32, chance: f64) -> Duration {
    let full = PROBE.wait(failures, 1.0);
    // Jitter only below the cap: at the cap there is one probe a minute, no more.
    if full < PROBE.cap { PROBE.wait(failures, chance) } else { full }
}

/// What is known of something that may be in trouble. Not having seen trouble is not the same as having seen that all
/// is well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health<T> {
    /// Nothing has been seen since the start.
    #[default]
    Unknown,
    /// The last that was seen was as it should be.
    Well,
    /// The last that was seen was not.
    Trouble(T),
}

impl<T> Health<T> {
    /// The trouble, if there is any.
    pub fn trouble(&self) -> Option<&T> {
        if let Self::Trouble(trouble) = self { Some(trouble) } else { None }
    }

    /// Whether it is known to be well.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Well)
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// The same with another value for the trouble.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Health<U> {
        match self {
            Self::Unknown => Health::Unknown,
            Self::Well => Health::Well,
            Self::Trouble(trouble) => Health::Trouble(change(trouble)),
        }
    }
}

/// Whether one far side is taking calls.
#[derive(Debug, Default)]
pub struct Breaker {
    down: Option<Down>,
    /// Set once a call has gone through.
    has_answered: bool,
    /// When the last outage ended.
    recovered_at: Option<Instant>,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    /// In a row, quick probes left out.
    failures: u32,
    quick_probes: u32,
    probe_at: Instant,
    quick_probe_at: Instant,
    probing: Option<Probe>,
    reason: Failure,
}

/// The kind of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// With whatever waits.
    Regular,
    /// With an object that has not been tried yet.
    Quick,
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
            Some(down) if down.probing.is_some() => Permit::AfterProbe,
            Some(down) if down.probe_at > now => Permit::Until(down.probe_at),
            Some(_) => Permit::Probe,
        }
    }

    /// The same for an object that has not been tried yet: it may go out sooner.
    pub fn permit_untried(&self, now: Instant) -> Permit {
        match (self.permit(now), &self.down) {
            (Permit::Until(_), Some(down)) if down.quick_probes < QUICK_PROBES => {
                if down.quick_probe_at > now {
                    Permit::Until(down.quick_probe_at)
                } else {
                    Permit::Probe
                }
            }
            (permit, _) => permit,
        }
    }

    /// The probe that a permit allowed is going out.
    pub fn begin_probe(&mut self, now: Instant) {
        if let Some(down) = &mut self.down {
            down.probing = Some(if down.probe_at > now { Probe::Quick } else { Probe::Regular });
        }
    }

    /// The probe came to nothing that says anything about the far side: another may go out.
    pub fn probe_undecided(&mut self) {
        if let Some(down) = &mut self.down {
            down.probing = None;
        }
    }

    /// A call went through. True if the far side had been down: an outage is over.
    pub fn succeeded(&mut self, now: Instant) -> bool {
        self.has_answered = true;
        let has_recovered = self.down.take().is_some();
        if has_recovered {
            self.recovered_at = Some(now);
        }
        has_recovered
    }

    /// A call failed through the far side's fault. True if that opened the breaker.
    pub fn failed(&mut self, now: Instant, reason: Failure, asked: Option<Duration>, chance: f64) -> bool {
        let opened = self.down.is_none();
        let down = self.down.get_or_insert(Down {
            since: now,
            failures: 0,
            quick_probes: 0,
            probe_at: now,
            quick_probe_at: now,
            probing: None,
            reason,
        });
        // Of many calls that fail together, one counts.
        if let Some(probe) = down.probing.take().or(opened.then_some(Probe::Regular)) {
            match probe {
                Probe::Quick => down.quick_probes += 1,
                Probe::Regular => {
                    down.failures = down.failures.saturating_add(1);
                    down.probe_at = now + probe_wait(down.failures, chance);
                }
            }
            down.quick_probe_at = now + QUICK_PROBE;
            down.reason = reason;
        }
        let asked = now + asked.unwrap_or_default();
        down.probe_at = down.probe_at.max(asked);
        down.quick_probe_at = down.quick_probe_at.max(asked);
        opened
    }

    /// No probe is left that could find out whether an outage is over: nothing is known of the far side then.
    pub fn forget_outage(&mut self) {
        if self.down.is_some() {
            *self = Self::default();
        }
    }

    /// Since when the far side is down and what was last seen of it.
    pub fn outage(&self) -> Option<(Instant, Failure)> {
        self.down.as_ref().map(|down| (down.since, down.reason))
    }

    /// When the last outage ended, if there was one since the start.
    pub fn recovered_at(&self) -> Option<Instant> {
        self.recovered_at
    }

    /// The same as [`Breaker::outage`], and whether it is known to be up.
    pub fn health(&self) -> Health<(Instant, Failure)> {
        match self.outage() {
            Some(outage) => Health::Trouble(outage),
            None if self.has_answered => Health::Well,
            None => Health::Unknown,
        }
    }
}
