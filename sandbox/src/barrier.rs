//! Waiting for a simulator to reach a state, woken by each change and never by a timer.

use std::time::Duration;

use tokio::sync::Notify;

/// The awaited state was not reached in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut(Duration);

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the state that was waited for did not come within {:?}", self.0)
    }
}

impl std::error::Error for TimedOut {}

#[derive(Debug, Default)]
pub(crate) struct Barrier(Notify);

impl Barrier {
    /// Wakes all waiters after a change.
    pub(crate) fn changed(&self) {
        self.0.notify_waiters();
    }

    /// Returns once `reached` holds; it is checked at once and after each change.
    pub(crate) async fn wait_for(&self, reached: impl Fn() -> bool, timeout: Duration) -> Result<(), TimedOut> {
        let wait = async {
            loop {
                let mut change = std::pin::pin!(self.0.notified());
                // Registered before `reached` is checked, so that no change is missed in between.
                change.as_mut().enable();
                if reached() {
                    return;
                }
                change.await;
            }
        };
        tokio::time::timeout(timeout, wait).await.map_err(|_| TimedOut(timeout))
    }
}
