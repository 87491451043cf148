//! One relay per file, whatever names lead to it; and no log is replayed into a file that it does not belong to.
//!
//! The lock is on the file itself (`flock`), beside SQLite's own locks, which are of another kind. Each relay that takes it
//! gives the file a new mark (`user_version`, in its first page) and writes the mark beside it. A write-ahead log that was
//! left by another file (a backup was put in its place) is noticed by the marks that differ.

use std::{
    fs,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::file::{DatabaseFile, beside, open_private, unusable};
use crate::inbox::InboxError;

/// Where the file's first page holds `user_version` (SQLite, "Database File Format", 1.3).
const MARK_OFFSET: u64 = 60;
/// Beside the file: the marks that it may have, the one before and the present one.
const MARKS: &str = "-mark";

/// Keeps other relays from serving the same file. Freed when dropped, and by the system when the process dies.
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
            InboxError::Unfit(format!("another relay is serving the database {}: stop it first", path.display()))
        })
    }

    /// The same; `None` when another process holds it.
    ///
    /// # Errors
    /// [`InboxError::Unfit`] when the file cannot be opened, or its log belongs to another file.
    pub fn try_take(path: &Path) -> Result<Option<Self>, InboxError> {
        let path = std::path::absolute(path).map_err(|error| unusable(path, &error))?;
        let file = open_private(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                // Closing it would end the locks that SQLite holds on the same file for this process.
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
            // The handle stays open; only the lock is given back.
            drop(file.unlock());
            false
        }
        Err(_) => true,
    }
}

/// The mark in the file's first page, as it is without its log.
fn mark_of(file: &fs::File) -> Option<u32> {
    let mut mark = [0; 4];
    file.read_exact_at(&mut mark, MARK_OFFSET).ok()?;
    Some(u32::from_be_bytes(mark))
}

fn marks_beside(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(beside(path, MARKS)).unwrap_or_default();
    text.split_whitespace().filter_map(|mark| mark.parse().ok()).collect()
}

/// Whether the write-ahead log beside a file is its own.
///
/// # Errors
/// [`InboxError::Unfit`] when it is another file's: replayed, it would damage this one.
pub(super) fn check_log(path: &Path, file: &fs::File) -> Result<(), InboxError> {
    let log = beside(path, "-wal");
    let has_log = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let marks = marks_beside(path);
    // Without marks nobody has served it yet.
    if !has_log || marks.is_empty() {
        return Ok(());
    }
    match mark_of(file) {
        Some(mark) if marks.contains(&mark) => Ok(()),
        _ => Err(InboxError::Unfit(format!(
            "the write-ahead log {} belongs to another file than the database {}: was a backup put in its place? Move the \
             log (and {}) away, or put the database back that it belongs to",
            log.display(),
            path.display(),
            beside(path, MARKS).display()
        ))),
    }
}

/// Gives the file a new mark. The marks beside it name the one before as well: whenever the process dies, one of them is right.
fn renew_mark(path: &Path) -> Result<(), InboxError> {
    let file = DatabaseFile::open(path)?;
    let connection = file.connect()?;
    let checkpoint = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    file.tell(checkpoint())?;
    let before: u32 = file.tell(connection.query_row("PRAGMA user_version", [], |row| row.get(0)))?;
    let mark: u32 = rand::random_range(1..i32::MAX.unsigned_abs());
    write_marks(path, before, mark)?;
    file.tell(connection.pragma_update(None, "user_version", mark))?;
    file.tell(checkpoint())
}

fn write_marks(path: &Path, before: u32, mark: u32) -> Result<(), InboxError> {
    let (name, partial) = (beside(path, MARKS), beside(path, "-mark.partial"));
    let written = || {
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        std::io::Write::write_all(&mut file, format!("{before} {mark}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, &name)
    };
    written().map_err(|error| unusable(path, &error))
}
