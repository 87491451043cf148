//! One relay per file, whatever paths lead to it; and no log is replayed into a file that it does not belong to.
//!
//! The lock is on the file itself (`flock`) and independent of SQLite's own locks. Each relay that takes it gives the
//! file a new mark (`user_version`, in its first page) and writes the mark beside it. If a backup is put in the
//! file's place, the old write-ahead log is recognised as foreign by its different mark.

use std::{fs, path::Path};

use super::{
    file::DatabaseFile,
    marks::write_marks,
    paths::{open_private, unusable},
};
use crate::inbox::InboxError;

/// Keeps other relays from serving the same file. Released when dropped, and by the system when the process dies.
#[derive(Debug)]
pub struct ServeLock {
    _file: fs::File,
}

impl ServeLock {
    /// Takes the lock of the inbox at `path`.
    ///
    /// # Errors
    /// [`InboxError::Unfit`] when another process holds it, or the file cannot be opened.
    pub fn take(path: &Path) -> Result<Self, InboxError> {
        Self::try_take(path)?.ok_or_else(|| {
            // The path may be relative to a folder that the reader of a log does not know.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            InboxError::Unfit(format!("another relay is serving the database {}: stop it first", path.display()))
        })
    }

    /// Like [`ServeLock::take`]; `None` when another process holds the lock.
    ///
    /// # Errors
    /// [`InboxError::Unfit`] when the file cannot be opened, or its log belongs to another file.
    pub fn try_take(path: &Path) -> Result<Option<Self>, InboxError> {
        let path = std::path::absolute(path).map_err(|error| unusable(path, &error))?;
        let file = open_private(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                // Closing the handle would release the locks that SQLite holds on the same file for this process.
                std::mem::forget(file);
                return Ok(None);
            }
            Err(fs::TryLockError::Error(error)) => return Err(unusable(&path, &error)),
        }
        let lock = Self { _file: file };
        renew_mark(&path)?;
        Ok(Some(lock))
    }
}

/// Whether another process serves the file that `file` is a handle of.
pub(super) fn is_taken(file: &fs::File) -> bool {
    match file.try_lock() {
        Ok(()) => {
            // The handle stays open; only the lock is released.
            drop(file.unlock());
            false
        }
        Err(_) => true,
    }
}

/// Gives the file a new mark. The file beside it holds the previous mark as well: whenever the process dies, one of
/// them is right.
fn renew_mark(path: &Path) -> Result<(), InboxError> {
    let file = DatabaseFile::open(path)?;
    let connection = file.connect()?;
    // The checkpoints sync everything that must be on disk before the next step; syncing the commit itself would add
    // nothing.
    file.tell(connection.pragma_update(None, "synchronous", "NORMAL"))?;
    let checkpoint = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    file.tell(checkpoint())?;
    let before: u32 = file.tell(connection.query_row("PRAGMA user_version", [], |row| row.get(0)))?;
    let mark: u32 = rand::random_range(1..i32::MAX.unsigned_abs());
    write_marks(path, before, mark)?;
    file.tell(connection.pragma_update(None, "user_version", mark))?;
    file.tell(checkpoint())
}
