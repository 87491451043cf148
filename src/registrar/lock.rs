//! Ensures that a connection's hooks are changed by one process at a time, of all that share an inbox.
//!
//! The store does not know who holds the lock: a call takes effect even if the lock has been lost meanwhile. So no
//! call begins that could outlast its lock, and after a call whose end is unknown the lock is not released until the
//! call must be over.

use std::time::Duration;

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::error::RegistrarError;
use crate::{
    connection::Link,
    http::{CallError, Failure},
    inbox::{Epoch, Inbox},
    object::ConnectionId,
    source::CallPermit,
};

/// How much longer a lock lasts than the call made under it.
const SLACK: Duration = Duration::from_secs(2);
/// How much longer a process waits for the lock than another process's lasts.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between tries to take the lock.
const PAUSE: Duration = Duration::from_millis(200);

/// Until when a call of this process that was interrupted, or not clearly answered, may still take effect.
pub(super) type Unsettled = Mutex<Option<Instant>>;

/// The exclusive right to change one connection's hooks.
pub(super) struct HookLock<'a> {
    connection: ConnectionId,
    link: &'a Link,
    inbox: &'a dyn Inbox,
    epoch: Epoch,
    unsettled: MutexGuard<'a, Option<Instant>>,
}

impl<'a> HookLock<'a> {
    /// Waits for the lock, a little longer than the lock of a killed process lasts.
    ///
    /// # Errors
    /// [`RegistrarError::Busy`] if it is not released in time; [`RegistrarError::Disconnected`] if the connection has
    /// ended meanwhile; [`RegistrarError::Inbox`] if the inbox fails.
    pub async fn wait(
        connection: ConnectionId,
        link: &'a Link,
        inbox: &'a dyn Inbox,
        unsettled: &'a Unsettled,
    ) -> Result<Self, RegistrarError> {
        let give_up = Instant::now() + span(link) + PATIENCE;
        let Ok(unsettled) = timeout_at(give_up, unsettled.lock()).await else { return Err(RegistrarError::Busy) };
        if let Some(until) = *unsettled {
            sleep_until(until).await;
        }
        loop {
            if let Some(epoch) = inbox.lock_hooks(connection, span(link)).await? {
                let mut lock = Self { connection, link, inbox, epoch, unsettled };
                *lock.unsettled = None;
                return lock.unless_ended().await;
            }
            if Instant::now() >= give_up {
                return Err(RegistrarError::Busy);
            }
            sleep(PAUSE).await;
        }
    }

    /// The lock, unless whoever had it before has ended the connection.
    async fn unless_ended(self) -> Result<Self, RegistrarError> {
        let ended = self.inbox.has_ended(self.connection).await;
        if matches!(ended, Ok(false)) {
            return Ok(self);
        }
        self.end().await;
        Err(ended.map_or_else(RegistrarError::Inbox, |_| RegistrarError::Disconnected))
    }

    /// Makes one call that changes hooks, unless another process may have had the lock since it was taken here.
    ///
    /// # Errors
    /// [`RegistrarError::Busy`] if another process may have had it; no call is made then. Otherwise the call's failure.
    pub async fn change<T, C>(&mut self, call: impl FnOnce(CallPermit) -> C) -> Result<T, RegistrarError>
    where
        C: Future<Output = Result<T, CallError>>,
    {
        // Anything that may take long comes before the lock is renewed, so that the call follows directly.
        let permit = self.link.source.take_urgent().await?;
        let until = loop {
            let asked = Instant::now();
            if self.inbox.lock_hooks(self.connection, span(self.link)).await? != Some(self.epoch) {
                return Err(RegistrarError::Busy);
            }
            // If the process was suspended meanwhile, it renews the lock again.
            if asked.elapsed() < SLACK {
                break asked + span(self.link);
            }
        };
        *self.unsettled = Some(until);
        let done = timeout_at(until, call(permit)).await.unwrap_or_else(|_| Err(Failure::Timeout.into()));
        if !done.as_ref().is_err_and(|error| may_be_under_way(error.failure)) {
            *self.unsettled = None;
        }
        Ok(done?)
    }

    /// Releases the lock. If a call may still take effect, the lock expires by itself instead.
    pub async fn end(self) {
        if self.unsettled.is_some() {
            return;
        }
        if let Err(error) = self.inbox.unlock_hooks(self.connection).await {
            tracing::debug!(%error, "the lock on the hooks runs out by itself: {error}");
        }
    }
}

/// How long a lock lasts after its last call began.
fn span(link: &Link) -> Duration {
    link.source.timeout() + SLACK
}

/// Whether a call that failed in this way may still take effect: it is unknown, or a gateway answered instead of the
/// store.
fn may_be_under_way(failure: Failure) -> bool {
    matches!(failure, Failure::Timeout | Failure::Broken | Failure::Status(500..) | Failure::Html(_))
}
