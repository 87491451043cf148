//! Group commit: requests that came in together are committed in one transaction, and only then answered. A sync and
//! a round trip to the server cost as much for one request as for hundreds.

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

/// Most requests that wait for the writer; beyond that, callers wait to hand theirs in.
const QUEUE: usize = 4096;
/// Most requests in one transaction: limits how long a batch takes.
const MOST: usize = 512;
/// Batches up to this size are not worth dividing.
const SMALL_BATCH: usize = 16;

/// The channel for the answer to a request.
pub(super) type Reply<T> = oneshot::Sender<Result<T, InboxError>>;

/// A change that is committed together with others. It carries a [`Reply`] of its own type.
pub(super) trait Request: Send + 'static {
    /// Whether it still has to be carried out. A request that no caller waits for any more may be dropped, unless it
    /// records something that has happened.
    fn is_needed(&self) -> bool;

    /// Answers that the request was not carried out.
    fn fail(self, error: InboxError);
}

/// An answer that is ready to be sent.
pub(super) struct Answer(Box<dyn FnOnce() + Send>);

impl Answer {
    pub fn new<T: Send + 'static>(reply: Reply<T>, value: T) -> Self {
        // A caller that has stopped waiting needs no answer.
        Self(Box::new(move || drop(reply.send(Ok(value)))))
    }
}

/// A committed batch whose requests are not answered yet.
#[derive(Default)]
pub(super) struct Committed {
    pub answers: Vec<Answer>,
    /// The connections that may have new work.
    pub work: HashSet<ConnectionId>,
}

impl Committed {
    fn announce(self, signal: &WorkSignal) {
        signal.add(self.work);
        self.answers.into_iter().for_each(|answer| (answer.0)());
    }
}

/// Carries out batches of requests.
pub(super) trait Writer: Send + 'static {
    type Request: Request;

    /// Commits all of these changes durably, and drains `batch`. After a failure, none of them can be relied on.
    fn commit(&mut self, batch: &mut Vec<Self::Request>) -> impl Future<Output = Result<Committed, InboxError>> + Send;

    /// Whether other relays keep the database busy as well.
    fn has_peers(&self) -> bool;

    /// Drops the connection: at the end, and after a failure, when its state is unknown.
    fn disconnect(&mut self) -> impl Future<Output = ()> + Send;
}

/// Wakes the writer once when enough requests wait, not for each of them.
struct BatchSignal {
    enough: AtomicUsize,
    reached: Notify,
}

/// The queue of one writer, and the writer's task.
pub(super) struct Queue<R> {
    sender: mpsc::WeakSender<R>,
    open: Mutex<Option<mpsc::Sender<R>>>,
    signal: Arc<BatchSignal>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl<R: Request> Queue<R> {
    /// Starts the writer's task, which waits up to `gathering` for a batch to fill up.
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
        // Counts the waiting requests and the places reserved by callers about to hand theirs in: never too few.
        if sender.max_capacity() - sender.capacity() >= self.signal.enough.load(Ordering::SeqCst) {
            self.signal.reached.notify_one();
        }
        drop(sender);
        answer.await.map_err(|_| InboxError::Closed)?
    }

    /// Lets the writer finish what was handed in, and waits for that.
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
    /// Adds requests until the batch has `enough`, or the time for gathering has passed.
    async fn gather(&mut self, batch: &mut Vec<R>, enough: usize, most: usize) {
        let missing = enough.saturating_sub(batch.len());
        if missing > self.receiver.len() && !self.gathering.is_zero() {
            self.signal.enough.store(missing, Ordering::SeqCst);
            let all = async {
                while self.receiver.len() < missing {
                    self.signal.reached.notified().await;
                }
            };
            // Callers still missing by then are not coming back.
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

/// Carries out requests until every sender is gone.
///
/// While half of the callers wait for the disk, the other half are answered and come back with new requests, so that
/// neither the disk nor the processors are idle. A batch therefore takes no more than half of the callers, and is
/// sent before the previous batch is answered, because those answers bring work that it would compete with. Where
/// other relays keep the database busy anyway, a batch takes all: fewer batches are less work for the server.
async fn run<W: Writer>(mut writer: W, mut requests: Requests<W::Request>, work: WorkSignal) {
    let mut batch = Vec::with_capacity(MOST);
    let mut committed: Option<Committed> = None;
    loop {
        let waiting = requests.receiver.len();
        let all = committed.as_ref().map_or(0, |committed| committed.answers.len()) + waiting;
        let share = if writer.has_peers() { all } else { all / 2 }.min(MOST);
        let room = share.clamp(SMALL_BATCH, MOST);
        // If the next batch is not complete yet, the answers go out first; without them it may never be.
        if let Some(committed) = committed.take_if(|_| waiting < share.max(1)) {
            committed.announce(&work);
        }
        if requests.receiver.recv_many(&mut batch, room).await == 0 {
            break;
        }
        // Callers that were answered together come back together: the first one back must not get a batch to itself
        // while all the others wait for the next.
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
