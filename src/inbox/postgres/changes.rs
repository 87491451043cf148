//! Changes that are not batched: one after the other, on a connection of their own.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use tokio::sync::{Mutex, oneshot};

use super::write_connection::WriteConnection;
use crate::inbox::InboxError;

/// The connection, until it is closed.
#[derive(Clone)]
pub(super) struct Changes(Arc<Mutex<Option<WriteConnection>>>);

impl Changes {
    pub fn new(connection: WriteConnection) -> Self {
        Self(Arc::new(Mutex::new(Some(connection))))
    }

    /// Runs `work` when its turn comes, unless its caller has stopped waiting by then. Once begun, it runs to the end
    /// even if the caller is dropped: others wait for the connection.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, InboxError>> + Send + 'static,
    ) -> Result<T, InboxError> {
        let (reply, answer) = oneshot::channel();
        let connection = self.0.clone();
        // The lock is granted in the order of asking, so `close` comes last.
        tokio::spawn(async move {
            let mut turn = connection.lock().await;
            if reply.is_closed() {
                return;
            }
            let done = match turn.as_mut() {
                Some(connection) => run(connection, work).await,
                None => Err(InboxError::Closed),
            };
            drop(turn);
            drop(reply.send(done));
        });
        answer.await.map_err(|_| InboxError::Closed)?
    }

    /// Waits for the changes asked for before, and closes the connection.
    pub async fn close(&self) {
        if let Some(mut connection) = self.0.lock().await.take() {
            connection.close().await;
        }
    }
}

async fn run<T>(
    connection: &mut WriteConnection,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, InboxError>>,
) -> Result<T, InboxError> {
    let done = work(connection.get().await?).await;
    if done.is_err() {
        connection.close().await;
    }
    done
}
