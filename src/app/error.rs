//! Why the relay cannot start, or has to end.

use std::{io, net::SocketAddr};

use crate::{inbox::InboxError, services::ServicesError};

/// Why the relay cannot start, or has to end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Another process serves the database, or its lock cannot be taken.
    #[error("DATABASE_URL: {0}")]
    Lock(#[source] InboxError),
    /// The database or the clients that the service and the commands share cannot be set up.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// A newer relay has altered the tables, or the database file has been replaced.
    #[error(transparent)]
    Superseded(InboxError),
    /// A port cannot be listened on.
    #[error("{variable}: cannot listen on {address}: {source}{}", listen_cure(.variable, .source))]
    Listen {
        /// The variable that sets the port or the address.
        variable: &'static str,
        /// The address that could not be bound.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The HTTP server ended with an error.
    #[error("the HTTP server failed: {0}")]
    Server(#[from] io::Error),
    /// A task that should run for as long as the relay does has ended.
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
