//! Which connection a command is about.

use std::{fmt::Write as _, sync::Arc};

use clap::Args;

use super::failure::{CommandError, store_of};
use crate::{connection::Connection, humanize, inbox::ConnectionState, object::ConnectionId, services::Services};

/// How many connections an error lists.
const LISTED: usize = 20;

/// The connection that a command is about.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The connection, by its id; needed when there are several
    #[arg(long = "connection", value_name = "ID")]
    id: Option<ConnectionId>,
}

/// Like [`Which`], for commands that take the id as their first argument.
#[derive(Debug, Clone, Args)]
pub struct WhichOne {
    /// The connection's id
    #[arg(value_name = "ID", conflicts_with = "id")]
    first: Option<ConnectionId>,
    #[command(flatten)]
    which: Which,
}

impl WhichOne {
    pub(super) fn find(&self, services: &Services) -> Result<Arc<Connection>, CommandError> {
        Which { id: self.first.or(self.which.id) }.find(services)
    }
}

impl Which {
    /// The connection that was named, or the only one that has not ended.
    pub(super) fn find(&self, services: &Services) -> Result<Arc<Connection>, CommandError> {
        let mut all = services.catalog.all();
        if let Some(id) = self.id {
            return services
                .connection(id)
                .ok_or_else(|| CommandError::usage(format_args!("there is no connection {id}{}", choice(&all))));
        }
        let ended = all.clone();
        all.retain(|connection| connection.state != ConnectionState::Disconnected);
        match all.as_slice() {
            [only] => Ok(only.clone()),
            [] if !ended.is_empty() => {
                let said = if ended.len() == 1 { "the only connection is" } else { "all connections are" };
                Err(CommandError::usage(format_args!(
                    "{said} disconnected. {TAKEN_UP}; to look at an ended one, name it with --connection ID{}",
                    choice(&ended)
                )))
            }
            [] => Err(CommandError::usage(
                "there is no connection yet: make one with `onetribe-relay connections add FILE`, or set the four \
                 variables of the environment's own",
            )),
            several => {
                let said = "there are several connections: say which one with --connection ID";
                Err(CommandError::usage(format_args!("{said}{}", choice(several))))
            }
        }
    }
}

/// How a connection that has ended is taken up again.
const TAKEN_UP: &str = "Connected again, the same store and destination take up the same connection with its history: \
                        `onetribe-relay connections add FILE`, the app's installation, or the environment's four variables";

/// Of a command that needs the credentials of a connection that has ended.
pub(super) fn disconnected(connection: &Connection, consequence: &str) -> CommandError {
    CommandError::failed(format_args!("connection {} is disconnected: {consequence}. {TAKEN_UP}", connection.id))
}

/// The connections to choose from, one per line.
fn choice(connections: &[Arc<Connection>]) -> String {
    if connections.is_empty() {
        return ": there is none yet".to_owned();
    }
    let mut listed = ". There are:".to_owned();
    for connection in connections.iter().take(LISTED) {
        let (id, name) = (connection.id, humanize::printable(&connection.name));
        // Writing to a `String` cannot fail.
        let _ = write!(listed, "\n  {id}: {name}, {}, {}", store_of(connection), connection.state);
    }
    if connections.len() > LISTED {
        listed.push_str("\nMore of them: onetribe-relay connections list");
    }
    listed
}
