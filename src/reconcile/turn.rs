//! A poll's turn among all polls of the process. While a poll waits for its store's quota, which may take long, it
//! gives its turn to another.

use std::{pin::pin, sync::Arc};

use futures_util::future::poll_immediate;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::source::{CallPermit, Source};

/// The turn of one poll: held while the poll runs, released while it waits.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Turn {
    /// A turn that is not held yet. `turns` is never closed.
    pub fn new(turns: Arc<Semaphore>) -> Self {
        Self { turns, held: Mutex::default() }
    }

    /// Waits for the turn.
    pub async fn begin(&self) {
        let turn = self.turns.clone().acquire_owned().await.expect("the semaphore is never closed");
        *self.held.lock() = Some(turn);
    }

    /// Releases the turn.
    pub fn end(&self) {
        *self.held.lock() = None;
    }

    /// Waits for a call to the store; unless one is free at once, the turn is released meanwhile.
    pub async fn take(&self, source: &Source) -> CallPermit {
        let mut call = pin!(source.take());
        if let Some(permit) = poll_immediate(call.as_mut()).await {
            return permit;
        }
        self.end();
        let permit = call.await;
        self.begin().await;
        permit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_is_held_from_its_beginning_to_its_end() {
        let turns = Arc::new(Semaphore::new(1));
        let (one, two) = (Turn::new(turns.clone()), Turn::new(turns.clone()));
        one.begin().await;
        assert_eq!(turns.available_permits(), 0);
        assert!(poll_immediate(pin!(two.begin())).await.is_none());
        one.end();
        two.begin().await;
        drop(two);
        assert_eq!(turns.available_permits(), 1, "a poll that is broken off gives it back, too");
    }
}
