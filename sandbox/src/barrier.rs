//! Waiting for a simulator to reach a state: woken by each change, never by a timer.

use std::time::Duration;

use tokio::sync::Notify;

/// The state that was waited for did not come in time.
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
    /// Says that something changed.
    pub(crate) fn changed(&self) {
        self.0.notify_waiters();
    }

    /// Returns once `reached` holds; it is asked at once and after each change.
    pub(crate) async fn wait_for(&self, reached: impl Fn() -> bool, timeout: Duration) -> Result<(), TimedOut> {
        let wait = async {
            loop {
                let mut change = std::pin::pin!(self.0.notified());
                // Enlisted before the question is asked, so that no change falls between the two.
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
