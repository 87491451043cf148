//! Whether a far side is taking calls: a circuit breaker, and what is known of a thing that may be in trouble. Pure:
//! the clock and the random factor are arguments.

use std::time::{Duration, Instant};

use crate::{http::Failure, retry::Backoff};

/// Between probes that use objects not tried yet. Some objects can never be taken: probing quickly with others gets
/// past a few of them in a row.
const QUICK_PROBE: Duration = Duration::from_millis(250);
/// How many probes of one outage may be quick.
const QUICK_PROBES: u32 = 12;
/// Between all other probes of a far side that is down.
const PROBE: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// The wait after the `failures`-th failure in a row (from 1), quick probes not counted.
fn probe_wait(failures: u32, chance: f64) -> Duration {
    let full = PROBE.wait(failures, 1.0);
    // Jitter only below the cap: at the cap there is one probe a minute, no more.
    if full < PROBE.cap { PROBE.wait(failures, chance) } else { full }
}

/// What is known of something that may be in trouble. Having seen no trouble is not the same as having seen it work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health<T> {
    /// Nothing has been observed since the start.
    #[default]
    Unknown,
    /// The last observation was good.
    Well,
    /// The last observation was bad.
    Trouble(T),
}

impl<T> Health<T> {
    /// The trouble, if there is any.
    pub fn trouble(&self) -> Option<&T> {
        if let Self::Trouble(trouble) = self { Some(trouble) } else { None }
    }

    /// Whether it was last seen working.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Well)
    }

    /// Whether nothing has been observed yet.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// The same, with the trouble replaced by `change` of it.
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
    /// Set once a call has succeeded.
    has_answered: bool,
    /// When the last outage ended.
    recovered_at: Option<Instant>,
    /// When an outage began that this breaker has not seen itself, and of which nobody has seen the end.
    taken_over: Option<Instant>,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    /// Failures in a row, quick probes not counted.
    failures: u32,
    quick_probes: u32,
    probe_at: Instant,
    quick_probe_at: Instant,
    probing: Option<Probe>,
    reason: Failure,
}

/// Which objects a probe may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Any waiting object.
    Regular,
    /// An object that has not been tried yet.
    Quick,
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Any number of calls.
    Go,
    /// One call, to find out whether the far side is back.
    Probe,
    /// None before this moment.
    Until(Instant),
    /// None before the probe under way has ended.
    AfterProbe,
}

impl Breaker {
    /// Takes over an outage that was seen before this breaker was made: if the next call fails, it has lasted since then.
    pub fn take_over(&mut self, since: Option<Instant>) {
        self.taken_over = since;
    }

    /// What may go out now. Changes nothing; see [`Breaker::begin_probe`].
    pub fn permit(&self, now: Instant) -> Permit {
        match &self.down {
            None => Permit::Go,
            Some(down) if down.probing.is_some() => Permit::AfterProbe,
            Some(down) if down.probe_at > now => Permit::Until(down.probe_at),
            Some(_) => Permit::Probe,
        }
    }

    /// Like [`Breaker::permit`] for an object that has not been tried yet, which may go out sooner.
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

    /// Records that the probe that a permit allowed is going out.
    pub fn begin_probe(&mut self, now: Instant) {
        if let Some(down) = &mut self.down {
            down.probing = Some(if down.probe_at > now { Probe::Quick } else { Probe::Regular });
        }
    }

    /// Records that the probe ended without saying anything about the far side: another may go out.
    pub fn probe_undecided(&mut self) {
        if let Some(down) = &mut self.down {
            down.probing = None;
        }
    }

    /// Records that a call succeeded. True if that ended an outage.
    pub fn succeeded(&mut self, now: Instant) -> bool {
        (self.has_answered, self.taken_over) = (true, None);
        let has_recovered = self.down.take().is_some();
        if has_recovered {
            self.recovered_at = Some(now);
        }
        has_recovered
    }

    /// Records a failure that was the far side's fault; `asked` is the wait it asked for. True if that opened the
    /// breaker.
    pub fn failed(&mut self, now: Instant, reason: Failure, asked: Option<Duration>, chance: f64) -> bool {
        let opened = self.down.is_none();
        let since = self.taken_over.take().unwrap_or(now);
        let down = self.down.get_or_insert(Down {
            since,
            failures: 0,
            quick_probes: 0,
            probe_at: now,
            quick_probe_at: now,
            probing: None,
            reason,
        });
        // Calls that fail together count once.
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

    /// Forgets the outage: no object is left to probe with, so the state of the far side is unknown.
    pub fn forget_outage(&mut self) {
        if self.down.is_some() {
            *self = Self::default();
        }
    }

    /// Since when the far side is down, and the last failure seen.
    pub fn outage(&self) -> Option<(Instant, Failure)> {
        self.down.as_ref().map(|down| (down.since, down.reason))
    }

    /// When the last outage ended, if there was one since the start.
    pub fn recovered_at(&self) -> Option<Instant> {
        self.recovered_at
    }

    /// Like [`Breaker::outage`], but telling a side known to be up from one not called yet.
    pub fn health(&self) -> Health<(Instant, Failure)> {
        match self.outage() {
            Some(outage) => Health::Trouble(outage),
            None if self.has_answered => Health::Well,
            None => Health::Unknown,
        }
    }
}
