//! The relay's own hooks: made at start, looked after from then on, never a second one for a scope, and nobody else's touched.
//!
//! A hook is the relay's if it points here, or if the relay made it (its number is noted in the inbox).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    bigcommerce::hooks::{Hook, WantedHook},
    callback::TOKEN_HEADER,
    connection::Connection,
    http::{CallError, Seen},
    inbox::{Inbox, InboxError},
    retry::Backoff,
};

/// Between tries while BigCommerce does not answer.
const RETRY: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(120) };

/// How long a look at the hooks may go on when the relay stops.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why hooks cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// Without it nobody can call.
    #[error("PUBLIC_URL is not set: no hook can be registered, orders are found by polling alone")]
    NoPublicUrl,
    /// BigCommerce did not do as asked.
    #[error("BigCommerce: {0}")]
    Call(#[from] CallError),
    /// The numbers of the hooks cannot be noted.
    #[error(transparent)]
    Inbox(#[from] InboxError),
}

/// How one scope's hook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// As it should be.
    Healthy,
    /// There is none.
    Missing,
    /// BigCommerce has switched it off.
    Inactive,
    /// It points elsewhere.
    Elsewhere,
    /// It does not carry the relay's present token.
    WithoutToken,
}

impl HookState {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "as it should be",
            Self::Missing => "missing",
            Self::Inactive => "inactive",
            Self::Elsewhere => "pointing elsewhere",
            Self::WithoutToken => "without the token",
        }
    }
}

impl Done {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Created => "created",
            Self::Mended => "mended",
        }
    }
}

/// What was done about one scope's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Nothing: it was as it should be.
    Kept,
    /// Made.
    Created,
    /// Put right.
    Mended,
}

/// One scope's hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// The scope.
    pub scope: String,
    /// Its number, if there is one.
    pub id: Option<i64>,
    /// How it stands (or stood before it was put right).
    pub state: HookState,
}

/// Looks after one connection's hooks.
pub struct Registrar {
    connection: Arc<Connection>,
    inbox: Arc<dyn Inbox>,
    healthy: Mutex<Option<u64>>,
    /// Since when the hooks cannot be looked after, and why.
    trouble: Mutex<Option<(Instant, String)>>,
    /// One change at a time: two at once would make two hooks.
    changing: tokio::sync::Mutex<()>,
}

impl Registrar {
    /// For one connection; calls nobody yet.
    pub fn new(connection: Arc<Connection>, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            connection,
            inbox,
            healthy: Mutex::default(),
            trouble: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// How many hooks were as they should be when last looked at.
    pub fn healthy(&self) -> Option<u64> {
        *self.last()
    }

    /// Since when the hooks cannot be looked after, and why; `None` if they could be the last time.
    pub fn trouble(&self) -> Option<(Instant, String)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many hooks there should be: none without a public address.
    pub fn wanted_count(&self) -> u64 {
        let config = &self.connection.config;
        if config.public_url.is_some() { config.scopes.len() as u64 } else { 0 }
    }

    fn last(&self) -> MutexGuard<'_, Option<u64>> {
        self.healthy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after the hooks until told to stop. BigCommerce being down delays this and nothing else.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        if self.connection.config.public_url.is_none() {
            tracing::warn!("{}", RegistrarError::NoPublicUrl);
            return stop.cancelled().await;
        }
        let mut failures = 0;
        loop {
            let looked = async {
                self.ensure().await?;
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
            let Some(pause) = pause else { return stop.cancelled().await };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
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
            reports.push(report(&wanted, ours));
        }
        let healthy = reports.iter().filter(|report| report.state == HookState::Healthy).count();
        *self.last() = Some(healthy as u64);
        Ok(reports)
    }

    /// Makes missing hooks, mends altered ones, keeps the rest, and removes the relay's own for scopes no longer wanted.
    ///
    /// # Errors
    /// [`RegistrarError`]; what was done before it stays done.
    pub async fn ensure(&self) -> Result<Vec<(HookReport, Done)>, RegistrarError> {
        let _one_at_a_time = self.changing.lock().await;
        let done = self.put_right().await;
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = match &done {
            Ok(_) | Err(RegistrarError::NoPublicUrl) => None,
            Err(error) => Some((trouble.take().map_or_else(Instant::now, |(since, _)| since), error.to_string())),
        };
        drop(trouble);
        done
    }

    async fn put_right(&self) -> Result<Vec<(HookReport, Done)>, RegistrarError> {
        let all_wanted = self.wanted()?;
        let hooks = self.connection.api.hooks().await?;
        let mut reports = Vec::new();
        for wanted in &all_wanted {
            let ours = self.ours(&hooks, wanted).await?;
            let mut report = report(wanted, ours);
            let done = match ours {
                Some(hook) if report.state == HookState::Healthy => {
                    self.note(wanted, hook.id).await?;
                    Done::Kept
                }
                Some(hook) => self.mend(hook.id, wanted, &mut report).await?,
                None => self.create(wanted, &mut report).await?,
            };
            if done != Done::Kept {
                tracing::info!(scope = %wanted.scope, hook = report.id, "the hook for {} was {}: {}", wanted.scope, report.state.name(), done.name());
            }
            reports.push((report, done));
        }
        self.remove_obsolete(&hooks, &all_wanted).await?;
        *self.last() = Some(reports.len() as u64);
        Ok(reports)
    }

    /// Removes every hook of the relay's. Returns how many.
    ///
    /// # Errors
    /// [`RegistrarError`]; what was removed before it stays removed.
    pub async fn remove(&self) -> Result<usize, RegistrarError> {
        let _one_at_a_time = self.changing.lock().await;
        let hooks = self.connection.api.hooks().await?;
        let mut removed = 0;
        for wanted in self.wanted()? {
            while let Some(hook) = self.ours(&hooks, &wanted).await? {
                self.connection.api.remove_hook(hook.id).await?;
                removed += 1;
                self.inbox.keep_note(self.connection.id, &note_name(&wanted.scope), None).await?;
                // The list was taken before: a hook that points here is found in it once more.
                if hook.destination == wanted.destination {
                    break;
                }
            }
        }
        *self.last() = Some(0);
        Ok(removed)
    }

    /// All hooks that the access token can see, and which of them are the relay's.
    ///
    /// # Errors
    /// [`RegistrarError`]
    pub async fn list(&self) -> Result<Vec<(Hook, bool)>, RegistrarError> {
        let hooks = self.connection.api.hooks().await?;
        let mut ours = Vec::new();
        for wanted in self.wanted().unwrap_or_default() {
            ours.extend(self.ours(&hooks, &wanted).await?.map(|hook| hook.id));
        }
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

    /// The relay's hook for a scope: one that points here, else the one it made.
    async fn ours<'a>(&self, hooks: &'a [Hook], wanted: &WantedHook) -> Result<Option<&'a Hook>, InboxError> {
        let noted = self.inbox.note(self.connection.id, &note_name(&wanted.scope)).await?;
        let noted: Option<i64> = noted.and_then(|id| id.parse().ok());
        let here = |hook: &&Hook| hook.scope == wanted.scope && hook.destination == wanted.destination;
        Ok(hooks.iter().find(here).or_else(|| hooks.iter().find(|hook| Some(hook.id) == noted)))
    }

    async fn note(&self, wanted: &WantedHook, id: i64) -> Result<(), InboxError> {
        let name = note_name(&wanted.scope);
        let known = self.inbox.note(self.connection.id, &name).await?;
        if known.as_deref() == Some(&id.to_string()) {
            return Ok(());
        }
        self.inbox.keep_note(self.connection.id, &name, Some(id.to_string())).await
    }

    async fn create(&self, wanted: &WantedHook, report: &mut HookReport) -> Result<Done, RegistrarError> {
        match self.connection.api.create_hook(wanted).await {
            Ok(hook) => {
                report.id = Some(hook.id);
                self.note(wanted, hook.id).await?;
                Ok(Done::Created)
            }
            // Perhaps it is there already: what a duplicate is answered is not documented.
            Err(error @ CallError { seen: Seen::Status(400..=499), .. }) => {
                let hooks = self.connection.api.hooks().await?;
                let Some(hook) = self.ours(&hooks, wanted).await? else { return Err(error.into()) };
                self.mend(hook.id, wanted, report).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn mend(&self, id: i64, wanted: &WantedHook, report: &mut HookReport) -> Result<Done, RegistrarError> {
        report.id = Some(id);
        self.connection.api.update_hook(id, wanted).await?;
        self.note(wanted, id).await?;
        Ok(Done::Mended)
    }

    /// Hooks that point here with the relay's token, for scopes that are no longer wanted, would only repeat events.
    async fn remove_obsolete(&self, hooks: &[Hook], wanted: &[WantedHook]) -> Result<(), RegistrarError> {
        let tokens = self.connection.hook_tokens();
        let ours = |hook: &&Hook| {
            let carries = |(name, value): (&String, &String)| {
                name.eq_ignore_ascii_case(TOKEN_HEADER) && tokens.iter().any(|token| token.expose_secret() == value)
            };
            wanted.iter().any(|wanted| hook.destination == wanted.destination) && hook.headers.iter().any(carries)
        };
        for hook in hooks.iter().filter(ours).filter(|hook| wanted.iter().all(|wanted| wanted.scope != hook.scope)) {
            tracing::info!(scope = %hook.scope, hook = hook.id, "the hook for {} is no longer wanted: removed", hook.scope);
            self.connection.api.remove_hook(hook.id).await?;
            self.inbox.keep_note(self.connection.id, &note_name(&hook.scope), None).await?;
        }
        Ok(())
    }
}

fn note_name(scope: &str) -> String {
    format!("hook:{scope}")
}

fn report(wanted: &WantedHook, hook: Option<&Hook>) -> HookReport {
    let state = match hook {
        None => HookState::Missing,
        Some(hook) if wanted.is_met_by(hook) => HookState::Healthy,
        Some(hook) if hook.destination != wanted.destination || hook.scope != wanted.scope => HookState::Elsewhere,
        Some(hook) if !hook.is_active => HookState::Inactive,
        Some(_) => HookState::WithoutToken,
    };
    HookReport { scope: wanted.scope.clone(), id: hook.map(|hook| hook.id), state }
}
