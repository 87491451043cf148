//! The one writer of a SQLite inbox.

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{history, script::Script, statements};
use crate::{
    clock::Timestamp,
    inbox::{
        ConnectionId, InboxError, Settlement,
        change::{Change, Done},
        group::Ledger,
        rows::{self, SettleRow, Settled},
    },
};

/// Keeps batches in the file, one transaction each.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
}

impl Writer {
    pub fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self { options, connection: Some(connection) }
    }

    async fn usable(&mut self) -> Result<&mut SqliteConnection, InboxError> {
        let open = match self.connection.take() {
            Some(open) => open,
            None => connect(&self.options).await?,
        };
        Ok(self.connection.insert(open))
    }
}

impl Ledger for Writer {
    async fn keep(&mut self, changes: &[Change]) -> Result<Vec<Done>, InboxError> {
        commit(self.usable().await?, changes).await
    }

    async fn part(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.close().await);
        }
    }

    /// Nothing more is kept in a file that cannot be trusted: without its writer the relay ends.
    fn is_over(error: &InboxError) -> bool {
        matches!(error, InboxError::Damaged(_))
    }
}

/// A connection that is ready for batches.
pub(super) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, InboxError> {
    let mut connection = super::connect(options).await?;
    statements::prepare(&mut connection).await?;
    Ok(connection)
}

/// Makes a batch of changes: all settlings together, then the rest one by one, then all events together, which so share the
/// way to the database with the commit.
async fn commit(connection: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<Done>, InboxError> {
    let mut script = Script::begin(connection);
    let mut settled = settle(&mut script, changes).await?;
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        done.push(match change {
            // Told below.
            Change::Accept(_) => Done::Nothing,
            Change::Settle(Settlement { claim, .. }) => Done::Settled(settled.take(claim)),
            Change::Want { connection, orders, insist, now } => {
                statements::want(&mut script, *connection, orders, *insist, *now);
                Done::Nothing
            }
            Change::WantAll { connection, state, now } => {
                Done::Count(statements::want_all(&mut script, *connection, *state, *now).await?)
            }
            Change::Claim { connection, orders, until, now } => {
                Done::Claimed(statements::claim(&mut script, *connection, orders, *until, *now).await?)
            }
            Change::Recover(connection) => Done::Count(statements::recover(&mut script, *connection).await?),
            Change::Connection { kind, name, now } => {
                Done::Connection(statements::connection(&mut script, kind, name, *now).await?)
            }
            Change::KeepNote { connection, name, value } => {
                statements::keep_note(&mut script, *connection, name, value.as_deref());
                Done::Nothing
            }
            Change::Prune { before, limit } => Done::Count(statements::prune(&mut script, *before, *limit).await?),
            Change::Sample { connection, now } => {
                history::sample(&mut script, *connection, *now);
                Done::Nothing
            }
            Change::Probe(now) => {
                statements::keep_note(&mut script, ConnectionId(0), "probe", Some(&now.millis().to_string()));
                Done::Nothing
            }
        });
    }
    let events = changes.iter().filter_map(|change| match change {
        Change::Accept(event) => Some(*event),
        _ => None,
    });
    let events = rows::numbered(events);
    if !events.is_empty() {
        statements::accept(&mut script, &events);
    }
    let standings = script.commit().await?;
    let met = standings.iter().map(statements::standing).collect::<Result<Vec<_>, _>>()?;
    let accepted = rows::accepted(events.len(), met);
    let places = changes.iter().zip(&mut done).filter(|(change, _)| matches!(change, Change::Accept(_)));
    for ((_, done), accepted) in places.zip(accepted) {
        *done = Done::Accepted(accepted);
    }
    Ok(done)
}

async fn settle(script: &mut Script<'_>, changes: &[Change]) -> Result<Settled, sqlx::Error> {
    let rows: Vec<SettleRow> = changes
        .iter()
        .filter_map(
            |change| if let Change::Settle(settlement) = change { Some(SettleRow::of(settlement)) } else { None },
        )
        .collect();
    let forwarded = rows.iter().filter(|row| row.forwarded);
    let latest = rows::latest(forwarded.map(|row| (ConnectionId(row.connection_id), Timestamp::from_millis(row.at))));
    let mut settled = Settled::default();
    for round in rows::rounds(rows) {
        let orders = statements::settle(script, &round).await?;
        for ((connection, hour), count) in rows::forwarded_by_hour(&round, &orders) {
            history::count_forwarded(script, connection, hour, count);
        }
        settled.note(&round, &orders);
    }
    for (connection, at) in latest {
        statements::touch_forwarded(script, connection, at);
    }
    Ok(settled)
}
