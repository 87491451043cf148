//! A copy of a SQLite file that is whole, made while a relay may be serving it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sqlx::Connection as _;

use super::{InboxError, sqlite};

/// Copies the inbox at `from` into a new file at `to`, as it is at one moment, and syncs it. Returns its size in bytes.
///
/// # Errors
/// [`InboxError::Unfit`] when there is no inbox, or the new file is there already or cannot be made; otherwise as the
/// database says. There is no new file then.
pub async fn back_up(from: &Path, to: &Path) -> Result<u64, InboxError> {
    if !from.is_file() {
        return Err(InboxError::Unfit("there is no database where DATABASE_URL says".into()));
    }
    let unfit = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            InboxError::Unfit(format!("{} is there already: a backup is made into a new file", to.display()))
        }
        _ => InboxError::Unfit(format!("{} cannot be made: {error}", to.display())),
    };
    // Whole, so that SQLite does not take the beginning of it for a scheme.
    let path = std::path::absolute(to).map_err(unfit)?;
    let text = path.to_str().ok_or_else(|| InboxError::Unfit("the new file's path is no text".into()))?;
    // SQLite takes an empty file as well, and what is made here is nobody else's.
    let file = fs::File::options().write(true).create_new(true).open(&path).map_err(unfit)?;
    let copied = copy(from, text).await;
    let kept = copied.and_then(|()| synced(&file, &path).map_err(unfit));
    if kept.is_err() {
        drop(fs::remove_file(&path));
    }
    kept
}

async fn copy(from: &Path, to: &str) -> Result<(), InboxError> {
    let mut source = sqlite::connection(from).await?;
    let copied = sqlx::query("VACUUM INTO ?1").bind(to).execute(&mut source).await;
    drop(source.close().await);
    Ok(copied.map(drop)?)
}

/// The file and its name are on disk.
fn synced(file: &fs::File, path: &Path) -> io::Result<u64> {
    file.sync_all()?;
    let folder = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    fs::File::open(folder)?.sync_all()?;
    Ok(file.metadata()?.len())
}
