//! Work that a request has started and that outlasts it: an install whose browser disconnects, a backfill. It is
//! owned here, so that the relay waits for it when it stops.

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Runs jobs on the runtime that the relay was built on, not on the thread that received the request: those threads
/// end with the server.
pub(super) struct Jobs {
    runtime: Handle,
    running: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

impl Jobs {
    /// Must be called within the runtime that is to run the jobs.
    pub fn new() -> Self {
        Self { runtime: Handle::current(), running: Mutex::default(), stop: CancellationToken::new() }
    }

    /// Runs `job` to its end, even if its request is dropped. `None` if it panicked, or the relay has stopped.
    pub async fn finish<T: Send + 'static>(&self, job: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, result) = oneshot::channel();
        self.add(async move {
            // The request may have been dropped.
            drop(done.send(job.await));
        });
        result.await.ok()
    }

    /// Runs `job` until it ends or the relay stops, whichever comes first.
    pub fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.add(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = job => {}
            }
        });
    }

    fn add(&self, job: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock();
        while let Some(ended) = running.try_join_next() {
            log_panic(ended);
        }
        running.spawn_on(job, &self.runtime);
    }

    /// Cancels jobs that were started with [`Jobs::spawn`], and waits for all. Called once no request can start
    /// another.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut running = std::mem::take(&mut *self.running.lock());
        while let Some(ended) = running.join_next().await {
            log_panic(ended);
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("work that a request had begun has failed: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn what_must_end_ends_and_the_rest_is_broken_off() {
        let jobs = Jobs::new();
        let ended = Arc::new(AtomicBool::new(false));
        let mark = ended.clone();
        // The request's future is dropped at once.
        let asked = jobs.finish(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            mark.store(true, Ordering::Release);
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), asked).await.is_err());
        jobs.spawn(std::future::pending());
        tokio::time::timeout(Duration::from_secs(5), jobs.stop()).await.expect("pending jobs are broken off");
        assert!(ended.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn a_job_that_panics_is_no_answer() {
        let jobs = Jobs::new();
        assert_eq!(jobs.finish(async { 7 }).await, Some(7));
        let panics = async {
            assert!(std::hint::black_box(false), "on purpose");
        };
        assert_eq!(jobs.finish(panics).await, None);
        jobs.stop().await;
    }
}
