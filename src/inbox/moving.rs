//! Moving an inbox from a SQLite file into an empty PostgreSQL database: every table, in one transaction, or nothing. Only
//! leases stay behind, which end by themselves.

use std::path::Path;

use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection, Row, SqliteConnection};

use super::{
    Inbox, InboxError,
    postgres::{self, PostgresInbox},
    sqlite::{self, ServeLock, SqliteInbox},
};

/// Rows in one step.
const STEP: i64 = 2000;

/// One table: how its rows leave SQLite as one JSON text, and how they enter PostgreSQL from it.
struct Table {
    name: &'static str,
    /// What a row is made of, each column with PostgreSQL's type for it. Bytes travel as hexadecimal text.
    columns: &'static [(&'static str, &'static str)],
    /// By which its rows are gone through.
    key: &'static str,
}

const TABLES: [Table; 5] = [
    Table {
        name: "connections",
        columns: &[
            ("id", "bigint"),
            ("kind", "text"),
            ("name", "text"),
            ("first_start", "bigint"),
            ("last_event_at", "bigint"),
            ("last_forwarded_at", "bigint"),
        ],
        key: "id",
    },
    Table {
        name: "orders",
        columns: &[
            ("connection_id", "bigint"),
            ("order_id", "bigint"),
            ("state", "smallint"),
            ("wanted", "bigint"),
            ("insisted", "bigint"),
            ("delivered", "bigint"),
            ("due_at", "bigint"),
            ("waiting_since", "bigint"),
            ("lease_owner", "bigint"),
            ("deferred", "boolean"),
            ("attempts", "integer"),
            ("refused_since", "bigint"),
            ("missing_since", "bigint"),
            ("last_error", "text"),
            ("digest", "bytea"),
            ("fetched_at", "bigint"),
            ("delivered_at", "bigint"),
            ("settled_at", "bigint"),
            ("first_event_at", "bigint"),
            ("last_event_at", "bigint"),
        ],
        key: "connection_id, order_id",
    },
    Table {
        name: "receipts",
        columns: &[("connection_id", "bigint"), ("order_id", "bigint"), ("key", "bigint"), ("twin", "bigint")],
        key: "connection_id, order_id, key, twin",
    },
    Table {
        name: "notes",
        columns: &[("connection_id", "bigint"), ("name", "text"), ("value", "text")],
        key: "connection_id, name",
    },
    Table {
        name: "hours",
        columns: &[("connection_id", "bigint"), ("hour", "bigint"), ("forwarded", "bigint"), ("waiting", "bigint")],
        key: "connection_id, hour",
    },
];

/// How far the move has come within one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Which table.
    pub table: &'static str,
    /// Rows that are over.
    pub rows: u64,
    /// Rows it has.
    pub of: u64,
}

/// Moves the inbox at `from` into the database at `to`, telling `progress` of each step. The file stays as it is.
///
/// # Errors
/// [`InboxError::Unfit`] when a relay serves the file, there is no such file, a newer relay has added to its tables, or the
/// target is not empty; otherwise as the databases say. Nothing has been moved then.
pub async fn move_inbox(
    from: &Path,
    to: &SecretString,
    mut progress: impl FnMut(Moved) + Send,
) -> Result<(), InboxError> {
    if !from.is_file() {
        return Err(InboxError::Unfit("there is no inbox where DATABASE_URL says".into()));
    }
    let _nobody_serves_it = ServeLock::take(from)?;
    // Opening each checks it and brings its tables up to date.
    SqliteInbox::open(from).await?.close().await;
    PostgresInbox::open(to).await?.close().await;

    let mut source = sqlite::connection(from).await?;
    let applied: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut source).await?;
    if applied > sqlite::newest() {
        return Err(InboxError::Unfit(format!(
            "a newer relay has added to the file's tables (migration {applied}): move it with that version"
        )));
    }
    let mut target = postgres::connection(to).await?;
    let mut reading = source.begin().await?;
    let mut writing = target.begin().await?;
    sqlx::query("LOCK TABLE connections, orders, receipts, notes, hours, leases").execute(&mut *writing).await?;
    let used =
        "SELECT EXISTS (SELECT 1 FROM connections) OR EXISTS (SELECT 1 FROM orders) OR EXISTS (SELECT 1 FROM receipts)";
    if sqlx::query_scalar(used).fetch_one(&mut *writing).await? {
        return Err(InboxError::Unfit("the target is not empty: it holds an inbox already".into()));
    }
    sqlx::query("DELETE FROM notes").execute(&mut *writing).await?;
    for table in &TABLES {
        table.copy(&mut reading, &mut writing, &mut progress).await?;
    }
    let next =
        "SELECT setval(pg_get_serial_sequence('connections', 'id'), coalesce(max(id), 0) + 1, false) FROM connections";
    sqlx::query(next).execute(&mut *writing).await?;
    writing.commit().await?;
    drop(reading);
    drop(source.close().await);
    drop(target.close().await);
    Ok(())
}

impl Table {
    async fn copy(
        &self,
        source: &mut SqliteConnection,
        target: &mut PgConnection,
        progress: &mut (impl FnMut(Moved) + Send),
    ) -> Result<(), InboxError> {
        let Self { name, key, columns } = self;
        let of: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {name}")))
            .fetch_one(&mut *source)
            .await?;
        let cells: Vec<String> = columns.iter().map(|(name, kind)| cell(name, kind)).collect();
        let read = format!(
            "SELECT json_group_array(json(row)), count(*) FROM (
                 SELECT json_object({}) AS row FROM {name} WHERE ({key}) > ({}) ORDER BY {key} LIMIT {STEP})",
            cells.join(", "),
            self.last(),
        );
        let write = self.insert();
        let mut last = String::from("{}");
        let mut rows = 0;
        loop {
            let row = sqlx::query(sqlx::AssertSqlSafe(read.clone())).bind(&last).fetch_one(&mut *source).await?;
            let (batch, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            if count == 0 && rows == of.unsigned_abs() {
                return Ok(());
            }
            let written = sqlx::query(sqlx::AssertSqlSafe(write.clone())).bind(&batch).execute(&mut *target).await?;
            if count == 0 || written.rows_affected() != count.unsigned_abs() {
                return Err(InboxError::Unfit(format!("the table {name} could not be moved whole")));
            }
            rows += count.unsigned_abs();
            progress(Moved { table: name, rows, of: of.unsigned_abs() });
            let batch = sqlx::query_scalar("SELECT ?1 ->> '$[#-1]'").bind(&batch).fetch_one(&mut *source);
            last = batch.await?;
        }
    }

    /// The key of the row that was read last, which is bound as a JSON object; at first there is none.
    fn last(&self) -> String {
        let below = |name: &str| if self.is_text(name) { "''" } else { "-9223372036854775808" };
        let part = |name: &str| format!("coalesce(?1 ->> '{name}', {})", below(name));
        self.key.split(", ").map(part).collect::<Vec<_>>().join(", ")
    }

    fn is_text(&self, column: &str) -> bool {
        self.columns.iter().any(|(name, kind)| *name == column && *kind == "text")
    }

    fn insert(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let values = self.columns.iter().map(|(name, kind)| match *kind {
            "bytea" => format!("decode({name}, 'hex')"),
            _ => (*name).to_owned(),
        });
        let typed = self.columns.iter().map(|(name, kind)| match *kind {
            "bytea" => format!("{name} text"),
            kind => format!("{name} {kind}"),
        });
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM json_to_recordset($1::text::json) AS r({})",
            self.name,
            names.join(", "),
            values.collect::<Vec<_>>().join(", "),
            typed.collect::<Vec<_>>().join(", "),
        )
    }
}

/// One column as a pair of SQLite's `json_object`.
fn cell(name: &str, kind: &str) -> String {
    match kind {
        // `hex` makes an empty text of nothing.
        "bytea" => format!("'{name}', CASE WHEN {name} IS NOT NULL THEN hex({name}) END"),
        "boolean" => format!("'{name}', json(CASE WHEN {name} THEN 'true' ELSE 'false' END)"),
        _ => format!("'{name}', {name}"),
    }
}
