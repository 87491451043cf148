//! Why the relay cannot start, or has to end.

use std::{io, net::SocketAddr};

use crate::{inbox::InboxError, services::ServicesError};

/// Why the relay cannot start, or has to end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Another process serves the database, or its lock cannot be had.
    #[error("DATABASE_URL: {0}")]
    Lock(#[source] InboxError),
    /// What service and commands share cannot be had.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// The database must not be used any more.
    #[error(transparent)]
    Superseded(InboxError),
    /// A port cannot be listened on.
    #[error("{variable}: cannot listen on {address}: {source}")]
    Listen {
        /// The variable that names the port or the address.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The HTTP server gave up.
    #[error("the HTTP server failed: {0}")]
    Server(#[from] io::Error),
    /// A part that should run for ever has ended.
    #[error("{0} has ended unexpectedly")]
    Ended(&'static str),
}
