//! The store's quota is never exceeded, the part reserved for other apps stays theirs, and the relay's part can be
//! used.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use onetribe_relay::source::bigcommerce::{
    line::Waiter,
    quota::{Quota, QuotaHeaders},
};
use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::quota_store::{Setup, WINDOW, headers, run, setups};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The only waiter.
fn alone() -> Waiter {
    static ALONE: LazyLock<Waiter> = LazyLock::new(Waiter::new);
    *ALONE
}

/// Takes all calls that may be taken at `now`.
fn drain(quota: &mut Quota, now: Instant) -> u32 {
    std::iter::from_fn(|| quota.try_take(alone(), now, u32::MAX).ok()).sum()
}

proptest! {
    // Each case covers minutes of virtual time.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn alone_the_relay_keeps_to_its_share_and_never_meets_a_429(setup in setups()) {
        let outcome = run(&setup);
        prop_assert_eq!(&outcome.refused, &[0; 0]);
        prop_assert!(outcome.ours.values().all(|calls| *calls <= setup.allowed()), "{:?} of {}", outcome.ours, setup.allowed());
        prop_assert_eq!(outcome.trespasses, [0; 0]);
    }

    #[test]
    fn what_is_heard_to_be_left_to_other_apps_is_not_touched(
        setup in setups(), others in prop::collection::vec((0..6 * WINDOW, 1..200u32), 0..24), headers_on_429 in any::<bool>(),
    ) {
        let outcome = run(&Setup { others, headers_on_429, ..setup });
        prop_assert_eq!(outcome.trespasses, [0; 0]);
    }

    #[test]
    fn no_call_goes_out_while_a_429_is_waited_for(
        limit in 150..450u32, offset in 0..WINDOW, eaten in 0..6 * WINDOW, concurrency in 1..32usize,
    ) {
        // Everything is used up in one instant: only calls under way until the relay learns of it are refused.
        let setup = Setup { offset, concurrency, others: vec![(eaten, 1000)], ..Setup::alone(limit, 1.0) };
        let outcome = run(&setup);
        prop_assert!(outcome.refused.len() <= concurrency, "{:?}", outcome.refused);
        prop_assert!(outcome.refused.iter().all(|at| *at >= eaten && *at <= outcome.refused[0] + 40), "{:?}", outcome.refused);
    }
}

proptest! {
    #[test]
    fn calls_are_neither_made_up_nor_lost(
        share in 0.05..1.0f64, steps in prop::collection::vec((0..5u8, 0..2000u64, 1..20u32), 0..200),
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut quota = Quota::new(share, now);
        let (mut taken, mut open) = (0u32, 0u32);
        let budget = (150.0 * share).floor().max(1.0);
        let burst = (budget * 0.1).max(1.0);
        let rate = (budget - burst).max(0.5) / 30.0;
        for (step, wait, want) in steps {
            now += ms(wait);
            match step {
                0 | 1 => if let Ok(calls) = quota.try_take(alone(), now, want) {
                    prop_assert!((1..=want).contains(&calls));
                    taken += calls;
                    open += calls;
                    let earned = burst + rate * now.duration_since(start).as_secs_f64();
                    prop_assert!(f64::from(taken) <= earned + 1e-6, "{taken} of {earned}");
                },
                2 => {
                    let calls = u32::from(quota.take_urgent(now).is_ok());
                    taken += calls;
                    open += calls;
                }
                3 if open > 0 => { quota.refund(); open -= 1; taken -= 1; }
                4 if open > 0 => { quota.unanswered(); open -= 1; }
                _ => {}
            }
        }
    }

    #[test]
    fn what_is_taken_and_given_back_changes_nothing(share in 0.05..1.0f64, want in 1..50u32, heard in prop::option::of((0..150u32, 1..WINDOW))) {
        let now = Instant::now();
        let mut quota = Quota::new(share, now);
        if let Some((left, reset)) = heard {
            quota.take_urgent(now).unwrap();
            quota.observed(now, &headers(left, 150, WINDOW, reset));
        }
        let before = (quota.left_at(now), format!("{:?}", quota.try_take(alone(), now, 0).map(|calls| (0..calls).for_each(|_| quota.refund()))));
        if let Ok(calls) = quota.try_take(alone(), now, want) {
            (0..calls).for_each(|_| quota.refund());
        }
        let after = (quota.left_at(now), format!("{:?}", quota.try_take(alone(), now, 0).map(|calls| (0..calls).for_each(|_| quota.refund()))));
        prop_assert_eq!(before, after);
    }

    #[test]
    fn no_headers_make_the_quota_panic_or_wait_without_end(
        answers in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), 0..15u8, any::<bool>(), 0..40_000u64), 0..40),
    ) {
        let mut now = Instant::now();
        let mut quota = Quota::new(0.8, now);
        for (left, limit, window, reset, sizes, refused, wait) in answers {
            now += ms(wait);
            let fit = |value: u64, bit: u8, small: u64| HeaderValue::from(if sizes & bit == 0 { value % small } else { value });
            let mut map = HeaderMap::new();
            map.insert("x-rate-limit-requests-left", fit(left, 1, 200));
            map.insert("x-rate-limit-requests-quota", fit(limit, 2, 500));
            map.insert("x-rate-limit-time-window-ms", fit(window, 4, 60_000));
            map.insert("x-rate-limit-time-reset-ms", fit(reset, 8, 60_000));
            let _ = quota.try_take(alone(), now, 1);
            if refused {
                quota.refused(now, &QuotaHeaders::read(&map), None, 0.9);
            } else {
                quota.observed(now, &QuotaHeaders::read(&map));
            }
        }
        // After a few attempts a call is available again, and no wait is absurdly long.
        for _ in 0..6 {
            match quota.try_take(alone(), now, 1) {
                Ok(_) => return Ok(()),
                Err(until) => {
                    prop_assert!(until > now && until <= now + Duration::from_secs(3600), "{:?}", until - now);
                    now = until;
                }
            }
        }
        prop_assert!(false, "never a call");
    }
}

#[test]
fn alone_and_at_once_answered_nearly_all_of_the_share_is_used() {
    for (limit, share) in [(150, 0.8), (150, 1.0), (450, 0.8), (450, 1.0), (300, 0.5)] {
        let setup = Setup::alone(limit, share);
        let outcome = run(&setup);
        let whole: Vec<_> =
            outcome.ours.iter().filter(|(window, _)| (1..6).contains(*window)).map(|(_, calls)| *calls).collect();
        assert_eq!(whole.len(), 5);
        let least = setup.allowed() * 85 / 100;
        assert!(whole.iter().all(|calls| *calls >= least), "{limit} × {share}: {whole:?}");
    }
}

#[test]
fn other_apps_that_use_up_every_window_do_not_starve_the_relay() {
    let others = (0..6 * WINDOW / 1000).map(|second| (second * 1000 + 200, 1000)).collect();
    let outcome = run(&Setup { others, ..Setup::alone(150, 0.8) });
    assert!((1..6).all(|window| outcome.ours.get(&window).is_some_and(|calls| *calls > 0)), "{:?}", outcome.ours);
    assert!(outcome.refused.len() <= 12, "a call or two a window finds it out: {:?}", outcome.refused);
}

#[test]
fn a_larger_plan_is_learnt_from_the_first_answer() {
    let now = Instant::now();
    let mut quota = Quota::new(0.8, now);
    let at_first = drain(&mut quota, now);
    assert_eq!(at_first, 12, "a tenth of the smallest plan's share");
    (0..at_first).for_each(|n| quota.observed(now, &headers(449 - n, 450, WINDOW, 29_000)));
    assert_eq!(at_first + drain(&mut quota, now), 36, "a tenth of the larger one's");
}

#[test]
fn a_limit_that_wobbles_mints_no_calls() {
    let now = Instant::now();
    let mut quota = Quota::new(0.8, now);
    let mut taken = drain(&mut quota, now);
    for _ in 0..20 {
        for limit in [450, 150] {
            quota.observed(now, &headers(140, limit, WINDOW, 29_000));
            taken += drain(&mut quota, now);
        }
    }
    assert!(taken <= 36, "{taken}");
}

#[test]
fn a_late_answer_of_this_window_never_raises_what_is_left() {
    let start = Instant::now();
    let at = |millis| start + ms(millis);
    let mut quota = Quota::new(0.8, start);
    quota.try_take(alone(), start, 3).unwrap();
    quota.observed(at(1000), &headers(50, 150, WINDOW, 20_000));
    assert_eq!(quota.left_at(at(1000)), Some(48), "less the two that are under way");
    // An answer received four seconds late: counted from its receipt, the window would end four seconds later.
    quota.observed(at(5000), &headers(90, 150, WINDOW, 20_000));
    assert_eq!(quota.left_at(at(5000)), Some(48));
    assert_eq!(quota.left_at(at(20_999)), Some(48));
    assert_eq!(quota.left_at(at(21_000)), None, "and the window ends when it was first said to end");
}

#[test]
fn a_late_answer_of_the_window_before_changes_nothing() {
    let start = Instant::now();
    let mut quota = Quota::new(0.8, start);
    quota.try_take(alone(), start, 2).unwrap();
    quota.observed(start, &headers(100, 150, WINDOW, 29_000));
    quota.observed(start, &headers(0, 150, WINDOW, 200));
    assert_eq!(quota.left_at(start), Some(99));
    assert_eq!(quota.left_at(start + ms(28_999)), Some(99));
}

#[test]
fn the_next_windows_answer_replaces_what_was_left() {
    let start = Instant::now();
    let mut quota = Quota::new(0.8, start);
    quota.take_urgent(start).unwrap();
    quota.observed(start, &headers(3, 150, WINDOW, 100));
    assert!(quota.try_take(alone(), start, 1).is_err(), "three are for others");
    // The store's window began anew a little earlier than ours.
    quota.take_urgent(start).unwrap();
    quota.observed(start + ms(90), &headers(149, 150, WINDOW, 29_990));
    assert_eq!(quota.left_at(start + ms(90)), Some(149));
    assert!(quota.try_take(alone(), start + ms(90), 1).is_ok());
}

#[test]
fn a_429_is_waited_out_for_as_long_as_it_says() {
    let now = Instant::now();
    let until = |seen: QuotaHeaders, asked: Option<u64>, chance| {
        let mut quota = Quota::new(0.8, now);
        quota.take_urgent(now).unwrap();
        quota.refused(now, &seen, asked.map(ms), chance);
        let until = quota.try_take(alone(), now, 1).unwrap_err();
        assert_eq!(quota.take_urgent(now), Err(until), "urgent calls wait as well");
        assert!(quota.try_take(alone(), until, 1).is_ok(), "and it goes on then");
        until - now
    };
    assert_eq!(until(headers(0, 150, WINDOW, 7000), None, 0.0), ms(7000));
    assert_eq!(until(headers(0, 150, WINDOW, 7000), None, 0.99), ms(7495), "with a little jitter on top");
    assert_eq!(until(headers(0, 150, WINDOW, 7000), Some(9000), 0.0), ms(9000), "the longer of the two");
    assert_eq!(until(headers(0, 150, WINDOW, 7000), Some(1000), 0.0), ms(7000));
    assert_eq!(until(QuotaHeaders::default(), Some(3000), 0.0), ms(3000));
    for nothing_said in
        [(QuotaHeaders::default(), None), (headers(0, 150, WINDOW, 0), None), (QuotaHeaders::default(), Some(0))]
    {
        assert_eq!(until(nothing_said.0, nothing_said.1, 0.0), ms(5000));
        assert_eq!(until(nothing_said.0, nothing_said.1, 1.0), ms(10_000));
    }
}

#[test]
fn of_many_429s_at_once_one_counts_and_more_after_each_wait_wait_longer() {
    let mut now = Instant::now();
    let mut quota = Quota::new(0.8, now);
    for longest in [10_000, 20_000, 40_000, 60_000, 60_000] {
        for _ in 0..8 {
            quota.take_urgent(now).unwrap();
        }
        for _ in 0..8 {
            quota.refused(now, &QuotaHeaders::default(), None, 1.0);
        }
        let until = quota.take_urgent(now).unwrap_err();
        assert_eq!(until - now, ms(longest));
        now = until;
    }
    quota.take_urgent(now).unwrap();
    quota.observed(now, &QuotaHeaders::default());
    quota.refused(now, &QuotaHeaders::default(), None, 1.0);
    assert_eq!(quota.take_urgent(now), Err(now + ms(10_000)), "an answer between begins anew");
}

#[test]
fn urgent_calls_borrow_from_the_pace_but_not_from_what_the_store_has() {
    let now = Instant::now();
    let mut quota = Quota::new(0.8, now);
    let burst = drain(&mut quota, now);
    assert!(quota.take_urgent(now).is_ok(), "out of turn");
    let wait = quota.try_take(alone(), now, 1).unwrap_err() - now;
    assert!(wait > ms(500) && wait < ms(600), "two calls' time at 3.6 a second: {wait:?}");
    (0..=burst).rev().for_each(|n| quota.observed(now, &headers(2 + n, 150, WINDOW, 9000)));
    assert!(quota.try_take(alone(), now + ms(8000), 1).is_err(), "two are for others");
    assert!(quota.take_urgent(now).is_ok() && quota.take_urgent(now).is_ok(), "and for what is urgent");
    assert_eq!(quota.take_urgent(now), Err(now + ms(9000)), "until nothing is left");
    assert!(quota.take_urgent(now + ms(9000)).is_ok());
}

#[test]
fn odd_headers_count_as_missing() {
    let mut map = HeaderMap::new();
    for (name, value) in [
        ("x-rate-limit-requests-left", "-1"),
        ("x-rate-limit-requests-quota", "0"),
        ("x-rate-limit-time-window-ms", "0"),
        ("x-rate-limit-time-reset-ms", "soon"),
    ] {
        map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    assert_eq!(format!("{:?}", QuotaHeaders::read(&map)), format!("{:?}", QuotaHeaders::default()));
}

#[test]
fn calls_that_are_given_back_after_a_429_make_no_burst() {
    let now = Instant::now();
    let mut quota = Quota::new(0.8, now);
    let taken = quota.try_take(alone(), now, 9).unwrap();
    assert!(taken > 2);
    quota.refused(now, &QuotaHeaders::default(), Some(ms(10_000)), 0.0);
    (1..taken).for_each(|_| quota.refund());
    assert_eq!(drain(&mut quota, now + ms(10_001)), 1, "one finds out first");
    quota.observed(now + ms(10_001), &QuotaHeaders::default());
    quota.try_take(alone(), now + ms(13_000), 2).unwrap();
    quota.refund();
    assert!(quota.try_take(alone(), now + ms(13_000), 1).is_ok(), "what is given back after an answer counts");
}

#[test]
fn one_answer_with_an_end_far_away_shuts_nobody_out_for_longer_than_a_window() {
    let start = Instant::now();
    let mut quota = Quota::new(0.8, start);
    quota.try_take(alone(), start, 1).unwrap();
    quota.observed(start, &headers(0, 150, 30_000, u64::from(u32::MAX)));
    let later = start + ms(30_001);
    let sane = headers(149, 150, 30_000, 30_000);
    let mut calls = 0;
    for _ in 0..5 {
        while quota.try_take(alone(), later, 1).is_ok() {
            calls += 1;
            quota.observed(later, &sane);
        }
    }
    assert!(calls >= 12, "{calls}");
}

#[test]
fn who_asks_a_little_late_gets_a_share_beside_many_who_ask_on_time() {
    let start = Instant::now();
    let mut quota = Quota::new(0.3, start);
    drain(&mut quota, start);
    // Six polls that retry every second on the millisecond, and deliveries of a connection that come a little later.
    let mut polls = [(start, Waiter::new()); 6].map(|(at, _)| (at, Waiter::new()));
    let mut deliveries = (start, Waiter::new());
    let (mut polled, mut delivered) = (0, 0);
    for now in (0..120_000).map(|passed| start + ms(passed)) {
        for (at, waiter) in polls.iter_mut().filter(|(at, _)| *at <= now) {
            match quota.try_take(*waiter, now, 1) {
                Ok(calls) => (polled, *at, *waiter) = (polled + calls, now + ms(1000), Waiter::new()),
                Err(until) => *at = until,
            }
        }
        if deliveries.0 <= now {
            match quota.try_take(deliveries.1, now, 1) {
                Ok(calls) => (delivered, deliveries.0) = (delivered + calls, now),
                Err(until) => deliveries.0 = until + ms(30),
            }
        }
    }
    assert!(polled + delivered > 140, "{polled} and {delivered}: what may be used is used");
    assert!(delivered * 8 > polled, "{delivered} for deliveries, {polled} for polls");
}
