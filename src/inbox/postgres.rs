//! The inbox in a PostgreSQL database, which several relays may share: writers for events, for claims and for all else, a
//! few readers beside them, and one relay at a time in the lead.

mod dates;
mod history;
mod leases;
mod listen;
mod reads;
mod session;
mod statements;
mod writer;

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use secrecy::SecretString;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::{
    ConnectionId, Due, Hour, Inbox, InboxError, Known, Lease, OrderQuery, OrderRow, Summary, Term,
    change::{Change, Done},
    group::{self, Batches},
    queue::Queue,
    schema,
};
use crate::{clock::Timestamp, event::OrderId};
use dates::Diary;
use session::ServerClock;
use writer::Writer;

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| schema::beside_newer(sqlx::migrate!("migrations/postgres")));

/// So long ago another relay may have been heard of and still count as there.
const COMPANY: Duration = Duration::from_secs(1);

/// What the parts of one inbox share.
struct Shared {
    options: PgConnectOptions,
    /// This relay, among those that share the database.
    relay: i64,
    clock: ServerClock,
    /// The connections this relay had the lead of when it last asked.
    leads: Mutex<HashSet<i64>>,
    arrivals: watch::Sender<u64>,
    diary: Diary,
    /// Set while there are events that the leader, another relay, has not been told of.
    untold: AtomicBool,
    /// When another relay last told of events.
    heard_at: Mutex<Option<Instant>>,
    /// There is something to tell or to write in the diary's name.
    news: Notify,
    /// Why this relay must not use the database any more.
    outgrown: watch::Sender<Option<InboxError>>,
}

impl Shared {
    fn leads(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.leads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether other relays seem to be at the database: this one has no lead, or one has told of events a short while ago.
    fn has_company(&self) -> bool {
        self.leads().is_empty()
            || self.heard_at.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < COMPANY)
    }

    fn leads_all(&self, mut connections: impl Iterator<Item = i64>) -> bool {
        let leads = self.leads();
        connections.all(|connection| leads.contains(&connection))
    }
}

/// An inbox in a server's database.
pub struct PostgresInbox {
    shared: Arc<Shared>,
    events: Queue,
    /// Claims, and how they end.
    claims: Queue,
    /// Whatever else is changed.
    desk: Queue,
    readers: PgPool,
    /// For leases: slow reading must not cost the lead.
    heartbeat: PgPool,
    listener: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl PostgresInbox {
    /// Connects, brings the tables up to date, and proves that the server keeps what it confirms.
    ///
    /// # Errors
    /// [`InboxError::Unavailable`] when the server does not answer; [`InboxError::Unfit`] when it refuses the user, does
    /// not keep what it confirms, or its tables need a newer relay.
    pub async fn open(url: &SecretString) -> Result<Self, InboxError> {
        let options = session::options(url)?;
        migrate(&options).await?;
        let clock = ServerClock::default();
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(session::connect(&options, &clock).await?);
        }
        let readers = session::pool(options.clone(), session::READERS);
        let heartbeat = session::pool(options.clone(), 1);
        let (arrivals, _) = watch::channel(0);
        let shared = Arc::new(Shared {
            options,
            relay: rand::random(),
            clock,
            leads: Mutex::default(),
            arrivals,
            diary: Diary::default(),
            untold: AtomicBool::default(),
            heard_at: Mutex::default(),
            news: Notify::new(),
            outgrown: watch::Sender::default(),
        });
        let mut start = |batches| {
            let writer = Writer::new(&shared, open.pop());
            Queue::start(|jobs| group::run(writer, jobs, batches, shared.arrivals.clone()))
        };
        let (events, claims, desk) = (start(Batches::GATHERED), start(Batches::AS_THEY_COME), start(Batches::OF_ONE));
        let listener = tokio::spawn(listen::run(shared.clone(), readers.clone()));
        Ok(Self { shared, events, claims, desk, readers, heartbeat, listener: tokio::sync::Mutex::new(Some(listener)) })
    }
}

/// Relays that start together take turns: the migrator holds a lock of the server's.
async fn migrate(options: &PgConnectOptions) -> Result<(), InboxError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut connection = session::in_time(session::connect_quietly(options)).await?;
        let brought = MIGRATIONS.run(&mut connection).await;
        drop(connection.close().await);
        match brought {
            // A running relay's batch had the tables in another order; nothing of the migration has been kept.
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if tries < session::TRIES && session::was_broken_off(&error) =>
            {
                tracing::debug!(%error, "a migration begins again: {error}");
            }
            done => return done.map_err(schema::unfit),
        }
    }
}

/// A connection of its own, for filling the database; no single statement may take long, but all together may.
pub(super) async fn connection(url: &SecretString) -> Result<PgConnection, InboxError> {
    session::connect(&session::options(url)?, &ServerClock::default()).await
}

#[async_trait]
impl Inbox for PostgresInbox {
    async fn change(&self, change: Change) -> Result<Done, InboxError> {
        let writer = match change {
            Change::Accept(_) => &self.events,
            Change::Claim { .. } | Change::Settle(_) => &self.claims,
            _ => &self.desk,
        };
        writer.change(change).await
    }

    async fn due(&self, connection: ConnectionId, now: Timestamp, limit: u32) -> Result<Vec<Due>, InboxError> {
        Ok(reads::due(&self.readers, &self.shared.clock, connection, now, limit).await?)
    }

    async fn next_due(&self, connection: ConnectionId, now: Timestamp) -> Result<Option<Timestamp>, InboxError> {
        Ok(reads::next_due(&self.readers, &self.shared.clock, connection, now).await?)
    }

    async fn orders(&self, connection: ConnectionId, query: OrderQuery) -> Result<Vec<OrderRow>, InboxError> {
        Ok(reads::orders(&self.readers, &self.shared.clock, connection, query).await?)
    }

    async fn known(&self, connection: ConnectionId, orders: Vec<OrderId>) -> Result<Vec<Known>, InboxError> {
        Ok(reads::known(&self.readers, &self.shared.clock, connection, orders).await?)
    }

    async fn summary(&self, connection: ConnectionId) -> Result<Summary, InboxError> {
        let kept = reads::summary(&self.readers, &self.shared.clock, connection).await?;
        let known = self.shared.diary.known(connection.0);
        let ours = |millis: Option<i64>| millis.map(|millis| self.shared.clock.outward(millis));
        Ok(Summary {
            last_event_at: kept.last_event_at.max(ours(known.last_event_at)),
            last_forwarded_at: kept.last_forwarded_at.max(ours(known.last_forwarded_at)),
            ..kept
        })
    }

    async fn note(&self, connection: ConnectionId, name: &str) -> Result<Option<String>, InboxError> {
        Ok(reads::note(&self.readers, connection, name).await?)
    }

    async fn history(&self, connection: ConnectionId, since: Timestamp) -> Result<Vec<Hour>, InboxError> {
        Ok(history::read(&self.readers, connection, self.shared.clock.inward(since)).await?)
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.shared.arrivals.subscribe()
    }

    /// Every relay asks for the lead again and again, and so learns that the database has outgrown it.
    async fn lease(&self, connection: ConnectionId, lease: Lease, span: Duration) -> Result<Option<Term>, InboxError> {
        let asked = Timestamp::now();
        let taken = leases::take(&self.heartbeat, connection, lease, self.shared.relay, span).await?;
        self.shared.clock.learn(asked, taken.at, Timestamp::now());
        if let Err(error) = schema::admits(taken.floor, &MIGRATIONS) {
            self.shared.outgrown.send_replace(Some(error));
        }
        match (lease, taken.term) {
            (Lease::Lead, Some(_)) => drop(self.shared.leads().insert(connection.0)),
            (Lease::Lead, None) => drop(self.shared.leads().remove(&connection.0)),
            (Lease::Hooks, _) => {}
        }
        Ok(taken.term)
    }

    async fn release(&self, connection: ConnectionId, lease: Lease) -> Result<(), InboxError> {
        if lease == Lease::Lead {
            self.shared.leads().remove(&connection.0);
        }
        Ok(leases::release(&self.heartbeat, connection, lease, self.shared.relay).await?)
    }

    async fn outgrown(&self) -> InboxError {
        let mut outgrown = self.shared.outgrown.subscribe();
        match outgrown.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }

    async fn close(&self) {
        self.events.close().await;
        self.claims.close().await;
        self.desk.close().await;
        if let Some(listener) = self.listener.lock().await.take() {
            listener.abort();
            // It was told to end, or had nothing more to do.
            drop(listener.await);
            listen::last_word(&self.shared, &self.readers).await;
        }
        // A pool waits for each of its connections, and one of a server that hangs does not come back.
        for pool in [&self.heartbeat, &self.readers] {
            drop(tokio::time::timeout(session::GOODBYE, pool.close()).await);
        }
    }
}
