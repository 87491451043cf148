//! Reads the facts about a connection and runs its checks. `health` judges them.
//!
//! `facts` reads what is known without a call; `probes` calls the store, the destination and the public address;
//! `latest` keeps what the latest of these calls has found.

mod facts;
mod latest;
mod probes;
mod public_address;

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use latest::Latest;
use parking_lot::Mutex;

use crate::{
    clock::Timestamp,
    connection::Connection,
    health::{
        self, Code, Facts, Judgment, Severity,
        facts::{AddressFault, ShopProblem, StoreLabel},
    },
    http::Failure,
    inbox::Side,
    object::ConnectionId,
    services::Services,
};

pub use facts::disk_space;
pub use public_address::{ECHO_PATH, proof};

/// The results of one connection's checks.
#[derive(Debug, Clone, Default)]
struct Probed {
    revision: i64,
    store: Latest<(), Failure>,
    destination: Latest<u16, Failure>,
    public_address: Latest<(), AddressFault>,
    hooks_looked_at: Option<Timestamp>,
    hooks_took: Duration,
    blocked_for: Option<Duration>,
    database_took: Duration,
    label: Option<StoreLabel>,
    shop: Option<ShopProblem>,
    begun_at: Option<Instant>,
    checked_at: Option<Instant>,
    /// Severity and title of the gravest condition at the last judgment.
    trouble: Option<(Severity, String)>,
    /// The sides that did not work at the last judgment.
    down: Vec<Side>,
    /// How long the results are trusted before the checks run again; `None` while nothing is broken.
    recheck_after: Option<Duration>,
}

/// A fault may be mended at any moment, and where no order waits nothing else would notice: the checks run again
/// after a quarter of the time that the fault has lasted, within these bounds.
const RECHECK: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(900);

/// How old the results of the checks may be when somebody reads them.
const FRESH: Duration = Duration::from_secs(60);

/// Remembers the results of checks for as long as the process runs.
#[derive(Debug, Default)]
pub struct Checker {
    probed: Mutex<HashMap<ConnectionId, Probed>>,
}

/// The facts about a connection, and the judgment of them.
pub struct Examined {
    /// What is known of the connection.
    pub facts: Facts,
    /// The conditions that follow from the facts.
    pub judgment: Judgment,
}

impl Checker {
    fn probed(&self, connection: &Connection) -> Probed {
        self.ask(connection, Probed::clone).unwrap_or_default()
    }

    /// Reads one of the results found since the connection's last change.
    fn ask<T>(&self, connection: &Connection, of: impl FnOnce(&Probed) -> T) -> Option<T> {
        let all = self.probed.lock();
        all.get(&connection.id).filter(|probed| probed.revision == connection.revision).map(of)
    }

    /// Changes the stored results. Those from before the connection's last change are dropped, and so is what is found
    /// out about a connection that has changed meanwhile.
    fn note(&self, connection: &Connection, change: impl FnOnce(&mut Probed)) {
        let mut all = self.probed.lock();
        let probed = all.entry(connection.id).or_default();
        if probed.revision < connection.revision {
            *probed = Probed { revision: connection.revision, ..Probed::default() };
        }
        if probed.revision == connection.revision {
            change(probed);
        }
    }

    /// Facts and judgment as of now, read from the database and this process alone.
    pub async fn examine(&self, services: &Services, connection: &Connection) -> Examined {
        let facts = facts::read(services, connection, &self.probed(connection)).await;
        let judgment = health::judge(&facts);
        let worst = judgment.conditions.iter().find(|condition| condition.severity > Severity::Info);
        let broken = worst.filter(|condition| condition.severity == Severity::Error);
        self.note(connection, |probed| {
            probed.trouble = worst.map(|condition| (condition.severity, condition.title.clone()));
            probed.down = Side::ALL.into_iter().filter(|side| judgment.is_down(*side)).collect();
            // A disk that is nearly full may be full by now, which only a write shows.
            let broken = broken.or_else(|| judgment.find(Code::DiskLow));
            probed.recheck_after = broken.map(|condition| {
                let lasted = condition.since.map_or(Duration::ZERO, |since| facts.age(since));
                (lasted / 4).clamp(*RECHECK.start(), *RECHECK.end())
            });
        });
        Examined { facts, judgment }
    }

    /// Runs all checks in parallel, each limited to ten seconds, and judges the result. Sends no order anywhere.
    pub async fn check(&self, services: &Services, connection: &Connection) -> Examined {
        self.note(connection, |probed| probed.begun_at = Some(Instant::now()));
        self.probe(services, connection, true).await;
        self.note(connection, |probed| probed.checked_at = Some(Instant::now()));
        self.examine(services, connection).await
    }

    /// Like [`Checker::check`] without the destination, to which nothing at all is sent.
    pub async fn check_source(&self, services: &Services, connection: &Connection) -> Examined {
        self.probe(services, connection, false).await;
        self.examine(services, connection).await
    }

    /// Whether the checks have run since the start and since the connection's last change.
    pub fn has_checked(&self, connection: &Connection) -> bool {
        self.ask(connection, |probed| probed.checked_at.is_some()).unwrap_or(false)
    }

    /// Whether the checks should run before somebody reads their results: the last ones began more than a minute ago.
    /// Only the first to ask is told so; that reader runs them.
    pub fn takes_up_check(&self, connection: &Connection) -> bool {
        let mut is_old = false;
        self.note(connection, |probed| {
            is_old = probed.begun_at.is_none_or(|at| at.elapsed() >= FRESH);
            if is_old {
                probed.begun_at = Some(Instant::now());
            }
        });
        is_old
    }

    /// Whether something was broken at the last judgment and the checks are due again.
    pub fn is_recheck_due(&self, connection: &Connection) -> bool {
        let is_due = |probed: &Probed| {
            probed.checked_at.zip(probed.recheck_after).is_some_and(|(at, after)| at.elapsed() >= after)
        };
        self.ask(connection, is_due).unwrap_or(false)
    }

    /// Whether a side did not work at the last judgment.
    pub fn is_down(&self, connection: &Connection, side: Side) -> bool {
        self.ask(connection, |probed| probed.down.contains(&side)).unwrap_or(false)
    }

    /// Severity and title of the gravest condition at the last judgment.
    pub fn trouble(&self, connection: &Connection) -> Option<(Severity, String)> {
        self.ask(connection, |probed| probed.trouble.clone()).flatten()
    }

    /// Whether the last judgment found any trouble.
    pub fn has_trouble(&self, connection: &Connection) -> bool {
        self.ask(connection, |probed| probed.trouble.is_some()).unwrap_or(false)
    }
}
