//! Why a command failed, in one sentence for the terminal, and the exit code that follows from it.

use std::{fmt::Display, process::ExitCode};

use super::terminal::print_note;
use crate::{
    connection::{Connection, catalog::CatalogError},
    directory::DirectoryError,
    http::{CallError, Failure},
    humanize,
    inbox::InboxError,
    reconcile::PollError,
    registrar::RegistrarError,
    services::ServicesError,
    spec::{SourceKind, keyring::KeyringError},
};

/// The exit code for wrong usage or wrong configuration.
pub const WRONG: u8 = 2;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct CommandError {
    message: String,
    /// Whether the arguments make no sense, or the configuration does not allow them.
    is_wrong_usage: bool,
}

impl CommandError {
    /// A failure to do what was asked for.
    pub fn failed(message: impl Display) -> Self {
        Self { message: message.to_string(), is_wrong_usage: false }
    }

    /// A failure because the arguments make no sense, or the variables do not allow them.
    pub fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), is_wrong_usage: true }
    }

    /// The failure of a call to a store, with its cure.
    pub fn of_call(error: &CallError, connection: &Connection) -> Self {
        let said = format!("{}: {}", store_of(connection), humanize::failure(error.failure));
        Self::failed(with_cure(&said, cure(error.failure, connection)))
    }

    /// The failure to read or change hooks.
    pub fn of_hooks(error: &RegistrarError, connection: &Connection) -> Self {
        match error {
            RegistrarError::Call(error) => Self::of_call(error, connection),
            RegistrarError::NoPublicUrl => Self::usage(
                "PUBLIC_URL is not set: the relay's webhooks lead to it, and are told from others by it. Set it as the \
                 relay has it",
            ),
            _ => Self::failed(error),
        }
    }

    /// The failure of a walk through past orders.
    pub fn of_poll(error: &PollError, connection: &Connection) -> Self {
        match error {
            PollError::Call(error) => Self::of_call(error, connection),
            _ => Self::failed(error),
        }
    }

    /// The same failure with a further sentence.
    pub fn and(self, more: impl Display) -> Self {
        Self { message: with_cure(&self.message, Some(&more.to_string())), ..self }
    }
}

/// The store of a connection as people name it: `BigCommerce (abcde)`.
pub(super) fn store_of(connection: &Connection) -> String {
    let kind = match connection.source_kind {
        SourceKind::BigCommerce => "BigCommerce",
        SourceKind::WooCommerce => "WooCommerce",
    };
    format!("{kind} ({})", humanize::printable(&connection.store))
}

fn with_cure(said: &str, cure: Option<&str>) -> String {
    match cure {
        Some(cure) => format!("{}. {cure}", said.trim_end_matches('.')),
        None => said.to_owned(),
    }
}

/// The cure for a call that a store refuses, if there is one besides trying again.
fn cure(failure: Failure, connection: &Connection) -> Option<&'static str> {
    let environments = connection.is_environments();
    match (failure, connection.source_kind) {
        (Failure::Status(401), SourceKind::BigCommerce) if environments => Some(
            "The access token is refused: set BIGCOMMERCE_ACCESS_TOKEN anew, and BIGCOMMERCE_CLIENT_SECRET from the \
             same API account",
        ),
        (Failure::Status(401), SourceKind::BigCommerce) => {
            Some("The access token is refused: give the connection a new one, or install the app again")
        }
        (Failure::Status(403), SourceKind::BigCommerce) => {
            Some("The access token lacks a right: its API account needs the scope Orders: read-only")
        }
        (Failure::Status(404), SourceKind::BigCommerce) => Some("There is no store with this hash: check it"),
        (Failure::Status(401 | 403), SourceKind::WooCommerce) => {
            Some("The consumer key is refused: give the connection a key that may read orders and write webhooks")
        }
        (Failure::Status(404), SourceKind::WooCommerce) => {
            Some("There is no WooCommerce REST API at this address: check it, and the shop's permalinks")
        }
        _ => None,
    }
}

impl From<InboxError> for CommandError {
    fn from(error: InboxError) -> Self {
        Self::failed(error)
    }
}

impl From<ServicesError> for CommandError {
    fn from(error: ServicesError) -> Self {
        if is_configuration(&error) { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<DirectoryError> for CommandError {
    fn from(error: DirectoryError) -> Self {
        let cure = match &error {
            DirectoryError::Keyring(KeyringError::NoKey | KeyringError::UnknownKey) => return Self::usage(error),
            DirectoryError::Duplicate(_) => Some("Change that one, or remove it first"),
            DirectoryError::Refused(Failure::Status(404)) => Some("Check the store hash, or the shop's address"),
            DirectoryError::Refused(Failure::Status(403)) => {
                Some("Give the API account or key the right to read orders")
            }
            DirectoryError::Refused(_) => {
                Some("Check the access token, or the consumer key and secret, and that they may read orders")
            }
            DirectoryError::Unreachable(_) => {
                Some("Try again when it answers, or connect it without asking: --no-verify")
            }
            _ => None,
        };
        Self::failed(with_cure(&error.to_string(), cure))
    }
}

/// Whether the cure is to change a variable.
pub fn is_configuration(error: &ServicesError) -> bool {
    matches!(error, ServicesError::Catalog(CatalogError::Closed(_)) | ServicesError::Doubled(_))
}

/// Prints why a command failed. The exit code tells wrong usage and configuration from everything else.
pub(super) fn ended(done: Result<(), CommandError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A command that has already printed everything fails without another word.
            if !error.message.is_empty() {
                print_note(format_args!("error: {error}"));
            }
            if error.is_wrong_usage { ExitCode::from(WRONG) } else { ExitCode::FAILURE }
        }
    }
}
