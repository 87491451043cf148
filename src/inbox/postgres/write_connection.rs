//! A connection for changes.

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use super::{
    session::{DISCONNECT_TIMEOUT, connect},
    shared::Shared,
};
use crate::inbox::InboxError;

/// A connection for changes, made when it is needed and dropped after a failure, when it may be in any state.
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

    /// A usable connection, unless this relay must not use the database any more.
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
            // A server that does not hear it notices the closed socket.
            drop(tokio::time::timeout(DISCONNECT_TIMEOUT, connection.close()).await);
        }
    }
}
