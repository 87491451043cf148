//! One change of a connection's hooks at a time, over all processes that share an inbox.
//!
//! The store does not know who holds the lock: a call on its way does its work whatever has happened meanwhile. So no
//! call begins that could outlast its lock, and after one whose end is not known nobody has the lock before it must be
//! over.

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

/// A lock outlasts the call that is made under it by this much.
const SLACK: Duration = Duration::from_secs(2);
/// One's own lock is waited for longer than another's lasts by this much.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between looks whether it is free.
const PAUSE: Duration = Duration::from_millis(200);

/// Until when a call of this process that was broken off, or not clearly answered, may still be under way.
pub(super) type Unsettled = Mutex<Option<Instant>>;

/// The right to change one connection's hooks.
pub(super) struct HookLock<'a> {
    connection: ConnectionId,
    link: &'a Link,
    inbox: &'a dyn Inbox,
    epoch: Epoch,
    unsettled: MutexGuard<'a, Option<Instant>>,
}

impl<'a> HookLock<'a> {
    /// Waits for the lock, a little longer than the lock of a process lasts that has died.
    ///
    /// # Errors
    /// [`RegistrarError::Busy`] when it does not come free; [`RegistrarError::Inbox`] when the inbox fails.
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
                return Ok(lock);
            }
            if Instant::now() >= give_up {
                return Err(RegistrarError::Busy);
            }
            sleep(PAUSE).await;
        }
    }

    /// Makes one call that changes hooks, if no other process can have had the lock since this one was taken.
    ///
    /// # Errors
    /// [`RegistrarError::Busy`] if another can: nothing has been called then. Otherwise what went wrong with it.
    pub async fn change<T, C>(&mut self, call: impl FnOnce(CallPermit) -> C) -> Result<T, RegistrarError>
    where
        C: Future<Output = Result<T, CallError>>,
    {
        // Whatever may take long comes before the question, so that nothing is between its answer and the call.
        let permit = self.link.source.take_urgent().await?;
        let until = loop {
            let asked = Instant::now();
            if self.inbox.lock_hooks(self.connection, span(self.link)).await? != Some(self.epoch) {
                return Err(RegistrarError::Busy);
            }
            // A process that was stopped meanwhile asks again.
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

    /// Hands the lock on. One with a call that may still be under way runs out by itself.
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

/// Whether a call that failed like this may do its work later: that is unknown, or a gateway answered in its stead.
fn may_be_under_way(failure: Failure) -> bool {
    matches!(failure, Failure::Timeout | Failure::Broken | Failure::Status(500..) | Failure::Html(_))
}
