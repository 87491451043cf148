//! One transaction's statements on their way to the database's thread, and how they carry rows.

use std::mem;

use futures_util::TryStreamExt;
use sqlx::{
    Arguments, AssertSqlSafe, Either, Encode, Executor, Sqlite, SqliteConnection, Type,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

/// A transaction. A statement that nobody waits for travels with the next that somebody does: the way to the thread and
/// back costs more than most statements.
///
/// Values are bound by place alone (`?`): a number would count over all that travels together.
pub(super) struct Script<'c> {
    db: &'c mut SqliteConnection,
    text: String,
    values: SqliteArguments,
}

impl<'c> Script<'c> {
    /// Begins. If it does not come to its [`commit`](Self::commit), the connection is of no more use.
    pub fn begin(db: &'c mut SqliteConnection) -> Self {
        Self { db, text: "BEGIN IMMEDIATE".to_owned(), values: SqliteArguments::default() }
    }

    /// Begins a statement.
    pub fn then(&mut self, sql: &'static str) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        self.push(sql)
    }

    /// Goes on with the statement.
    pub fn push(&mut self, sql: &'static str) -> &mut Self {
        self.text.push_str(sql);
        self
    }

    /// Goes on with a value.
    pub fn bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        self.text.push('?');
        self.value(value)
    }

    /// Goes on with rows of values, and rows of nulls behind them up to a power of two, which the statement has to pass over.
    /// A text that was met before need not be compiled again, and compiling costs more than all the rest.
    pub fn rows_of<R>(&mut self, columns: usize, rows: &[R], add: impl Fn(&mut Self, &R)) -> &mut Self {
        let row = format!("({}?)", "?,".repeat(columns - 1));
        let count = rows.len().next_power_of_two();
        self.push("VALUES ");
        for at in 0..count {
            self.push(if at > 0 { "," } else { "" }).text.push_str(&row);
        }
        rows.iter().for_each(|row| add(self, row));
        for _ in 0..(count - rows.len()) * columns {
            self.value(None::<i64>);
        }
        self
    }

    /// A value of a row.
    pub fn value<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        self.values.add(value).expect("numbers and texts can be encoded");
        self
    }

    /// Runs what has been added. Returns the rows of all of it.
    pub async fn rows(&mut self) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let query = self.take();
        query.fetch_all(&mut *self.db).await
    }

    /// Runs what has been added. Returns how many rows its last statement, which must be a changing one, has changed.
    pub async fn changed(&mut self) -> Result<u64, sqlx::Error> {
        let query = self.take();
        let mut results = self.db.fetch_many(query);
        let mut last = 0;
        while let Some(result) = results.try_next().await? {
            if let Either::Left(done) = result {
                last = done.rows_affected();
            }
        }
        Ok(last)
    }

    /// Runs what has been added, and makes all of it durable. Returns the rows, as [`rows`](Self::rows) does.
    pub async fn commit(mut self) -> Result<Vec<SqliteRow>, sqlx::Error> {
        self.then("COMMIT");
        self.rows().await
    }

    fn take(&mut self) -> Query<'static, Sqlite, SqliteArguments> {
        // Made of this program's own pieces, as their types say; everything else is bound.
        sqlx::query_with(AssertSqlSafe(mem::take(&mut self.text)), mem::take(&mut self.values))
    }
}
