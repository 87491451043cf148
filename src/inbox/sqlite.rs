//! The inbox in a SQLite file: one writer with group commit, a few readers beside it, settings read back.

mod history;
mod leases;
mod script;
mod statements;
mod writer;

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection as _, Row, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::watch;

use super::{
    ConnectionId, Due, Hour, Inbox, InboxError, Known, Lease, OrderQuery, OrderRow, OrderState, Summary, Term,
    change::{Change, Done},
    group::{self, Batches},
    queue::Queue,
    schema,
};
use crate::{clock::Timestamp, event::OrderId};
use writer::Writer;

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| schema::beside_newer(sqlx::migrate!("migrations/sqlite")));

/// How long another process (a command of the relay's own) may hold the lock before a write gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Up to this size a file is checked whole at every start. 16 MiB take a few milliseconds.
const CHECKED_AT_START: u64 = 16 * 1024 * 1024;

/// An inbox in a file.
pub struct SqliteInbox {
    queue: Queue,
    readers: SqlitePool,
    arrivals: watch::Receiver<u64>,
    /// This inbox, among those that share the file.
    owner: i64,
}

/// Keeps other relays from serving the same file. Freed when dropped, and by the system when the process dies.
#[derive(Debug)]
pub struct ServeLock {
    _file: fs::File,
}

impl ServeLock {
    /// Takes the lock of the inbox at `path`: a file beside it.
    ///
    /// # Errors
    /// [`InboxError::Unfit`] when another process holds it, or the lock file cannot be made.
    pub fn take(path: &Path) -> Result<Self, InboxError> {
        Self::try_take(path)?.ok_or_else(|| InboxError::Unfit("another relay is serving this database".into()))
    }

    /// The same; `None` when another process holds it.
    ///
    /// # Errors
    /// [`InboxError::Unfit`] when the lock file cannot be made.
    pub fn try_take(path: &Path) -> Result<Option<Self>, InboxError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        // Where the database lies is a secret.
        let unfit = |what, error| InboxError::Unfit(format!("the database's lock file cannot be {what}: {error}"));
        let made = fs::File::options().create(true).append(true).open(&name);
        let file = made.map_err(|error| unfit("made", error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(unfit("locked", error)),
        }
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // Nothing is written beside the database.
        .pragma("temp_store", "memory")
        .pragma("journal_size_limit", "67108864")
        // A checkpoint every 16 MiB instead of every 4: pages that are written again and again are copied less often.
        .pragma("wal_autocheckpoint", "4000")
        .disable_statement_logging()
}

/// The newest migration that this relay knows.
pub(super) fn newest() -> i64 {
    schema::newest(&MIGRATIONS)
}

/// A connection of its own to the file, for going through all of it.
pub(super) async fn connection(path: &Path) -> Result<SqliteConnection, InboxError> {
    connect(&options(path)).await
}

/// Opens a connection and reads back what it was set to: SQLite ignores a setting it cannot take.
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, InboxError> {
    let mut connection = SqliteConnection::connect_with(options).await?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut connection).await?;
    if journal != "wal" || synchronous != 2 {
        return Err(InboxError::Unfit(format!(
            "the database did not take its settings (journal_mode {journal}, synchronous {synchronous}): is it on a network file system?"
        )));
    }
    Ok(connection)
}

/// `Damaged` unless SQLite finds nothing wrong with the file.
async fn check(connection: &mut SqliteConnection) -> Result<(), InboxError> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?;
    if found == "ok" { Ok(()) } else { Err(InboxError::Damaged(Arc::new(sqlx::Error::Protocol(found)))) }
}

impl SqliteInbox {
    /// Opens the file, makes it if it is not there, checks it, and brings its tables up to date.
    ///
    /// # Errors
    /// [`InboxError::Damaged`] for a file that is no sound database: it is left as it is. [`InboxError::Unavailable`] or
    /// [`InboxError::Unfit`] for one that cannot be opened, or that needs a newer relay.
    pub async fn open(path: &Path) -> Result<Self, InboxError> {
        let options = options(path);
        let mut connection = writer::connect(&options).await?;
        if fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_AT_START) {
            check(&mut connection).await?;
        }
        MIGRATIONS.run(&mut connection).await.map_err(schema::unfit)?;
        schema::admits(sqlx::query_scalar(schema::FLOOR).fetch_one(&mut connection).await?, &MIGRATIONS)?;
        let readers = SqlitePoolOptions::new().max_connections(2).connect_lazy_with(options.clone());
        let (announce, arrivals) = watch::channel(0);
        let writer = Writer::new(options, connection);
        let queue = Queue::start(|jobs| group::run(writer, jobs, Batches::GATHERED, announce));
        Ok(Self { queue, readers, arrivals, owner: rand::random() })
    }
}

fn time(row: &SqliteRow, column: usize) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
}

fn state(row: &SqliteRow, column: usize) -> Result<OrderState, sqlx::Error> {
    OrderState::from_code(row.try_get(column)?).ok_or_else(|| sqlx::Error::Decode("an unknown state".into()))
}

fn order_row(row: &SqliteRow) -> Result<OrderRow, sqlx::Error> {
    Ok(OrderRow {
        order_id: statements::order_id(row, 0)?,
        state: state(row, 1)?,
        attempts: row.try_get(2)?,
        last_error: row.try_get(3)?,
        first_event_at: Timestamp::from_millis(row.try_get(4)?),
        last_event_at: Timestamp::from_millis(row.try_get(5)?),
        waiting_since: time(row, 6)?,
        next_attempt_at: time(row, 7)?,
        delivered_at: time(row, 8)?,
    })
}

#[async_trait]
impl Inbox for SqliteInbox {
    async fn change(&self, change: Change) -> Result<Done, InboxError> {
        self.queue.change(change).await
    }

    async fn due(&self, connection: ConnectionId, now: Timestamp, limit: u32) -> Result<Vec<Due>, InboxError> {
        let rows = sqlx::query(
            "SELECT order_id, due_at FROM orders WHERE connection_id = ?1 AND due_at <= ?2 ORDER BY due_at, order_id LIMIT ?3",
        )
        .bind(connection.0)
        .bind(now.millis())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let due = |row: &SqliteRow| {
            Ok(Due { order: statements::order_id(row, 0)?, at: Timestamp::from_millis(row.try_get(1)?) })
        };
        rows.iter().map(due).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
    }

    async fn next_due(&self, connection: ConnectionId, now: Timestamp) -> Result<Option<Timestamp>, InboxError> {
        let sql = "SELECT min(due_at) FROM orders WHERE connection_id = ?1 AND due_at > ?2";
        let at: Option<i64> =
            sqlx::query_scalar(sql).bind(connection.0).bind(now.millis()).fetch_one(&self.readers).await?;
        Ok(at.map(Timestamp::from_millis))
    }

    async fn orders(&self, connection: ConnectionId, query: OrderQuery) -> Result<Vec<OrderRow>, InboxError> {
        // Pending rows lie in the index of what is due, the other rare ones in that of the troubled: SQLite uses a partial
        // index only where the query repeats its condition.
        let condition = match query.state {
            None => "",
            Some(OrderState::Pending) => " AND due_at IS NOT NULL",
            Some(OrderState::Delivered) => " AND state = 1",
            Some(OrderState::Failed) => " AND state IN (2, 3, 4) AND state = 2",
            Some(OrderState::Gone) => " AND state IN (2, 3, 4) AND state = 3",
            Some(OrderState::Skipped) => " AND state IN (2, 3, 4) AND state = 4",
        };
        let sql = format!(
            "SELECT order_id, state, attempts, last_error, first_event_at, last_event_at, waiting_since, due_at, delivered_at
             FROM orders WHERE connection_id = ?1 AND order_id <= ?2{condition} ORDER BY order_id DESC LIMIT ?3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(connection.0)
            .bind(query.last())
            .bind(query.limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(order_row).collect::<Result<_, _>>().map_err(Into::into)
    }

    async fn known(&self, connection: ConnectionId, orders: Vec<OrderId>) -> Result<Vec<Known>, InboxError> {
        let rows = sqlx::query(
            "SELECT order_id, digest, state, settled_at FROM orders
             WHERE connection_id = ?1 AND order_id IN (SELECT value FROM json_each(?2))",
        )
        .bind(connection.0)
        .bind(statements::json(orders))
        .fetch_all(&self.readers)
        .await?;
        let known = |row: &SqliteRow| {
            Ok(Known {
                order: statements::order_id(row, 0)?,
                digest: statements::digest(row, 1)?,
                state: state(row, 2)?,
                settled_at: time(row, 3)?,
            })
        };
        rows.iter().map(known).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
    }

    async fn summary(&self, connection: ConnectionId) -> Result<Summary, InboxError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM orders WHERE connection_id = c.id AND due_at IS NOT NULL),
                    (SELECT min(waiting_since) FROM orders WHERE connection_id = c.id AND due_at IS NOT NULL),
                    (SELECT count(*) FROM orders WHERE connection_id = c.id AND state IN (2, 3, 4) AND state = 2),
                    (SELECT count(*) FROM orders WHERE connection_id = c.id AND state IN (2, 3, 4) AND state = 3),
                    last_event_at, last_forwarded_at, first_start
             FROM connections AS c WHERE id = ?1",
        )
        .bind(connection.0)
        .fetch_one(&self.readers)
        .await?;
        let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        Ok(Summary {
            waiting: count(0)?,
            oldest_waiting: time(&row, 1)?,
            failed: count(2)?,
            gone: count(3)?,
            last_event_at: time(&row, 4)?,
            last_forwarded_at: time(&row, 5)?,
            first_start: time(&row, 6)?,
        })
    }

    async fn history(&self, connection: ConnectionId, since: Timestamp) -> Result<Vec<Hour>, InboxError> {
        history::read(&self.readers, connection, since).await.map_err(Into::into)
    }

    async fn note(&self, connection: ConnectionId, name: &str) -> Result<Option<String>, InboxError> {
        let sql = "SELECT value FROM notes WHERE connection_id = ?1 AND name = ?2";
        Ok(sqlx::query_scalar(sql).bind(connection.0).bind(name).fetch_optional(&self.readers).await?)
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.clone()
    }

    async fn lease(&self, connection: ConnectionId, lease: Lease, span: Duration) -> Result<Option<Term>, InboxError> {
        match lease {
            // That only one relay serves a file, its lock sees to.
            Lease::Lead => Ok(Some(Term(0))),
            Lease::Hooks => Ok(leases::take(&self.readers, connection, lease, self.owner, span).await?),
        }
    }

    async fn release(&self, connection: ConnectionId, lease: Lease) -> Result<(), InboxError> {
        match lease {
            Lease::Lead => Ok(()),
            Lease::Hooks => Ok(leases::release(&self.readers, connection, lease, self.owner).await?),
        }
    }

    async fn close(&self) {
        self.queue.close().await;
        self.readers.close().await;
    }
}
