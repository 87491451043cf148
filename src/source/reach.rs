//! Whether a store answers, judged by every call that reads orders or other resources. Pure: the clock is an argument.

use std::time::Duration;

use crate::{clock::Timestamp, http::Failure};

/// A single call may fail for reasons of its own: only failures this far apart, with no answer in between, count as
/// the store's.
const APART: Duration = Duration::from_secs(10);

/// The results of the calls to a store since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    answered_at: Option<Timestamp>,
    silence: Option<Silence>,
}

/// The failures since a store's last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// When the first call failed.
    pub since: Timestamp,
    /// When the last call failed.
    pub last_at: Timestamp,
    /// How the last call failed.
    pub failure: Failure,
}

impl Silence {
    /// Whether calls at least ten seconds apart have failed.
    pub fn is_certain(&self) -> bool {
        self.last_at.since(self.since) >= APART
    }
}

impl Reach {
    /// Records the end of a call. A refusal by the store counts as an answer; a 5xx or a web page from a gateway in
    /// its place does not. A 429 shows only that something answers.
    pub fn observed(&mut self, failure: Option<Failure>, at: Timestamp) {
        match failure {
            Some(Failure::Status(429)) => self.silence = None,
            None | Some(Failure::Status(..500)) => *self = Self { answered_at: Some(at), silence: None },
            Some(failure) => {
                let since = self.silence.map_or(at, |silence| silence.since);
                self.silence = Some(Silence { since, last_at: at, failure });
            }
        }
    }

    /// When the store last answered.
    pub fn answered_at(&self) -> Option<Timestamp> {
        self.answered_at
    }

    /// The failures since the last answer, if the last call failed.
    pub fn silence(&self) -> Option<Silence> {
        self.silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_fail_some_time_apart_with_no_answer_between_are_the_stores() {
        let at = |seconds: i64| Timestamp::from_seconds(1_700_000_000 + seconds);
        let mut reach = Reach::default();
        let is_certain = |reach: &Reach| reach.silence().map(|silence| silence.is_certain());
        assert_eq!((reach.answered_at(), is_certain(&reach)), (None, None));
        reach.observed(Some(Failure::Connect), at(0));
        reach.observed(Some(Failure::Status(502)), at(9));
        assert_eq!(is_certain(&reach), Some(false));
        reach.observed(Some(Failure::Html(200)), at(10));
        assert_eq!(is_certain(&reach), Some(true));
        assert_eq!(reach.silence().map(|silence| (silence.since, silence.failure)), Some((at(0), Failure::Html(200))));
        for (answer, answered_at) in [(Some(Failure::Status(429)), None), (Some(Failure::Status(404)), Some(at(11)))] {
            reach.observed(answer, at(11));
            assert_eq!((reach.answered_at(), reach.silence()), (answered_at, None), "{answer:?}");
            reach.observed(Some(Failure::Timeout), at(12));
        }
        reach.observed(None, at(13));
        assert_eq!((reach.answered_at(), is_certain(&reach)), (Some(at(13)), None));
    }
}
