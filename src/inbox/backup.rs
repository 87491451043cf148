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
    let taken = || InboxError::Unfit(format!("{} is there already: a backup is made into a new file", to.display()));
    let unfit = |error: io::Error| InboxError::Unfit(format!("{} cannot be made: {error}", to.display()));
    // Absolute, so that SQLite does not take the beginning of it for a scheme.
    let path = std::path::absolute(to).map_err(unfit)?;
    if path.try_exists().map_err(unfit)? {
        return Err(taken());
    }
    // A copy that was broken off never bears the name of a whole one.
    let mut partial = path.clone().into_os_string();
    partial.push(format!(".{:08x}.partial", rand::random::<u32>()));
    let partial = PathBuf::from(partial);
    let text = partial.to_str().ok_or_else(|| InboxError::Unfit("the new file's path is no text".into()))?;
    // SQLite takes an empty file as well, and what is made here is nobody else's.
    let file = fs::File::options().write(true).create_new(true).open(&partial).map_err(unfit)?;
    let copied = copy(from, text).await;
    let kept = match copied.and_then(|()| file.sync_all().map_err(unfit)) {
        Ok(()) if path.exists() => Err(taken()),
        done => done.and_then(|()| named(&partial, &path).map_err(unfit)),
    };
    if kept.is_err() {
        drop(fs::remove_file(&partial));
    }
    kept
}

async fn copy(from: &Path, to: &str) -> Result<(), InboxError> {
    let mut source = sqlite::connection(from).await?;
    let copied = sqlx::query("VACUUM INTO ?1").bind(to).execute(&mut source).await;
    drop(source.close().await);
    Ok(copied.map(drop)?)
}

/// Gives a file its name, and syncs that. Returns the file's size.
fn named(file: &Path, path: &Path) -> io::Result<u64> {
    fs::rename(file, path)?;
    let folder = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    fs::File::open(folder)?.sync_all()?;
    Ok(fs::metadata(path)?.len())
}
