//! The way to a writer: changes go in one by one, each with somebody who waits for its end. What becomes of them together
//! is the writers' own business.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    InboxError,
    change::{Change, Done},
};

/// Changes waiting for the writer; beyond that, callers wait to hand theirs in.
const QUEUE: usize = 4096;

/// A change and who waits for it.
pub(super) struct Job {
    pub change: Change,
    pub reply: oneshot::Sender<Result<Done, InboxError>>,
}

/// How many jobs the writer waits for.
struct Crowd {
    enough: AtomicUsize,
    there: Notify,
}

/// The writer's end of its queue.
pub(super) struct Jobs {
    receiver: mpsc::Receiver<Job>,
    crowd: Arc<Crowd>,
}

impl Jobs {
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// Takes up to `most` jobs as soon as there are any. Returns how many; none once every sender is gone.
    pub async fn take(&mut self, batch: &mut Vec<Job>, most: usize) -> usize {
        self.receiver.recv_many(batch, most).await
    }

    /// Takes more until there are `enough` of the batch, or `longest` has passed. It is woken once, not by each.
    pub async fn gather(&mut self, batch: &mut Vec<Job>, enough: usize, most: usize, longest: Duration) {
        let missing = enough.saturating_sub(batch.len());
        if missing > self.receiver.len() {
            self.crowd.enough.store(missing, Ordering::SeqCst);
            let all = async {
                while self.receiver.len() < missing {
                    self.crowd.there.notified().await;
                }
            };
            // Whoever is missing is not coming back.
            let _ = tokio::time::timeout(longest, all).await;
            self.crowd.enough.store(usize::MAX, Ordering::SeqCst);
        }
        while batch.len() < most
            && let Ok(job) = self.receiver.try_recv()
        {
            batch.push(job);
        }
    }
}

impl Job {
    /// Whether somebody waits for it, or it is to be kept all the same: what was told, and what has been done already.
    pub fn counts(&self) -> bool {
        !self.reply.is_closed() || matches!(self.change, Change::Accept(_) | Change::Settle(_))
    }
}

/// One writer's queue, and the writer.
pub(super) struct Queue {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    sender: mpsc::WeakSender<Job>,
    crowd: Arc<Crowd>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    /// Starts the writer that `serve` makes of the queue's other end.
    pub fn start<W>(serve: impl FnOnce(Jobs) -> W) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let crowd = Arc::new(Crowd { enough: AtomicUsize::new(usize::MAX), there: Notify::new() });
        let writer = tokio::spawn(serve(Jobs { receiver, crowd: crowd.clone() }));
        Self { sender: sender.downgrade(), jobs: Mutex::new(Some(sender)), crowd, writer: Mutex::new(Some(writer)) }
    }

    /// Hands a change in and waits for its end. If nobody does any more, it may be left undone (see [`Job::counts`]).
    pub async fn change(&self, change: Change) -> Result<Done, InboxError> {
        let (reply, done) = oneshot::channel();
        let sender = self.sender.upgrade().ok_or(InboxError::Closed)?;
        sender.send(Job { change, reply }).await.map_err(|_| InboxError::Closed)?;
        // These are all that wait, and places that others hold for what they are about to hand in: never too few.
        if sender.max_capacity() - sender.capacity() >= self.crowd.enough.load(Ordering::SeqCst) {
            self.crowd.there.notify_one();
        }
        drop(sender);
        done.await.map_err(|_| InboxError::Closed)?
    }

    /// Has the writer finish what was handed in, and waits until it has.
    pub async fn close(&self) {
        drop(self.jobs.lock().await.take());
        if let Some(writer) = self.writer.lock().await.take() {
            // A writer that panicked has nothing more to finish.
            drop(writer.await);
        }
    }
}
