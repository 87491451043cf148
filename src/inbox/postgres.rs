//! The inbox in a PostgreSQL database, which several relays may share: one writer for events, one for claims, one
//! connection for all other changes, and a few readers. Connections are divided among relays by shards.

mod accept;
mod activity;
mod announce;
mod batch;
mod changes;
mod claims;
mod connections;
mod inbox;
mod key_requests;
mod migrations;
mod notifications;
mod peers;
mod reads;
mod rows;
mod session;
mod shared;
mod tables;
mod untold;
mod upkeep;
pub mod url;
mod write_connection;

use std::{sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection, PgPool, migrate::MigrateError, postgres::PgConnectOptions};
use tokio::task::JoinHandle;

use super::{InboxError, schema};
use crate::secret::Secret;
use accept::{Accept, EventWriter};
use batch::Queue;
use changes::Changes;
use claims::{ClaimRequest, ClaimWriter};
use migrations::MIGRATIONS;
use session::{ServerClock, Tries};
use shared::Shared;
use write_connection::WriteConnection;

/// How long the writer waits for more events to commit in the same transaction.
const GATHERING: Duration = Duration::from_millis(1);

/// An inbox in a PostgreSQL database.
pub struct PostgresInbox {
    shared: Arc<Shared>,
    events: Queue<Accept>,
    claims: Queue<ClaimRequest>,
    changes: Changes,
    readers: PgPool,
    /// For heartbeats and locks: slow reads must not cost this relay its shards.
    leases: PgPool,
    announcer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl PostgresInbox {
    /// Connects, brings the tables up to date, and checks that the server makes commits durable.
    ///
    /// # Errors
    /// [`InboxError::Unavailable`] when the server does not answer; [`InboxError::Unfit`] when it refuses the user,
    /// does not make commits durable, or its tables need a newer relay.
    pub async fn open(url: &Secret) -> Result<Self, InboxError> {
        let options = session::options(url)?;
        migrate(&options).await.map_err(|error| session::naming_server(error, url, &options))?;
        let shared = Arc::new(Shared::new(options));
        let connect = async || {
            let open = session::connect(&shared.options, &shared.clock).await?;
            Ok::<_, InboxError>(WriteConnection::new(&shared, open))
        };
        let (events, claims, changes) = (connect().await?, connect().await?, connect().await?);
        let readers = session::pool(shared.options.clone(), session::READERS);
        let leases = session::pool(shared.options.clone(), 1);
        let announcer = tokio::spawn(announce::run(shared.clone(), readers.clone()));
        Ok(Self {
            events: Queue::start(EventWriter { connection: events }, GATHERING, shared.work.clone()),
            claims: Queue::start(ClaimWriter { connection: claims }, Duration::ZERO, shared.work.clone()),
            changes: Changes::new(changes),
            readers,
            leases,
            announcer: tokio::sync::Mutex::new(Some(announcer)),
            shared,
        })
    }
}

/// Relays that start together migrate one after the other: the migrator holds a lock on the server.
async fn migrate(options: &PgConnectOptions) -> Result<(), InboxError> {
    let mut tries = Tries::default();
    loop {
        let mut connection = session::in_time(session::connect_quietly(options)).await?;
        let migrated = MIGRATIONS.run(&mut connection).await;
        drop(connection.close().await);
        match migrated {
            // A deadlock with a running relay's batch, which locked the tables in another order; the migration was
            // rolled back.
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if tries.again(&error) => {}
            done => return done.map_err(schema::unfit),
        }
    }
}

/// A separate connection for filling the database; each statement is limited in time, but not all of them together.
pub(super) async fn connection(url: &Secret) -> Result<PgConnection, InboxError> {
    let options = session::options(url)?;
    let connected = session::connect(&options, &ServerClock::default()).await;
    connected.map_err(|error| session::naming_server(error, url, &options))
}
