//! The database's files on disk: their permissions and their names.

use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;
use rustix::fs::StatVfsMountFlags;

use crate::inbox::InboxError;

/// Opens or creates a file that only its owner may read, whatever the umask of the process.
pub(super) fn open_private(path: &Path) -> Result<fs::File, InboxError> {
    let opened = fs::File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map_err(|error| unusable(path, &error))
}

/// Removes all permissions of group and others. A file of another user is left as it is.
pub(super) fn restrict(path: &Path) {
    let is_open = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    if is_open && let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        tracing::warn!(path = %path.display(), %error, "{} can be read by others: {error}", path.display());
    }
}

/// The path of a file beside the database: its name with a suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What a database needs at least to be opened.
const ROOM: u64 = 64 * 1024;
const MAKE_ROOM: &str = "make room on the disk";

/// The error for a file that cannot be used: which user tried, and what to do.
pub(super) fn unusable(path: &Path, error: &io::Error) -> InboxError {
    let cure = match error.kind() {
        io::ErrorKind::NotFound => "make its folder first, or correct DATABASE_URL".to_owned(),
        io::ErrorKind::IsADirectory => {
            format!("name a file in that folder: DATABASE_URL=sqlite://{}", path.join("relay.db").display())
        }
        io::ErrorKind::StorageFull => MAKE_ROOM.to_owned(),
        _ => volume_cure(path).map_or_else(right_to_write, str::to_owned),
    };
    InboxError::Unfit(format!("the database {} cannot be used: {error}; {cure}", path.display()))
}

/// What to do about a new file that cannot be made.
pub(in crate::inbox) fn creation_cure(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "make its folder first".to_owned(),
        io::ErrorKind::StorageFull => MAKE_ROOM.to_owned(),
        _ => volume_cure(path).map_or_else(right_to_write, str::to_owned),
    }
}

/// What to do about an error of SQLite's, where that is known.
pub(in crate::inbox) fn sqlite_cure(path: &Path, error: &rusqlite::Error) -> Option<String> {
    match error.sqlite_error_code()? {
        ErrorCode::DiskFull => Some(MAKE_ROOM.to_owned()),
        // A file beside the database that cannot be enlarged.
        ErrorCode::SystemIoFailure => volume_cure(path).map(str::to_owned),
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            Some(volume_cure(path).map_or_else(right_to_write, str::to_owned))
        }
        _ => None,
    }
}

/// What to do about the file system that a file is on, if that cannot be written.
fn volume_cure(path: &Path) -> Option<&'static str> {
    let volume = rustix::fs::statvfs(path.parent()?).ok()?;
    if volume.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some("its file system is mounted read-only: mount it writable");
    }
    (volume.f_bavail.saturating_mul(volume.f_frsize) < ROOM).then_some("its disk is full: make room on it")
}

fn right_to_write() -> String {
    let user = rustix::process::getuid().as_raw();
    format!("give the user {user}, as whom this runs, the right to read and write it and its folder")
}
