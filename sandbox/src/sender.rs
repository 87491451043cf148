//! The sender: delivers a store's events to its active hooks as BigCommerce does, with signatures, retries,
//! deactivation and the blocklist, on a compressed time scale. It also records which events were acknowledged.

mod delivery;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::barrier::{Barrier, TimedOut};
use crate::callback::SignatureKind;
use crate::event::Event;
use crate::store::StoreSim;

pub use delivery::RETRY_AFTER;

/// How the sender delivers.
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// Factor applied to BigCommerce's times: 0.001 turns a retry after a minute into one after 60 ms.
    pub time_factor: f64,
    /// How many connections may be in use at once.
    pub concurrency: usize,
    /// Whether each attempt has a `webhook-timestamp` of its own; otherwise all carry the first attempt's.
    pub renew_timestamp: bool,
    /// Which signature the callbacks carry.
    pub signature: SignatureKind,
    /// How many times each event is delivered: 2 sends a duplicate with the same `webhook-id` after each success.
    pub copies: u32,
    /// How long an answer may take, in real time.
    pub timeout: Duration,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            time_factor: 0.001,
            concurrency: 64,
            renew_timestamp: true,
            signature: SignatureKind::Right,
            copies: 1,
            timeout: Duration::from_secs(10),
        }
    }
}

/// An event that was answered with a 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The hash of the store.
    pub store: Arc<str>,
    /// The order it is about.
    pub order: i64,
    /// The order's revision when the acknowledged attempt was sent, 0 if the store had no such order. The relay's fetch
    /// after that brings at least this revision.
    pub revision: u64,
    /// The `webhook-id`.
    pub webhook_id: String,
    /// When the answer came.
    pub at: Instant,
}

struct Shared {
    stores: RwLock<Vec<StoreSim>>,
    events: mpsc::UnboundedSender<(usize, Event)>,
    options: SenderOptions,
    client: reqwest::Client,
    permits: Semaphore,
    /// False once the sender stops; later events are then ignored.
    running: AtomicBool,
    pending: AtomicUsize,
    attempts: AtomicU64,
    abandoned: AtomicU64,
    acknowledged: Mutex<Vec<Acknowledged>>,
    barrier: Barrier,
}

/// A running sender, subscribed to one store or several. Dropping it aborts the deliveries under way; [`Sender::stop`]
/// also waits until they have ended.
pub struct Sender {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

impl Sender {
    /// Starts to deliver the store's events from now on.
    pub fn start(store: &StoreSim, options: SenderOptions) -> Self {
        Self::start_for(std::slice::from_ref(store), options)
    }

    /// Starts to deliver the events of these stores from now on, with the same options for all of them.
    pub fn start_for(stores: &[StoreSim], options: SenderOptions) -> Self {
        let (events, inbox) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let client = stores.first().map_or_else(crate::http::client, |store| store.farm().client());
        let shared = Arc::new(Shared {
            stores: RwLock::default(),
            events,
            client,
            permits: Semaphore::new(options.concurrency),
            options,
            running: AtomicBool::new(true),
            pending: AtomicUsize::new(0),
            attempts: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            barrier: Barrier::default(),
        });
        let task = tokio::spawn(run(Arc::clone(&shared), inbox, stopped));
        let sender = Self { shared, stop: Some(stop), task: Some(task) };
        for store in stores {
            sender.add(store);
        }
        sender
    }

    /// Starts to deliver the events of another store.
    pub fn add(&self, store: &StoreSim) {
        let index = {
            let mut stores = self.shared.stores.write().expect("no holder of this lock panics");
            stores.push(store.clone());
            stores.len() - 1
        };
        // A weak reference: the store must not keep the sender alive.
        let listener = Arc::downgrade(&self.shared);
        store.subscribe(move |event| {
            if let Some(shared) = listener.upgrade().filter(|shared| shared.running.load(Ordering::Acquire)) {
                shared.pending.fetch_add(1, Ordering::AcqRel);
                if shared.events.send((index, event.clone())).is_err() {
                    shared.done();
                }
            }
        });
    }

    /// Aborts the deliveries under way and waits until all have ended.
    pub async fn stop(mut self) {
        self.shared.running.store(false, Ordering::Release);
        drop(self.stop.take());
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    /// The events acknowledged so far, in the order of the answers. Duplicates are not included.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.shared.acknowledged.lock().expect("no holder of this lock panics").clone()
    }

    /// How many events were acknowledged so far.
    pub fn acknowledged_count(&self) -> usize {
        self.shared.acknowledged.lock().expect("no holder of this lock panics").len()
    }

    /// How many events and deliveries are waiting or under way, retries included.
    pub fn pending(&self) -> usize {
        self.shared.pending.load(Ordering::Acquire)
    }

    /// How many requests were made.
    pub fn attempts(&self) -> u64 {
        self.shared.attempts.load(Ordering::Acquire)
    }

    /// How many deliveries were given up: after the last retry, or because the hook was removed or inactive.
    pub fn abandoned(&self) -> u64 {
        self.shared.abandoned.load(Ordering::Acquire)
    }

    /// Waits until `reached` holds; it is checked after each attempt.
    ///
    /// # Errors
    /// It did not hold in time.
    pub async fn wait_for(&self, reached: impl Fn(&Self) -> bool, timeout: Duration) -> Result<(), TimedOut> {
        self.shared.barrier.wait_for(|| reached(self), timeout).await
    }

    /// Waits until every event so far has been acknowledged or given up.
    ///
    /// # Errors
    /// Some events were not in time.
    pub async fn idle(&self, timeout: Duration) -> Result<(), TimedOut> {
        self.wait_for(|sender| sender.pending() == 0, timeout).await
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.running.store(false, Ordering::Release);
        // Dropping `stop` ends the task, and with it the deliveries it owns.
    }
}

impl Shared {
    fn store(&self, index: usize) -> StoreSim {
        self.stores.read().expect("no holder of this lock panics")[index].clone()
    }

    /// Counts one pending event or delivery as done.
    fn done(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
        self.barrier.changed();
    }
}

/// Owns every delivery: when this task ends, all of them have ended.
async fn run(
    shared: Arc<Shared>,
    mut inbox: mpsc::UnboundedReceiver<(usize, Event)>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut deliveries = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some((index, event)) = inbox.recv() => {
                let store = shared.store(index);
                for hook in store.hooks_for(event.scope()) {
                    shared.pending.fetch_add(1, Ordering::AcqRel);
                    deliveries.spawn(delivery::deliver(Arc::clone(&shared), store.clone(), hook.id, event.clone()));
                }
                shared.done();
            }
            Some(ended) = deliveries.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }
    deliveries.shutdown().await;
}
