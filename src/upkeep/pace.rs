//! Spreads the chores of many connections over time. Pure.

use std::time::Duration;

use crate::object::ConnectionId;

/// The time between the first chores of two connections.
const SPREAD: Duration = Duration::from_millis(20);
/// The first chores of many connections are spread over this time.
const MOST_SPREAD: Duration = Duration::from_secs(60);
/// From this many connections on, they are spread over the whole time; fewer do not wait so long.
const MANY: usize = 200;

/// The time between the first chores of this many connections that are added together.
pub(super) fn spread(connections: usize) -> Duration {
    match u32::try_from(connections) {
        Ok(count) if connections >= MANY => MOST_SPREAD / count,
        Ok(_) => SPREAD,
        Err(_) => Duration::ZERO,
    }
}

/// A poll may be later than its interval by one part in this many.
const LATE: f64 = 20.0;

/// The wait until a connection's next poll, where there are `connections` in all. If there are many, each has its own
/// moment within the interval, however close together they were added: the second poll comes earlier because of that,
/// and hardly ever later. `running` is the time since a moment common to all.
pub(super) fn until_next(id: ConnectionId, connections: usize, interval: Duration, running: Duration) -> Duration {
    if connections < MANY || interval.is_zero() {
        return interval;
    }
    // Multiples of the golden ratio are spread evenly, however many there are.
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let own = interval.mul_f64((id.0 as f64 * GOLDEN).fract().abs());
    let place = Duration::from_nanos(u64::try_from(running.as_nanos() % interval.as_nanos()).unwrap_or(0));
    let to_own = if own >= place { own - place } else { interval + own - place };
    // A connection shortly before its own moment has just been polled for it.
    if to_own > interval.div_f64(LATE) { to_own } else { interval + to_own }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn few_come_together_and_many_within_a_minute() {
        assert_eq!((spread(0), spread(MANY - 1)), (SPREAD, SPREAD));
        assert_eq!(spread(MANY), MOST_SPREAD / 200);
        assert_eq!(until_next(ConnectionId(7), MANY - 1, MINUTE, MINUTE), MINUTE);
    }

    #[test]
    fn many_that_were_made_together_are_polled_evenly_and_never_much_later_than_they_ask_for() {
        let mut seconds = [0; 60];
        for id in 1..=1_000 {
            // Polled as soon as it was added, within two seconds of all others.
            let mut at = Duration::from_millis(2 * id as u64);
            for round in 0..5 {
                let pause = until_next(ConnectionId(id), 1_000, MINUTE, at);
                let least = if round == 0 { MINUTE.div_f64(LATE) } else { MINUTE.mul_f64(0.99) };
                assert!(pause >= least && pause <= MINUTE.mul_f64(1.0 + 1.0 / LATE), "{id}: {pause:?}");
                // Each poll takes some time.
                at += pause + Duration::from_millis(50);
            }
            seconds[(at.as_secs() % 60) as usize] += 1;
        }
        assert!(seconds.iter().all(|count| (10..25).contains(count)), "{seconds:?}");
    }
}
