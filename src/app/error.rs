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
    #[error("{variable}: cannot listen on {address}: {source}{}", listen_cure(.variable, .source))]
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

fn listen_cure(variable: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("; stop the program that listens there, or set {variable} to a free port"),
        io::ErrorKind::AddrNotAvailable => {
            "; set HOST to an address of this machine, or to 0.0.0.0 for all of them".to_owned()
        }
        io::ErrorKind::PermissionDenied => format!("; set {variable} to a port from 1024 on"),
        _ => String::new(),
    }
}
