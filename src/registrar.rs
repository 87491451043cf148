//! The relay's own hooks: made, looked after, never a second one for a topic, and no others touched.
//!
//! A hook is the relay's if it points here, or if the relay made it (its number is kept in the inbox). Here is what is
//! asked of hooks; `change` does what is to be done, `lock` keeps all who do so from doing it at once, `report` says
//! how they stand.

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

/// Why hooks could not be looked after the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookTrouble {
    /// Since when.
    pub since: Instant,
    /// What was seen; a 429 is the quota.
    pub failure: Failure,
}

/// What this process knows of one connection's hooks.
#[derive(Default)]
struct Care {
    health: Mutex<Health<HookTrouble>>,
    /// Hooks that carry the relay's present secret, since this process has put it there: some stores do not show it.
    written: Mutex<HashSet<i64>>,
    /// Hooks that have shown a secret: this store shows it, and one that shows none any more has lost it.
    shown: Mutex<HashSet<i64>>,
    unsettled: Unsettled,
}

/// Looks after the hooks of all connections.
pub struct Registrar {
    inbox: Arc<dyn Inbox>,
    builder: Arc<ConnectionBuilder>,
    care: Mutex<HashMap<ConnectionId, Arc<Care>>>,
}

/// One connection's hooks, as they are to be.
struct Wish<'a> {
    connection: &'a Connection,
    link: &'a Link,
    hooks: Vec<WantedHook>,
    tokens: Vec<Secret>,
    kept: Vec<HookRow>,
}

impl Registrar {
    /// Makes no call yet.
    pub fn new(inbox: Arc<dyn Inbox>, builder: Arc<ConnectionBuilder>) -> Self {
        Self { inbox, builder, care: Mutex::default() }
    }

    fn care(&self, id: ConnectionId) -> Arc<Care> {
        self.care.lock().entry(id).or_default().clone()
    }

    /// Whether a connection's hooks can be looked after, or since when they cannot, and why.
    pub fn health(&self, id: ConnectionId) -> Health<HookTrouble> {
        self.care.lock().get(&id).map(|care| *care.health.lock()).unwrap_or_default()
    }

    /// Forgets what was seen of a connection's hooks: another process may see more of them from now on.
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

    /// Whether the store has put the relay's domain on its blocklist, and for how many seconds more. WooCommerce has
    /// none.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
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

    /// Compares the store's hooks with what they should be, and changes nothing there.
    ///
    /// # Errors
    /// [`RegistrarError`]
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

    /// Makes missing hooks, mends altered ones, keeps the rest, and removes the relay's own for topics no longer
    /// wanted.
    ///
    /// # Errors
    /// [`RegistrarError`]; what was done before it stays done.
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
            // Somebody else sees to it; there is nothing to see to; or it is the inbox that is in trouble, not the
            // hooks.
            Err(_) => return done,
        };
        let mut health = care.health.lock();
        let since = health.trouble().map_or_else(Instant::now, |trouble| trouble.since);
        *health = Health::Trouble(HookTrouble { since, failure });
        drop(health);
        done
    }

    /// Removes every hook of the relay's. Returns how many.
    ///
    /// # Errors
    /// [`RegistrarError`]; what was removed before it stays removed.
    pub async fn remove(&self, connection: &Connection) -> Result<usize, RegistrarError> {
        let wish = self.wish(connection).await?;
        let care = self.care(connection.id);
        let mut lock = HookLock::wait(connection.id, wish.link, self.inbox.as_ref(), &care.unsettled).await?;
        let removed = self.remove_all(&mut lock, &wish).await;
        lock.end().await;
        removed
    }

    /// All hooks that the credentials can see, and which of them are the relay's.
    ///
    /// # Errors
    /// [`RegistrarError`]
    pub async fn list(&self, connection: &Connection) -> Result<Vec<(Hook, bool)>, RegistrarError> {
        let wish = self.wish(connection).await?;
        let hooks = wish.link.source.hooks(&wish.tokens).await?;
        let mut ours: HashSet<i64> = wish.obsolete(&hooks).iter().map(|hook| hook.id).collect();
        for wanted in &wish.hooks {
            ours.extend(wish.ours(&hooks, wanted).iter().map(|hook| hook.id));
        }
        Ok(hooks.into_iter().map(|hook| (ours.contains(&hook.id), hook)).map(|(ours, hook)| (hook, ours)).collect())
    }

    /// Keeps how a hook stands, if that is news.
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
    /// The relay's hooks for a topic, the one to keep first: of those that point here the lowest number, on which all
    /// agree who find several, else the one it made. Any more are only those that carry its secret.
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

    /// The number of the hook that the relay made, or took for its own, for a topic.
    fn made_for(&self, topic: &str) -> Option<i64> {
        self.kept.iter().find(|row| row.topic == topic)?.hook_id
    }

    /// How the relay's hooks for a topic stand. One that shows no secret is trusted if the secret was put there.
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
