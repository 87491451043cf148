//! The database's share of the CPU time that relays and database use together: PostgreSQL's processes, or the SQLite
//! thread.

use std::{fs, path::Path};

/// CPU time so far, in clock ticks, of all relays and databases that are running on this machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct Ticks {
    database: u64,
    relays: u64,
}

impl Ticks {
    /// The current values.
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

    /// The database's share of the CPU time since then, in percent.
    pub fn database_percent(self) -> f64 {
        let now = Self::now();
        let database = now.database.saturating_sub(self.database);
        let relays = now.relays.saturating_sub(self.relays);
        100.0 * database as f64 / (database + relays).max(1) as f64
    }
}

/// The entries of a folder in /proc; none if the process has ended meanwhile.
fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn name(of: &Path) -> Option<String> {
    fs::read_to_string(of.join("comm")).ok().map(|name| name.trim_end().to_owned())
}

/// User and system time: fields 14 and 15 of `stat` in proc(5), whose second field is the name in parentheses.
fn spent(on: &Path) -> u64 {
    let stat = fs::read_to_string(on.join("stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
