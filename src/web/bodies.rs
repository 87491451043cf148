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
/// Memory for all bodies together beyond that, in KiB.
const TOTAL_KIB: usize = 16 * 1024;
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
    /// The part of the total that it may use, in KiB: the largest body that it may send, or many of its usual ones.
    /// And how many bodies may wait for that; each may have taken up some KiB already.
    fn share(self) -> (usize, usize) {
        match self {
            Self::Store(_) => (2 * 1024, 32),
            Self::Shop(_) => (8 * 1024, 256),
            Self::Client => (4 * 1024, 64),
            Self::Visitor => (1024, 32),
        }
    }
}

/// The memory for bodies.
pub(super) struct Bodies {
    total: Arc<Semaphore>,
    shares: Mutex<HashMap<Sender, Arc<Share>>>,
}

/// The memory for the bodies of one sender, and the places for those that wait for it.
struct Share {
    room: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { total: Arc::new(Semaphore::new(TOTAL_KIB)), shares: Mutex::default() }
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
        let mut deadline = Instant::now() + BODY_TIME;
        let (mut bytes, mut memory) = (BytesMut::new(), None);
        while let Some(chunk) = timeout_at(deadline, payload.next()).await.map_err(|_| BodyError::Incomplete)? {
            let chunk = chunk.map_err(|_| BodyError::Incomplete)?;
            if bytes.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge);
            }
            // All of it at once: two bodies that each waited for the rest of their memory would wait for each other.
            if memory.is_none() && bytes.len() + chunk.len() > FREE {
                let began = Instant::now();
                memory = Some(self.memory(sender, announced.unwrap_or(limit).saturating_sub(FREE)).await?);
                deadline += began.elapsed();
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: bytes.freeze(), _memory: memory })
    }

    /// Waits for memory in turn.
    async fn memory(&self, sender: Sender, size: usize) -> Result<Memory, BodyError> {
        let kib = u32::try_from(size.div_ceil(1024)).map_err(|_| BodyError::TooLarge)?;
        let share = self.share(sender);
        let place = share.waiting.clone().try_acquire_owned().map_err(|_| BodyError::Crowded)?;
        let acquired = timeout(WAIT_TIME, async {
            let own = share.room.clone().acquire_many_owned(kib).await?;
            Ok::<_, tokio::sync::AcquireError>((own, self.total.clone().acquire_many_owned(kib).await?))
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
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (kib, places) = sender.share();
        let share = Arc::new(Share { room: semaphore(kib), waiting: semaphore(places) });
        shares.insert(sender, share.clone());
        share
    }
}
