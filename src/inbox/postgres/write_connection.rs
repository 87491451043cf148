//! The connection of a writer, reopened after failures.

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use super::{
    session::{DISCONNECT_TIMEOUT, connect},
    shared::Shared,
};
use crate::inbox::InboxError;

/// A connection for changes, opened when needed and dropped after a failure, when its state is unknown.
pub(super) struct WriteConnection {
    shared: Arc<Shared>,
    open: Option<PgConnection>,
}

impl WriteConnection {
    pub fn new(shared: &Arc<Shared>, open: PgConnection) -> Self {
        Self { shared: shared.clone(), open: Some(open) }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The open connection, or a new one, unless this relay must no longer use the database.
    pub async fn get(&mut self) -> Result<&mut PgConnection, InboxError> {
        if let Some(reason) = self.shared.superseded.borrow().clone() {
            return Err(reason);
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => connect(&self.shared.options, &self.shared.clock).await?,
        };
        Ok(self.open.insert(open))
    }

    pub async fn close(&mut self) {
        if let Some(connection) = self.open.take() {
            // If the server does not receive the goodbye, it notices the closed socket.
            drop(tokio::time::timeout(DISCONNECT_TIMEOUT, connection.close()).await);
        }
    }
}
