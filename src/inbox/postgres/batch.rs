//! Group commit: requests that came in together are committed in one transaction, and only then answered. A sync, and a
//! round trip to the server, cost as much for one request as for hundreds.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    inbox::{InboxError, WorkSignal},
    object::ConnectionId,
};

/// Requests waiting for the writer; beyond that, callers wait to hand theirs in.
const QUEUE: usize = 4096;
/// Requests in one transaction, at most: bounds a batch's time.
const MOST: usize = 512;
/// Batches up to this size are not worth dividing.
const SMALL_BATCH: usize = 16;

/// Where the answer to a request goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, InboxError>>;

/// A change that is committed together with others. It carries a [`Reply`] of its own type.
pub(super) trait Request: Send + 'static {
    /// Whether it is still to be carried out. One that nobody waits for any more may be dropped, unless it records
    /// something that has happened.
    fn is_needed(&self) -> bool;

    /// Answers that it was not carried out.
    fn fail(self, error: InboxError);
}

/// An answer that is known and not given yet.
pub(super) struct Answer(Box<dyn FnOnce() + Send>);

impl Answer {
    pub fn new<T: Send + 'static>(reply: Reply<T>, value: T) -> Self {
        // Whoever no longer waits (a dropped request) needs no answer.
        Self(Box::new(move || drop(reply.send(Ok(value)))))
    }
}

/// A committed batch whose requests are not answered yet.
#[derive(Default)]
pub(super) struct Committed {
    pub answers: Vec<Answer>,
    /// The connections that may have got work.
    pub work: HashSet<ConnectionId>,
}

impl Committed {
    fn announce(self, signal: &WorkSignal) {
        signal.add(self.work);
        self.answers.into_iter().for_each(|answer| (answer.0)());
    }
}

/// What carries batches out.
pub(super) trait Writer: Send + 'static {
    type Request: Request;

    /// Commits all of these changes, durably, and drains `batch`. After a failure nobody may rely on any of them.
    fn commit(&mut self, batch: &mut Vec<Self::Request>) -> impl Future<Output = Result<Committed, InboxError>> + Send;

    /// Whether others keep the database busy as well.
    fn has_peers(&self) -> bool;

    /// Drops the connection: after a failure, when it may be in any state, and at the end.
    fn disconnect(&mut self) -> impl Future<Output = ()> + Send;
}

/// Wakes the writer once when as many requests wait as it waits for, not for each.
struct BatchSignal {
    enough: AtomicUsize,
    reached: Notify,
}

/// One writer's queue, and the writer.
pub(super) struct Queue<R> {
    sender: mpsc::WeakSender<R>,
    open: Mutex<Option<mpsc::Sender<R>>>,
    signal: Arc<BatchSignal>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl<R: Request> Queue<R> {
    /// Starts the writer's task. It waits up to `gathering` for a batch to fill up.
    pub fn start(writer: impl Writer<Request = R>, gathering: Duration, work: WorkSignal) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let signal = Arc::new(BatchSignal { enough: AtomicUsize::new(usize::MAX), reached: Notify::new() });
        let requests = Requests { receiver, signal: signal.clone(), gathering };
        let task = tokio::spawn(run(writer, requests, work));
        Self { sender: sender.downgrade(), open: Mutex::new(Some(sender)), signal, writer: Mutex::new(Some(task)) }
    }

    /// Hands a request in and waits for its answer.
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> R) -> Result<T, InboxError> {
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.upgrade().ok_or(InboxError::Closed)?;
        sender.send(request(reply)).await.map_err(|_| InboxError::Closed)?;
        // Counts those that wait, and places reserved by callers that are about to hand theirs in: never too few.
        if sender.max_capacity() - sender.capacity() >= self.signal.enough.load(Ordering::SeqCst) {
            self.signal.reached.notify_one();
        }
        drop(sender);
        answer.await.map_err(|_| InboxError::Closed)?
    }

    /// Has the writer finish what was handed in, and waits until it has.
    pub async fn close(&self) {
        drop(self.open.lock().await.take());
        if let Some(writer) = self.writer.lock().await.take() {
            // A writer that panicked has nothing more to finish.
            drop(writer.await);
        }
    }
}

/// The writer's end of its queue.
struct Requests<R> {
    receiver: mpsc::Receiver<R>,
    signal: Arc<BatchSignal>,
    gathering: Duration,
}

impl<R> Requests<R> {
    /// Takes more until there are `enough` in the batch, or the time for gathering has passed.
    async fn gather(&mut self, batch: &mut Vec<R>, enough: usize, most: usize) {
        let missing = enough.saturating_sub(batch.len());
        if missing > self.receiver.len() && !self.gathering.is_zero() {
            self.signal.enough.store(missing, Ordering::SeqCst);
            let all = async {
                while self.receiver.len() < missing {
                    self.signal.reached.notified().await;
                }
            };
            // Whoever is missing by then is not coming back.
            let _ = tokio::time::timeout(self.gathering, all).await;
            self.signal.enough.store(usize::MAX, Ordering::SeqCst);
        }
        while batch.len() < most
            && let Ok(request) = self.receiver.try_recv()
        {
            batch.push(request);
        }
    }
}

/// Serves requests until every sender is gone.
///
/// While one half of the callers waits for the disk, the other half is answered and comes back: neither the disk nor
/// the processors wait for each other. So a batch takes no more than half, and is sent before the last one's answers
/// are, since these bring the work that it would have to compete with. Where peers keep the database busy anyway, a
/// batch takes all: fewer batches are less work for the server.
async fn run<W: Writer>(mut writer: W, mut requests: Requests<W::Request>, work: WorkSignal) {
    let mut batch = Vec::with_capacity(MOST);
    let mut committed: Option<Committed> = None;
    loop {
        let waiting = requests.receiver.len();
        let all = committed.as_ref().map_or(0, |committed| committed.answers.len()) + waiting;
        let share = if writer.has_peers() { all } else { all / 2 }.min(MOST);
        let room = share.clamp(SMALL_BATCH, MOST);
        // The answers go first where the next batch is not there yet; where nobody waits, it may never be.
        if let Some(committed) = committed.take_if(|_| waiting < share.max(1)) {
            committed.announce(&work);
        }
        if requests.receiver.recv_many(&mut batch, room).await == 0 {
            break;
        }
        // Callers that were answered together come back together: the first one back gets no batch to itself while all
        // the others wait for the next.
        requests.gather(&mut batch, share, room).await;
        batch.retain(Request::is_needed);
        if batch.is_empty() {
            continue;
        }
        let result = {
            let mut committing = pin!(writer.commit(&mut batch));
            let at_once = committing.as_mut().now_or_never();
            if let Some(committed) = committed.take() {
                committed.announce(&work);
            }
            match at_once {
                Some(result) => result,
                None => committing.await,
            }
        };
        match result {
            Ok(done) => {
                batch.clear();
                committed = Some(done);
            }
            Err(error) => {
                tracing::error!(%error, changes = batch.len(), "a batch could not be stored: {error}");
                batch.drain(..).for_each(|request| request.fail(error.clone()));
                writer.disconnect().await;
            }
        }
    }
    if let Some(committed) = committed {
        committed.announce(&work);
    }
    writer.disconnect().await;
}
