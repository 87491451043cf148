//! Whether a store accepts the credentials. Pure: the clock is an argument.
//!
//! One refusal proves nothing: gateways answer 401 and 403 as well. Credentials count as refused once the API itself
//! has refused them twice, at least ten seconds apart, without a success in between.

use std::time::{Duration, Instant};

use crate::{breaker::Health, clock::Timestamp};

/// The shortest time between two refusals that count.
const APART: Duration = Duration::from_secs(10);

/// The store refuses the credentials, or there is no such store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedCredentials {
    /// Since when it has refused them.
    pub since: Timestamp,
    /// The status: 401, 403 when orders are read, or 404 for a list that every store has.
    pub status: u16,
}

/// What has been seen of a store's credentials so far.
#[derive(Debug, Default)]
pub struct Credentials {
    works: bool,
    refusal: Option<(Instant, RefusedCredentials)>,
    is_certain: bool,
}

impl Credentials {
    /// Records an answer of the API. A 403 from hooks is about hooks only (not every account may see the blocklist),
    /// and a success there does not prove the permission to read orders.
    pub fn observed(&mut self, is_hooks: bool, status: u16, now: Instant, at: Timestamp) {
        match status {
            401 => self.refused(401, now, at),
            403 if !is_hooks => self.refused(403, now, at),
            200..=299 => {
                let speaks_of_it = self.refusal.is_none_or(|(_, refused)| matches!(refused.status, 401 | 404));
                if !is_hooks || (self.refusal.is_some() && speaks_of_it) {
                    *self = Self { works: true, ..Self::default() };
                }
            }
            _ => {}
        }
    }

    /// Records a 404 for a list that every store has: there is no such store.
    pub fn unknown_store(&mut self, now: Instant, at: Timestamp) {
        self.refused(404, now, at);
    }

    fn refused(&mut self, status: u16, now: Instant, at: Timestamp) {
        match &mut self.refusal {
            Some((first, refused)) => {
                refused.status = status;
                self.is_certain |= now.saturating_duration_since(*first) >= APART;
            }
            None => self.refusal = Some((now, RefusedCredentials { since: at, status })),
        }
    }

    /// Whether the credentials are accepted, as far as is known.
    pub fn health(&self) -> Health<RefusedCredentials> {
        match self.refusal {
            Some((_, refused)) if self.is_certain => Health::Trouble(refused),
            None if self.works => Health::Well,
            _ => Health::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_count_when_they_are_apart_with_no_success_between() {
        let (start, at) = (Instant::now(), Timestamp::from_seconds(1_700_000_000));
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut credentials = Credentials::default();
        assert_eq!(credentials.health(), Health::Unknown);
        credentials.observed(false, 401, after(0), at);
        credentials.observed(false, 401, after(9), at);
        assert_eq!(credentials.health(), Health::Unknown);
        credentials.observed(false, 200, after(9), at);
        assert_eq!(credentials.health(), Health::Well);
        credentials.observed(false, 401, after(10), at);
        credentials.observed(false, 401, after(20), at);
        assert_eq!(credentials.health(), Health::Trouble(RefusedCredentials { since: at, status: 401 }));
        credentials.observed(true, 200, after(21), at);
        assert_eq!(credentials.health(), Health::Well, "a success anywhere ends a 401");
        credentials.observed(false, 403, after(30), at);
        credentials.observed(false, 403, after(40), at);
        credentials.observed(true, 200, after(41), at);
        assert_eq!(credentials.health(), Health::Trouble(RefusedCredentials { since: at, status: 403 }));
        credentials.observed(true, 403, after(42), at);
        credentials.observed(false, 204, after(43), at);
        assert_eq!(credentials.health(), Health::Well);
        credentials.unknown_store(after(50), at);
        assert_eq!(credentials.health(), Health::Unknown);
        credentials.unknown_store(after(60), at);
        assert_eq!(credentials.health(), Health::Trouble(RefusedCredentials { since: at, status: 404 }));
        credentials.observed(true, 200, after(61), at);
        assert_eq!(credentials.health(), Health::Well, "whoever answers is there");
    }
}
