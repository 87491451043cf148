//! All that is known of a connection at one moment, as plain values for the judgment. Each is read only once; nothing
//! is called for them, and probes are the results of earlier calls.

mod shop;

use std::time::Duration;

pub use crate::breaker::Health;

use crate::{
    clock::Timestamp,
    http::Failure,
    inbox::{ConnectionState, Feed, HookRow, HookState, ObjectRow, ObjectState, PauseReason, Summary},
    object::ConnectionId,
    source::reach::Silence,
    spec::{DestinationKind, Origin, SourceKind},
};

pub use shop::ShopProblem;

/// Something that does not work, since when, and the last failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// When it began.
    pub since: Timestamp,
    /// The last failure.
    pub failure: Failure,
}

/// A refusal that is repeated without a success in between, to tell a lasting one from a stray answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The last failure.
    pub failure: Failure,
    /// When it was first seen since the last success.
    pub first_at: Timestamp,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// How often it was seen.
    pub count: u64,
}

impl Refusal {
    /// Answers this far apart are not an accident of one moment.
    const APART: Duration = Duration::from_secs(10);

    /// A refusal seen for the first time.
    pub fn new(failure: Failure, at: Timestamp) -> Self {
        Self { failure, first_at: at, last_at: at, count: 1 }
    }

    /// Whether it was seen at least twice, ten seconds or more apart.
    pub fn is_confirmed(&self) -> bool {
        self.count >= 2 && self.last_at.since(self.first_at) >= Self::APART
    }
}

impl Health<Refusal> {
    /// Adds another refusal.
    pub fn refused(&mut self, failure: Failure, at: Timestamp) {
        match self {
            Self::Trouble(refusal) => {
                refusal.failure = failure;
                refusal.last_at = refusal.last_at.max(at);
                refusal.count = refusal.count.saturating_add(1);
            }
            _ => *self = Self::Trouble(Refusal::new(failure, at)),
        }
    }
}

/// The result of a call made by a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe<T> {
    /// When it was answered.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The result.
    pub outcome: T,
}

/// Facts about one connection.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When they were read; durations are counted up to this time.
    pub at: Timestamp,
    /// The connection itself.
    pub connection: ConnectionFacts,
    /// The process and its machine.
    pub relay: RelayFacts,
    /// Its objects; `None` when the database cannot be read.
    pub orders: Option<OrderFacts>,
    /// The store's API.
    pub store: StoreFacts,
    /// The destination.
    pub destination: DestinationFacts,
    /// The webhooks as registered at the store.
    pub hooks: HookFacts,
    /// The arrival of webhooks.
    pub webhooks: WebhookFacts,
    /// The feeds of the store's lists: resources, and runs of `backfill`.
    pub feeds: Vec<Feed>,
    /// Whether the public address leads to this relay.
    pub public_address: Option<Probe<Result<(), AddressFault>>>,
    /// Facts of a Cloud Elements callback.
    pub callback: CallbackFacts,
    /// What a WooCommerce shop's answers have shown to be wrong.
    pub shop: Vec<ShopProblem>,
}

impl Facts {
    /// Facts in which only the connection is known.
    pub fn new(at: Timestamp, connection: ConnectionFacts) -> Self {
        Self {
            at,
            connection,
            relay: RelayFacts::default(),
            orders: None,
            store: StoreFacts::default(),
            destination: DestinationFacts::default(),
            hooks: HookFacts::default(),
            webhooks: WebhookFacts::default(),
            feeds: Vec::new(),
            public_address: None,
            callback: CallbackFacts::default(),
            shop: Vec::new(),
        }
    }

    /// The counts, if the database can be read.
    pub fn summary(&self) -> Option<&Summary> {
        self.orders.as_ref().map(|orders| &orders.summary)
    }

    /// The time from `since` until the facts were read.
    pub fn age(&self, since: Timestamp) -> Duration {
        self.at.since(since)
    }
}

/// The connection itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// The connection's number.
    pub id: ConnectionId,
    /// The display name.
    pub name: String,
    /// Which way it was made, which determines how its settings are changed.
    pub origin: Origin,
    /// Whether its events are delivered, wait, or are dropped.
    pub state: ConnectionState,
    /// Why it is paused; `None` unless it is.
    pub pause_reason: Option<PauseReason>,
    /// The kind of store.
    pub source: SourceKind,
    /// Which store: a BigCommerce hash or a shop's address.
    pub store: String,
    /// The store's name for itself, once its API has given it.
    pub label: Option<StoreLabel>,
    /// The kind of destination, if there is one.
    pub destination: Option<DestinationKind>,
    /// The destination's host.
    pub destination_host: Option<String>,
    /// Whether hooks are registered for it.
    pub has_webhooks: bool,
    /// How often it is polled; `None` where polling is switched off.
    pub poll_interval: Option<Duration>,
    /// The value of `PUBLIC_URL`, where webhooks arrive.
    pub public_url: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A store's information about itself (BigCommerce `GET /v2/store`, WooCommerce's REST root).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreLabel {
    /// The store's name.
    pub name: String,
    /// Its address as shoppers know it.
    pub address: String,
    /// The address of the control panel (`control_panel_base_url`, or a shop's `/wp-admin`).
    pub control_panel_url: Option<String>,
}

/// The process and its machine.
#[derive(Debug, Clone, Default)]
pub struct RelayFacts {
    /// Whether `ADMIN_TOKEN` is set.
    pub has_admin_token: bool,
    /// Whether the database can be written, or since when not, by real writes and probes alike.
    pub database: Health<Timestamp>,
    /// How long the newest probe of the database took.
    pub database_took: Duration,
    /// The disk that holds the database, if that is a file.
    pub disk: Option<DiskSpace>,
    /// Log lines dropped because the log was not read fast enough.
    pub log_lines_dropped: u64,
}

/// Space on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Available to this process.
    pub free: u64,
    /// In all, without what is reserved for others.
    pub total: u64,
}

impl DiskSpace {
    /// Whether less than 100 MB or less than 10 % is left.
    pub fn is_low(self) -> bool {
        const LEAST: u64 = 100_000_000;
        self.free < LEAST || self.free < self.total / 10
    }
}

/// A connection's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFacts {
    /// The counts.
    pub summary: Summary,
    /// The newest objects in any state.
    pub recent: Vec<ObjectRow>,
    /// Objects that have failed, as many as are shown.
    pub failed: Vec<ObjectRow>,
    /// Objects that are refused or not found and still being tried, as many as are shown.
    pub troubled: Vec<ObjectRow>,
    /// Objects that wait, the longest waiting first; read for a page, and once the first of them is late.
    pub waiting: Vec<ObjectRow>,
}

impl OrderFacts {
    /// Takes rows that were read after the numbers, `most` at most. What waits is counted anew where the rows tell: a
    /// page does not say that nothing waits beside an order that does.
    pub fn take_recent(&mut self, recent: Vec<ObjectRow>, most: usize) {
        let waiting = recent.iter().filter(|row| row.state == ObjectState::Pending).count() as u64;
        let is_whole = recent.len() < most;
        self.summary.waiting = if is_whole { waiting } else { self.summary.waiting.max(waiting) };
        let oldest = recent.iter().filter_map(|row| row.waiting_since).min();
        self.summary.oldest_waiting = if is_whole { oldest } else { self.summary.oldest_waiting.or(oldest) };
        self.recent = recent;
    }
}

/// The store's API.
#[derive(Debug, Clone, Default)]
pub struct StoreFacts {
    /// Whether it is down, according to the process that delivers.
    pub outage: Health<Trouble>,
    /// Whether it accepts the credentials: 401, 403 or 404 from the API itself, without a success in between, mean
    /// that it does not.
    pub credentials: Health<Refusal>,
    /// The failures of calls that read it since its last answer, whichever process made them.
    pub silence: Option<Silence>,
    /// When it last answered such a call, even with a refusal.
    pub answered_at: Option<Timestamp>,
    /// When an order fetched from it was last delivered.
    pub delivered_at: Option<Timestamp>,
    /// When its last outage ended.
    pub recovered_at: Option<Timestamp>,
    /// For how long its request quota is still used up.
    pub quota_closed_for: Option<Duration>,
    /// How far this machine's clock is ahead of the store's (`Date` header), in milliseconds.
    pub clock_ahead_ms: Option<i64>,
    /// The newest call that tested the permission to read.
    pub probe: Option<Probe<Result<(), Failure>>>,
    /// When the first of the failed ones in a row was answered that it is the last of.
    pub probes_fail_since: Option<Timestamp>,
}

/// The destination.
#[derive(Debug, Clone, Default)]
pub struct DestinationFacts {
    /// Whether it is down, according to the process that delivers.
    pub outage: Health<Trouble>,
    /// When it last accepted something.
    pub answered_at: Option<Timestamp>,
    /// When its last outage ended.
    pub recovered_at: Option<Timestamp>,
    /// The newest test whether anything answers there: the status, or why there is none.
    pub probe: Option<Probe<Result<u16, Failure>>>,
    /// When the first of the failed ones in a row was answered that it is the last of.
    pub probes_fail_since: Option<Timestamp>,
}

/// The webhooks as the store has them.
#[derive(Debug, Clone, Default)]
pub struct HookFacts {
    /// One row per topic, as last seen.
    pub rows: Vec<HookRow>,
    /// How many there should be.
    pub expected: usize,
    /// When the hooks were last read.
    pub looked_at: Option<Timestamp>,
    /// How long that took.
    pub took: Duration,
    /// Whether they can be checked and changed, or since when not, and why.
    pub upkeep: Health<(Timestamp, HookFault)>,
    /// For how long the relay's domain is still on BigCommerce's blocklist.
    pub blocked_for: Option<Duration>,
}

impl HookFacts {
    /// How many are healthy.
    pub fn healthy(&self) -> usize {
        self.rows.iter().filter(|row| row.state == HookState::Healthy).count()
    }
}

/// Why hooks cannot be checked or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookFault {
    /// A call to the store failed.
    Call(Failure),
    /// The store's quota is used up.
    Quota,
    /// Another process is changing them.
    Busy,
    /// The relay's database cannot be used.
    Storage,
}

/// The webhooks as they come in.
#[derive(Debug, Clone, Default)]
pub struct WebhookFacts {
    /// Webhooks with the right token and a wrong signature, with no genuine one in between. The failure in it has no
    /// meaning.
    pub wrong_signature: Option<Refusal>,
    /// When an unsigned webhook last came although signed ones had come before; cleared by the next signed one.
    pub unsigned_at: Option<Timestamp>,
    /// Refused with 401 within the last hour, for whatever reason.
    pub refused: u64,
    /// Orders that polling has found since the last webhook, without a webhook of their own.
    pub missed: u64,
}

/// What is wrong with the public address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFault {
    /// 502, 503 or 504: a gateway with nothing behind it.
    NotAvailable(u16),
    /// Something else than this relay answers, with this status.
    AnotherServer(u16),
    /// What is wrong with the certificate (see `http::certificate_problem`).
    Certificate(&'static str),
    /// There is no answer.
    Unreachable(Failure),
    /// Something answers, but while the database cannot be read it is unknown whether it is this relay.
    Unproven,
}

/// Facts of a Cloud Elements callback.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallbackFacts {
    /// Its URL is plain `http`.
    pub is_plain_http: bool,
    /// Notifications that have not arrived.
    pub outstanding: u64,
    /// When the oldest of them is tried next.
    pub next_try_at: Option<Timestamp>,
}
