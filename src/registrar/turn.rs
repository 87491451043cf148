//! One change of the hooks at a time, over all processes that share an inbox.
//!
//! BigCommerce does not know whose turn it is: a call on its way does its work whatever has happened meanwhile. So no call
//! begins that could outlast its turn, and after one whose end is not known nobody has the next turn before it must be over.

use std::time::Duration;

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::RegistrarError;
use crate::{
    bigcommerce::Token,
    connection::Connection,
    http::{CallError, Seen, Transport},
    inbox::{Inbox, Lease, Term},
};

/// A turn outlasts the call that is made in it by this much.
const SLACK: Duration = Duration::from_secs(2);
/// One's own turn is waited for longer than another's lasts by this much.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between looks whether it has come.
const PAUSE: Duration = Duration::from_millis(200);

/// Until when a call of this process that was broken off, or not clearly answered, may still be under way.
pub(super) type Unsettled = Mutex<Option<Instant>>;

/// The right to change one connection's hooks.
pub(super) struct Turn<'a> {
    connection: &'a Connection,
    inbox: &'a dyn Inbox,
    term: Term,
    unsettled: MutexGuard<'a, Option<Instant>>,
}

impl<'a> Turn<'a> {
    /// Waits for a turn, a little longer than the turn of a process lasts that has died.
    ///
    /// # Errors
    /// [`RegistrarError::Busy`] when it does not come; [`RegistrarError::Inbox`] when nobody says whose turn it is.
    pub async fn wait(
        connection: &'a Connection,
        inbox: &'a dyn Inbox,
        unsettled: &'a Unsettled,
    ) -> Result<Self, RegistrarError> {
        let give_up = Instant::now() + span(connection) + PATIENCE;
        let Ok(unsettled) = timeout_at(give_up, unsettled.lock()).await else { return Err(RegistrarError::Busy) };
        if let Some(until) = *unsettled {
            sleep_until(until).await;
        }
        loop {
            if let Some(term) = inbox.lease(connection.id, Lease::Hooks, span(connection)).await? {
                let mut turn = Self { connection, inbox, term, unsettled };
                *turn.unsettled = None;
                return Ok(turn);
            }
            if Instant::now() >= give_up {
                return Err(RegistrarError::Busy);
            }
            sleep(PAUSE).await;
        }
    }

    /// Makes one call that changes hooks, if nobody else can have had a turn since this one began.
    ///
    /// # Errors
    /// [`RegistrarError::Busy`] if somebody can: nothing has been called then. Otherwise whatever went wrong with the call.
    pub async fn change<T, C>(&mut self, call: impl FnOnce(Token) -> C) -> Result<T, RegistrarError>
    where
        C: Future<Output = Result<T, CallError>>,
    {
        // Whatever may take long comes before the question, so that nothing is between its answer and the call.
        let token = self.connection.api.take_soon().await?;
        let until = loop {
            let asked = Instant::now();
            if self.inbox.lease(self.connection.id, Lease::Hooks, span(self.connection)).await? != Some(self.term) {
                return Err(RegistrarError::Busy);
            }
            // A process that was stopped meanwhile asks again.
            if asked.elapsed() < SLACK {
                break asked + span(self.connection);
            }
        };
        *self.unsettled = Some(until);
        let done = timeout_at(until, call(token)).await.unwrap_or(Err(Seen::Transport(Transport::Timeout).into()));
        if !done.as_ref().is_err_and(|error| may_be_under_way(*error)) {
            *self.unsettled = None;
        }
        Ok(done?)
    }

    /// Hands the turn on. One with a call that may still be under way runs out by itself.
    pub async fn end(self) {
        if self.unsettled.is_some() {
            return;
        }
        if let Err(error) = self.inbox.release(self.connection.id, Lease::Hooks).await {
            tracing::debug!(%error, "the turn at the hooks runs out by itself: {error}");
        }
    }
}

/// How long a turn lasts after its last call began.
fn span(connection: &Connection) -> Duration {
    connection.api.timeout() + SLACK
}

/// Whether a call that failed like this may do its work later: nobody knows, or a gateway answered in its stead.
fn may_be_under_way(error: CallError) -> bool {
    matches!(error.seen, Seen::Transport(Transport::Timeout | Transport::Broken) | Seen::Status(500..))
}
