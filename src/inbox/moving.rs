//! Moves an inbox from a SQLite file into an empty PostgreSQL database: every table, in one transaction, or nothing.
//! What to copy is read from both databases' schemas. Only locks and shards are left behind; they expire by
//! themselves.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rusqlite::{OptionalExtension as _, types::ValueRef};
use serde_json::{Map, Value};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::mpsc;

use super::{Inbox, InboxError, postgres, shard_of};
use crate::secret::Secret;
use crate::spec::SourceKind;

/// Rows copied in one step.
const STEP: usize = 2000;
/// Tables of locks, shards and schema versions, which each database has for itself.
const LEFT_BEHIND: [&str; 6] = ["hook_locks", "relays", "shards", "schema_floor", "migrations", "_sqlx_migrations"];
/// The one table that has a row even in a new database.
const CATALOG: &str = "catalog";

/// Progress of the move within one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The table's name.
    pub table: String,
    /// Rows copied so far.
    pub rows: u64,
    /// Rows in all.
    pub of: u64,
}

/// The columns of a table: names with their PostgreSQL types.
type Columns = BTreeMap<String, String>;

/// A table of the SQLite file.
#[derive(Debug, Clone)]
struct Table {
    name: String,
    /// The columns that both databases have.
    columns: Columns,
    rows: u64,
}

/// What the reading thread sends: first the tables, then the rows of each.
enum Read {
    Tables { tables: Vec<Table>, last_id: i64 },
    Rows { table: usize, rows: Vec<Map<String, Value>> },
}

/// Moves the inbox at `from` into the database at `to` and reports each step to `progress`. The file is not changed.
/// No relay may serve it meanwhile.
///
/// # Errors
/// [`InboxError::Unfit`] when there is no such file, a newer relay has added to its tables, or the target is not
/// empty; otherwise the databases' errors. Nothing has been moved then.
pub async fn move_inbox(from: &Path, to: &Secret, mut progress: impl FnMut(Moved) + Send) -> Result<(), InboxError> {
    if !from.is_file() {
        return Err(InboxError::Unfit("there is no inbox where DATABASE_URL says".into()));
    }
    // Opening the target checks it and brings its tables up to date.
    postgres::PostgresInbox::open(to).await?.close().await;
    let mut target = postgres::connection(to).await?;
    let target_tables = tables_of(&mut target).await?;
    let (sender, mut reads) = mpsc::channel(2);
    let path = from.to_owned();
    let reader = tokio::task::spawn_blocking(move || read_all(path, &target_tables, &sender));
    let written = write_all(&mut target, &mut reads, &mut progress).await;
    // Without a receiver, the reading thread ends at its next step.
    drop(reads);
    let read = reader.await.map_err(|_| InboxError::Unfit("the file could not be read to its end".into()))?;
    // If reading failed, that is also why writing failed.
    read.and(written)?;
    drop(target.close().await);
    Ok(())
}

fn unread(error: rusqlite::Error) -> InboxError {
    // The message for a file that does not open contains its path, which is a secret.
    match error.sqlite_error() {
        Some(code) => InboxError::Unfit(format!("the file cannot be read: {code}")),
        None => InboxError::Unfit(format!("the file cannot be read: {error}")),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reads every table, all as of one moment.
fn read_all(path: PathBuf, target: &BTreeMap<String, Columns>, sender: &mpsc::Sender<Read>) -> Result<(), InboxError> {
    let mut file = rusqlite::Connection::open(path).map_err(unread)?;
    let file = file.transaction().map_err(unread)?;
    let tables = source_tables(&file, target)?;
    let used = "SELECT seq FROM sqlite_sequence WHERE name = 'connections'";
    let last_id = file.query_row(used, [], |row| row.get(0)).optional().map_err(unread)?.unwrap_or(0);
    let mut is_wanted = sender.blocking_send(Read::Tables { tables: tables.clone(), last_id }).is_ok();
    for (number, table) in tables.iter().enumerate() {
        let names: Vec<String> = table.columns.keys().map(|name| quoted(name)).collect();
        let sql = format!("SELECT {} FROM {}", names.join(", "), quoted(&table.name));
        let mut statement = file.prepare(&sql).map_err(unread)?;
        let mut found = statement.query([]).map_err(unread)?;
        let mut step = Vec::with_capacity(STEP);
        loop {
            let next = found.next().map_err(unread)?;
            let is_last = next.is_none();
            if let Some(row) = next {
                step.push(cells(table, row)?);
            }
            if step.len() == STEP || is_last && !step.is_empty() {
                let rows = std::mem::take(&mut step);
                is_wanted = is_wanted && sender.blocking_send(Read::Rows { table: number, rows }).is_ok();
            }
            if is_last || !is_wanted {
                break;
            }
        }
    }
    Ok(())
}

/// The tables to be moved. Tables or columns without a place in the target would be lost, so they are an error.
fn source_tables(file: &rusqlite::Connection, target: &BTreeMap<String, Columns>) -> Result<Vec<Table>, InboxError> {
    let newer = || InboxError::Unfit("a newer relay has added to the file's tables: move it with that version".into());
    let texts =
        |sql: &str| -> rusqlite::Result<Vec<String>> { file.prepare(sql)?.query_map([], |row| row.get(0))?.collect() };
    let all =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let mut tables = Vec::new();
    for name in texts(all).map_err(unread)?.into_iter().filter(|name| !LEFT_BEHIND.contains(&name.as_str())) {
        let types = target.get(&name).ok_or_else(newer)?;
        let columns = texts(&format!("SELECT name FROM pragma_table_info({})", quoted(&name))).map_err(unread)?;
        let columns = columns.into_iter().map(|column| {
            let kind = types.get(&column).ok_or_else(newer)?;
            Ok((column, kind.clone()))
        });
        let columns = columns.collect::<Result<_, InboxError>>()?;
        let count = format!("SELECT count(*) FROM {}", quoted(&name));
        let rows: i64 = file.query_row(&count, [], |row| row.get(0)).map_err(unread)?;
        tables.push(Table { name, columns, rows: rows.unsigned_abs() });
    }
    if tables.iter().all(|table| table.name != "objects") {
        return Err(InboxError::Unfit("there is no inbox in the file".into()));
    }
    Ok(tables)
}

/// One row as JSON, by PostgreSQL's types; bytes as hexadecimal text.
fn cells(table: &Table, row: &rusqlite::Row<'_>) -> Result<Map<String, Value>, InboxError> {
    let mut cells = Map::new();
    for (number, (name, kind)) in table.columns.iter().enumerate() {
        let cell = match row.get_ref(number).map_err(unread)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) if kind == "boolean" => (number != 0).into(),
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            // PostgreSQL text cannot contain this character.
            ValueRef::Text(text) => String::from_utf8_lossy(text).replace('\0', "").into(),
            ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        };
        cells.insert(name.clone(), cell);
    }
    if table.name == "connections" {
        let kind = cells.get("source_kind").and_then(Value::as_i64).and_then(|code| i16::try_from(code).ok());
        let kind = kind.and_then(SourceKind::from_code);
        let store = cells.get("store").and_then(Value::as_str);
        let unknown = || InboxError::Unfit("a connection's store is of a kind that this relay does not know".into());
        let shard = shard_of(kind.ok_or_else(unknown)?, store.unwrap_or_default());
        cells.insert("shard".into(), shard.into());
    }
    Ok(cells)
}

/// The tables of the target database.
async fn tables_of(target: &mut PgConnection) -> Result<BTreeMap<String, Columns>, InboxError> {
    let sql = "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
               FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
               WHERE c.oid IN (SELECT to_regclass(quote_ident(tablename)) FROM pg_tables
                               WHERE schemaname = current_schema())
                     AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = sqlx::query_as::<_, (String, String, String)>(sql).fetch_all(target).await?;
    let mut tables: BTreeMap<String, Columns> = BTreeMap::new();
    for (table, column, kind) in rows {
        tables.entry(table).or_default().insert(column, kind);
    }
    Ok(tables)
}

/// Writes everything that is read, in one transaction.
async fn write_all(
    target: &mut PgConnection,
    reads: &mut mpsc::Receiver<Read>,
    progress: &mut (impl FnMut(Moved) + Send),
) -> Result<(), InboxError> {
    let unread = || InboxError::Unfit("the file could not be read to its end".into());
    let Some(Read::Tables { tables, last_id }) = reads.recv().await else { return Err(unread()) };
    let mut writing = target.begin().await?;
    empty(&mut writing, &tables).await?;
    let mut done = vec![0; tables.len()];
    while let Some(read) = reads.recv().await {
        let Read::Rows { table: number, rows } = read else { continue };
        let table = &tables[number];
        let written = insert(&mut writing, table, &rows).await?;
        if written != rows.len() as u64 {
            return Err(InboxError::Unfit(format!("the table {} could not be moved whole", table.name)));
        }
        done[number] += written;
        progress(Moved { table: table.name.clone(), rows: done[number], of: table.rows });
    }
    if tables.iter().zip(&done).any(|(table, done)| table.rows != *done) {
        return Err(unread());
    }
    // A number that was ever used is not used again, even if its connection is gone.
    let next =
        "SELECT setval(pg_get_serial_sequence('connections', 'id'), greatest($1, coalesce(max(id), 0)) + 1, false)
                FROM connections";
    sqlx::query(next).bind(last_id).execute(&mut *writing).await?;
    writing.commit().await?;
    Ok(())
}

/// Locks the tables and checks that they are empty.
async fn empty(writing: &mut PgConnection, tables: &[Table]) -> Result<(), InboxError> {
    let names: Vec<String> = tables.iter().map(|table| quoted(&table.name)).collect();
    let lock = format!("LOCK TABLE {}", names.join(", "));
    sqlx::query(sqlx::AssertSqlSafe(lock)).execute(&mut *writing).await?;
    for table in tables.iter().filter(|table| table.name != CATALOG) {
        let used = format!("SELECT EXISTS (SELECT 1 FROM {})", quoted(&table.name));
        if sqlx::query(sqlx::AssertSqlSafe(used)).fetch_one(&mut *writing).await?.try_get(0)? {
            return Err(InboxError::Unfit("the target is not empty: it holds an inbox already".into()));
        }
    }
    sqlx::query("DELETE FROM catalog").execute(writing).await?;
    Ok(())
}

/// Inserts rows. Returns how many were written.
async fn insert(writing: &mut PgConnection, table: &Table, rows: &[Map<String, Value>]) -> Result<u64, InboxError> {
    let mut columns = table.columns.clone();
    if table.name == "connections" {
        columns.insert("shard".into(), "smallint".into());
    }
    let names: Vec<String> = columns.keys().map(|name| quoted(name)).collect();
    let values = columns.iter().map(|(name, kind)| match kind.as_str() {
        "bytea" => format!("decode({}, 'hex')", quoted(name)),
        _ => quoted(name),
    });
    let types = columns.iter().map(|(name, kind)| match kind.as_str() {
        "bytea" => format!("{} text", quoted(name)),
        kind => format!("{} {kind}", quoted(name)),
    });
    let sql = format!(
        "INSERT INTO {} ({}) SELECT {} FROM json_to_recordset($1::text::json) AS r({})",
        quoted(&table.name),
        names.join(", "),
        values.collect::<Vec<_>>().join(", "),
        types.collect::<Vec<_>>().join(", "),
    );
    let batch = serde_json::to_string(rows).expect("JSON values are JSON");
    Ok(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(batch).execute(writing).await?.rows_affected())
}
