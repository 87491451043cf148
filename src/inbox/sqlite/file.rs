//! The database file: opened with settings that are read back, accessible to its owner alone, and recognised by its
//! device and inode.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    marks, migrations,
    paths::{beside, open_private, restrict, sqlite_cure, unusable},
};
use crate::inbox::InboxError;

/// How long another process (one of the relay's own commands) may hold the lock before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Files up to this size are checked whole at every start. 16 MiB take a few milliseconds.
const CHECKED_AT_START: u64 = 16 * 1024 * 1024;
/// Compiled statements cached by each connection.
const STATEMENTS: usize = 128;

/// Set on every connection. A checkpoint every 16 MiB instead of 4: pages that are rewritten often are copied less
/// often. No temporary files are written beside the database.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
    PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -8000;";

/// A database file, and its identity when it was opened.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    identity: (u64, u64),
    /// Kept open as long as the inbox, to find out whether another process serves the file: closing any handle of a
    /// file releases the locks that SQLite holds on it for this process.
    pub(super) probe: fs::File,
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl DatabaseFile {
    /// Opens or creates the file, readable and writable for its owner alone.
    pub fn open(path: &Path) -> Result<Self, InboxError> {
        let path = std::path::absolute(path).map_err(|error| unusable(path, &error))?;
        let probe = open_private(&path)?;
        let identity = identity(&probe.metadata().map_err(|error| unusable(&path, &error))?);
        for name in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")] {
            restrict(&name);
        }
        marks::check_log(&path, &probe)?;
        Ok(Self { path, identity, probe })
    }

    /// A connection to a file that has been checked and has this relay's tables.
    pub fn prepared(&self) -> Result<Connection, InboxError> {
        let mut connection = self.connect()?;
        if self.probe.metadata().is_ok_and(|file| file.len() <= CHECKED_AT_START) {
            let found: String = self.tell(connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
            if found != "ok" {
                return Err(InboxError::Damaged(Arc::new(io::Error::other(found))));
            }
        }
        migrations::run(&mut connection).map_err(|error| error.or_else(|error| self.error(error)))?;
        for suffix in ["-wal", "-shm"] {
            restrict(&beside(&self.path, suffix));
        }
        Ok(connection)
    }

    /// A connection with its settings read back: SQLite silently ignores a setting that it cannot apply.
    pub fn connect(&self) -> Result<Connection, InboxError> {
        self.tell(connect_to(&self.path))?.map_err(InboxError::Unfit)
    }

    /// Checks that the path still leads to the file that was opened.
    ///
    /// # Errors
    /// [`InboxError::Unfit`] if it does not: whatever is written now would be lost.
    pub fn check(&self) -> Result<(), InboxError> {
        match fs::metadata(&self.path) {
            Ok(file) if identity(&file) == self.identity => Ok(()),
            Ok(_) => Err(self.lost("another file has taken its place")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.lost("it has been deleted")),
            // A directory that cannot be read for a moment proves nothing.
            Err(_) => Ok(()),
        }
    }

    fn lost(&self, what: &str) -> InboxError {
        InboxError::Unfit(format!(
            "the database {} must not be used any more: {what} while the relay was running; put the right file back and \
             start the relay again",
            self.path.display()
        ))
    }

    /// Converts SQLite's error to the inbox's, with the path, and the cure where one is known.
    pub fn error(&self, error: rusqlite::Error) -> InboxError {
        let cure = sqlite_cure(&self.path, &error).map_or_else(String::new, |cure| format!("; {cure}"));
        let is_damage = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        let error = Arc::new(FileError { path: self.path.clone(), cure, source: error });
        if is_damage { InboxError::Damaged(error) } else { InboxError::Unavailable(error) }
    }

    /// Converts the error of a result.
    pub fn tell<T>(&self, result: rusqlite::Result<T>) -> Result<T, InboxError> {
        result.map_err(|error| self.error(error))
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}{cure}", path.display())]
struct FileError {
    path: PathBuf,
    cure: String,
    source: rusqlite::Error,
}

/// Whether there is a file at this path.
pub fn is_there(path: &Path) -> bool {
    path.is_file()
}

/// A separate connection to the file at `path`, for reading all of it.
///
/// # Errors
/// [`InboxError`], with the database's own error.
pub fn connect(path: &Path) -> Result<Connection, InboxError> {
    let file = DatabaseFile::open(path)?;
    let connection = file.connect()?;
    // Closing the handle would release the locks that SQLite holds on the file for this process.
    std::mem::forget(file);
    Ok(connection)
}

fn connect_to(path: &Path) -> rusqlite::Result<Result<Connection, String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    if journal == "wal" && synchronous == 2 {
        return Ok(Ok(connection));
    }
    Ok(Err(format!(
        "the database {} did not take its settings (journal_mode {journal}, synchronous {synchronous}): is it on a \
         network file system?",
        path.display()
    )))
}
