//! The relay's own hooks: made at start, looked after from then on, never a second one for a scope, and nobody else's touched.
//!
//! A hook is the relay's if it points here, or if the relay made it (its number is noted in the inbox). Here is when they are
//! looked at; `change` does what is to be done, `turn` keeps all who do so from doing it at once, `report` says how hooks stand.

mod change;
mod report;
mod turn;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    bigcommerce::hooks::{Hook, WantedHook},
    callback::TOKEN_HEADER,
    connection::Connection,
    http::{CallError, Seen},
    inbox::{Inbox, InboxError},
    retry::{Backoff, Standing},
};
pub use report::{Done, HookReport, HookState};
use turn::{Turn, Unsettled};

/// Between tries while BigCommerce does not answer.
const RETRY: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(120) };

/// The inbox's note of how many hooks were as they should be when last looked at, by whichever process.
const HEALTHY: &str = "hooks:healthy";

/// How long a look at the hooks may go on when the relay stops.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why hooks cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// Without it nobody can call.
    #[error("PUBLIC_URL is not set: no hook can be registered, orders are found by polling alone")]
    NoPublicUrl,
    /// It is somebody else's turn to change hooks, and stays so for longer than anybody waits.
    #[error("the hooks are being changed by another relay or command just now: try again in a minute")]
    Busy,
    /// The store's request quota is used up.
    #[error("the store's API limit is used up, perhaps by another app: the relay waits its turn")]
    Quota,
    /// BigCommerce did not do as asked.
    #[error("BigCommerce: {0}")]
    Call(CallError),
    /// The numbers of the hooks cannot be noted.
    #[error(transparent)]
    Inbox(#[from] InboxError),
}

impl From<CallError> for RegistrarError {
    fn from(error: CallError) -> Self {
        if error.seen == Seen::Status(429) { Self::Quota } else { Self::Call(error) }
    }
}

/// Looks after one connection's hooks.
pub struct Registrar {
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
    healthy: Mutex<Option<u64>>,
    /// Whether the hooks can be looked after, or since when they cannot, and why.
    standing: Mutex<Standing<(Instant, String)>>,
    /// Somebody else's try has failed: the next one is not left to them.
    failed: Notify,
    /// One change at a time: two at once would make two hooks.
    unsettled: Unsettled,
}

impl Registrar {
    /// For one connection; calls nobody yet.
    pub fn new(connection: Arc<Connection>, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            connection,
            inbox,
            healthy: Mutex::default(),
            standing: Mutex::default(),
            failed: Notify::new(),
            unsettled: Unsettled::default(),
        }
    }

    /// How many hooks were as they should be when this process last looked at them.
    pub fn healthy(&self) -> Option<u64> {
        *self.healthy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many were when anybody last did.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn noted(&self) -> Result<Option<u64>, InboxError> {
        let noted = self.inbox.note(self.connection.id, HEALTHY).await?;
        Ok(noted.and_then(|count| count.parse().ok()))
    }

    /// Notes how many hooks are as they should be, for the pages of all.
    async fn saw(&self, healthy: usize) {
        let healthy = healthy as u64;
        *self.healthy.lock().unwrap_or_else(PoisonError::into_inner) = Some(healthy);
        let noted = async {
            if self.noted().await? == Some(healthy) {
                return Ok(());
            }
            self.inbox.keep_note(self.connection.id, HEALTHY, Some(healthy.to_string())).await
        };
        if let Err(error) = noted.await {
            tracing::debug!(%error, "how the hooks stand could not be noted: {error}");
        }
    }

    /// Whether the hooks can be looked after, or since when they cannot, and why.
    pub fn standing(&self) -> Standing<(Instant, String)> {
        self.stands().clone()
    }

    fn stands(&self) -> MutexGuard<'_, Standing<(Instant, String)>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many hooks there should be: none without a public address.
    pub fn wanted_count(&self) -> u64 {
        let config = &self.connection.config;
        if config.public_url.is_some() { config.scopes.len() as u64 } else { 0 }
    }

    /// Looks after the hooks until told to stop. BigCommerce being down delays this and nothing else.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        if self.connection.config.public_url.is_none() {
            tracing::warn!("{}", RegistrarError::NoPublicUrl);
            return stop.cancelled().await;
        }
        // What was seen of old may be over.
        *self.stands() = Standing::Unknown;
        self.look_again_and_again(&stop).await;
        // From now on another may see more of them than this one.
        *self.stands() = Standing::Unknown;
    }

    async fn look_again_and_again(&self, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            let looked = async {
                self.look_after().await?;
                self.warn_if_blocked().await;
                Ok::<_, RegistrarError>(())
            };
            // A hook just made is noted before the end; a turn at the quota is not waited for.
            let looked = tokio::select! {
                looked = looked => looked,
                () = async { stop.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => return,
            };
            let pause = match looked {
                Ok(()) => {
                    failures = 0;
                    self.connection.config.hook_check_interval
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "hooks could not be looked after: {error}");
                    Some(RETRY.wait(failures, rand::random()))
                }
            };
            let pause = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.failed.notified() => {}
                () = pause => {}
            }
        }
    }

    async fn warn_if_blocked(&self) {
        match self.blocked().await {
            Ok(Some(seconds)) => tracing::warn!(seconds, "BigCommerce has this relay's domain on its blocklist"),
            Ok(None) => {}
            // Not every account may ask this.
            Err(error) => tracing::debug!(%error, "the blocklist cannot be read: {error}"),
        }
    }

    /// Whether the store has put the relay's domain on its blocklist, and for how many seconds more.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn blocked(&self) -> Result<Option<i64>, CallError> {
        let Some(host) = self.connection.config.public_url.as_ref().and_then(|url| url.host_str()) else {
            return Ok(None);
        };
        let domains = self.connection.api.blocked_domains().await?;
        let ours = |text: &str| {
            let text = text.split_once("://").map_or(text, |(_, rest)| rest);
            text.split(['/', ':']).next().is_some_and(|other| other.eq_ignore_ascii_case(host))
        };
        Ok(domains.iter().find(|domain| ours(&domain.destination)).map(|domain| domain.time_left.unwrap_or_default()))
    }

    /// Compares the store's hooks with what they should be, and changes nothing.
    ///
    /// # Errors
    /// [`RegistrarError`]
    pub async fn inspect(&self) -> Result<Vec<HookReport>, RegistrarError> {
        let hooks = self.connection.api.hooks().await?;
        let mut reports = Vec::new();
        for wanted in self.wanted()? {
            let ours = self.ours(&hooks, &wanted).await?;
            reports.push(HookReport::of(&wanted, &ours));
        }
        let healthy = reports.iter().filter(|report| report.state == HookState::Healthy).count();
        if healthy == reports.len() {
            *self.stands() = Standing::Well;
        }
        self.saw(healthy).await;
        Ok(reports)
    }

    /// Makes missing hooks, mends altered ones, keeps the rest, and removes the relay's own for scopes no longer wanted.
    ///
    /// # Errors
    /// [`RegistrarError`]; what was done before it stays done.
    pub async fn ensure(&self) -> Result<Vec<(HookReport, Done)>, RegistrarError> {
        let done = self.look_after().await;
        if done.is_err() {
            self.failed.notify_one();
        }
        done
    }

    async fn look_after(&self) -> Result<Vec<(HookReport, Done)>, RegistrarError> {
        let done = async {
            let wanted = self.wanted()?;
            let mut turn = self.turn().await?;
            let done = self.put_right(&mut turn, &wanted).await;
            turn.end().await;
            done
        };
        let done = done.await;
        match &done {
            Ok(_) => *self.stands() = Standing::Well,
            // Somebody else sees to it; there is nothing to see to; or it is the inbox that is in trouble, not the hooks.
            Err(RegistrarError::Busy | RegistrarError::NoPublicUrl | RegistrarError::Inbox(_)) => {}
            Err(error @ (RegistrarError::Quota | RegistrarError::Call(_))) => {
                let mut stands = self.stands();
                let since = stands.clone().trouble().map_or_else(Instant::now, |(since, _)| since);
                *stands = Standing::Trouble((since, error.to_string()));
            }
        }
        done
    }

    /// Waits for the turn to change hooks.
    async fn turn(&self) -> Result<Turn<'_>, RegistrarError> {
        Turn::wait(&self.connection, self.inbox.as_ref(), &self.unsettled).await
    }

    /// Removes every hook of the relay's. Returns how many.
    ///
    /// # Errors
    /// [`RegistrarError`]; what was removed before it stays removed.
    pub async fn remove(&self) -> Result<usize, RegistrarError> {
        let wanted = self.wanted()?;
        let mut turn = self.turn().await?;
        let removed = self.remove_all(&mut turn, &wanted).await;
        turn.end().await;
        removed
    }

    /// All hooks that the access token can see, and which of them are the relay's.
    ///
    /// # Errors
    /// [`RegistrarError`]
    pub async fn list(&self) -> Result<Vec<(Hook, bool)>, RegistrarError> {
        let hooks = self.connection.api.hooks().await?;
        let mut ours = Vec::new();
        for wanted in self.wanted().unwrap_or_default() {
            ours.extend(self.ours(&hooks, &wanted).await?.into_iter().map(|hook| hook.id));
        }
        ours.extend(self.obsolete(&hooks).await?.into_iter().map(|hook| hook.id));
        Ok(hooks.into_iter().map(|hook| (ours.contains(&hook.id), hook)).map(|(ours, hook)| (hook, ours)).collect())
    }

    fn wanted(&self) -> Result<Vec<WantedHook>, RegistrarError> {
        let destination = self.connection.hook_destination().ok_or(RegistrarError::NoPublicUrl)?;
        let tokens = self.connection.hook_tokens();
        let token = tokens.first().map(|token| token.expose_secret().to_owned()).unwrap_or_default();
        let headers = BTreeMap::from([(TOKEN_HEADER.to_owned(), token)]);
        let wanted = |scope: &String| WantedHook {
            scope: scope.clone(),
            destination: destination.clone(),
            is_active: true,
            headers: headers.clone(),
        };
        Ok(self.connection.config.scopes.iter().map(wanted).collect())
    }

    /// The relay's hooks for a scope, the one to keep first: of those that point here the lowest number, on which all agree
    /// who find several, else the one it made. Any more are only those that carry its token.
    async fn ours<'a>(&self, hooks: &'a [Hook], wanted: &WantedHook) -> Result<Vec<&'a Hook>, InboxError> {
        let here = |hook: &&Hook| hook.scope == wanted.scope && hook.destination == wanted.destination;
        let Some(first) = hooks.iter().filter(here).min_by_key(|hook| hook.id) else {
            let noted = self.made_for(&wanted.scope).await?;
            return Ok(hooks.iter().filter(|hook| Some(hook.id) == noted).collect());
        };
        let more = hooks.iter().filter(here).filter(|hook| hook.id != first.id && self.carries_token(hook));
        Ok([first].into_iter().chain(more).collect())
    }

    /// The relay's hooks for scopes that are not wanted: those that point here with its token, and those that it made.
    async fn obsolete<'a>(&self, hooks: &'a [Hook]) -> Result<Vec<&'a Hook>, InboxError> {
        let (scopes, destination) = (&self.connection.config.scopes, self.connection.hook_destination());
        let mut obsolete = Vec::new();
        for hook in hooks.iter().filter(|hook| !scopes.contains(&hook.scope)) {
            let here = Some(&hook.destination) == destination.as_ref() && self.carries_token(hook);
            if here || self.made_for(&hook.scope).await? == Some(hook.id) {
                obsolete.push(hook);
            }
        }
        Ok(obsolete)
    }

    /// The number of the hook that the relay made, or took for its own, for a scope.
    async fn made_for(&self, scope: &str) -> Result<Option<i64>, InboxError> {
        let noted = self.inbox.note(self.connection.id, &note_name(scope)).await?;
        Ok(noted.and_then(|id| id.parse().ok()))
    }

    fn carries_token(&self, hook: &Hook) -> bool {
        let tokens = self.connection.hook_tokens();
        hook.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case(TOKEN_HEADER) && tokens.iter().any(|token| token.expose_secret() == value)
        })
    }
}

fn note_name(scope: &str) -> String {
    format!("hook:{scope}")
}
