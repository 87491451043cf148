//! What a connection's webhooks have shown: whether signed ones come, and whether its secret may be wrong. Pure: the
//! clock is an argument.

use std::time::{Duration, Instant};

use crate::clock::Timestamp;

/// While signed webhooks have come within this time, an unsigned one proves little.
const LATELY: Duration = Duration::from_secs(24 * 3600);
/// This many unsigned webhooks, where signed ones are usual, raise a warning.
const MANY_UNSIGNED: u64 = 10;
/// This many refused webhooks within an hour raise a warning.
const MANY_REFUSED: u64 = 20;
/// How many polls that found something are remembered.
const MOST_FINDS: usize = 64;
const HOUR: Duration = Duration::from_secs(3600);

/// What the webhooks of one connection have shown since the start.
#[derive(Debug, Default)]
pub struct WebhookEvidence {
    signed_at: Option<Instant>,
    unsigned: u64,
    wrong_secret_since: Option<Timestamp>,
    refused: u64,
    refused_from: Option<Instant>,
    late_by: Option<Duration>,
    missed: Vec<(Timestamp, u64)>,
}

/// A warning that has just become due; each is raised once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// The right token and a signature under another secret: the configured secret is wrong.
    WrongSecret,
    /// Many webhooks without a signature where signed ones are usual.
    Unsigned(u64),
    /// Many webhooks that are not genuine.
    Refused(u64),
}

impl WebhookEvidence {
    /// Records a genuine webhook. True if it proves too little to have an unchanged object forwarded again: it is
    /// unsigned, where signed ones are usual.
    pub fn genuine(&mut self, is_signed: bool, now: Instant) -> (bool, Option<Remark>) {
        if is_signed {
            self.signed_at = Some(now);
            self.unsigned = 0;
            self.wrong_secret_since = None;
            return (false, None);
        }
        let is_usual = self.signed_at.is_some_and(|at| now.saturating_duration_since(at) < LATELY);
        if !is_usual {
            return (false, None);
        }
        self.unsigned += 1;
        (true, (self.unsigned == MANY_UNSIGNED).then_some(Remark::Unsigned(self.unsigned)))
    }

    /// Records that polling has found orders without a webhook.
    pub fn missed(&mut self, orders: u64, at: Timestamp) {
        if self.missed.len() >= MOST_FINDS {
            self.missed.remove(0);
        }
        self.missed.push((at, orders));
    }

    /// How many orders polling has found since the last webhook. `last` is when that came according to the database:
    /// other processes receive webhooks too.
    pub fn missed_since(&mut self, last: Option<Timestamp>) -> u64 {
        self.missed.retain(|(at, _)| last.is_none_or(|last| last < *at));
        self.missed.iter().map(|(_, orders)| orders).sum()
    }

    /// Records a webhook with the right token and a signature under another secret.
    pub fn wrong_secret(&mut self, at: Timestamp) -> Option<Remark> {
        let is_news = self.wrong_secret_since.is_none();
        self.wrong_secret_since.get_or_insert(at);
        is_news.then_some(Remark::WrongSecret)
    }

    /// Records a webhook that was not genuine.
    pub fn refused(&mut self, now: Instant) -> Option<Remark> {
        if self.refused_from.is_none_or(|from| now.saturating_duration_since(from) >= HOUR) {
            self.refused_from = Some(now);
            self.refused = 0;
        }
        self.refused += 1;
        (self.refused == MANY_REFUSED).then_some(Remark::Refused(self.refused))
    }

    /// Records how long after the change the latest webhook came; `None` if that is not worth reporting.
    pub fn came_late(&mut self, by: Option<Duration>) {
        self.late_by = by;
    }

    /// How late the latest webhook was, if it was late enough to report.
    pub fn late_by(&self) -> Option<Duration> {
        self.late_by
    }

    /// Since when the configured secret is known to be wrong; `None` if it is not.
    pub fn wrong_secret_since(&self) -> Option<Timestamp> {
        self.wrong_secret_since
    }

    /// How many unsigned webhooks have come since the last signed one, if enough to report.
    pub fn many_unsigned(&self) -> Option<u64> {
        (self.unsigned >= MANY_UNSIGNED).then_some(self.unsigned)
    }

    /// How many webhooks have been refused within the hour, if enough to report.
    pub fn many_refused(&self, now: Instant) -> Option<u64> {
        let is_recent = self.refused_from.is_some_and(|from| now.saturating_duration_since(from) < HOUR);
        (is_recent && self.refused >= MANY_REFUSED).then_some(self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_ends_what_polling_had_to_find_and_only_what_came_before_it() {
        let at = |seconds: i64| Timestamp::from_seconds(1_700_000_000 + seconds);
        let mut evidence = WebhookEvidence::default();
        evidence.missed(1, at(10));
        evidence.missed(4, at(30));
        assert_eq!(evidence.missed_since(None), 5);
        assert_eq!(evidence.missed_since(Some(at(20))), 4);
        assert_eq!(evidence.missed_since(Some(at(30))), 0);
        for seconds in 0..1000 {
            evidence.missed(1, at(40 + seconds));
        }
        assert_eq!(evidence.missed_since(Some(at(30))), MOST_FINDS as u64);
    }
}
