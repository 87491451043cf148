//! Looks every few seconds whether anything has to be told, and posts it. An `ALERT_URL` that does not answer is tried again
//! at growing intervals; what is over by then is not told any more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Facts, Ledger, Message, conditions};
use crate::{
    clock::Timestamp,
    connection::Connection,
    http::{self, CallError},
    inbox::{Inbox, InboxError},
    registrar::Registrar,
    retry::Backoff,
};

/// Between looks.
const LOOK: Duration = Duration::from_secs(5);
/// Between tries of an `ALERT_URL` that does not answer.
const RETRY: Backoff = Backoff { base: Duration::from_secs(10), cap: Duration::from_secs(900) };
/// How long a look may go on when the relay stops.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long one message may take.
const POST_TIME: Duration = Duration::from_secs(10);
/// The note in which the ledger is kept: a restart tells nothing twice, and tells the end of what it has told before.
const NOTE: &str = "alerts:told";

/// Looks after one connection.
#[derive(Clone)]
pub struct Watcher {
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
    registrar: Arc<Registrar>,
    client: Client,
    url: SecretString,
    ledger: Option<Ledger>,
    /// The ledger as the inbox has it.
    kept: String,
    failures: u32,
    not_before: Timestamp,
}

#[derive(Serialize)]
struct Body {
    text: String,
}

impl Watcher {
    /// For one connection; posts nothing yet.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(
        url: &SecretString,
        connection: Arc<Connection>,
        inbox: Arc<dyn Inbox>,
        registrar: Arc<Registrar>,
    ) -> reqwest::Result<Self> {
        let base = Url::parse(url.expose_secret()).expect("the configuration holds a checked URL");
        let client = http::client(&base, POST_TIME)?;
        Ok(Self {
            connection,
            inbox,
            registrar,
            client,
            url: url.clone(),
            ledger: None,
            kept: String::new(),
            failures: 0,
            not_before: Timestamp::from_millis(0),
        })
    }

    /// Looks until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // A message that has been taken is noted before the end.
            tokio::select! {
                () = self.look(Timestamp::now()) => {}
                () = async { stop.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => return,
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Looks once, as if it were `now`.
    pub async fn look(&mut self, now: Timestamp) {
        if let Err(error) = self.tell_what_is_due(now).await {
            // The inbox says so itself, wherever it matters more.
            tracing::debug!(%error, "alerts wait for the inbox: {error}");
        }
    }

    async fn tell_what_is_due(&mut self, now: Timestamp) -> Result<(), InboxError> {
        let facts = self.facts().await?;
        let mut ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => {
                self.kept = self.inbox.note(self.connection.id, NOTE).await?.unwrap_or_default();
                Ledger::read(&self.kept)
            }
        };
        let due = ledger.due(&conditions(&facts, now), now);
        let mut kept = self.keep(&ledger).await;
        let due = if now >= self.not_before { due } else { Vec::new() };
        for message in &due {
            match self.post(message).await {
                Ok(()) => {
                    self.failures = 0;
                    ledger.tell(message);
                    tracing::info!(
                        alert = message.condition.name(),
                        over = message.over,
                        "alert sent: {}",
                        message.text
                    );
                    kept = self.keep(&ledger).await;
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    let wait = RETRY.wait(self.failures, rand::random());
                    self.not_before = now.after(wait);
                    tracing::warn!(%error, "ALERT_URL takes no alert ({error}), next try {}", self.not_before);
                    break;
                }
            }
        }
        self.ledger = Some(ledger);
        kept
    }

    /// Keeps the ledger, unless the inbox has it like this. What cannot be kept now is kept at a later look.
    async fn keep(&mut self, ledger: &Ledger) -> Result<(), InboxError> {
        let text = ledger.write();
        if text != self.kept {
            self.inbox.keep_note(self.connection.id, NOTE, Some(text.clone())).await?;
            self.kept = text;
        }
        Ok(())
    }

    async fn facts(&self) -> Result<Facts, InboxError> {
        let summary = self.inbox.summary(self.connection.id).await?;
        let ago = |since: Instant| Timestamp::now().before(since.elapsed());
        let destination = self.connection.destination_breaker().standing();
        Ok(Facts {
            credentials: self.connection.api.credentials().map(|(_, status)| status),
            hooks: self.registrar.standing().map(|(since, why)| (ago(since), why)),
            polling: self.connection.config.reconcile_interval.is_some(),
            destination: destination.map(|(since, seen)| (ago(since), seen)),
            failed: summary.failed,
            waiting: summary.waiting,
            oldest_waiting: summary.oldest_waiting,
        })
    }

    async fn post(&self, message: &Message) -> Result<(), CallError> {
        let store = &self.connection.config.store;
        let state = if message.over { "Over" } else { "Alert" };
        let body = Body { text: format!("{state}: onetribe-relay, store {store}: {}", message.text) };
        let body = serde_json::to_vec(&body).expect("a struct of one text becomes JSON");
        let request = self.client.post(self.url.expose_secret());
        let sent = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body).send().await?;
        if sent.status().is_success() { Ok(()) } else { Err(CallError::of_status(&sent)) }
    }
}
