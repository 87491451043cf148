//! Connections to the server: how they are opened and checked, and how far the server's clock is from ours.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use sqlx::{
    ConnectOptions, Connection as _, PgConnection, Postgres, Row,
    postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions},
    query::Query,
};
use url::Url;

use crate::{
    clock::Timestamp,
    inbox::{InboxError, schema},
    secret::Secret,
};

/// How long the server may take to accept a connection, or to carry out a batch.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long closing a connection may take.
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Most tries of a transaction that the server aborts in favour of another.
const TRIES: u32 = 5;
/// Connections for reading, of which listening uses one.
pub(super) const READERS: u32 = 4;
/// Set for every session, whatever the server's defaults: time limits; `read committed`, so that a row that another
/// relay has changed is read again instead of aborting the transaction; and no JIT compilation, which takes longer
/// than any statement here runs (plans without an alternative count as expensive).
const SESSION_SETTINGS: &str = "SELECT set_config('statement_timeout', '10s', false),
                                       set_config('idle_in_transaction_session_timeout', '5s', false),
                                       set_config('default_transaction_isolation', 'read committed', false),
                                       set_config('jit', 'off', false)";
/// Reads are planned each time, by the tables' present size, and use an index with the required order where there is
/// one: a plan made while the tables were small would scan them whole once they are large.
const READER_SETTINGS: &str = "SELECT set_config('plan_cache_mode', 'force_custom_plan', false),
                                      set_config('enable_seqscan', 'off', false),
                                      set_config('enable_sort', 'off', false)";

/// Parses the URL and checks the files it names. Errors never quote the URL: any part may contain a password.
pub(super) fn options(url: &Secret) -> Result<PgConnectOptions, InboxError> {
    let url = url.expose();
    let options = super::url::options(url).map_err(|why| InboxError::Unfit(format!("the URL: {why}")))?;
    let parsed = Url::parse(url).map_err(|_| InboxError::Unfit("the URL cannot be read".into()))?;
    parsed.query_pairs().try_for_each(|(name, value)| readable(&name, &value))?;
    let options = match options.get_application_name() {
        None => options.application_name("onetribe-relay"),
        Some(_) => options,
    };
    Ok(options.disable_statement_logging())
}

/// A file that the URL names must exist, and hold certificates if it is meant to. Otherwise its absence would show
/// only at the first connection, without the name of the file.
fn readable(name: &str, value: &str) -> Result<(), InboxError> {
    let unfit = |why: &dyn std::fmt::Display| InboxError::Unfit(format!("the file of {name}: {why}"));
    let is_file = name.starts_with("ssl") && !name.ends_with("mode") && !value.trim_start().starts_with("-----BEGIN");
    if !is_file {
        return Ok(());
    }
    let pem = std::fs::read(value).map_err(|error| unfit(&error))?;
    if ["sslkey", "ssl-key"].contains(&name) {
        return Ok(());
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        _ => Err(unfit(&"there is no certificate in it (PEM)")),
    }
}

/// A connection for changes; checked that commits are durable, and that this relay may change the tables.
///
/// An answer that never comes must not hold up others: statements have a time limit, and so has a transaction whose
/// relay was suspended in the middle of it.
pub(super) async fn connect(options: &PgConnectOptions, clock: &ServerClock) -> Result<PgConnection, InboxError> {
    in_time(async {
        let mut connection = PgConnection::connect_with(options).await?;
        let durable = "SELECT set_config('synchronous_commit', 'on', false)
                       WHERE current_setting('synchronous_commit') IN ('off', 'local')";
        sqlx::query(durable).execute(&mut connection).await?;
        sqlx::query(SESSION_SETTINGS).execute(&mut connection).await?;
        // Every change finds its rows by their keys (see `rows`), even while the tables are small.
        let keyed = "SELECT set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),
                            set_config('enable_mergejoin', 'off', false)";
        sqlx::query(keyed).execute(&mut connection).await?;
        let read = "SELECT current_setting('synchronous_commit'), current_setting('fsync')";
        let row = sqlx::query(read).fetch_one(&mut connection).await?;
        let (commit, fsync): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        if matches!(commit.as_str(), "off" | "local") || fsync != "on" {
            return Err(InboxError::Unfit(format!(
                "the database server does not keep what it confirms (synchronous_commit {commit}, fsync {fsync})"
            )));
        }
        let floor = sqlx::query_scalar(schema::FLOOR).fetch_one(&mut connection).await?;
        schema::admits(floor, schema::newest(&super::migrations::MIGRATIONS))?;
        clock.measure(&mut connection).await?;
        Ok(connection)
    })
    .await
}

/// A connection for migrations. Notices that a table already exists are not logged.
pub(super) async fn connect_quietly(options: &PgConnectOptions) -> Result<PgConnection, InboxError> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query("SET client_min_messages = warning").execute(&mut connection).await?;
    Ok(connection)
}

/// A server that cannot be reached, by its host and port: of the URL these two alone are ever shown.
#[derive(Debug, thiserror::Error)]
#[error("no connection to {server} ({cause}); start the server, or correct host and port of the URL")]
struct NoConnection {
    server: String,
    cause: String,
}

/// The same error; of a server that cannot be reached it says which one it is.
pub(super) fn naming_server(error: InboxError, url: &Secret, options: &PgConnectOptions) -> InboxError {
    let InboxError::Unavailable(source) = &error else { return error };
    let Some(sqlx::Error::Io(cause)) = source.downcast_ref() else { return error };
    let cause = cause.to_string();
    let server = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    // A password that is found in the server's name would be shown with it.
    let is_telling = Url::parse(url.expose()).is_ok_and(|url| {
        let parameter = url.query_pairs().any(|(name, value)| name == "password" && server.contains(&*value));
        parameter || url.password().is_some_and(|password| server.contains(password))
    });
    let server = if is_telling { "the database server".to_owned() } else { server };
    InboxError::Unavailable(Arc::new(NoConnection { server, cause }))
}

/// Bounds what a server may take.
pub(super) async fn in_time<T, E: From<sqlx::Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match tokio::time::timeout(ANSWER_TIME, work).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}

/// Runs one statement. Returns how many rows it affected.
pub(super) async fn execute(
    db: &mut PgConnection,
    statement: Query<'_, Postgres, PgArguments>,
) -> Result<u64, InboxError> {
    Ok(in_time(statement.execute(db)).await?.rows_affected())
}

/// Runs the work in one transaction, in limited time, and again if the server aborts it.
macro_rules! transaction {
    ($db:expr, |$transaction:ident| $work:expr) => {{
        let mut tries = $crate::inbox::postgres::session::Tries::default();
        loop {
            let attempt = async {
                let mut $transaction = sqlx::Connection::begin(&mut *$db).await?;
                let done = $work;
                $transaction.commit().await?;
                Ok::<_, sqlx::Error>(done)
            };
            match $crate::inbox::postgres::session::in_time(attempt).await {
                Err(error) if tries.again(&error) => {}
                done => break done,
            }
        }
    }};
}
pub(super) use transaction;

/// Counts the tries of a transaction.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether to try again after this failure: a deadlock or a serialization failure, in which the server aborted
    /// the transaction and nothing else is wrong.
    pub fn again(&mut self, error: &sqlx::Error) -> bool {
        self.0 += 1;
        let code = error.as_database_error().and_then(|error| error.code());
        let again = self.0 < TRIES && matches!(code.as_deref(), Some("40P01" | "40001"));
        if again {
            tracing::debug!(%error, "a transaction begins again: {error}");
        }
        again
    }
}

/// A pool for everything but batches: up to this many connections, opened when needed.
pub(super) fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ANSWER_TIME)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::query(SESSION_SETTINGS).execute(&mut *connection).await?;
                sqlx::query(READER_SETTINGS).execute(connection).await.map(drop)
            })
        })
        .connect_lazy_with(options)
}

/// The difference between the server's clock and this machine's. Stored times are the server's, so that relays whose
/// clocks differ agree on when a lease ends.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    ahead_ms: AtomicI64,
}

/// The server's time in milliseconds, as SQL.
pub(super) const SERVER_MILLIS: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

impl ServerClock {
    /// Converts a time of this machine to the server's clock.
    pub fn inward(&self, ours: Timestamp) -> Timestamp {
        Timestamp::from_millis(ours.millis().saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }

    /// Converts a time of the server to this machine's clock.
    pub fn outward(&self, millis: i64) -> Timestamp {
        Timestamp::from_millis(millis.saturating_sub(self.ahead_ms.load(Ordering::Relaxed)))
    }

    async fn measure(&self, connection: &mut PgConnection) -> Result<(), InboxError> {
        let asked = Timestamp::now();
        let sql = sqlx::AssertSqlSafe(format!("SELECT {SERVER_MILLIS}"));
        let server: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
        self.learn(asked, server, Timestamp::now());
        Ok(())
    }

    /// Updates the difference from the server's time between `asked` and `answered`. A deviation that the round trip
    /// explains is ignored: otherwise times that are read and written again would drift.
    pub fn learn(&self, asked: Timestamp, server: i64, answered: Timestamp) {
        let slack = (answered.millis() - asked.millis()).abs() / 2 + 20;
        let ahead = server - (asked.millis() + answered.millis()) / 2;
        let known = self.ahead_ms.load(Ordering::Relaxed);
        if (ahead - known).abs() > slack {
            self.ahead_ms.store(ahead, Ordering::Relaxed);
            if (ahead - known).abs() > 1000 {
                tracing::warn!(
                    ahead_ms = ahead,
                    "the database server's clock differs from this machine's: its time counts"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_time_is_learnt_when_it_differs_by_more_than_the_way() {
        let clock = ServerClock::default();
        let ms = Timestamp::from_millis;
        clock.learn(ms(1000), 1040, ms(1050));
        assert_eq!(clock.inward(ms(5)), ms(5));
        clock.learn(ms(1000), 61_005, ms(1010));
        assert_eq!(clock.inward(ms(5)), ms(60_005));
        assert_eq!(clock.outward(60_005), ms(5));
        clock.learn(ms(2000), 62_030, ms(2010));
        assert_eq!(clock.inward(ms(5)), ms(60_005));
    }

    #[test]
    fn nothing_of_the_url_is_in_an_error() {
        for url in [
            "postgres://relay:hunter2@localhost/relay?sslmode=hunter2",
            "postgres://relay:hunter2@localhost/relay?passwd=hunter2",
            "postgres://relay:hunter2@localhost:hunter2/relay",
            "postgres://relay:1234/hunter2@localhost/relay",
            "postgres://relay:1234#hunter2@localhost/relay",
        ] {
            let said = options(&url.into()).expect_err("it cannot be used");
            assert!(!format!("{said} {said:?}").contains("hunter2"), "{said:?}");
        }
        assert!(options(&"postgres://relay:hunter2@db.example/relay?sslmode=verify-full".into()).is_ok());
    }
}
