//! The inbox in a PostgreSQL database, which several relays may share: one writer for events, one for claims, one
//! connection for all other changes, and a few readers beside them. Relays share the connections out by shards.

mod accept;
mod activity;
mod announce;
mod batch;
mod changes;
mod claims;
mod connections;
mod inbox;
mod notifications;
mod peers;
mod reads;
mod rows;
mod session;
mod tables;
mod upkeep;
pub mod url;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::{Heartbeat, InboxError, WorkSignal, schema};
use crate::{clock::Timestamp, object::ConnectionId, secret::Secret};
use accept::{Accept, EventWriter};
use activity::ActivityCache;
use announce::Untold;
use batch::Queue;
use changes::Changes;
use claims::{ClaimRequest, ClaimWriter};
use peers::{Beat, RelayId};
use session::{ServerClock, Tries, WriteConnection};

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| schema::beside_newer(sqlx::migrate!("migrations/postgres")));

/// A peer that announced work within this time keeps the database busy.
const ACTIVE: Duration = Duration::from_secs(1);
/// How long events wait for others to share their transaction.
const GATHERING: Duration = Duration::from_millis(1);

/// What the parts of one inbox share.
struct Shared {
    options: PgConnectOptions,
    relay: RelayId,
    clock: ServerClock,
    /// The shards that the last heartbeat brought, and until when they are certain.
    held: Mutex<(HashSet<u16>, Instant)>,
    /// The shards of the connections that this relay has read or made.
    shards: Mutex<HashMap<ConnectionId, u16>>,
    work: WorkSignal,
    activity: ActivityCache,
    untold: Mutex<Untold>,
    /// When another relay last announced work.
    heard_at: Mutex<Option<Instant>>,
    /// There is something to announce, or activity to write.
    news: Notify,
    /// Why this relay must not use the database any more.
    superseded: watch::Sender<Option<InboxError>>,
}

impl Shared {
    fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            relay: RelayId::random(),
            clock: ServerClock::default(),
            held: Mutex::new((HashSet::new(), Instant::now())),
            shards: Mutex::default(),
            work: WorkSignal::default(),
            activity: ActivityCache::default(),
            untold: Mutex::default(),
            heard_at: Mutex::default(),
            news: Notify::new(),
            superseded: watch::Sender::default(),
        }
    }

    /// Whether other relays seem to keep the database busy.
    fn has_active_peers(&self) -> bool {
        self.held.lock().0.is_empty() || self.heard_at.lock().is_some_and(|at| at.elapsed() < ACTIVE)
    }

    /// Has the relays that hold these connections' shards told of work, and this relay's activity written.
    fn tell_peers(&self, connections: impl IntoIterator<Item = ConnectionId>) {
        let held = self.held.lock();
        let are_certain = Instant::now() < held.1;
        let shards = self.shards.lock();
        let is_ours = |id: &ConnectionId| are_certain && shards.get(id).is_some_and(|shard| held.0.contains(shard));
        self.untold.lock().add(connections.into_iter().filter(|id| !is_ours(id)));
        self.news.notify_one();
    }

    /// There may be work for these: tells this relay's scheduler and those of others.
    fn signal_work(&self, connections: HashSet<ConnectionId>) {
        self.tell_peers(connections.iter().copied());
        self.work.add(connections);
    }

    /// A connection was made or changed: every relay has to learn of it, whoever holds it.
    fn signal_change(&self, connection: ConnectionId) {
        self.untold.lock().add([connection]);
        self.news.notify_one();
        self.work.add([connection]);
    }

    /// Takes what a heartbeat brought.
    fn learn(&self, asked: Timestamp, began: Instant, span: Duration, beat: Beat) -> Heartbeat {
        self.clock.learn(asked, beat.at, Timestamp::now());
        if let Err(error) = schema::admits(beat.floor, schema::newest(&MIGRATIONS)) {
            self.superseded.send_replace(Some(error));
        }
        *self.held.lock() = (beat.held.shards.iter().copied().collect(), began + span);
        beat.held
    }
}

/// An inbox in a server's database.
pub struct PostgresInbox {
    shared: Arc<Shared>,
    events: Queue<Accept>,
    claims: Queue<ClaimRequest>,
    changes: Changes,
    readers: PgPool,
    /// For leases: slow reading must not cost this relay its shards.
    leases: PgPool,
    announcer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl PostgresInbox {
    /// Connects, brings the tables up to date, and proves that the server keeps what it confirms.
    ///
    /// # Errors
    /// [`InboxError::Unavailable`] when the server does not answer; [`InboxError::Unfit`] when it refuses the user,
    /// does not keep what it confirms, or its tables need a newer relay.
    pub async fn open(url: &Secret) -> Result<Self, InboxError> {
        let options = session::options(url)?;
        migrate(&options).await?;
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

/// Relays that start together take turns: the migrator holds a lock of the server's.
async fn migrate(options: &PgConnectOptions) -> Result<(), InboxError> {
    let mut tries = Tries::default();
    loop {
        let mut connection = session::in_time(session::connect_quietly(options)).await?;
        let migrated = MIGRATIONS.run(&mut connection).await;
        drop(connection.close().await);
        match migrated {
            // A running relay's batch had the tables in another order; nothing of the migration has been kept.
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if tries.again(&error) => {}
            done => return done.map_err(schema::unfit),
        }
    }
}

/// A connection of its own, for filling the database; no single statement may take long, but all together may.
pub(super) async fn connection(url: &Secret) -> Result<PgConnection, InboxError> {
    session::connect(&session::options(url)?, &ServerClock::default()).await
}
