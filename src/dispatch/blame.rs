//! The consequences of a failed call for its object, and for the side that failed. `retry` says whose fault a failure
//! is.

use std::time::{Duration, Instant};

use super::lane::Lane;
use crate::{
    breaker::Permit,
    clock::Timestamp,
    http::{CallError, Failure},
    inbox::{Claim, Failed, Outcome, Side},
    retry::{self, FetchBlame, Verdict},
};

/// The shortest wait of an object after its own failure. Its age is the sum of its waits, less the moment that
/// settling takes: with waits no longer than that, the age would stop growing and the object be tried for ever.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

fn own_retry_at(wait: Duration) -> Timestamp {
    Timestamp::now().after(wait.max(SHORTEST_WAIT))
}

impl Lane {
    pub(super) async fn store_answered(&self) {
        let Some((link, _)) = self.link() else { return };
        let has_recovered = link.breaker(Side::Store).succeeded(Instant::now());
        if has_recovered {
            self.hints().store_is_back();
        }
        self.recover(has_recovered, Side::Store).await;
    }

    pub(super) async fn recover(&self, has_recovered: bool, side: Side) {
        if !has_recovered {
            return;
        }
        let (connection, side) = (self.connection.id, side.code());
        tracing::info!(%connection, side, "connection {connection}: the {side} answers again; what waited is due at once");
        if let Err(error) = self.shared.inbox.recover(connection).await {
            tracing::error!(%connection, %error, "connection {connection}: waiting orders keep their own times: {error}");
        }
    }

    pub(super) async fn fetch_failed(&self, claim: &Claim, error: CallError) -> Outcome {
        let failed = Failed { side: Side::Store, failure: error.failure };
        let Some((link, _)) = self.link() else { return Outcome::Released };
        match link.source.blame(error.failure) {
            FetchBlame::Quota => Outcome::Released,
            FetchBlame::Missing => {
                // It answered, and rejected only this object: it is up.
                self.store_answered().await;
                self.missing(claim, failed)
            }
            FetchBlame::Object if self.is_stores_fault(claim, error.failure) => {
                self.outage(Side::Store, Some(claim), error)
            }
            FetchBlame::Object => {
                self.store_answered().await;
                self.refused(claim, failed, error.retry_after)
            }
            FetchBlame::Store | FetchBlame::Credentials => self.outage(Side::Store, Some(claim), error),
        }
    }

    /// Whether the store gives this unusable answer whatever it is asked for.
    fn is_stores_fault(&self, claim: &Claim, failure: Failure) -> bool {
        let is_streak = self.hints().is_streak(&claim.key.id, failure);
        let is_down_with_it = self
            .link()
            .and_then(|(link, _)| link.breaker(Side::Store).outage())
            .is_some_and(|(_, reason)| reason == failure);
        is_streak || is_down_with_it
    }

    pub(super) fn missing(&self, claim: &Claim, failed: Failed) -> Outcome {
        let age = Duration::from_millis(claim.missing_ms.unsigned_abs());
        let attempt = claim.attempts + 1;
        match retry::next_try(retry::MISSING, attempt, age, retry::MISSING_MAX_AGE, None, rand::random()) {
            Verdict::Retry(wait) => Outcome::Missing { retry_at: own_retry_at(wait), failed },
            Verdict::GiveUp => Outcome::Gone { failed },
        }
    }

    pub(super) fn refused(&self, claim: &Claim, failed: Failed, asked: Option<Duration>) -> Outcome {
        let age = Duration::from_millis(claim.refused_ms.unsigned_abs());
        let max_age = self.shared.settings.retry_max_age;
        match retry::next_try(retry::REFUSED, claim.attempts + 1, age, max_age, asked, rand::random()) {
            Verdict::Retry(wait) => Outcome::Refused { retry_at: own_retry_at(wait), failed },
            Verdict::GiveUp => Outcome::Failed { failed },
        }
    }

    /// Records that a side is down: its breaker opens, and the object waits for its recovery. An object that fails
    /// while others succeed is one that the side cannot take: it gets a backoff of its own and does not hold up
    /// others.
    pub(super) fn outage(&self, side: Side, claim: Option<&Claim>, error: CallError) -> Outcome {
        let now = Instant::now();
        let failed = Failed { side, failure: error.failure };
        let Some((link, _)) = self.link() else { return Outcome::Released };
        let times = claim.map_or(0, |claim| self.hints().suspect(&claim.key.id));
        let is_suspect = times > 0 && link.breaker(side).outage().is_none();
        if is_suspect {
            let wait = retry::SUSPECT.wait(times, rand::random()).max(error.retry_after.unwrap_or_default());
            return Outcome::Deferred { retry_at: Timestamp::now().after(wait), failed, until_recovery: false };
        }
        let (opened, permit) = {
            let mut breaker = link.breaker(side);
            (breaker.failed(now, error.failure, error.retry_after, rand::random()), breaker.permit(now))
        };
        if opened {
            self.log_outage(side, error.failure);
        }
        if side == Side::Store && (opened || claim.is_some()) {
            self.hints().store_failed(opened.then_some(claim.is_none()));
        }
        let wait = match permit {
            Permit::Until(at) => at.saturating_duration_since(now),
            Permit::Go | Permit::Probe | Permit::AfterProbe => Duration::ZERO,
        };
        Outcome::Deferred { retry_at: Timestamp::now().after(wait), failed, until_recovery: true }
    }

    /// 401, 403 and 404 point to wrong settings: once that is certain, `watch` logs the cure.
    fn log_outage(&self, side: Side, failure: Failure) {
        let connection = self.connection.id;
        let (name, side, seen) = (&self.connection.name, side.code(), crate::humanize::failure(failure));
        if matches!(failure, Failure::Status(401 | 403 | 404)) {
            tracing::warn!(
                %connection, side, %failure,
                "connection {connection} ({name}): the {side} refuses the relay ({seen}); its orders wait"
            );
        } else {
            tracing::warn!(
                %connection, side, %failure,
                "connection {connection} ({name}): the {side} is down ({seen}); its orders wait"
            );
        }
    }
}
