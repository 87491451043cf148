//! Reads bodies that are not proven yet: limited in size, in time, and in the memory that they take together.

use std::time::Duration;

use actix_web::{http::header::HeaderMap, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Bytes of each body that do not count: a genuine webhook of BigCommerce has a few hundred bytes, and can always be
/// read.
const FREE: usize = 4 * 1024;
/// Memory for all bodies together beyond that, in KiB.
const TOTAL_KIB: usize = 16 * 1024;

/// The memory for bodies that are not proven yet.
pub(super) struct Unproven(Semaphore);

impl Default for Unproven {
    fn default() -> Self {
        Self(Semaphore::new(TOTAL_KIB))
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

/// A body, and its share of the memory, which it holds until dropped.
pub(super) struct Body<'a> {
    pub bytes: Bytes,
    _share: Option<SemaphorePermit<'a>>,
}

impl Unproven {
    /// Reads a body of at most `limit` bytes.
    pub async fn read(&self, headers: &HeaderMap, payload: web::Payload, limit: usize) -> Result<Body<'_>, BodyError> {
        let announced = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(BodyError::TooLarge);
        }
        match tokio::time::timeout(BODY_TIME, self.collect(payload, limit)).await {
            Ok(body) => body,
            Err(_) => Err(BodyError::Incomplete),
        }
    }

    async fn collect(&self, mut payload: web::Payload, limit: usize) -> Result<Body<'_>, BodyError> {
        let mut bytes = BytesMut::new();
        let mut share: Option<SemaphorePermit<'_>> = None;
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| BodyError::Incomplete)?;
            if bytes.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge);
            }
            let needed = (bytes.len() + chunk.len()).saturating_sub(FREE).div_ceil(1024);
            let held = share.as_ref().map_or(0, SemaphorePermit::num_permits);
            if needed > held {
                let more = u32::try_from(needed - held).map_err(|_| BodyError::TooLarge)?;
                let more = self.0.try_acquire_many(more).map_err(|_| BodyError::Crowded)?;
                match &mut share {
                    Some(share) => share.merge(more),
                    None => share = Some(more),
                }
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: bytes.freeze(), _share: share })
    }
}
