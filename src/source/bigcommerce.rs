//! The client of one store's API: every call is paid for from the store's request quota, bounded in time and size, and
//! carries the headers that BigCommerce demands.

pub mod hooks;
pub mod orders;
pub mod quota;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Client, Method, Response, header};
use secrecy::ExposeSecret;
use url::Url;

use crate::{
    clock::Timestamp,
    config::{ConnectionConfig, HooksApi},
    http::{self, CallError, Seen, Transport},
    metrics::Metrics,
    retry::Standing,
};
use quota::{Quota, QuotaHeaders};

/// How long a call that somebody waits for may wait for the quota.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What a call is for; metrics tell calls apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `GET /v2/orders/{id}`
    Order,
    /// `GET /v2/orders`
    Orders,
    /// Anything under `/hooks`
    Hooks,
}

impl Operation {
    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Orders => "orders",
            Self::Hooks => "hooks",
        }
    }
}

/// One store's API.
pub struct Api {
    client: Client,
    base: Url,
    config: ConnectionConfig,
    quota: Mutex<Quota>,
    /// Whether the store takes the credentials, or when and with which status it last refused them.
    credentials: Mutex<Standing<(Timestamp, u16)>>,
    /// Set once the store has answered that V2's hooks are gone.
    hooks_v3: AtomicBool,
    metrics: Arc<Metrics>,
}

/// The right to make one call on an [`Api`]. Dropped unused, it goes back.
pub struct Token {
    api: Arc<Api>,
    spent: Spent,
}

/// What became of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spent {
    Not,
    /// The call is under way, or nobody waited for its end.
    OnCall,
    OnAnswer,
}

impl Drop for Token {
    fn drop(&mut self) {
        match self.spent {
            Spent::Not => self.api.quota().refund(),
            Spent::OnCall => self.api.quota().unanswered(),
            Spent::OnAnswer => {}
        }
    }
}

impl Api {
    /// A client for the connection's store.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(config: &ConnectionConfig, metrics: Arc<Metrics>) -> reqwest::Result<Self> {
        let mut base = config.api_url.clone();
        base.set_path(&format!("{}/stores/{}/", base.path().trim_end_matches('/'), config.store));
        Ok(Self {
            client: http::client(&base, config.fetch_timeout)?,
            base,
            config: config.clone(),
            quota: Mutex::new(Quota::new(config.quota_share, Instant::now())),
            credentials: Mutex::default(),
            hooks_v3: AtomicBool::new(config.hooks_api == HooksApi::V3),
            metrics,
        })
    }

    /// The store's quota as last seen.
    pub fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `want` calls at once for a backlog, or says from when there will be one.
    ///
    /// # Errors
    /// The moment from which there may be a call.
    pub fn try_take(self: &Arc<Self>, want: u32) -> Result<Vec<Token>, Instant> {
        let granted = self.quota().try_take(Instant::now(), want)?;
        Ok((0..granted).map(|_| Token { api: self.clone(), spent: Spent::Not }).collect())
    }

    /// Waits until one call may be made in its turn: for work that can wait, such as polling.
    pub async fn take(self: &Arc<Self>) -> Token {
        loop {
            match self.try_take(1).map(|mut tokens| tokens.pop()) {
                Ok(Some(token)) => return token,
                Ok(None) => tokio::task::yield_now().await,
                Err(until) => tokio::time::sleep_until(until.into()).await,
            }
        }
    }

    /// Waits only while the store itself would refuse: for rare calls that somebody waits for, such as checks.
    ///
    /// # Errors
    /// What the store would answer, a 429, when that lasts for longer than anybody would wait.
    pub async fn take_soon(self: &Arc<Self>) -> Result<Token, CallError> {
        loop {
            let now = Instant::now();
            let taken = self.quota().take_soon(now);
            match taken {
                Ok(()) => return Ok(Token { api: self.clone(), spent: Spent::Not }),
                Err(until) if until.saturating_duration_since(now) > PATIENCE => {
                    return Err(Seen::Status(429).into());
                }
                Err(until) => tokio::time::sleep_until(until.into()).await,
            }
        }
    }

    /// Makes one call. `path` is relative to the store, such as `v2/orders/1`. Any 2xx is a success.
    async fn call(
        &self,
        mut token: Token,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Response, CallError> {
        let url = self.base.join(path).map_err(|_| Seen::Transport(Transport::Broken))?;
        let mut request = self
            .client
            .request(method, url)
            .header("X-Auth-Token", self.config.access_token.expose_secret())
            .header(header::ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        token.spent = Spent::OnCall;
        let sent = request.send().await;
        let now = Instant::now();
        let outcome = match sent {
            Ok(response) => {
                token.spent = Spent::OnAnswer;
                let seen = QuotaHeaders::read(response.headers());
                self.note_credentials(operation, response.status().as_u16());
                if response.status().as_u16() == 429 {
                    let asked = CallError::of_status(&response).retry_after;
                    self.quota().refused(now, &seen, asked, rand::random());
                } else {
                    self.quota().observed(now, &seen);
                }
                if response.status().is_success() { Ok(response) } else { Err(CallError::of_status(&response)) }
            }
            Err(error) => Err(error.into()),
        };
        self.metrics
            .bigcommerce_call(operation.label(), outcome.as_ref().map(|ok| ok.status().as_u16()).map_err(|e| e.seen));
        outcome
    }

    /// Whether the store takes the credentials, or when it last refused them, and with which status: 401, or 403 where orders
    /// are read.
    pub fn credentials(&self) -> Standing<(Timestamp, u16)> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the store takes the credentials is not known any more.
    pub fn forget_credentials(&self) {
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = Standing::Unknown;
    }

    /// A 403 from hooks speaks of hooks alone (not every account may see the blocklist), and a success there proves no right
    /// to read orders.
    fn note_credentials(&self, operation: Operation, status: u16) {
        let mut credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let hooks = operation == Operation::Hooks;
        match status {
            401 => *credentials = Standing::Trouble((Timestamp::now(), 401)),
            403 if !hooks => *credentials = Standing::Trouble((Timestamp::now(), 403)),
            200..=299 if !hooks || matches!(*credentials, Standing::Trouble((_, 401))) => *credentials = Standing::Well,
            _ => {}
        }
    }

    fn hooks_api(&self) -> HooksApi {
        if self.hooks_v3.load(Ordering::Relaxed) { HooksApi::V3 } else { HooksApi::V2 }
    }

    /// Leaves V2's hooks for V3's, from now on. False if they have been left already.
    pub fn leave_hooks_v2(&self) -> bool {
        let left = !self.hooks_v3.swap(true, Ordering::Relaxed);
        if left {
            tracing::info!("the store answers /v2/hooks no longer: using /v3/hooks");
        }
        left
    }

    /// How long one call may take.
    pub fn timeout(&self) -> Duration {
        self.config.fetch_timeout
    }
}
