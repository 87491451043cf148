//! Recognises pages that bring nothing new.

use std::collections::HashSet;

use super::Row;
use crate::object::{Digest, ObjectId};

/// The rows of the numbered pages since one moment.
#[derive(Default)]
pub(super) struct Met {
    rows: HashSet<(ObjectId, Digest)>,
    repeated: u32,
}

impl Met {
    /// Adds a page. Returns how many consecutive pages have held nothing but rows of earlier ones.
    pub fn again(&mut self, page: &[Row]) -> u32 {
        let mut is_new = page.is_empty();
        for row in page {
            is_new |= self.rows.insert((row.snapshot.id.clone(), row.digest));
        }
        self.repeated = if is_new { 0 } else { self.repeated + 1 };
        self.repeated
    }
}
