//! The client of one BigCommerce store's API: every call is counted against the store's request quota, limited in
//! time and size, and sent with the headers that BigCommerce requires.

pub use hooks::HooksApi;
pub use permit::Permit;

pub mod credentials;
pub mod hooks;
pub mod install;
pub mod line;
pub mod orders;
pub mod payload;
mod permit;
pub mod quota;
mod read;
pub mod webhook;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use reqwest::{Method, RequestBuilder, Response, header};
use url::Url;

use crate::{
    breaker::Health,
    clock::{FarClock, Timestamp},
    http::{CallError, Failure, FarCalls, Http},
    metrics::Metrics,
    source::reach::Reach,
    spec::{BigCommerceAuth, BigCommerceSpec},
};
use credentials::{Credentials, RefusedCredentials};
use line::Waiter;
use permit::Spent;
use quota::{Quota, QuotaHeaders};

/// How long a call that a person waits for may wait for the quota.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The purpose of a call, by which metrics distinguish calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A call to `GET /v2/orders/{id}`.
    Order,
    /// A call to `GET /v2/orders`.
    Orders,
    /// A call to anything under `/hooks`.
    Hooks,
    /// A call to `GET /v2/store`.
    Store,
    /// A call to any other resource.
    Resource,
}

impl Operation {
    /// The value of the label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Orders => "orders",
            Self::Hooks => "hooks",
            Self::Store => "store",
            Self::Resource => "resource",
        }
    }
}

/// What all BigCommerce stores of the relay share: the API's address, and one quota per store, however many
/// connections it has.
#[derive(Debug)]
pub struct Platform {
    http: Arc<Http>,
    api_url: Url,
    hooks_api: HooksApi,
    quota_share: f64,
    timeout: Duration,
    metrics: Arc<Metrics>,
    far_calls: FarCalls,
    quotas: Mutex<HashMap<String, Weak<Mutex<Quota>>>>,
}

impl Platform {
    /// For the API at `api_url`. `quota_share` of each store's quota may be used; each call takes at most `timeout`.
    pub fn new(
        http: Arc<Http>,
        api_url: Url,
        hooks_api: HooksApi,
        quota_share: f64,
        timeout: Duration,
        metrics: Arc<Metrics>,
        far_calls: FarCalls,
    ) -> Self {
        Self { http, api_url, hooks_api, quota_share, timeout, metrics, far_calls, quotas: Mutex::default() }
    }

    /// The address of the API.
    pub fn api_url(&self) -> &Url {
        &self.api_url
    }

    /// The quota of one store, shared by all its connections.
    fn quota(&self, store: &str) -> Arc<Mutex<Quota>> {
        let mut quotas = self.quotas.lock();
        if let Some(quota) = quotas.get(store).and_then(Weak::upgrade) {
            return quota;
        }
        let quota = Arc::new(Mutex::new(Quota::new(self.quota_share, Instant::now())));
        quotas.insert(store.to_owned(), Arc::downgrade(&quota));
        quota
    }
}

/// The API of one store, as used by one connection.
#[derive(Debug)]
pub struct Store {
    platform: Arc<Platform>,
    hash: String,
    base: Url,
    auth: BigCommerceAuth,
    quota: Arc<Mutex<Quota>>,
    /// The place in the queue for the quota of this connection's deliveries.
    deliveries: Waiter,
    credentials: Mutex<Credentials>,
    reach: Mutex<Reach>,
    /// Set once the store has answered that V2 hooks no longer exist.
    hooks_v3: AtomicBool,
    /// The store's clock, according to its `Date` headers.
    clock: Mutex<FarClock>,
}

/// The store's address cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store's API address cannot be used")]
pub struct BadAddress;

impl Store {
    /// A client for the store of a connection. Makes no call.
    ///
    /// # Errors
    /// [`BadAddress`] if the address of a legacy account is not a URL.
    pub fn new(platform: Arc<Platform>, spec: &BigCommerceSpec) -> Result<Self, BadAddress> {
        let mut base = match &spec.auth {
            BigCommerceAuth::Token(_) => {
                let mut base = platform.api_url.clone();
                base.set_path(&format!("{}/stores/{}/", base.path().trim_end_matches('/'), spec.store_hash));
                base
            }
            BigCommerceAuth::Legacy { api_url, .. } => Url::parse(api_url).map_err(|_| BadAddress)?,
        };
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let is_v3 = spec.is_app || platform.hooks_api == HooksApi::V3;
        Ok(Self {
            quota: platform.quota(&spec.store_hash),
            deliveries: Waiter::new(),
            platform,
            hash: spec.store_hash.clone(),
            base,
            auth: spec.auth.clone(),
            credentials: Mutex::default(),
            reach: Mutex::default(),
            hooks_v3: AtomicBool::new(is_v3),
            clock: Mutex::default(),
        })
    }

    /// The store's hash: `abcde` in `stores/abcde`.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The store's quota as last seen.
    pub fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock()
    }

    /// The time limit of one call.
    pub fn timeout(&self) -> Duration {
        self.platform.timeout
    }

    fn permit(&self) -> Permit {
        Permit::new(self.quota.clone())
    }

    /// Takes up to `want` permits at once, for a backlog.
    ///
    /// # Errors
    /// The time from which there may be a permit.
    pub fn try_take(&self, want: u32) -> Result<Vec<Permit>, Instant> {
        self.try_take_as(self.deliveries, want)
    }

    fn try_take_as(&self, waiter: Waiter, want: u32) -> Result<Vec<Permit>, Instant> {
        let granted = self.quota().try_take(waiter, Instant::now(), want)?;
        Ok((0..granted).map(|_| self.permit()).collect())
    }

    /// Waits for a permit in turn, for calls that are not urgent, such as polling.
    pub async fn take(&self) -> Permit {
        let (permit, far_call) = self
            .platform
            .far_calls
            .take_with(
                || self.take_in_slot(),
                || self.try_take_as(Waiter::new(), 1).ok().and_then(|mut permits| permits.pop()),
            )
            .await;
        permit.counted(Some(far_call))
    }

    /// The same for a delivery, which is counted among the calls under way already.
    pub async fn take_in_slot(&self) -> Permit {
        let waiter = Waiter::new();
        loop {
            match self.try_take_as(waiter, 1).map(|mut permits| permits.pop()) {
                Ok(Some(permit)) => return permit,
                Ok(None) => tokio::task::yield_now().await,
                Err(until) => tokio::time::sleep_until(until.into()).await,
            }
        }
    }

    /// Waits for a permit only while the store itself would refuse the call: for rare calls that a person waits for,
    /// such as checks.
    ///
    /// # Errors
    /// The store's likely answer, a 429, if that would last longer than a person waits.
    pub async fn take_urgent(&self) -> Result<Permit, CallError> {
        loop {
            let now = Instant::now();
            let taken = self.quota().take_urgent(now);
            match taken {
                Ok(()) => {
                    let permit = self.permit();
                    return Ok(permit.counted(Some(self.platform.far_calls.take_urgent().await)));
                }
                Err(until) if until.saturating_duration_since(now) > PATIENCE => {
                    return Err(Failure::Status(429).into());
                }
                Err(until) => tokio::time::sleep_until(until.into()).await,
            }
        }
    }

    /// The URL of an API path relative to the store, such as `v2/orders/1`. A legacy account's address already
    /// contains the version.
    fn url(&self, path: &str) -> Result<Url, CallError> {
        let path = match &self.auth {
            BigCommerceAuth::Token(_) => path,
            BigCommerceAuth::Legacy { .. } => path.strip_prefix("v2/").unwrap_or(path),
        };
        let url = self.base.join(path).map_err(|_| Failure::Broken)?;
        // A path that led outside the store would carry its credentials elsewhere.
        let stays = url.origin() == self.base.origin() && url.path().starts_with(self.base.path());
        if stays { Ok(url) } else { Err(Failure::Broken.into()) }
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CallError> {
        let url = self.url(path)?;
        let Platform { http, timeout, .. } = self.platform.as_ref();
        let request = match &self.auth {
            BigCommerceAuth::Token(token) => {
                http.operator(method, url, *timeout).header("X-Auth-Token", token.expose())
            }
            BigCommerceAuth::Legacy { username, password, .. } => {
                http.guarded(method, url, *timeout)?.basic_auth(username, Some(password.expose()))
            }
        };
        Ok(request.header(header::ACCEPT, "application/json"))
    }

    /// Makes one call. `path` is relative to the store, such as `v2/orders/1`. Any 2xx is a success. The permit is to
    /// be kept until the answer has been read.
    async fn call(
        &self,
        permit: &mut Permit,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Response, CallError> {
        let mut request = self.request(method, path)?;
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        permit.note(Spent::OnCall);
        let sent = request.send().await;
        let now = Instant::now();
        let outcome = match sent {
            Ok(response) => {
                permit.note(Spent::OnAnswer);
                self.learn(&response, operation, now);
                if response.status().is_success() { Ok(response) } else { Err(CallError::of_status(&response)) }
            }
            Err(error) => Err(error.into()),
        };
        let status = outcome.as_ref().map(|response| response.status().as_u16()).map_err(|error| error.failure);
        self.platform.metrics.store_call("bigcommerce", operation.label(), status);
        // Hooks and the store's information may work even if its orders do not.
        if matches!(operation, Operation::Order | Operation::Orders | Operation::Resource) {
            let failure = match &outcome {
                Ok(found) if crate::http::is_html(found.headers()) => Some(Failure::Html(found.status().as_u16())),
                Ok(_) => None,
                Err(error) => Some(error.failure),
            };
            self.reach.lock().observed(failure, Timestamp::now());
        }
        outcome
    }

    /// Records what an answer says about quota, credentials and time.
    fn learn(&self, response: &Response, operation: Operation, now: Instant) {
        let seen = QuotaHeaders::read(response.headers());
        let status = response.status().as_u16();
        if status == 429 {
            let asked = CallError::of_status(response).retry_after;
            self.quota().refused(now, &seen, asked, rand::random());
        } else {
            self.quota().observed(now, &seen);
        }
        if !crate::http::is_html(response.headers()) {
            // Reading the store's information needs a permission that the relay can do without.
            if matches!(status, 404 | 410) && is_list_of_every_store(response.url()) {
                self.credentials.lock().unknown_store(now, Timestamp::now());
            } else if operation != Operation::Store {
                let is_aside = matches!(operation, Operation::Hooks | Operation::Resource);
                self.credentials.lock().observed(is_aside, status, now, Timestamp::now());
            }
        }
        let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) {
            self.clock.lock().learn(now, date.into());
        }
    }

    /// How far the store's clock is ahead of this machine's, in milliseconds, by its last answer; 0 before the first.
    pub fn ahead_ms(&self) -> i64 {
        self.clock.lock().ahead_ms(Instant::now(), Timestamp::now())
    }

    /// Whether the store accepts the credentials, or since when and with which status it refuses them: 401, 403 for
    /// orders, or 404 if there is no such store.
    pub fn credentials(&self) -> Health<RefusedCredentials> {
        self.credentials.lock().health()
    }

    /// Whether the store answers.
    pub fn reach(&self) -> Reach {
        *self.reach.lock()
    }

    /// Forgets whether the store answers and accepts the credentials.
    pub fn forget(&self) {
        *self.credentials.lock() = Credentials::default();
        *self.reach.lock() = Reach::default();
    }

    fn hooks_api(&self) -> HooksApi {
        if self.hooks_v3.load(Ordering::Relaxed) { HooksApi::V3 } else { HooksApi::V2 }
    }

    /// Switches from V2 hooks to V3 for good. False if it had switched already.
    pub fn leave_hooks_v2(&self) -> bool {
        !self.hooks_v3.swap(true, Ordering::Relaxed)
    }
}

/// Whether every store has this list: its orders, or its V3 hooks. (Some stores no longer have V2 hooks.)
fn is_list_of_every_store(url: &Url) -> bool {
    ["/v2/orders", "/v3/hooks"].iter().any(|list| url.path().ends_with(list))
}
