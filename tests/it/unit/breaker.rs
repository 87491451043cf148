//! The breaker compared with a model: closed, or open with a probe due within known bounds, or open with a probe under
//! way.

use std::time::{Duration, Instant};

use onetribe_relay::{
    breaker::{Breaker, Permit},
    http::Failure,
};
use proptest::prelude::*;

const CAP: Duration = Duration::from_secs(60);
const DOWN: Failure = Failure::Status(503);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Opens a breaker and fails each probe as soon as it is permitted. Returns the waits before the probes.
fn waits_between_probes(chance: f64, probes: usize) -> Vec<Duration> {
    let mut breaker = Breaker::default();
    let mut now = Instant::now();
    breaker.failed(now, DOWN, None, chance);
    let mut waits = Vec::new();
    while waits.len() < probes {
        let Permit::Until(at) = breaker.permit(now) else { panic!("no wait before the probe") };
        assert_eq!(breaker.permit(at - Duration::from_nanos(1)), Permit::Until(at));
        assert_eq!(breaker.permit(at), Permit::Probe);
        waits.push(at - now);
        now = at;
        breaker.begin_probe(now);
        breaker.failed(now, DOWN, None, chance);
    }
    waits
}

#[test]
fn probes_come_soon_at_first_and_once_a_minute_at_the_cap() {
    let seconds = |waits: Vec<Duration>| waits.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
    assert_eq!(seconds(waits_between_probes(0.0, 9)), [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 60.0, 60.0]);
    assert_eq!(seconds(waits_between_probes(1.0, 9)), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
    let endless = waits_between_probes(0.3, 3000);
    assert!(endless[6..].iter().all(|wait| *wait == CAP), "a day and more of an outage");
}

#[test]
fn an_outage_that_was_taken_over_has_lasted_since_it_began_if_the_first_call_fails() {
    let (began, now) = (Instant::now(), Instant::now() + Duration::from_secs(600));
    let mut breaker = Breaker::default();
    breaker.take_over(Some(began));
    assert!(breaker.outage().is_none() && breaker.health().is_unknown(), "nothing has failed yet");
    breaker.failed(now, Failure::Status(503), None, 0.5);
    assert_eq!(breaker.outage(), Some((began, Failure::Status(503))));
    breaker.succeeded(now);
    breaker.failed(now, Failure::Status(503), None, 0.5);
    assert_eq!(breaker.outage().unwrap().0, now, "that one was over");
    let mut breaker = Breaker::default();
    breaker.take_over(Some(began));
    breaker.succeeded(now);
    breaker.failed(now, Failure::Status(503), None, 0.5);
    assert_eq!(breaker.outage().unwrap().0, now, "it had ended while nobody looked");
}

#[test]
fn a_success_closes_at_once_and_says_that_an_outage_is_over() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    assert!(!breaker.succeeded(Instant::now()), "nothing was down");
    assert!(breaker.failed(now, DOWN, Some(CAP), 0.5));
    assert!(breaker.succeeded(Instant::now()), "even one that was under way before");
    assert_eq!((breaker.permit(now), breaker.outage()), (Permit::Go, None));
    assert!(breaker.failed(now, DOWN, None, 0.0), "and it opens again");
    assert_eq!(breaker.permit(now), Permit::Until(now + ms(500)), "from the beginning, without the old waits");
}

#[test]
fn of_many_calls_that_fail_together_one_counts() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    assert!(breaker.failed(now, DOWN, None, 0.0));
    for _ in 0..100 {
        assert!(!breaker.failed(now + ms(100), Failure::Status(500), None, 0.0));
    }
    assert_eq!(breaker.permit(now), Permit::Until(now + ms(500)));
    assert_eq!(breaker.outage(), Some((now, DOWN)), "what began it is what is told");
}

#[test]
fn an_undecided_probe_makes_room_for_another_at_once() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    breaker.failed(now, DOWN, None, 0.0);
    breaker.begin_probe(now + ms(500));
    assert_eq!(breaker.permit(now + CAP), Permit::AfterProbe);
    breaker.probe_undecided();
    assert_eq!(breaker.permit(now + ms(500)), Permit::Probe);
    assert_eq!(breaker.outage(), Some((now, DOWN)), "it is down as before");
}

#[test]
fn a_closed_breaker_takes_no_notice_of_probes() {
    let mut breaker = Breaker::default();
    breaker.begin_probe(Instant::now());
    assert_eq!(breaker.permit(Instant::now()), Permit::Go);
    breaker.probe_undecided();
    assert_eq!(breaker.permit(Instant::now()), Permit::Go);
}

#[derive(Debug, Clone)]
enum Step {
    /// Time passes; a probe that is permitted is sent.
    Wait(u64),
    /// A call fails: the probe if one is under way, otherwise a call from before the outage.
    Fail {
        asked: Option<u64>,
        chance: f64,
    },
    Succeed,
    Undecided,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![0..2_000u64, 0..70_000u64].prop_map(Step::Wait),
        4 => (prop::option::weighted(0.3, 0..200_000u64), 0.0..1.0f64).prop_map(|(asked, chance)| Step::Fail { asked, chance }),
        1 => Just(Step::Succeed),
        1 => Just(Step::Undecided),
    ];
    prop::collection::vec(step, 0..120)
}

struct Down {
    since: Instant,
    failures: u32,
    failed_at: Instant,
    asked_until: Instant,
    probing: bool,
}

impl Down {
    fn permits(&self, permit: Permit, now: Instant) -> bool {
        let step = ms(1000).saturating_mul(2u32.saturating_pow(self.failures - 1)).min(CAP);
        let soonest = if step == CAP { CAP } else { step / 2 };
        let earliest = (self.failed_at + soonest).max(self.asked_until);
        let latest = (self.failed_at + step).max(self.asked_until);
        match permit {
            Permit::Go => false,
            Permit::AfterProbe => self.probing,
            Permit::Probe => !self.probing && now >= earliest,
            Permit::Until(at) => !self.probing && now < at && earliest <= at && at <= latest,
        }
    }
}

proptest! {
    #[test]
    fn the_breaker_does_what_its_model_does(steps in steps()) {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        let mut model: Option<Down> = None;
        for step in steps {
            match step {
                Step::Wait(span) => {
                    now += ms(span);
                    if breaker.permit(now) == Permit::Probe {
                        breaker.begin_probe(now);
                        prop_assert_eq!(breaker.permit(now + CAP * 100), Permit::AfterProbe, "one probe at a time");
                        model.as_mut().expect("only what is down is probed").probing = true;
                    }
                }
                Step::Fail { asked, chance } => {
                    let opened = breaker.failed(now, DOWN, asked.map(ms), chance);
                    prop_assert_eq!(opened, model.is_none());
                    let down = model.get_or_insert(Down { since: now, failures: 0, failed_at: now, asked_until: now, probing: false });
                    if opened || down.probing {
                        down.failures += 1;
                        down.failed_at = now;
                        down.probing = false;
                    }
                    down.asked_until = down.asked_until.max(now + ms(asked.unwrap_or(0)));
                }
                Step::Succeed => prop_assert_eq!(breaker.succeeded(Instant::now()), model.take().is_some()),
                Step::Undecided => {
                    breaker.probe_undecided();
                    if let Some(down) = &mut model { down.probing = false }
                }
            }
            let permit = breaker.permit(now);
            prop_assert!(model.as_ref().map_or(permit == Permit::Go, |down| down.permits(permit, now)), "{permit:?}");
            prop_assert_eq!(breaker.outage(), model.as_ref().map(|down| (down.since, DOWN)));
        }
    }
}
