//! The one writer of a file, on a thread of its own. Group commit: all changes that have come in are committed in one
//! transaction, and only then answered. A sync costs as much for one change as for hundreds.

use std::{
    mem,
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::{file::DatabaseFile, transaction::Transaction};
use crate::inbox::{InboxError, WorkSignal};

/// Most changes that wait for the writer; beyond that, callers wait to hand theirs in.
const QUEUE: usize = 4096;
/// Most changes in one transaction: limits how long a batch takes.
const MOST: usize = 512;

/// A change of any result type, and its caller.
trait Job: Send {
    /// Whether a caller still waits for it, or it records something that has happened.
    fn is_needed(&self) -> bool;

    /// Makes the change. Called again if the transaction was rolled back.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()>;

    /// Answers the caller, once it is known whether the change is on disk.
    fn answer(self: Box<Self>, result: Result<(), InboxError>);
}

struct Typed<T, F> {
    change: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, InboxError>>,
    must_run: bool,
}

impl<T, F> Job for Typed<T, F>
where
    T: Send,
    F: FnMut(&mut Transaction<'_>) -> rusqlite::Result<T> + Send,
{
    fn is_needed(&self) -> bool {
        self.must_run || !self.reply.is_closed()
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()> {
        self.value = Some((self.change)(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, result: Result<(), InboxError>) {
        let Self { value, reply, .. } = *self;
        let value = result.and_then(|()| value.ok_or(InboxError::Closed));
        // A caller that has stopped waiting needs no answer.
        drop(reply.send(value));
    }
}

/// A handle to the writer's thread.
pub(super) struct Writer {
    sender: mpsc::WeakSender<Box<dyn Job>>,
    open: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the writer's thread.
    pub fn start(
        connection: Connection,
        file: Arc<DatabaseFile>,
        work: WorkSignal,
        superseded: watch::Sender<Option<InboxError>>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let weak = sender.downgrade();
        let committer = Committer { connection: Some(connection), file, work, superseded };
        let thread = thread::Builder::new().name("inbox-writer".to_owned()).spawn(move || committer.run(receiver));
        Self { sender: weak, open: Mutex::new(Some(sender)), thread: Mutex::new(thread.ok()) }
    }

    /// Makes a change and waits until it is on disk. If the caller stops waiting, the change may be dropped.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnMut(&mut Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, InboxError> {
        self.hand_in(change, false).await
    }

    /// Like [`Writer::change`] for what has already happened: it is stored even if the caller stops waiting.
    pub async fn record<T: Send + 'static>(
        &self,
        change: impl FnMut(&mut Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, InboxError> {
        self.hand_in(change, true).await
    }

    async fn hand_in<T: Send + 'static>(
        &self,
        change: impl FnMut(&mut Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        must_run: bool,
    ) -> Result<T, InboxError> {
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.upgrade().ok_or(InboxError::Closed)?;
        let job = Box::new(Typed { change, value: None, reply, must_run });
        sender.send(job).await.map_err(|_| InboxError::Closed)?;
        drop(sender);
        answer.await.map_err(|_| InboxError::Closed)?
    }

    /// Lets the writer finish what was handed in, and waits for that.
    pub async fn close(&self) {
        drop(self.open.lock().take());
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A writer that panicked has nothing more to finish.
            drop(tokio::task::spawn_blocking(move || drop(thread.join())).await);
        }
    }
}

/// The part of the writer that runs on the thread.
struct Committer {
    connection: Option<Connection>,
    file: Arc<DatabaseFile>,
    work: WorkSignal,
    superseded: watch::Sender<Option<InboxError>>,
}

impl Committer {
    /// Carries out jobs until every sender is gone.
    fn run(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(MOST);
        while let Some(first) = jobs.blocking_recv() {
            batch.push(first);
            while batch.len() < MOST
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            batch.retain(|job| job.is_needed());
            if !batch.is_empty() {
                self.serve(mem::replace(&mut batch, Vec::with_capacity(MOST)));
            }
        }
    }

    fn serve(&mut self, mut batch: Vec<Box<dyn Job>>) {
        loop {
            if let Some(error) = self.is_over() {
                return fail(batch, &error);
            }
            match self.commit(&mut batch) {
                Ok(()) => {
                    batch.into_iter().for_each(|job| job.answer(Ok(())));
                    return;
                }
                // A change that fails by its own fault must not fail the others.
                Err(Fault::Own(at, error)) if batch.len() > 1 => batch.remove(at).answer(Err(error)),
                Err(Fault::Own(_, error) | Fault::Database(error)) => {
                    tracing::debug!(%error, changes = batch.len(), "a batch could not be stored: {error}");
                    self.connection = None;
                    if matches!(error, InboxError::Damaged(_)) {
                        self.superseded.send_replace(Some(error.clone()));
                    }
                    return fail(batch, &error);
                }
            }
        }
    }

    /// Why nothing may be stored any more; `None` while it may.
    fn is_over(&self) -> Option<InboxError> {
        if let Some(error) = self.superseded.borrow().clone() {
            return Some(error);
        }
        let error = self.file.check().err()?;
        self.superseded.send_replace(Some(error.clone()));
        Some(error)
    }

    /// Commits all of these changes durably, or none.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Fault> {
        let database = |error| Fault::Database(self.file.error(error));
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(self.file.connect().map_err(Fault::Database)?),
        };
        connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(database)?;
        let mut transaction = Transaction::new(connection);
        for (at, job) in batch.iter_mut().enumerate() {
            if let Err(error) = job.run(&mut transaction) {
                drop(connection.execute_batch("ROLLBACK"));
                let is_own = is_own_fault(&error);
                let error = self.file.error(error);
                return Err(if is_own { Fault::Own(at, error) } else { Fault::Database(error) });
            }
        }
        let work = transaction.finish().map_err(database)?;
        // If the path leads to another file by now, what was written is in the wrong place.
        self.file.check().map_err(|error| {
            self.superseded.send_replace(Some(error.clone()));
            Fault::Database(error)
        })?;
        if let Err(error) = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            drop(connection.execute_batch("ROLLBACK"));
            return Err(Fault::Database(self.file.error(error)));
        }
        self.work.add(work);
        Ok(())
    }
}

/// Why a batch failed.
enum Fault {
    /// The fault of the change at this position.
    Own(usize, InboxError),
    Database(InboxError),
}

/// A violated constraint, or a value that cannot be read, is the request's own fault.
fn is_own_fault(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig),
        None => true,
    }
}

fn fail(batch: Vec<Box<dyn Job>>, error: &InboxError) {
    batch.into_iter().for_each(|job| job.answer(Err(error.clone())));
}
