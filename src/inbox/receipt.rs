//! The marks that identify an event when it comes again.

use sha2::{Digest as _, Sha256};

use super::Arrival;

/// The receipt of an event: within its object, either mark identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Receipt {
    /// The mark of the event's own id; without one, the same as `content_key`.
    pub key: i64,
    /// The mark of its content and second, shared by two hooks that fire for one event; without content, the same as
    /// `key`.
    pub content_key: i64,
}

impl Receipt {
    /// The receipt of an event; `None` if nothing identifies it.
    pub fn of(arrival: &Arrival) -> Option<Self> {
        let mark = |kind: &[u8], parts: &[&[u8]]| {
            let mut hasher = Sha256::new();
            hasher.update(kind);
            parts.iter().for_each(|part| hasher.update(part));
            let mut first = [0; 8];
            first.copy_from_slice(&hasher.finalize()[..8]);
            i64::from_le_bytes(first)
        };
        let by_id = arrival.event_id.as_ref().map(|id| mark(b"id\0", &[id.as_bytes()]));
        let second = arrival.created_at.unwrap_or(-1).to_le_bytes();
        let by_content = arrival.content.as_ref().map(|content| mark(b"hash\0", &[&second, content.as_bytes()]));
        Some(Self { key: by_id.or(by_content)?, content_key: by_content.or(by_id)? })
    }

    /// Both marks.
    pub fn marks(&self) -> [i64; 2] {
        [self.key, self.content_key]
    }
}
