//! The relay's own hooks: creates and repairs them, keeps one per topic, and touches no others.
//!
//! A hook is the relay's if it points here, or if the relay made it (its id is stored in the inbox). This file has
//! the operations; `change` makes the changes, `lock` ensures that only one process makes them at a time, `report`
//! describes the state.

mod change;
mod error;
mod lock;
mod report;

pub use error::RegistrarError;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    breaker::Health,
    connection::{Connection, ConnectionBuilder, Link},
    http::{CallError, Failure},
    inbox::{HookRow, HookState, Inbox, InboxError},
    object::ConnectionId,
    secret::Secret,
    source::{
        Source,
        hooks::{Hook, HookToken, WantedHook},
    },
};
use lock::{HookLock, Unsettled};
pub use report::{Done, HookReport};

/// Why hooks could not be checked or changed the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookTrouble {
    /// Since when that has failed.
    pub since: Instant,
    /// The last failure; a 429 stands for the quota.
    pub failure: Failure,
}

/// What this process knows of one connection's hooks.
#[derive(Default)]
struct Care {
    health: Mutex<Health<HookTrouble>>,
    /// Hooks that carry the relay's current secret because this process wrote it: some stores do not show it.
    written: Mutex<HashSet<i64>>,
    /// Hooks that have shown a secret: this store does show it, so a hook that no longer shows one has lost it.
    shown: Mutex<HashSet<i64>>,
    unsettled: Unsettled,
}

/// Creates, checks and repairs the hooks of all connections.
pub struct Registrar {
    inbox: Arc<dyn Inbox>,
    builder: Arc<ConnectionBuilder>,
    care: Mutex<HashMap<ConnectionId, Arc<Care>>>,
}

/// The hooks that a connection should have.
struct Wish<'a> {
    connection: &'a Connection,
    link: &'a Link,
    hooks: Vec<WantedHook>,
    tokens: Vec<Secret>,
    kept: Vec<HookRow>,
}

impl Registrar {
    /// Makes no call.
    pub fn new(inbox: Arc<dyn Inbox>, builder: Arc<ConnectionBuilder>) -> Self {
        Self { inbox, builder, care: Mutex::default() }
    }

    fn care(&self, id: ConnectionId) -> Arc<Care> {
        self.care.lock().entry(id).or_default().clone()
    }

    /// Whether a connection's hooks can be checked and changed, or since when not, and why.
    pub fn health(&self, id: ConnectionId) -> Health<HookTrouble> {
        self.care.lock().get(&id).map(|care| *care.health.lock()).unwrap_or_default()
    }

    /// Forgets what was seen of a connection's hooks, once another process may know more of them.
    pub fn forget(&self, id: ConnectionId) {
        self.care.lock().remove(&id);
    }

    async fn wish<'a>(&self, connection: &'a Connection) -> Result<Wish<'a>, RegistrarError> {
        let link = connection.link.as_ref().ok_or(RegistrarError::Disconnected)?;
        if self.builder.settings.public_url.is_none() {
            return Err(RegistrarError::NoPublicUrl);
        }
        let kept = self.inbox.hooks(connection.id).await?;
        let hooks = self.builder.wanted_hooks(connection);
        Ok(Wish { connection, link, hooks, tokens: self.builder.own_tokens(connection), kept })
    }

    /// Whether the relay's domain is on the store's blocklist, and for how many seconds more. WooCommerce has no
    /// blocklist.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn blocked(&self, connection: &Connection) -> Result<Option<i64>, CallError> {
        let host = self.builder.settings.public_url.as_ref().and_then(|url| url.host_str());
        let (Some(host), Some(link)) = (host, &connection.link) else { return Ok(None) };
        let domains = match &link.source {
            Source::BigCommerce(store) => store.blocked_domains().await?,
            Source::WooCommerce(_) => return Ok(None),
        };
        let is_ours = |text: &str| {
            let text = text.split_once("://").map_or(text, |(_, rest)| rest);
            text.split(['/', ':']).next().is_some_and(|other| other.eq_ignore_ascii_case(host))
        };
        let ours = domains.iter().find(|domain| is_ours(&domain.destination));
        Ok(ours.map(|domain| domain.time_left.unwrap_or_default()))
    }

    /// Compares the store's hooks with what they should be. Changes nothing at the store.
    ///
    /// # Errors
    /// [`RegistrarError`] if the hooks cannot be read.
    pub async fn inspect(&self, connection: &Connection) -> Result<Vec<HookReport>, RegistrarError> {
        let wish = self.wish(connection).await?;
        let care = self.care(connection.id);
        let hooks = wish.link.source.hooks(&wish.tokens).await?;
        let mut reports = Vec::new();
        for wanted in &wish.hooks {
            let report = wish.report(wanted, &wish.ours(&hooks, wanted), &care);
            self.keep(connection.id, wanted, report.id, report.state).await?;
            reports.push(report);
        }
        if reports.iter().all(|report| report.state == HookState::Healthy) {
            *care.health.lock() = Health::Well;
        }
        Ok(reports)
    }

    /// Creates missing hooks, repairs altered ones, and removes the relay's own for topics no longer wanted.
    ///
    /// # Errors
    /// [`RegistrarError`]; changes made before it stay.
    pub async fn ensure(&self, connection: &Connection) -> Result<Vec<(HookReport, Done)>, RegistrarError> {
        let care = self.care(connection.id);
        let done = async {
            let wish = self.wish(connection).await?;
            let mut lock = HookLock::wait(connection.id, wish.link, self.inbox.as_ref(), &care.unsettled).await?;
            let done = self.put_right(&mut lock, &wish, &care).await;
            lock.end().await;
            done
        };
        let done = done.await;
        let failure = match &done {
            Ok(_) => {
                *care.health.lock() = Health::Well;
                return done;
            }
            Err(RegistrarError::Quota) => Failure::Status(429),
            Err(RegistrarError::Call(error)) => error.failure,
            // Another process is changing them, there is nothing to change, or the inbox is at fault and not the hooks.
            Err(_) => return done,
        };
        let mut health = care.health.lock();
        let since = health.trouble().map_or_else(Instant::now, |trouble| trouble.since);
        *health = Health::Trouble(HookTrouble { since, failure });
        drop(health);
        done
    }

    /// Removes all of the relay's hooks. Returns how many.
    ///
    /// # Errors
    /// [`RegistrarError`]; hooks removed before it stay removed.
    pub async fn remove(&self, connection: &Connection) -> Result<usize, RegistrarError> {
        self.remove_for_good(connection, async {}).await.0
    }

    /// Removes all of the relay's hooks, as [`Registrar::remove`] does, and then ends the connection, before anybody
    /// else can make them anew. `end` runs whether or not they could be removed.
    pub async fn remove_for_good<T>(
        &self,
        connection: &Connection,
        end: impl Future<Output = T>,
    ) -> (Result<usize, RegistrarError>, T) {
        let care = self.care(connection.id);
        let locked = async {
            let wish = self.wish(connection).await?;
            let lock = HookLock::wait(connection.id, wish.link, self.inbox.as_ref(), &care.unsettled).await?;
            Ok((wish, lock))
        };
        let (wish, mut lock) = match locked.await {
            Ok(locked) => locked,
            Err(error) => return (Err(error), end.await),
        };
        let removed = self.remove_all(&mut lock, &wish).await;
        let ended = end.await;
        lock.end().await;
        (removed, ended)
    }

    /// All hooks that the credentials can see, each with whether it is the relay's.
    ///
    /// # Errors
    /// [`RegistrarError`] if the hooks cannot be read.
    pub async fn list(&self, connection: &Connection) -> Result<Vec<(Hook, bool)>, RegistrarError> {
        let wish = self.wish(connection).await?;
        let hooks = wish.link.source.hooks(&wish.tokens).await?;
        let mut ours: HashSet<i64> = wish.obsolete(&hooks).iter().map(|hook| hook.id).collect();
        for wanted in &wish.hooks {
            ours.extend(wish.ours(&hooks, wanted).iter().map(|hook| hook.id));
        }
        Ok(hooks.into_iter().map(|hook| (ours.contains(&hook.id), hook)).map(|(ours, hook)| (hook, ours)).collect())
    }

    /// Stores the state of a hook, if it has changed.
    async fn keep(
        &self,
        id: ConnectionId,
        wanted: &WantedHook,
        hook_id: Option<i64>,
        state: HookState,
    ) -> Result<(), InboxError> {
        let row = HookRow { topic: wanted.topic.clone(), hook_id, state };
        let kept = self.inbox.hooks(id).await?;
        if kept.contains(&row) { Ok(()) } else { self.inbox.save_hook(id, row).await }
    }
}

impl Wish<'_> {
    /// The relay's hooks for a topic, the one to keep first: of those that point here the one with the lowest id, so
    /// that all processes choose the same; if none points here, the one that the relay made. The rest are those that
    /// point here with the relay's secret.
    fn ours<'h>(&self, hooks: &'h [Hook], wanted: &WantedHook) -> Vec<&'h Hook> {
        let here = |hook: &&Hook| hook.topic == wanted.topic && hook.points_to(&wanted.destination);
        let Some(first) = hooks.iter().filter(here).min_by_key(|hook| hook.id) else {
            let made = self.made_for(&wanted.topic);
            return hooks.iter().filter(|hook| Some(hook.id) == made).collect();
        };
        let is_another = |hook: &&Hook| hook.id != first.id && hook.token == HookToken::Right;
        [first].into_iter().chain(hooks.iter().filter(here).filter(is_another)).collect()
    }

    /// The relay's hooks for topics that are not wanted: those that point here with its secret, and those that it made.
    fn obsolete<'h>(&self, hooks: &'h [Hook]) -> Vec<&'h Hook> {
        let destination = self.hooks.first().map(|wanted| &wanted.destination);
        let is_wanted = |hook: &Hook| self.hooks.iter().any(|wanted| wanted.topic == hook.topic);
        let is_ours = |hook: &Hook| {
            let is_here = destination.is_some_and(|destination| hook.points_to(destination));
            (is_here && hook.token == HookToken::Right) || self.made_for(&hook.topic) == Some(hook.id)
        };
        hooks.iter().filter(|hook| !is_wanted(hook) && is_ours(hook)).collect()
    }

    /// The id of the hook that the relay made, or adopted, for a topic.
    fn made_for(&self, topic: &str) -> Option<i64> {
        self.kept.iter().find(|row| row.topic == topic)?.hook_id
    }

    /// The state of the relay's hooks for a topic. A hook that shows no secret is trusted if the relay has written
    /// the secret to it.
    fn report(&self, wanted: &WantedHook, ours: &[&Hook], care: &Care) -> HookReport {
        let has_secret = |hook: &Hook| match hook.token {
            HookToken::Right => {
                care.shown.lock().insert(hook.id);
                true
            }
            HookToken::Wrong => {
                care.shown.lock().insert(hook.id);
                false
            }
            HookToken::Hidden if care.shown.lock().contains(&hook.id) => false,
            HookToken::Hidden => care.written.lock().contains(&hook.id) || self.is_kept_healthy(&wanted.topic, hook.id),
        };
        HookReport::of(wanted, ours, has_secret)
    }

    fn is_kept_healthy(&self, topic: &str, id: i64) -> bool {
        self.kept.iter().any(|row| row.topic == topic && row.hook_id == Some(id) && row.state == HookState::Healthy)
    }
}
