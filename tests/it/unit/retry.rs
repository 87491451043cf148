//! Which side a failure is attributed to, and how long an order's own waits are.

use std::time::Duration;

use onetribe_relay::{
    http::Failure,
    retry::{
        Backoff, FetchBlame, ForwardBlame, MIN_TRIES, MISSING, REFUSED, SUSPECT, Verdict, blame_fetch, blame_forward,
        next_try,
    },
};
use proptest::prelude::*;

const TRANSPORTS: [Failure; 6] =
    [Failure::Dns, Failure::PrivateAddress, Failure::Connect, Failure::Tls, Failure::Timeout, Failure::Broken];
const UNUSABLE: [Failure; 3] = [Failure::NotJson, Failure::AnotherObject, Failure::TooLarge];

#[test]
fn a_destination_that_takes_no_orders_is_at_fault_itself() {
    for transport in TRANSPORTS {
        assert_eq!(blame_forward(transport), ForwardBlame::Destination, "{transport:?}");
    }
    for status in (300..400).chain(500..600).chain([429, 401, 403, 404]) {
        assert_eq!(blame_forward(Failure::Status(status)), ForwardBlame::Destination, "{status}");
    }
    // These statuses mean a wrong address or a busy or misconfigured host, and say nothing about the order.
    for status in [405, 407, 408, 410, 421, 425, 426, 100, 600, 999] {
        assert_eq!(blame_forward(Failure::Status(status)), ForwardBlame::Destination, "{status}");
    }
}

#[test]
fn an_order_whose_content_is_refused_is_at_fault_itself() {
    for status in [400, 409, 413, 415, 422] {
        assert_eq!(blame_forward(Failure::Status(status)), ForwardBlame::Object, "{status}");
    }
}

#[test]
fn fetching_tells_quota_missing_order_and_store_apart() {
    assert_eq!(blame_fetch(Failure::Status(429)), FetchBlame::Quota);
    assert_eq!(blame_fetch(Failure::Status(404)), FetchBlame::Missing);
    for transport in TRANSPORTS {
        assert_eq!(blame_fetch(transport), FetchBlame::Store, "{transport:?}");
    }
    for status in (300..400).chain(500..600).chain([407, 408, 425, 451]) {
        assert_eq!(blame_fetch(Failure::Status(status)), FetchBlame::Store, "{status}");
    }
    for unusable in UNUSABLE {
        assert_eq!(blame_fetch(unusable), FetchBlame::Object, "{unusable:?}");
    }
}

#[test]
fn refused_credentials_are_told_apart_and_a_web_page_says_nothing_of_them_or_of_the_object() {
    for status in [401, 403] {
        assert_eq!(blame_fetch(Failure::Status(status)), FetchBlame::Credentials, "{status}");
    }
    // The page of a gateway, a firewall or a site under maintenance, whatever its status.
    for status in [200, 204, 400, 401, 403, 404, 410, 422, 429, 500, 503, 524] {
        assert_eq!(blame_fetch(Failure::Html(status)), FetchBlame::Store, "{status}");
        assert_eq!(blame_forward(Failure::Html(status)), ForwardBlame::Destination, "{status}");
    }
}

#[test]
fn only_a_4xx_and_an_empty_answer_can_be_about_the_object() {
    for status in 0..=u16::MAX {
        let fetch = blame_fetch(Failure::Status(status)) == FetchBlame::Object;
        let forward = blame_forward(Failure::Status(status)) == ForwardBlame::Object;
        assert!(!fetch || status == 204 || (400..500).contains(&status), "{status}");
        assert!(!forward || (400..500).contains(&status), "{status}");
    }
}

#[test]
fn waits_double_up_to_the_cap() {
    let backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(60) };
    let longest: Vec<_> = (1..=6).map(|attempt| backoff.wait(attempt, 1.0).as_secs()).collect();
    assert_eq!(longest, [5, 10, 20, 40, 60, 60]);
    assert_eq!(backoff.wait(0, 1.0), Duration::from_secs(5), "an attempt before the first counts as the first");
    assert_eq!(backoff.wait(u32::MAX, 1.0), backoff.cap);
    let endless = Backoff { base: Duration::MAX, cap: Duration::MAX };
    assert!(endless.wait(u32::MAX, 0.0) > Duration::from_secs(u32::MAX.into()));
}

#[test]
fn an_order_is_given_up_at_its_max_age_and_not_before() {
    let max = Duration::from_secs(100);
    let verdict = |age, asked| next_try(REFUSED, 3, Duration::from_millis(age), max, asked, 0.5);
    assert!(matches!(verdict(99_999, None), Verdict::Retry(wait) if wait == Duration::from_millis(1)));
    assert_eq!(verdict(100_000, None), Verdict::GiveUp);
    assert_eq!(verdict(100_001, None), Verdict::GiveUp);
    // A side that asks for a wait does not extend an order's time limit.
    assert_eq!(verdict(100_000, Some(Duration::from_secs(9))), Verdict::GiveUp);
    assert_eq!(verdict(99_999, Some(Duration::from_secs(9))), Verdict::Retry(Duration::from_secs(9)));
}

/// Follows one order's failures to the end. Returns the ages at which it was tried.
fn tries(backoff: Backoff, max: Duration, chance: impl Fn(u32) -> f64) -> Vec<Duration> {
    let mut ages = vec![Duration::ZERO];
    for attempt in 1.. {
        let age = *ages.last().unwrap();
        match next_try(backoff, attempt, age, max, None, chance(attempt)) {
            Verdict::Retry(wait) => ages.push(age + wait),
            Verdict::GiveUp => break,
        }
    }
    ages
}

fn backoffs() -> impl Strategy<Value = Backoff> {
    let any = (1..10_000u64, 1..100_000u64).prop_map(|(base, cap)| Backoff {
        base: Duration::from_millis(base),
        cap: Duration::from_millis(base.max(cap)),
    });
    prop_oneof![Just(REFUSED), Just(MISSING), Just(SUSPECT), any]
}

proptest! {
    #[test]
    fn a_wait_lies_between_half_and_the_whole_of_its_step(backoff in backoffs(), attempt in 0..100u32, chance in 0.0..1.0f64) {
        let whole = backoff.wait(attempt, 1.0);
        let half = backoff.wait(attempt, 0.0);
        let wait = backoff.wait(attempt, chance);
        prop_assert!(half <= wait && wait <= whole && whole <= backoff.cap);
        prop_assert!(wait >= backoff.base / 2);
        prop_assert!(half.abs_diff(whole / 2) <= Duration::from_nanos(1));
        prop_assert!(backoff.wait(attempt + 1, chance) >= wait, "a later wait is no shorter");
    }

    #[test]
    fn what_is_asked_for_only_ever_lengthens_a_wait(
        backoff in backoffs(), attempt in 1..50u32, age in 0..200_000u64, asked in 0..4_000_000u64, chance in 0.0..1.0f64,
    ) {
        let (age, max) = (Duration::from_millis(age), Duration::from_secs(150));
        let asked = Duration::from_millis(asked);
        let own = next_try(backoff, attempt, age, max, None, chance);
        let with = next_try(backoff, attempt, age, max, Some(asked), chance);
        match (own, with) {
            (Verdict::GiveUp, Verdict::GiveUp) => {}
            (Verdict::Retry(own), Verdict::Retry(with)) => {
                prop_assert_eq!(with, own.max(asked));
                prop_assert!(age >= max || age + own <= max, "never beyond the max age on its own account");
            }
            other => prop_assert!(false, "asking decides nothing: {other:?}"),
        }
    }

    #[test]
    fn an_order_is_tried_until_its_max_age_and_three_times_at_least(
        backoff in backoffs(), max in 1..100_000u64, chance in 0.0..1.0f64,
    ) {
        let max = Duration::from_millis(max);
        let ages = tries(backoff, max, |_| chance);
        prop_assert!(ages.len() >= MIN_TRIES as usize);
        prop_assert!(ages.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(ages.contains(&max), "one try falls on the age itself");
        prop_assert!(ages.len() == MIN_TRIES as usize || *ages.last().unwrap() == max, "{ages:?}");
    }
}

#[test]
fn nothing_is_given_up_before_its_third_try_however_old_its_trouble_is() {
    let old = Duration::from_secs(1_000_000);
    for attempt in 1..MIN_TRIES {
        let verdict = next_try(REFUSED, attempt, old, Duration::from_secs(1), None, 0.5);
        assert!(matches!(verdict, Verdict::Retry(_)), "{attempt}: {verdict:?}");
    }
    assert_eq!(next_try(REFUSED, MIN_TRIES, old, Duration::from_secs(1), None, 0.5), Verdict::GiveUp);
}

#[test]
fn an_order_the_store_does_not_know_is_looked_for_several_times_in_ten_minutes() {
    let ages = tries(MISSING, onetribe_relay::retry::MISSING_MAX_AGE, |_| 1.0);
    assert_eq!(ages.last(), Some(&Duration::from_secs(600)));
    assert!((6..=20).contains(&ages.len()), "{ages:?}");
    assert!(ages[1] <= Duration::from_secs(5), "soon at first: {ages:?}");
}
