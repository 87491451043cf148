//! A shop as used by one connection: its address, its keys, and what has been learned of it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use url::Url;

use super::{
    auth::{AuthMode, Keys},
    gate::{Gate, Permit},
    refusal::Refusal,
    root::{self, Permalinks, RestRoot},
};
use crate::{
    breaker::Health,
    clock::{FarClock, Timestamp},
    http::{CallError, Failure, FarCalls, Http},
    source::{
        bigcommerce::{
            BadAddress,
            credentials::{Credentials, RefusedCredentials},
        },
        reach::Reach,
    },
    spec::{WooCommerceSpec, normalized_shop},
};

/// Whether a shop can list changes. `None` means not tried yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DateSupport {
    /// Whether it supports `modified_after`: since WooCommerce 5.8.
    pub filters: Option<bool>,
    /// Whether it supports `orderby=modified`: since WooCommerce 4.4.
    pub sorts: Option<bool>,
}

/// The purpose of a call, by which metrics distinguish calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A call to `GET orders/{id}`.
    Order,
    /// A call to `GET orders`.
    Orders,
    /// A call to anything under `webhooks`.
    Hooks,
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
            Self::Resource => "resource",
        }
    }
}

/// Called with the status or the failure of each call that has ended.
pub type Observer = Arc<dyn Fn(Operation, Result<u16, Failure>) + Send + Sync>;

/// What all shops of the relay share: the HTTP client, and one gate per shop, however many connections it has.
pub struct Shops {
    pub(super) http: Arc<Http>,
    pub(super) timeout: Duration,
    pub(super) observer: Option<Observer>,
    pub(super) far_calls: FarCalls,
    pub(super) gates: Mutex<HashMap<String, Weak<Gate>>>,
}

impl fmt::Debug for Shops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shops").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Shops {
    /// Each call to a shop takes at most `timeout`; `observer` is called with its result.
    pub fn new(http: Arc<Http>, timeout: Duration, observer: Option<Observer>, far_calls: FarCalls) -> Self {
        Self { http, timeout, observer, far_calls, gates: Mutex::default() }
    }

    /// The gate of one shop, shared by all its connections.
    fn gate(&self, address: &str) -> Arc<Gate> {
        let mut gates = self.gates.lock();
        gates.retain(|_, gate| gate.strong_count() > 0);
        let shop = normalized_shop(address);
        if let Some(gate) = gates.get(&shop).and_then(Weak::upgrade) {
            return gate;
        }
        let gate = Arc::new(Gate::new());
        gates.insert(shop, Arc::downgrade(&gate));
        gate
    }
}

/// The API of one shop, as used by one connection.
#[derive(Debug)]
pub struct Shop {
    pub(super) shops: Arc<Shops>,
    pub(super) site: Url,
    pub(super) keys: Keys,
    pub(super) gate: Arc<Gate>,
    pub(super) state: Mutex<State>,
    /// Held while finding out something that all calls need, so that it is done once.
    pub(super) search: tokio::sync::Mutex<()>,
}

/// What has been learned of a shop.
#[derive(Debug)]
pub(super) struct State {
    pub(super) root: Option<RestRoot>,
    /// When the API was not found, and what was found instead.
    pub(super) not_found: Option<(Instant, CallError)>,
    pub(super) auth: AuthMode,
    /// When it was last tested whether the header is removed.
    pub(super) header_tried: Option<Instant>,
    pub(super) dates: DateSupport,
    /// When it was found that the shop lacks one of these features.
    pub(super) dates_known: Option<Instant>,
    pub(super) credentials: Credentials,
    pub(super) reach: Reach,
    pub(super) clock: FarClock,
    pub(super) disabled_hooks: Vec<i64>,
}

/// What has been learned of a shop, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopFacts {
    /// How it writes its addresses; `None` before the first call.
    pub permalinks: Option<Permalinks>,
    /// How calls are authenticated. [`AuthMode::QueryKeys`] means that the web server removes the `Authorization`
    /// header, and that the shop's access log contains the keys.
    pub auth: AuthMode,
    /// Whether it can list changes (from WooCommerce 5.8, and sort by change from 4.4).
    pub dates: DateSupport,
    /// Webhooks that WooCommerce has disabled, the relay's or others', according to the last list.
    pub disabled_hooks: Vec<i64>,
}

impl Shop {
    /// A client for the shop of a connection. Makes no call.
    ///
    /// # Errors
    /// [`BadAddress`] for an address that is not a URL.
    pub fn new(shops: Arc<Shops>, spec: &WooCommerceSpec) -> Result<Self, BadAddress> {
        let site = root::front_page(&spec.url).ok_or(BadAddress)?;
        let state = State {
            root: None,
            not_found: None,
            auth: AuthMode::for_site(&site),
            header_tried: None,
            dates: DateSupport::default(),
            dates_known: None,
            credentials: Credentials::default(),
            reach: Reach::default(),
            clock: FarClock::default(),
            disabled_hooks: Vec::new(),
        };
        Ok(Self {
            gate: shops.gate(&spec.url),
            shops,
            site,
            keys: Keys { key: spec.consumer_key.clone(), secret: spec.consumer_secret.clone() },
            state: Mutex::new(state),
            search: tokio::sync::Mutex::default(),
        })
    }

    /// The same client, which starts with this way of authentication.
    #[must_use]
    pub fn starting_with(self, auth: AuthMode) -> Self {
        self.state.lock().auth = auth;
        self
    }

    /// The shop's front page.
    pub fn site(&self) -> &Url {
        &self.site
    }

    /// The time limit of one call.
    pub fn timeout(&self) -> Duration {
        self.shops.timeout
    }

    /// Takes up to `want` permits at once, for a backlog.
    ///
    /// # Errors
    /// The time from which there may be a permit.
    pub fn try_take(&self, want: u32) -> Result<Vec<Permit>, Instant> {
        self.gate.try_take(want, Instant::now())
    }

    /// Waits for a permit in turn, for calls that are not urgent, such as polling.
    pub async fn take(&self) -> Permit {
        let (permit, far_call) = self
            .shops
            .far_calls
            .take_with(|| self.take_in_slot(), || self.try_take(1).ok().and_then(|mut permits| permits.pop()))
            .await;
        permit.counted(Some(far_call))
    }

    /// The same for a delivery, which is counted among the calls under way already.
    pub async fn take_in_slot(&self) -> Permit {
        self.gate.take().await
    }

    /// Waits for a permit only while the shop itself would refuse the call, or is busy with the relay's other calls:
    /// for rare calls that a person waits for, such as checks.
    ///
    /// # Errors
    /// A 429 if the shop has asked for a longer pause than a person waits; a timeout if no permit comes free in time.
    pub async fn take_urgent(&self) -> Result<Permit, CallError> {
        let permit = self.gate.take_urgent(self.shops.timeout).await?;
        Ok(permit.counted(Some(self.shops.far_calls.take_urgent().await)))
    }

    /// Until when the shop has asked for no calls.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        self.gate.pause(now)
    }

    /// Whether the shop accepts the keys, or since when and with which status it refuses them.
    pub fn credentials(&self) -> Health<RefusedCredentials> {
        self.state.lock().credentials.health()
    }

    /// Whether the shop answers.
    pub fn reach(&self) -> Reach {
        self.state.lock().reach
    }

    /// Forgets whether the shop answers and accepts the keys.
    pub fn forget(&self) {
        let mut state = self.state.lock();
        (state.credentials, state.reach) = (Credentials::default(), Reach::default());
    }

    /// How far the shop's clock is ahead of this machine's, in milliseconds, by its last answer; 0 before the first.
    pub fn ahead_ms(&self) -> i64 {
        self.state.lock().clock.ahead_ms(Instant::now(), Timestamp::now())
    }

    /// What has been learned of the shop.
    pub fn facts(&self) -> ShopFacts {
        let state = self.state.lock();
        ShopFacts {
            permalinks: state.root.as_ref().map(RestRoot::permalinks),
            auth: state.auth,
            dates: state.dates,
            disabled_hooks: state.disabled_hooks.clone(),
        }
    }

    /// Records what an answer says about keys, pauses and time.
    pub(super) fn learn(&self, operation: Operation, outcome: Result<u16, Refusal>, date: Option<Timestamp>) {
        let (now, at) = (Instant::now(), Timestamp::now());
        self.gate.answered(outcome.map(drop).map_err(|refusal| refusal.error), now, rand::random());
        let status = match outcome {
            Ok(status) => Some(status),
            Err(refusal) => refusal.status(),
        };
        let is_hooks = operation == Operation::Hooks;
        // Keys may be allowed to read orders but not to create webhooks: that is refused with 401 too.
        let speaks_of_keys = !is_hooks || outcome.is_ok();
        let mut state = self.state.lock();
        if let Some(status) = status.filter(|_| speaks_of_keys) {
            state.credentials.observed(is_hooks, status, now, at);
        }
        if let Some(date) = date {
            state.clock.learn(now, date);
        }
    }
}
