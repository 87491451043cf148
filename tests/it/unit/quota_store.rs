//! A store's quota in virtual time: fixed windows, as documented, a greedy client that obeys a [`Quota`], and other
//! apps.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use onetribe_relay::source::bigcommerce::{
    line::Waiter,
    quota::{Quota, QuotaHeaders},
};
use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderName};

pub const WINDOW: u64 = 30_000;
/// A call without an answer is given up after this time, in milliseconds.
const TIMEOUT: u64 = 10_000;

/// The quota headers of one answer; times in milliseconds.
pub fn headers(left: u32, limit: u32, window: u64, reset: u64) -> QuotaHeaders {
    let mut map = HeaderMap::new();
    for (name, value) in [
        ("x-rate-limit-requests-left", left.into()),
        ("x-rate-limit-requests-quota", limit.into()),
        ("x-rate-limit-time-window-ms", window),
        ("x-rate-limit-time-reset-ms", reset),
    ] {
        map.insert(HeaderName::from_static(name), value.into());
    }
    QuotaHeaders::read(&map)
}

/// The setup of one run; times in milliseconds.
#[derive(Debug, Clone)]
pub struct Setup {
    pub limit: u32,
    pub share: f64,
    /// The time in a window at which the run begins.
    pub offset: u64,
    /// How many calls the client keeps under way if the quota permits.
    pub concurrency: usize,
    /// How long calls take to the store and answers take back; used in turn, then from the start.
    pub up: Vec<u64>,
    pub down: Vec<u64>,
    /// Every `lost`-th answer is lost; 0 for none.
    pub lost: usize,
    /// When other apps make calls, and how many.
    pub others: Vec<(u64, u32)>,
    pub headers_on_429: bool,
    pub length: u64,
}

impl Setup {
    /// A greedy client without other apps, answered at once.
    pub fn alone(limit: u32, share: f64) -> Self {
        Self {
            limit,
            share,
            offset: 0,
            concurrency: 16,
            up: vec![20],
            down: vec![20],
            lost: 0,
            others: Vec::new(),
            headers_on_429: true,
            length: 6 * WINDOW,
        }
    }

    /// How many calls the client's share permits in one window.
    pub fn allowed(&self) -> u32 {
        ((f64::from(self.limit) * self.share + 1e-9) as u32).max(1)
    }
}

/// Setups with delays of up to three seconds each way.
pub fn setups() -> impl Strategy<Value = Setup> {
    let latencies = || prop::collection::vec(prop_oneof![5..50u64, 5..3000u64], 1..12);
    let plan = (prop_oneof![Just(150u32), Just(450), 150..450u32], prop_oneof![Just(0.8), Just(1.0), 0.05..1.0f64]);
    let traffic = (0..WINDOW, 1..64usize, latencies(), latencies(), prop_oneof![Just(0usize), 2..9usize]);
    (plan, traffic).prop_map(|((limit, share), (offset, concurrency, up, down, lost))| Setup {
        offset,
        concurrency,
        up,
        down,
        lost,
        ..Setup::alone(limit, share)
    })
}

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The client's calls that reached the store, by the store's windows.
    pub ours: BTreeMap<u64, u32>,
    /// When the client's calls were answered 429.
    pub refused: Vec<u64>,
    /// When calls were taken although an answer had shown that only the other apps' part of this window was left.
    pub trespasses: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Others(u32),
    Arrival,
    /// The window in which it was answered, the calls left, the time of the reset, whether it is a 429.
    Answer(u64, u32, u64, bool),
    Lost,
    Ask,
}

struct Run<'a> {
    setup: &'a Setup,
    start: Instant,
    quota: Quota,
    waiter: Waiter,
    queue: BinaryHeap<Reverse<(u64, usize, Event)>>,
    pushed: usize,
    used: BTreeMap<u64, u32>,
    heard: BTreeMap<u64, u32>,
    in_flight: usize,
    asking: bool,
    out: Outcome,
}

/// Runs a setup.
pub fn run(setup: &Setup) -> Outcome {
    let start = Instant::now();
    let mut run = Run {
        setup,
        start,
        quota: Quota::new(setup.share, start),
        waiter: Waiter::new(),
        queue: BinaryHeap::new(),
        pushed: 0,
        used: BTreeMap::new(),
        heard: BTreeMap::new(),
        in_flight: 0,
        asking: false,
        out: Outcome::default(),
    };
    setup.others.iter().for_each(|(at, calls)| run.push(*at, Event::Others(*calls)));
    run.ask_at(0);
    while let Some(Reverse((now, _, event))) = run.queue.pop() {
        if now > setup.length {
            break;
        }
        run.happens(now, event);
    }
    run.out
}

impl Run<'_> {
    fn push(&mut self, at: u64, event: Event) {
        self.pushed += 1;
        self.queue.push(Reverse((at, self.pushed, event)));
    }

    fn ask_at(&mut self, at: u64) {
        if !std::mem::replace(&mut self.asking, true) {
            self.push(at, Event::Ask);
        }
    }

    fn window(&self, now: u64) -> u64 {
        (now + self.setup.offset) / WINDOW
    }

    fn instant(&self, now: u64) -> Instant {
        self.start + Duration::from_millis(now)
    }

    fn happens(&mut self, now: u64, event: Event) {
        match event {
            Event::Others(calls) => {
                let used = self.used.entry(self.window(now)).or_default();
                *used = used.saturating_add(calls).min(self.setup.limit);
            }
            Event::Arrival => self.arrives(now),
            Event::Answer(window, left, reset, refused) => {
                self.in_flight -= 1;
                let at = self.instant(now);
                let told = !refused || self.setup.headers_on_429;
                let seen = if told { headers(left, self.setup.limit, WINDOW, reset) } else { QuotaHeaders::default() };
                if refused {
                    self.quota.refused(at, &seen, None, 0.5);
                } else {
                    self.quota.observed(at, &seen);
                }
                if told {
                    let heard = self.heard.entry(window).or_insert(left);
                    *heard = left.min(*heard);
                }
                self.ask_at(now);
            }
            Event::Lost => {
                self.in_flight -= 1;
                self.quota.unanswered();
                self.ask_at(now);
            }
            Event::Ask => self.asks(now),
        }
    }

    fn arrives(&mut self, now: u64) {
        let window = self.window(now);
        let used = self.used.entry(window).or_default();
        let refused = *used >= self.setup.limit;
        *used += u32::from(!refused);
        let left = self.setup.limit - *used;
        let ours = self.out.ours.entry(window).or_default();
        *ours += 1;
        if refused {
            self.out.refused.push(now);
        }
        let count = self.pushed;
        if self.setup.lost > 0 && count.is_multiple_of(self.setup.lost) {
            self.push(now + TIMEOUT, Event::Lost);
        } else {
            let reset = WINDOW - (now + self.setup.offset) % WINDOW;
            let down = self.setup.down[count % self.setup.down.len()];
            self.push(now + down, Event::Answer(window, left, reset, refused));
        }
    }

    fn asks(&mut self, now: u64) {
        self.asking = false;
        let want = u32::try_from(self.setup.concurrency - self.in_flight).unwrap();
        if want == 0 {
            return;
        }
        match self.quota.try_take(self.waiter, self.instant(now), want) {
            Ok(calls) => {
                assert!((1..=want).contains(&calls), "{calls} of {want}");
                let kept = self.setup.limit - self.setup.allowed();
                if self.heard.get(&self.window(now)).is_some_and(|left| *left < kept + calls) {
                    self.out.trespasses.push(now);
                }
                for _ in 0..calls {
                    self.in_flight += 1;
                    let up = self.setup.up[self.pushed % self.setup.up.len()];
                    self.push(now + up, Event::Arrival);
                }
                self.ask_at(now + 1);
            }
            Err(until) => {
                assert!(until > self.instant(now), "asked to come back in the past");
                let wait = until.duration_since(self.start).as_nanos().div_ceil(1_000_000);
                self.ask_at(u64::try_from(wait).unwrap());
            }
        }
    }
}
