//! The lead: of the relays that share a database, one at a time does a connection's singular work. Here is who that is,
//! kept by a heartbeat; what the work consists of, `app` says.
//!
//! The lead keeps calls within one quota. That an order is never under way twice rests on claims alone, which also refuse
//! whoever has lost the lead without knowing it yet; that hooks are not made twice, on the registrar's turns.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::inbox::{ConnectionId, Inbox, Lease};

/// Between heartbeats, and between tries to take the lead.
const BEAT: Duration = Duration::from_secs(1);
/// How long the lead outlasts the last heartbeat: a relay that dies is replaced within this and one beat.
const SPAN: Duration = Duration::from_secs(5);

/// One part of the singular work: its name, and what begins it anew for each term. It ends when its token is cancelled, and
/// not before.
pub struct Part {
    /// For messages.
    pub name: &'static str,
    /// Begins it.
    pub begin: Box<dyn Fn(CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>,
    /// Whether the next leader may begin while this one still finishes what it has under way.
    pub overlaps: bool,
}

/// One connection's lead, as this relay seeks and keeps it.
pub struct Lead {
    inbox: Arc<dyn Inbox>,
    connection: ConnectionId,
    parts: Vec<Part>,
}

/// Why a term ended.
enum End {
    Stopped,
    Lost,
    /// A part ended by itself.
    Died(&'static str),
}

impl Lead {
    /// Nothing is asked and nothing begun yet.
    pub fn new(inbox: Arc<dyn Inbox>, connection: ConnectionId, parts: Vec<Part>) -> Self {
        Self { inbox, connection, parts }
    }

    /// Seeks the lead, works while it has it, and seeks it again, until told to stop. Returns the name of the part that
    /// ended by itself, if one did.
    pub async fn run(self, stop: CancellationToken) -> Option<&'static str> {
        loop {
            let until = tokio::select! {
                () = stop.cancelled() => return None,
                until = self.seek() => until,
            };
            tracing::info!("this relay has the lead: it fetches and forwards");
            match self.term(until, &stop).await {
                End::Stopped => return None,
                End::Lost => tracing::warn!("this relay no longer has the lead: another one fetches and forwards"),
                End::Died(name) => return Some(name),
            }
        }
    }

    /// Returns when the lead is had, with the moment until which that is certain.
    async fn seek(&self) -> Instant {
        loop {
            let asked = Instant::now();
            if self.ask().await == Some(true) {
                return asked + SPAN;
            }
            tokio::time::sleep_until(asked + BEAT).await;
        }
    }

    /// `None` when the inbox did not say.
    async fn ask(&self) -> Option<bool> {
        match tokio::time::timeout(BEAT, self.inbox.lease(self.connection, Lease::Lead, SPAN)).await {
            Ok(Ok(term)) => Some(term.is_some()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "who has the lead is not known: {error}");
                None
            }
            Err(_) => None,
        }
    }

    /// Works until stopped, or until the lead is lost or no longer certain.
    async fn term(&self, until: Instant, stop: &CancellationToken) -> End {
        let over = CancellationToken::new();
        let (mut apart, mut overlapping) = (JoinSet::new(), JoinSet::new());
        for Part { name, begin, overlaps } in &self.parts {
            let (part, name) = (begin(over.clone()), *name);
            let parts = if *overlaps { &mut overlapping } else { &mut apart };
            parts.spawn(async move {
                part.await;
                name
            });
        }
        let end = tokio::select! {
            () = stop.cancelled() => End::Stopped,
            () = self.keep(until) => End::Lost,
            Some(died) = apart.join_next() => End::Died(died.unwrap_or("a part")),
            Some(died) = overlapping.join_next() => End::Died(died.unwrap_or("a part")),
        };
        over.cancel();
        while apart.join_next().await.is_some() {}
        if let Err(error) = self.inbox.release(self.connection, Lease::Lead).await {
            tracing::debug!(%error, "the lead runs out by itself: {error}");
        }
        while overlapping.join_next().await.is_some() {}
        end
    }

    /// Returns when the lead is lost, or may be.
    async fn keep(&self, mut until: Instant) {
        loop {
            tokio::time::sleep(BEAT).await;
            let asked = Instant::now();
            // A process that was stopped for a while wakes up here with its time long over.
            match self.ask().await {
                Some(true) => until = asked + SPAN,
                Some(false) => return,
                None if Instant::now() + BEAT >= until => return,
                None => {}
            }
        }
    }
}
