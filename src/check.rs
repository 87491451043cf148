//! The integration checks: what works and what does not, in words a merchant understands. One code for page, JSON and
//! terminal. `probes` holds the single checks, `public_url` the one that calls the relay from outside.

mod probes;
mod public_url;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::join_all};
use secrecy::SecretString;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::{
    clock::Timestamp,
    config::Config,
    connection::Connection,
    inbox::{Inbox, InboxError},
    registrar::Registrar,
};

pub(crate) use probes::Known;

/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(10);
/// An order that waits longer than this deserves a look.
pub const LONG_WAIT: Duration = Duration::from_secs(15 * 60);

/// What becomes of new orders while no webhooks come.
pub(crate) fn meanwhile(polling: bool) -> &'static str {
    if polling {
        "Orders are found by polling meanwhile."
    } else {
        "Polling is switched off (RECONCILE_INTERVAL is 0): new orders are not found meanwhile."
    }
}

/// How one check, or all of them, came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not applicable here.
    Skip,
    /// As it should be.
    Pass,
    /// Works, and somebody should look at it.
    Warn,
    /// Does not work.
    Fail,
}

/// One check's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its fixed name.
    pub id: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was checked.
    pub title: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do next, when something is to be done.
    pub remedy: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

/// All checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of them; `skip` counts as nothing.
    pub status: Status,
    /// When.
    pub checked_at: Timestamp,
    /// Each of them.
    pub checks: Vec<Check>,
}

/// What a single check finds.
struct Finding {
    status: Status,
    detail: String,
    remedy: Option<String>,
}

impl Finding {
    fn new(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), remedy: None }
    }

    fn pass(detail: impl Into<String>) -> Self {
        Self::new(Status::Pass, detail)
    }

    fn skip(detail: impl Into<String>) -> Self {
        Self::new(Status::Skip, detail)
    }

    fn warn(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Status::Warn, detail) }
    }

    fn fail(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Status::Fail, detail) }
    }
}

/// Checks one connection.
pub struct Checker {
    config: Config,
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
    registrar: Arc<Registrar>,
    last: Mutex<Option<Arc<Report>>>,
    /// Tells this inbox from that of another relay with the same credentials.
    identity: OnceCell<String>,
}

impl Checker {
    /// For one connection; calls nobody yet.
    pub fn new(config: Config, connection: Arc<Connection>, inbox: Arc<dyn Inbox>, registrar: Arc<Registrar>) -> Self {
        Self { config, connection, inbox, registrar, last: Mutex::default(), identity: OnceCell::new() }
    }

    /// What the last run found, if there was one since the start.
    pub fn last(&self) -> Option<Arc<Report>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a relay over this inbox, and no other, answers to `nonce`: one for each client secret, the current one first.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn echo(&self, nonce: &str) -> Result<Vec<SecretString>, InboxError> {
        let read = || async {
            let began = self.inbox.summary(self.connection.id).await?.first_start;
            Ok::<_, InboxError>(began.map(|at| at.millis().to_string()).unwrap_or_default())
        };
        let identity = self.identity.get_or_try_init(read).await?;
        Ok(self.connection.echo(&format!("{identity}.{nonce}")))
    }

    /// Runs all checks side by side, each within ten seconds. Sends no order anywhere.
    pub async fn run(&self) -> Arc<Report> {
        let checks = [
            ("configuration", "Configuration", "The relay", self.configuration().boxed()),
            ("storage", "Storage", "The database", self.storage().boxed()),
            ("bigcommerce_api", "BigCommerce: access to orders", "BigCommerce", self.bigcommerce_api().boxed()),
            ("bigcommerce_hooks", "BigCommerce: webhooks", "BigCommerce", self.bigcommerce_hooks().boxed()),
            ("public_url", "Public address", "The public address", self.public_url().boxed()),
            ("one_tribe_destination", "One Tribe: destination", "One Tribe", self.one_tribe_destination().boxed()),
            ("deliveries", "Deliveries", "The database", self.deliveries().boxed()),
        ];
        let checks = join_all(checks.map(|(id, title, asked, check)| async move {
            let began = Instant::now();
            let finding = tokio::time::timeout(LIMIT, check).await.unwrap_or_else(|_| {
                Finding::fail(
                    format!("{asked} has not answered within {} seconds.", LIMIT.as_secs()),
                    "Check again in a minute. If it stays like this, tell the people who run the relay.",
                )
            });
            let Finding { status, detail, remedy } = finding;
            let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            Check { id, status, title, detail, remedy, duration_ms }
        }))
        .await;
        let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Pass).max(Status::Pass);
        let report = Arc::new(Report { status, checked_at: Timestamp::now(), checks });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        report
    }
}
