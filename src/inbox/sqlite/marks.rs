//! Tells which file a write-ahead log belongs to: each relay that serves a file gives it a new mark (`user_version`,
//! in its first page) and writes the mark to a file beside it.

use std::{
    fs,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::paths::{beside, unusable};
use crate::inbox::InboxError;

/// The offset of `user_version` in the file's first page (SQLite, "Database File Format", 1.3).
const MARK_OFFSET: u64 = 60;
/// The suffix of the file with the marks that the database may have, the previous and the current one.
const MARKS: &str = "-mark";

/// The mark in the file's first page, without regard to its log.
fn mark_of(file: &fs::File) -> Option<u32> {
    let mut mark = [0; 4];
    file.read_exact_at(&mut mark, MARK_OFFSET).ok()?;
    Some(u32::from_be_bytes(mark))
}

fn marks_beside(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(beside(path, MARKS)).unwrap_or_default();
    text.split_whitespace().filter_map(|mark| mark.parse().ok()).collect()
}

/// Checks that the write-ahead log beside a file is its own.
///
/// # Errors
/// [`InboxError::Unfit`] if it is another file's: replaying it would damage this one.
pub(super) fn check_log(path: &Path, file: &fs::File) -> Result<(), InboxError> {
    let log = beside(path, "-wal");
    let has_log = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let marks = marks_beside(path);
    // Without marks, the file has never been served.
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

/// Writes the marks that the file may have from now on.
pub(super) fn write_marks(path: &Path, before: u32, mark: u32) -> Result<(), InboxError> {
    let (name, partial) = (beside(path, MARKS), beside(path, "-mark.partial"));
    let written = || {
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        std::io::Write::write_all(&mut file, format!("{before} {mark}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, &name)
    };
    written().map_err(|error| unusable(path, &error))
}
