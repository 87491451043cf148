//! Reads the facts about a connection and runs its checks. What is to be thought of them, `health` says.
//!
//! `facts` reads what is known without asking anybody; `probes` asks the store, the destination and the public address.

mod facts;
mod probes;
mod public_address;

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    clock::Timestamp,
    connection::Connection,
    health::{
        self, Facts, Judgment, Report,
        facts::{AddressFault, Probe, ShopProblem, StoreLabel},
    },
    http::Failure,
    object::ConnectionId,
    services::Services,
};

pub use public_address::{ECHO_PATH, proof};

/// What the calls of checks have found of one connection.
#[derive(Debug, Clone, Default)]
struct Probed {
    store: Option<Probe<Result<(), Failure>>>,
    destination: Option<Probe<Result<u16, Failure>>>,
    public_address: Option<Probe<Result<(), AddressFault>>>,
    hooks_looked_at: Option<Timestamp>,
    hooks_took: Duration,
    blocked_for: Option<Duration>,
    database_took: Duration,
    label: Option<StoreLabel>,
    shop: Option<ShopProblem>,
    report: Option<Arc<Report>>,
}

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
    fn probed(&self, id: ConnectionId) -> Probed {
        self.probed.lock().get(&id).cloned().unwrap_or_default()
    }

    fn note(&self, id: ConnectionId, change: impl FnOnce(&mut Probed)) {
        change(self.probed.lock().entry(id).or_default());
    }

    /// What is known of a connection now, without asking anybody but the database, and what follows from it.
    /// `storage_failing_since` is when events could not be kept any more, if that is so.
    pub async fn examine(
        &self,
        services: &Services,
        connection: &Connection,
        storage_failing_since: Option<Timestamp>,
    ) -> Examined {
        let facts = facts::read(services, connection, &self.probed(connection.id), storage_failing_since).await;
        let judgment = health::judge(&facts);
        Examined { facts, judgment }
    }

    /// Runs all checks side by side, each within ten seconds, and judges. Sends no order anywhere.
    pub async fn check(
        &self,
        services: &Services,
        connection: &Connection,
        storage_failing_since: Option<Timestamp>,
    ) -> Arc<Report> {
        self.probe(services, connection).await;
        let Examined { facts, judgment } = self.examine(services, connection, storage_failing_since).await;
        let report = Arc::new(health::report(&facts, &judgment));
        self.note(connection.id, |probed| probed.report = Some(report.clone()));
        report
    }

    /// Whether the checks have been run since the start, or since when they have: a page of a relay that has just started
    /// would otherwise know nothing.
    pub fn has_checked(&self, id: ConnectionId) -> bool {
        self.probed.lock().get(&id).is_some_and(|probed| probed.report.is_some())
    }
}
