//! `migrate`: moves the inbox from its SQLite file into a PostgreSQL database.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use secrecy::{ExposeSecret, SecretString};

use super::{Failure, Usage, failed, output};
use crate::{
    config::{self, Database},
    inbox::{Moved, move_inbox},
    words,
};

/// Takes any text: what is wrong with it is said without repeating it.
pub(super) fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.into())
}

/// Moves the inbox at `from` to `to`.
pub async fn migrate(from: Database, to: SecretString) -> ExitCode {
    match moved(from, to).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn moved(from: Database, to: SecretString) -> Result<(), Failure> {
    config::postgres::options(to.expose_secret()).map_err(|why| Usage(format!("--to: {why}")))?;
    let Database::Sqlite(path) = from else {
        return Err("DATABASE_URL must name the SQLite file to move, as `sqlite://PATH`".into());
    };
    // On anything but a terminal the bar stays hidden by itself.
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg:>12} {wide_bar} {pos}/{len}")?);
    let mut tables: Vec<Moved> = Vec::new();
    let done = move_inbox(&path, &to, |moved| {
        bar.set_length(moved.of);
        bar.set_position(moved.rows);
        if tables.last().is_none_or(|last| last.table != moved.table) {
            bar.set_message(moved.table);
            tables.push(moved);
        }
    })
    .await;
    bar.finish_and_clear();
    done?;
    for Moved { table, of, .. } in tables {
        output::line(format_args!("{table}: {} moved", words::count(of, "row")))?;
    }
    output::line("Done. Set DATABASE_URL to the new database before the relay starts again; the file is left as it is.")
}
