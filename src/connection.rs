//! A connection: everything that belongs to one store and its destination, passed along as one value.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::SecretString;

use crate::{
    bigcommerce::Api,
    clock::Timestamp,
    config::ConnectionConfig,
    http::Seen,
    inbox::{ConnectionId, Inbox, InboxError},
    metrics::Metrics,
    one_tribe::Destination,
    retry::Breaker,
    signature,
};

/// The kind of store, as the database names it.
pub const BIGCOMMERCE: &str = "bigcommerce";

/// The two sides that a connection lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The store's API.
    Store,
    /// The merchant's destination.
    Destination,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Store, Self::Destination];

    /// The inbox's note that says since when (milliseconds since 1970) the side is down, and what was last seen of it.
    fn note(self) -> &'static str {
        match self {
            Self::Store => "outage:store",
            Self::Destination => "outage:destination",
        }
    }
}

/// For how long a side has been down, and what was last seen of it, in words.
pub type Outage = (Duration, String);

/// One store and its destination.
pub struct Connection {
    /// Its number in every table.
    pub id: ConnectionId,
    /// What it was told.
    pub config: ConnectionConfig,
    /// The store's API.
    pub api: Arc<Api>,
    /// The merchant's destination.
    pub destination: Destination,
    store_breaker: Mutex<Breaker>,
    destination_breaker: Mutex<Breaker>,
}

impl Connection {
    /// Clients for the store and the destination. Calls nobody.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(id: ConnectionId, config: ConnectionConfig, metrics: &Arc<Metrics>) -> reqwest::Result<Self> {
        Ok(Self {
            id,
            api: Arc::new(Api::new(&config, metrics.clone())?),
            destination: Destination::new(&config, metrics.clone())?,
            config,
            store_breaker: Mutex::default(),
            destination_breaker: Mutex::default(),
        })
    }

    /// Whether the store takes calls.
    pub fn store_breaker(&self) -> MutexGuard<'_, Breaker> {
        self.store_breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the destination takes orders.
    pub fn destination_breaker(&self) -> MutexGuard<'_, Breaker> {
        self.destination_breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a side takes calls.
    pub fn breaker(&self, side: Side) -> MutexGuard<'_, Breaker> {
        match side {
            Side::Store => self.store_breaker(),
            Side::Destination => self.destination_breaker(),
        }
    }

    /// Whether a side is down, as this process sees it, or as whoever delivers has noted it.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn outage(&self, side: Side, inbox: &dyn Inbox) -> Result<Option<Outage>, InboxError> {
        let outage = self.breaker(side).outage();
        if let Some((since, seen)) = outage {
            return Ok(Some((since.elapsed(), seen.to_string())));
        }
        let noted = inbox.note(self.id, side.note()).await?;
        let read = |noted: String| {
            let (since, seen) = noted.split_once(' ')?;
            let since = Timestamp::from_millis(since.parse().ok()?);
            Some((Timestamp::now().since(since), seen.to_owned()))
        };
        Ok(noted.and_then(read))
    }

    /// Notes whether a side is down as this process sees it, if that differs from what was `told` before.
    ///
    /// # Errors
    /// When the inbox cannot be written; it is told again the next time then.
    pub async fn tell_outage(
        &self,
        side: Side,
        told: &mut Option<Option<Seen>>,
        inbox: &dyn Inbox,
    ) -> Result<(), InboxError> {
        let outage = self.breaker(side).outage();
        let seen = outage.map(|(_, seen)| seen);
        if *told == Some(seen) {
            return Ok(());
        }
        let note = outage.map(|(since, seen)| format!("{} {seen}", Timestamp::now().before(since.elapsed()).millis()));
        inbox.keep_note(self.id, side.note(), note).await?;
        *told = Some(seen);
        Ok(())
    }

    /// Removes the notes of outages, where no relay runs that could do so.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub async fn forget_noted(&self, inbox: &dyn Inbox) -> Result<(), InboxError> {
        for side in Side::ALL {
            inbox.keep_note(self.id, side.note(), None).await?;
        }
        Ok(())
    }

    /// Forgets the outages of both sides: no order waits any more that could see the end of one.
    pub fn forget_outages(&self) {
        for side in Side::ALL {
            self.breaker(side).forget_outage();
        }
    }

    /// Forgets whatever was seen of both sides, since another process may see, or has seen, more of them.
    pub fn forget_sides(&self) {
        self.api.forget_credentials();
        for side in Side::ALL {
            *self.breaker(side) = Breaker::default();
        }
    }

    /// What the relay puts on its hooks as `x-relay-token`, one for each configured client secret; the first is current.
    pub fn hook_tokens(&self) -> Vec<SecretString> {
        self.derived("hook", self.config.store.as_str())
    }

    /// What only a relay with this store's client secret can answer to `nonce`; the first is what this one answers.
    pub fn echo(&self, nonce: &str) -> Vec<SecretString> {
        self.derived("echo", nonce)
    }

    fn derived(&self, purpose: &str, subject: &str) -> Vec<SecretString> {
        self.config.client_secrets.iter().map(|secret| signature::derive_token(secret, purpose, subject)).collect()
    }

    /// Where the store's hooks point, if the relay has a public address.
    pub fn hook_destination(&self) -> Option<String> {
        self.config
            .public_url
            .as_ref()
            .map(|url| format!("{}/webhooks/bigcommerce", url.as_str().trim_end_matches('/')))
    }
}
