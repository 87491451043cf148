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

/// The same for commands that may be given the id right away.
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
    /// The one that is named, or the only one that has not ended.
    pub(super) fn find(&self, services: &Services) -> Result<Arc<Connection>, CommandError> {
        let mut all = services.catalog.all();
        if let Some(id) = self.id {
            return services
                .connection(id)
                .ok_or_else(|| CommandError::usage(format_args!("there is no connection {id}.{}", listed(&all))));
        }
        all.retain(|connection| connection.state != ConnectionState::Disconnected);
        match all.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(CommandError::usage(
                "there is no connection yet: make one with `onetribe-relay connections add FILE`, or set the four \
                 variables of the environment's own",
            )),
            several => {
                let said = "there are several connections: say which one with --connection ID.";
                Err(CommandError::usage(format_args!("{said}{}", listed(several))))
            }
        }
    }
}

/// What there is to choose from, one a line.
fn listed(connections: &[Arc<Connection>]) -> String {
    let mut listed = String::new();
    for connection in connections.iter().take(LISTED) {
        let (id, name) = (connection.id, humanize::printable(&connection.name));
        // A String takes whatever is written to it.
        let _ = write!(listed, "\n  {id}: {name}, {}, {}", store_of(connection), connection.state);
    }
    if connections.len() > LISTED {
        listed.push_str("\nMore of them: onetribe-relay connections list");
    }
    listed
}
