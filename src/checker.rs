//! Reads the facts about a connection and runs its checks. What is to be thought of them, `health` says.
//!
//! `facts` reads what is known without a call; `probes` asks the store, the destination and the public address.

mod facts;
mod probes;
mod public_address;

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    clock::Timestamp,
    connection::Connection,
    health::{
        self, Facts, Judgment, Severity,
        facts::{AddressFault, Probe, ShopProblem, StoreLabel},
    },
    http::Failure,
    inbox::Side,
    object::ConnectionId,
    services::Services,
};

pub use facts::disk_space;
pub use public_address::{ECHO_PATH, proof};

/// What the calls of checks have found of one connection.
#[derive(Debug, Clone, Default)]
struct Probed {
    revision: i64,
    store: Option<Probe<Result<(), Failure>>>,
    store_fails_since: Option<Timestamp>,
    destination: Option<Probe<Result<u16, Failure>>>,
    destination_fails_since: Option<Timestamp>,
    public_address: Option<Probe<Result<(), AddressFault>>>,
    hooks_looked_at: Option<Timestamp>,
    hooks_took: Duration,
    blocked_for: Option<Duration>,
    database_took: Duration,
    label: Option<StoreLabel>,
    shop: Option<ShopProblem>,
    checked_at: Option<Instant>,
    /// The gravest that was seen when it was last looked at, and its title.
    trouble: Option<(Severity, String)>,
    /// The sides that did not work then.
    down: Vec<Side>,
    /// How long what is known stands before it is asked again; `None` while nothing is broken.
    recheck_after: Option<Duration>,
}

/// What is broken may be mended at any moment, and where no order waits nothing else would notice: it is asked again
/// when it has lasted a quarter as long again, within these bounds.
const RECHECK: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(900);

/// Knows what checks have found, for as long as the process runs.
#[derive(Debug, Default)]
pub struct Checker {
    probed: Mutex<HashMap<ConnectionId, Probed>>,
}

/// Facts, and what is to be thought of them.
pub struct Examined {
    /// What is known.
    pub facts: Facts,
    /// What follows from it.
    pub judgment: Judgment,
}

impl Checker {
    fn probed(&self, connection: &Connection) -> Probed {
        self.ask(connection, Probed::clone).unwrap_or_default()
    }

    /// Something of what was found of a connection since its last change.
    fn ask<T>(&self, connection: &Connection, of: impl FnOnce(&Probed) -> T) -> Option<T> {
        let all = self.probed.lock();
        all.get(&connection.id).filter(|probed| probed.revision == connection.revision).map(of)
    }

    /// What was found of a connection that has been changed since is forgotten.
    fn note(&self, connection: &Connection, change: impl FnOnce(&mut Probed)) {
        let mut all = self.probed.lock();
        let probed = all.entry(connection.id).or_default();
        if probed.revision != connection.revision {
            *probed = Probed { revision: connection.revision, ..Probed::default() };
        }
        change(probed);
    }

    /// What is known of a connection now, without asking anything but the database, and what follows from it.
    pub async fn examine(&self, services: &Services, connection: &Connection) -> Examined {
        let facts = facts::read(services, connection, &self.probed(connection)).await;
        let judgment = health::judge(&facts);
        let worst = judgment.conditions.iter().find(|condition| condition.severity > Severity::Info);
        let broken = worst.filter(|condition| condition.severity == Severity::Error);
        self.note(connection, |probed| {
            probed.trouble = worst.map(|condition| (condition.severity, condition.title.clone()));
            probed.down = Side::ALL.into_iter().filter(|side| judgment.is_down(*side)).collect();
            probed.recheck_after = broken.map(|condition| {
                let lasted = condition.since.map_or(Duration::ZERO, |since| facts.age(since));
                (lasted / 4).clamp(*RECHECK.start(), *RECHECK.end())
            });
        });
        Examined { facts, judgment }
    }

    /// Runs all checks side by side, each within ten seconds, and judges. Sends no order anywhere.
    pub async fn check(&self, services: &Services, connection: &Connection) -> Examined {
        self.probe(services, connection, true).await;
        self.note(connection, |probed| probed.checked_at = Some(Instant::now()));
        self.examine(services, connection).await
    }

    /// The same, but for the destination, to which nothing at all is sent.
    pub async fn check_source(&self, services: &Services, connection: &Connection) -> Examined {
        self.probe(services, connection, false).await;
        self.examine(services, connection).await
    }

    /// Whether the checks have been run since the start, or the last change.
    pub fn has_checked(&self, connection: &Connection) -> bool {
        self.ask(connection, |probed| probed.checked_at.is_some()).unwrap_or(false)
    }

    /// Whether something was broken when it was last looked at, and the checks were run too long ago to still say so.
    pub fn is_recheck_due(&self, connection: &Connection) -> bool {
        let is_due = |probed: &Probed| {
            probed.checked_at.zip(probed.recheck_after).is_some_and(|(at, after)| at.elapsed() >= after)
        };
        self.ask(connection, is_due).unwrap_or(false)
    }

    /// Whether a side did not work when it was last looked at.
    pub fn is_down(&self, connection: &Connection, side: Side) -> bool {
        self.ask(connection, |probed| probed.down.contains(&side)).unwrap_or(false)
    }

    /// The gravest that was seen of a connection when it was last looked at: how grave it is, and its title.
    pub fn trouble(&self, connection: &Connection) -> Option<(Severity, String)> {
        self.ask(connection, |probed| probed.trouble.clone()).flatten()
    }

    /// Whether there was any.
    pub fn has_trouble(&self, connection: &Connection) -> bool {
        self.ask(connection, |probed| probed.trouble.is_some()).unwrap_or(false)
    }
}
