//! Connections for reading: readers and the writer do not wait for each other.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::file::DatabaseFile;
use crate::inbox::InboxError;

/// Concurrent reads.
const READERS: usize = 2;

/// A few connections, opened when first needed.
pub(super) struct Readers {
    file: Arc<DatabaseFile>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub fn new(file: Arc<DatabaseFile>) -> Self {
        Self { file, idle: Arc::default(), turns: Arc::new(Semaphore::new(READERS)) }
    }

    /// Runs a read on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, InboxError> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| InboxError::Closed)?;
        let (file, idle) = (self.file.clone(), self.idle.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let kept = idle.lock().pop();
            let connection = match kept {
                Some(connection) => connection,
                None => file.connect()?,
            };
            let result = file.tell(read(&connection))?;
            idle.lock().push(connection);
            Ok(result)
        });
        reading.await.unwrap_or(Err(InboxError::Closed))
    }

    /// Waits for running reads to end, and accepts no more.
    pub async fn close(&self) {
        // A running read holds a permit.
        drop(self.turns.acquire_many(u32::try_from(READERS).unwrap_or(1)).await);
        self.turns.close();
        self.idle.lock().clear();
    }
}
