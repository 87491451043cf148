//! `migrate`: moves everything from the SQLite file into a PostgreSQL database.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use super::{
    failure::{CommandError, ended},
    output,
};
use crate::{
    humanize,
    inbox::{Database, Moved, move_inbox, postgres, sqlite::ServeLock},
    secret::Secret,
};

/// The longest URL that is read.
const MAX_URL: u64 = 64 * 1024;
/// The argument that stands for standard input.
const STDIN: &str = "-";

/// Where everything is moved to.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The target, `postgres://USER@HOST/DATABASE` without a password, or `-` to read it from standard input
    #[arg(long, value_name = "URL|-", value_parser = secret, conflicts_with = "to_file")]
    pub to: Option<Secret>,
    /// A file that holds the target's URL
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub to_file: Option<PathBuf>,
}

/// The sources of the target's URL: the arguments, and the variable `MIGRATE_TO`.
pub struct Target {
    /// The command's arguments.
    pub args: MigrateArgs,
    /// The variable, if it is set.
    pub variable: Option<Secret>,
}

/// Accepts any text; errors about it are reported later, without quoting it.
pub(super) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(text.into())
}

impl Target {
    /// Reads the URL. Also returns the name of its source, for errors.
    fn read(self) -> Result<(Secret, String), CommandError> {
        let Self { args: MigrateArgs { to, to_file }, variable } = self;
        match (to, to_file, variable) {
            (Some(to), _, _) if to.expose() == STDIN => {
                Ok((read(io::stdin().lock(), "standard input")?, "standard input".to_owned()))
            }
            (Some(to), _, _) if has_password(&to) => Err(CommandError::usage(
                "--to: a password in an argument can be read by every user of this machine while the command runs. \
                 Give the URL in the variable MIGRATE_TO, in a file (--to-file FILE), or on standard input (--to -)",
            )),
            (Some(to), _, _) => Ok((to, "--to".to_owned())),
            (None, Some(path), _) => Ok((read_file(&path)?, format!("--to-file {}", path.display()))),
            (None, None, Some(variable)) => Ok((variable, "MIGRATE_TO".to_owned())),
            (None, None, None) => Err(CommandError::usage(
                "where to? Give the target's URL, `postgres://USER:PASSWORD@HOST/DATABASE`, in the variable MIGRATE_TO, \
                 in a file (--to-file FILE), or on standard input (--to -)",
            )),
        }
    }
}

/// Whether a URL holds a password: before the host, or as a parameter.
fn has_password(url: &Secret) -> bool {
    let text = url.expose();
    match Url::parse(text) {
        Ok(url) => url.password().is_some() || url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password")),
        // A URL that cannot be parsed may contain one.
        Err(_) => text.contains('@'),
    }
}

fn read_file(path: &Path) -> Result<Secret, CommandError> {
    let shown = format!("--to-file {}", path.display());
    let file = fs::File::open(path).map_err(|error| CommandError::usage(format_args!("{shown}: {error}")))?;
    read(file, &shown)
}

fn read(from: impl Read, shown: &str) -> Result<Secret, CommandError> {
    let mut text = String::new();
    let read = from.take(MAX_URL).read_to_string(&mut text);
    read.map_err(|error| CommandError::usage(format_args!("{shown} cannot be read: {error}")))?;
    Ok(text.trim().trim_start_matches('\u{feff}').into())
}

/// Moves the database at `from` to where `target` says.
pub async fn migrate(from: Database, target: Target) -> ExitCode {
    ended(moved(from, target).await)
}

async fn moved(from: Database, target: Target) -> Result<(), CommandError> {
    let (to, source) = target.read()?;
    postgres::url::options(to.expose()).map_err(|why| CommandError::usage(format_args!("{source}: {why}")))?;
    let Database::Sqlite(path) = from else {
        return Err(CommandError::usage("DATABASE_URL must name the SQLite file to move, as `sqlite://PATH`"));
    };
    // Held to the end: a relay that is running, or starts, would store events that are not moved.
    let _lock = match path.is_file() {
        true => Some(ServeLock::take(&path)?),
        false => None,
    };
    // Without a terminal, the bar hides itself.
    let style = ProgressStyle::with_template("{msg:>16} {wide_bar} {pos}/{len}").map_err(CommandError::failed)?;
    let bar = ProgressBar::new(0).with_style(style);
    let mut tables: Vec<Moved> = Vec::new();
    let done = move_inbox(&path, &to, |moved| {
        bar.set_length(moved.of);
        bar.set_position(moved.rows);
        if tables.last().is_none_or(|last| last.table != moved.table) {
            bar.set_message(moved.table.clone());
            tables.push(moved);
        }
    })
    .await;
    bar.finish_and_clear();
    done?;
    for Moved { table, of, .. } in tables {
        output::line(format_args!("{table}: {} moved", humanize::count(of, "row")))?;
    }
    output::line("Done. Set DATABASE_URL to the new database before the relay starts again; the file is left as it is.")
}
