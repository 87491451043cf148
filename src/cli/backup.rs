//! `backup`: copies the database's SQLite file, even while a relay serves it.

use std::{path::PathBuf, process::ExitCode};

use super::{
    failure::{CommandError, ended},
    output,
};
use crate::{
    humanize,
    inbox::{Database, back_up},
};

/// Copies the database at `from` into a new file.
pub async fn backup(from: Database, to: PathBuf) -> ExitCode {
    ended(backed_up(from, to).await)
}

async fn backed_up(from: Database, to: PathBuf) -> Result<(), CommandError> {
    let Database::Sqlite(path) = from else {
        return Err(CommandError::failed("DATABASE_URL names a PostgreSQL database: back it up with pg_dump"));
    };
    let bytes = back_up(&path, &to).await?;
    let copy = to.display().to_string();
    output::line(format_args!("{}: a whole copy, {}", humanize::printable(&copy), humanize::count(bytes, "byte")))
}
