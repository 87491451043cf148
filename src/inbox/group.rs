//! Group commit: whatever has come in is changed together, in one transaction, and only then is everybody answered. A sync,
//! and a way to a server and back, costs as much for one change as for hundreds.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use tokio::sync::{oneshot, watch};

use super::{
    InboxError,
    change::{Change, Done},
    queue::Jobs,
};

/// How a writer makes up its batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batches {
    /// Changes in one transaction, at most: keeps one batch's time in bounds.
    most: usize,
    /// The longest wait for a batch to fill up.
    gathering: Duration,
}

impl Batches {
    /// For those who come again and again.
    pub const GATHERED: Self = Self { most: 512, gathering: Duration::from_millis(1) };
    /// Of what is there.
    pub const AS_THEY_COME: Self = Self { most: 512, gathering: Duration::ZERO };
    /// Each change for itself.
    pub const OF_ONE: Self = Self { most: 1, gathering: Duration::ZERO };
}

/// Up to so many are not worth dividing.
const SMALL_BATCH: usize = 16;

/// Where batches are kept.
pub(super) trait Ledger: Send {
    /// Makes all of these changes, durably, or none. Their order is free, since nobody has been answered yet. Returns what
    /// each came to.
    fn keep(&mut self, changes: &[Change]) -> impl Future<Output = Result<Vec<Done>, InboxError>> + Send;

    /// Whether others keep the database busy as well.
    fn has_company(&self) -> bool {
        false
    }

    /// Parts with its connection: after a failure, when it may be in any state, and at the end.
    fn part(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether nothing more can be kept after this failure.
    fn is_over(_: &InboxError) -> bool {
        false
    }
}

/// A batch that has been kept, while those who wait for it do not know yet.
struct Kept {
    replies: Vec<oneshot::Sender<Result<Done, InboxError>>>,
    done: Vec<Done>,
    brings_work: bool,
}

impl Kept {
    fn tell(self, arrivals: &watch::Sender<u64>) {
        if self.brings_work {
            arrivals.send_modify(|count| *count += 1);
        }
        // Whoever no longer waits (a dropped request) needs no answer.
        self.replies.into_iter().zip(self.done).for_each(|(reply, done)| drop(reply.send(Ok(done))));
    }
}

/// Serves jobs until every sender is gone.
///
/// While one half of those who come again and again waits for the disk, the other half is answered and comes back: neither
/// the disk nor the processors wait for each other. So a batch takes no more than half, and sets out before the last one's
/// answers do, since these bring the work that it would have to compete with. Where others see to it that the database does
/// not wait, all come along: fewer batches are less work for it.
pub(super) async fn run<L: Ledger>(mut ledger: L, mut jobs: Jobs, batches: Batches, arrivals: watch::Sender<u64>) {
    let mut batch = Vec::with_capacity(batches.most);
    let mut kept: Option<Kept> = None;
    loop {
        let last = kept.as_ref().map_or(0, |kept| kept.replies.len());
        let all = last + jobs.waiting();
        let share = if ledger.has_company() { all } else { all / 2 }.min(batches.most);
        let room = share.max(SMALL_BATCH).min(batches.most);
        // The answers go first where the next batch is not there yet; where nobody waits, it may never be.
        if let Some(kept) = kept.take_if(|_| jobs.waiting() < share.max(1)) {
            kept.tell(&arrivals);
        }
        if jobs.take(&mut batch, room).await == 0 {
            break;
        }
        // Those who were answered together come back together: the first one back has no batch to itself while all the others
        // wait for the next.
        jobs.gather(&mut batch, share, room, batches.gathering).await;
        // Whoever gave up while the database did not answer must not hold up those who have not.
        batch.retain(|job| job.counts());
        if batch.is_empty() {
            continue;
        }
        let (changes, replies): (Vec<_>, Vec<_>) = batch.drain(..).map(|job| (job.change, job.reply)).unzip();
        let done = {
            let mut keeping = pin!(ledger.keep(&changes));
            let at_once = keeping.as_mut().now_or_never();
            if let Some(kept) = kept.take() {
                kept.tell(&arrivals);
            }
            match at_once {
                Some(done) => done,
                None => keeping.await,
            }
        };
        match done {
            Ok(done) => {
                let brings_work = changes.iter().any(Change::brings_work);
                kept = Some(Kept { replies, done, brings_work });
            }
            Err(error) => {
                tracing::error!(%error, changes = replies.len(), "a batch could not be stored: {error}");
                replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
                ledger.part().await;
                if L::is_over(&error) {
                    return;
                }
            }
        }
    }
    ledger.part().await;
}
