//! The inbox in a SQLite file: one writer with group commit on a thread of its own, a few readers beside it.
//!
//! `file` opens and guards the file, `serve_lock` keeps it to one relay, `writer` commits; `events`, `claims`,
//! `reads`, `connections` and `tables` hold the SQL. `inbox::state` has the rules for a row.

mod claims;
mod connections;
mod events;
mod file;
mod inbox;
mod key_requests;
mod marks;
mod migrations;
pub(super) mod paths;
mod readers;
mod reads;
mod rows;
mod serve_lock;
mod tables;
mod transaction;
mod writer;

use std::{path::Path, sync::Arc};

use tokio::sync::watch;

use super::{InboxError, WorkSignal};
use file::DatabaseFile;
use readers::Readers;
use writer::Writer;

pub use file::{connect, is_there};
pub use serve_lock::ServeLock;

/// An inbox in a SQLite file.
pub struct SqliteInbox {
    file: Arc<DatabaseFile>,
    writer: Writer,
    readers: Readers,
    work: WorkSignal,
    /// This process's owner number among those that share the file.
    owner: i64,
    superseded: watch::Sender<Option<InboxError>>,
}

impl SqliteInbox {
    /// Opens or creates the file, checks it, and brings its tables up to date.
    ///
    /// # Errors
    /// [`InboxError::Damaged`] for a file that is not a sound database, which is left as it is.
    /// [`InboxError::Unavailable`] or [`InboxError::Unfit`] for one that cannot be opened, needs a newer relay, or
    /// has the log of another file.
    pub async fn open(path: &Path) -> Result<Self, InboxError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let file = Arc::new(DatabaseFile::open(&path)?);
            let connection = file.prepared()?;
            Ok::<_, InboxError>((file, connection))
        });
        let (file, connection) = opened.await.unwrap_or(Err(InboxError::Closed))?;
        let (work, superseded) = (WorkSignal::default(), watch::Sender::new(None));
        let writer = Writer::start(connection, file.clone(), work.clone(), superseded.clone());
        let readers = Readers::new(file.clone());
        Ok(Self { file, writer, readers, work, owner: rand::random(), superseded })
    }
}
