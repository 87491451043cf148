//! `backup`: copies the inbox's SQLite file, also while a relay serves it.

use std::{path::PathBuf, process::ExitCode};

use super::{Failure, failed, output};
use crate::{config::Database, inbox::back_up};

/// Copies the inbox at `from` into a new file.
pub async fn backup(from: Database, to: PathBuf) -> ExitCode {
    match backed_up(from, to).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn backed_up(from: Database, to: PathBuf) -> Result<(), Failure> {
    let Database::Sqlite(path) = from else {
        return Err("DATABASE_URL names a PostgreSQL database: back it up with pg_dump".into());
    };
    let bytes = back_up(&path, &to).await?;
    output::line(format!("{}: a whole copy, {}", to.display(), crate::words::count(bytes, "byte")))
}
