//! The database's share of the processor time that relays and database use together: of PostgreSQL its processes, of
//! SQLite the thread that runs it.

use std::{fs, path::Path};

/// Processor time so far, in clock ticks, of all relays and databases that are alive on this machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct Ticks {
    database: u64,
    relays: u64,
}

impl Ticks {
    /// As they stand now.
    pub fn now() -> Self {
        let mut ticks = Self::default();
        for process in entries(Path::new("/proc")) {
            match name(&process).as_deref() {
                Some("postgres") => ticks.database += spent(&process),
                Some("onetribe-relay") => {
                    for thread in entries(&process.join("task")) {
                        if name(&thread).is_some_and(|name| name.starts_with("inbox-writer")) {
                            ticks.database += spent(&thread);
                        } else {
                            ticks.relays += spent(&thread);
                        }
                    }
                }
                _ => {}
            }
        }
        ticks
    }

    /// The database's share of what has been spent since then, in percent.
    pub fn database_percent(self) -> f64 {
        let now = Self::now();
        let database = now.database.saturating_sub(self.database);
        let relays = now.relays.saturating_sub(self.relays);
        100.0 * database as f64 / (database + relays).max(1) as f64
    }
}

/// Processes come and go: what is not there any more has no entries, no name, and has spent nothing.
fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn name(of: &Path) -> Option<String> {
    fs::read_to_string(of.join("comm")).ok().map(|name| name.trim_end().to_owned())
}

/// User and system time: fields 14 and 15 of proc(5)'s `stat`, of which the name in brackets is the second.
fn spent(on: &Path) -> u64 {
    let stat = fs::read_to_string(on.join("stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
