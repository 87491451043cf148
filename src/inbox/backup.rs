//! Backs up a SQLite file while a relay may be serving it.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    InboxError,
    sqlite::{
        self,
        paths::{creation_cure, sqlite_cure},
    },
};

/// The suffix of a copy's name until it is complete.
const PARTIAL: &str = ".partial";

/// Copies the inbox at `from`, as of one moment, into a new file at `to` that only its owner can read, and syncs it.
/// Returns its size in bytes. Removes what killed copies to the same name have left behind.
///
/// # Errors
/// [`InboxError::Unfit`] when there is no inbox, or the new file already exists or cannot be created; otherwise the
/// database's error. No new file is left then.
pub async fn back_up(from: &Path, to: &Path) -> Result<u64, InboxError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || copy(&from, &to));
    copied.await.unwrap_or(Err(InboxError::Closed))
}

fn copy(from: &Path, to: &Path) -> Result<u64, InboxError> {
    if !sqlite::is_there(from) {
        return Err(InboxError::Unfit(format!("there is no database at {} (DATABASE_URL)", from.display())));
    }
    let taken = || InboxError::Unfit(format!("{} is there already: a backup is made into a new file", to.display()));
    let unfit = |error: io::Error| {
        let cure = creation_cure(to, &error);
        InboxError::Unfit(format!("{} cannot be made: {error}; {cure}", to.display()))
    };
    // Absolute, so that SQLite does not take the beginning of it for a scheme.
    let path = std::path::absolute(to).map_err(unfit)?;
    if path.try_exists().map_err(unfit)? {
        return Err(taken());
    }
    remove_left_overs(&path);
    // An interrupted copy never has the name of a complete one.
    let mut partial = path.clone().into_os_string();
    partial.push(format!(".{:08x}{PARTIAL}", rand::random::<u32>()));
    let partial = PathBuf::from(partial);
    let text = partial.to_str().ok_or_else(|| InboxError::Unfit("the new file's path is no text".into()))?;
    // SQLite accepts an empty file as well, and this one is created with the owner's access alone.
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&partial).map_err(unfit)?;
    let source = sqlite::connect(from)?;
    let copied = source.execute("VACUUM INTO ?1", [text]).map_err(|error| {
        let cure = sqlite_cure(to, &error).map_or_else(String::new, |cure| format!("; {cure}"));
        InboxError::Unfit(format!(
            "the database {} cannot be copied to {}: {error}{cure}",
            from.display(),
            to.display()
        ))
    });
    let kept = match copied.and_then(|_| file.sync_all().map_err(unfit)) {
        Ok(()) if path.exists() => Err(taken()),
        done => done.and_then(|()| named(&partial, &path).map_err(unfit)),
    };
    if kept.is_err() {
        drop(fs::remove_file(&partial));
    }
    kept
}

/// Removes the files of interrupted copies to this name. A copy to it that is still under way loses its file too, and
/// fails.
fn remove_left_overs(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let is_left_over = |entry: &fs::DirEntry| {
        let other = entry.file_name();
        let middle =
            other.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(PARTIAL));
        middle.is_some_and(|middle| middle.len() == 8 && middle.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(is_left_over) {
        drop(fs::remove_file(entry.path()));
    }
}

/// Gives a file its final name and syncs the directory. Returns the file's size.
fn named(file: &Path, path: &Path) -> io::Result<u64> {
    fs::rename(file, path)?;
    let folder = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    fs::File::open(folder)?.sync_all()?;
    Ok(fs::metadata(path)?.len())
}
