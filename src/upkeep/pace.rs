//! When chores of many connections are due, so that they do not all come at once. Pure.

use std::time::Duration;

use crate::object::ConnectionId;

/// Between the first times of two connections.
const SPREAD: Duration = Duration::from_millis(20);
/// The first times of many connections lie within this.
const MOST_SPREAD: Duration = Duration::from_secs(60);
/// So many are many: whoever has fewer does not wait for the last of them.
const MANY: usize = 200;

/// Between the first times of so many connections that come together.
pub(super) fn spread(connections: usize) -> Duration {
    match u32::try_from(connections) {
        Ok(count) if connections >= MANY => MOST_SPREAD / count,
        Ok(_) => SPREAD,
        Err(_) => Duration::ZERO,
    }
}

/// A poll may come later than its interval by one part in so many.
const LATE: f64 = 20.0;

/// The pause until a connection's next poll, one of so many connections. Of many, each has a moment of its own within
/// the interval, however close to each other they were made: its second poll comes sooner for that, hardly ever later.
/// `running` is the time since the same moment for all.
pub(super) fn until_next(id: ConnectionId, connections: usize, interval: Duration, running: Duration) -> Duration {
    if connections < MANY || interval.is_zero() {
        return interval;
    }
    // Multiples of the golden ratio lie evenly, however many of them there are.
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let own = interval.mul_f64((id.0 as f64 * GOLDEN).fract().abs());
    let place = Duration::from_nanos(u64::try_from(running.as_nanos() % interval.as_nanos()).unwrap_or(0));
    let to_own = if own >= place { own - place } else { interval + own - place };
    // Whoever is a little early for its own moment has just been polled for it.
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
            // Polled at once when it was made, within two seconds of all others.
            let mut at = Duration::from_millis(2 * id as u64);
            for round in 0..5 {
                let pause = until_next(ConnectionId(id), 1_000, MINUTE, at);
                let least = if round == 0 { MINUTE.div_f64(LATE) } else { MINUTE.mul_f64(0.99) };
                assert!(pause >= least && pause <= MINUTE.mul_f64(1.0 + 1.0 / LATE), "{id}: {pause:?}");
                // Each takes some time.
                at += pause + Duration::from_millis(50);
            }
            seconds[(at.as_secs() % 60) as usize] += 1;
        }
        assert!(seconds.iter().all(|count| (10..25).contains(count)), "{seconds:?}");
    }
}
