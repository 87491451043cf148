//! Reads request bodies: limited in size, in time, and in the memory that they take together. Most are not proven yet.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_web::{http::header::HeaderMap, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::object::ConnectionId;

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a body waits for memory.
const WAIT_TIME: Duration = Duration::from_secs(20);
/// Bytes of each body that do not count: a genuine webhook of BigCommerce has a few hundred bytes, and can always be
/// read.
const FREE: usize = 4 * 1024;
/// Larger bodies than this take their memory from a part of its own, so that they leave the others theirs.
const LARGE: usize = 256 * 1024;
/// Memory for all bodies together beyond [`FREE`], in KiB: for those that are not large, and for the large ones.
const TOTAL_KIB: [usize; 2] = [8 * 1024, 16 * 1024];

/// Whose memory a body takes. No sender can use up what the others need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    /// Whoever posts to the webhook address of this BigCommerce store. That of the environment's store is known to
    /// anybody.
    Store(ConnectionId),
    /// Whoever posts to the webhook address of this WooCommerce shop, which only the shop knows.
    Shop(ConnectionId),
    /// A client whose credentials have been checked.
    Client,
    /// Anybody else.
    Visitor,
}

impl Sender {
    /// The part of each total that it may use, in KiB: the largest body that it may send, or many of its usual ones.
    /// And how many bodies may wait for that; each may have taken up some KiB already.
    fn share(self) -> ([usize; 2], usize) {
        match self {
            Self::Store(_) => ([2 * 1024, 0], 32),
            Self::Shop(_) => ([2 * 1024, 8 * 1024], 256),
            Self::Client => ([1024, 4 * 1024], 64),
            Self::Visitor => ([1024, 0], 32),
        }
    }
}

/// The memory for bodies.
pub(super) struct Bodies {
    totals: [Arc<Semaphore>; 2],
    shares: Mutex<HashMap<Sender, Arc<Share>>>,
}

/// The memory for the bodies of one sender, and the places for those that wait for it.
struct Share {
    rooms: [Arc<Semaphore>; 2],
    waiting: Arc<Semaphore>,
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits))
}

impl Default for Bodies {
    fn default() -> Self {
        Self { totals: TOTAL_KIB.map(semaphore), shares: Mutex::default() }
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    Incomplete,
    /// The memory is used up by other bodies.
    Crowded,
}

/// A body, and the memory that it holds until it is dropped.
pub(super) struct Body {
    pub bytes: Bytes,
    _memory: Option<Memory>,
}

/// What a body may hold of its sender's share and of the total. Keeps the share from being forgotten.
struct Memory {
    _own: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
    _share: Arc<Share>,
}

impl Bodies {
    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`]; 20 seconds may pass until there is memory for the body, and 10 until it has come.
    pub async fn read(
        &self,
        sender: Sender,
        headers: &HeaderMap,
        mut payload: web::Payload,
        limit: usize,
    ) -> Result<Body, BodyError> {
        let announced = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(BodyError::TooLarge);
        }
        // Not every way to send a body keeps it within the length that was announced.
        let limit = announced.unwrap_or(limit);
        let mut deadline = Instant::now() + BODY_TIME;
        let (mut bytes, mut memory, mut has_room_for) = (BytesMut::new(), None, FREE);
        while let Some(chunk) = timeout_at(deadline, payload.next()).await.map_err(|_| BodyError::Incomplete)? {
            let chunk = chunk.map_err(|_| BodyError::Incomplete)?;
            let size = bytes.len() + chunk.len();
            if size > limit {
                return Err(BodyError::TooLarge);
            }
            // All that it may need at once: two bodies that each waited for more would wait for each other. Only one of
            // an unknown length turns out to be large later, and gives back what it had.
            if size > has_room_for {
                has_room_for = if announced.is_none() && size <= LARGE { limit.min(LARGE) } else { limit };
                drop(memory.take());
                let began = Instant::now();
                memory = Some(self.memory(sender, has_room_for).await?);
                deadline += began.elapsed();
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: bytes.freeze(), _memory: memory })
    }

    /// Waits in turn for memory for a body of at most `size` bytes.
    async fn memory(&self, sender: Sender, size: usize) -> Result<Memory, BodyError> {
        let kib = u32::try_from((size - FREE).div_ceil(1024)).map_err(|_| BodyError::TooLarge)?;
        let (share, part) = (self.share(sender), usize::from(size > LARGE));
        let place = share.waiting.clone().try_acquire_owned().map_err(|_| BodyError::Crowded)?;
        let acquired = timeout(WAIT_TIME, async {
            let own = share.rooms[part].clone().acquire_many_owned(kib).await?;
            Ok::<_, tokio::sync::AcquireError>((own, self.totals[part].clone().acquire_many_owned(kib).await?))
        });
        let Ok(Ok((own, total))) = acquired.await else { return Err(BodyError::Crowded) };
        drop(place);
        Ok(Memory { _own: own, _total: total, _share: share })
    }

    fn share(&self, sender: Sender) -> Arc<Share> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(&sender) {
            return share.clone();
        }
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let (kib, places) = sender.share();
        let share = Arc::new(Share { rooms: kib.map(semaphore), waiting: semaphore(places) });
        shares.insert(sender, share.clone());
        share
    }
}
