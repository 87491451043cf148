//! Everything that is known of one connection at one moment, as plain values: what the judgment is made from. Whoever
//! fills them reads each once and asks nobody for it while somebody waits; probes are results of earlier calls.

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

/// Something does not work since a moment, and what was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// What was seen last.
    pub failure: Failure,
}

/// The same answer again and again with no success in between: one stray answer is told from a lasting one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What was seen last.
    pub failure: Failure,
    /// When it was seen first since the last success.
    pub first_at: Timestamp,
    /// When it was seen last.
    pub last_at: Timestamp,
    /// How often it was seen.
    pub count: u64,
}

impl Refusal {
    /// Two answers this far apart are no accident of one moment.
    const APART: Duration = Duration::from_secs(10);

    /// Seen for the first time.
    pub fn new(failure: Failure, at: Timestamp) -> Self {
        Self { failure, first_at: at, last_at: at, count: 1 }
    }

    /// Seen at least twice, ten seconds or more apart.
    pub fn is_confirmed(&self) -> bool {
        self.count >= 2 && self.last_at.since(self.first_at) >= Self::APART
    }
}

impl Health<Refusal> {
    /// After one more refusal.
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

/// What a call made for a check has found, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe<T> {
    /// When it was answered.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub outcome: T,
}

/// Facts about one connection.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When they were read; every span is counted to here.
    pub at: Timestamp,
    /// What the connection is.
    pub connection: ConnectionFacts,
    /// The process and its machine.
    pub relay: RelayFacts,
    /// Its objects; `None` when the database cannot be read.
    pub orders: Option<OrderFacts>,
    /// The store's API.
    pub store: StoreFacts,
    /// The destination.
    pub destination: DestinationFacts,
    /// The webhooks as the store has them.
    pub hooks: HookFacts,
    /// The webhooks as they come in.
    pub webhooks: WebhookFacts,
    /// Reading the store's lists: resources, and runs of `backfill`.
    pub feeds: Vec<Feed>,
    /// Whether the public address leads to this relay.
    pub public_address: Option<Probe<Result<(), AddressFault>>>,
    /// Of a Cloud Elements callback.
    pub callback: CallbackFacts,
    /// What a WooCommerce shop's answers have shown to be wrong.
    pub shop: Vec<ShopProblem>,
}

impl Facts {
    /// Nothing but the connection is known.
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

    /// The numbers, if the database can be read.
    pub fn summary(&self) -> Option<&Summary> {
        self.orders.as_ref().map(|orders| &orders.summary)
    }

    /// How long ago `since` was when the facts were read.
    pub fn age(&self, since: Timestamp) -> Duration {
        self.at.since(since)
    }
}

/// What a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Its number.
    pub id: ConnectionId,
    /// What people call it.
    pub name: String,
    /// Where it came from: how its settings are changed depends on it.
    pub origin: Origin,
    /// What happens with its events.
    pub state: ConnectionState,
    /// Why it is paused, if it is.
    pub pause_reason: Option<PauseReason>,
    /// The kind of store.
    pub source: SourceKind,
    /// Which store: a BigCommerce hash or a shop's address.
    pub store: String,
    /// What the store calls itself, once its API has told.
    pub label: Option<StoreLabel>,
    /// The kind of destination; none while there is none.
    pub destination: Option<DestinationKind>,
    /// The destination's host.
    pub destination_host: Option<String>,
    /// Whether hooks are registered for it.
    pub has_webhooks: bool,
    /// How often it is polled; `None` where polling is switched off.
    pub poll_interval: Option<Duration>,
    /// `PUBLIC_URL`, where webhooks are to come in.
    pub public_url: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a store says of itself (BigCommerce `GET /v2/store`, WooCommerce's REST root).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreLabel {
    /// Its name.
    pub name: String,
    /// Its address as shoppers know it.
    pub address: String,
    /// Where merchants work (`control_panel_base_url`, or a shop's `/wp-admin`).
    pub control_panel_url: Option<String>,
}

/// The process and its machine.
#[derive(Debug, Clone, Default)]
pub struct RelayFacts {
    /// Whether `ADMIN_TOKEN` is set.
    pub has_admin_token: bool,
    /// Whether the database can be written, or since when it cannot: real writes and probes alike.
    pub database: Health<Timestamp>,
    /// How long the newest probe of the database took.
    pub database_took: Duration,
    /// Room on the disk that the database lies on, where it is a file.
    pub disk: Option<DiskSpace>,
    /// Log lines dropped because whoever reads them was too slow.
    pub log_lines_dropped: u64,
}

/// Room on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Left for this process.
    pub free: u64,
    /// Altogether.
    pub total: u64,
}

impl DiskSpace {
    /// Under 100 MB, or under 10 % of a disk on which that is less than 5 GB: a tenth of a large one lasts for years.
    pub fn is_low(self) -> bool {
        const LEAST: u64 = 100_000_000;
        const PLENTY: u64 = 5_000_000_000;
        self.free < LEAST || self.free < PLENTY.min(self.total / 10)
    }
}

/// A connection's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFacts {
    /// In a few numbers.
    pub summary: Summary,
    /// The newest, whatever their state.
    pub recent: Vec<ObjectRow>,
    /// Those that have failed, as many as are shown.
    pub failed: Vec<ObjectRow>,
    /// Those that are refused or not found and still tried, as many as are shown.
    pub troubled: Vec<ObjectRow>,
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
    /// Whether it is down, as whoever delivers has seen it.
    pub outage: Health<Trouble>,
    /// Whether it takes the credentials: answers of the API itself (401, 403, 404), with no success in between.
    pub credentials: Health<Refusal>,
    /// What calls that read it have met since its last answer, whoever made them.
    pub silence: Option<Silence>,
    /// When it last answered such a call, whatever it said.
    pub answered_at: Option<Timestamp>,
    /// When an order of it was last fetched and delivered.
    pub delivered_at: Option<Timestamp>,
    /// When its last outage ended.
    pub recovered_at: Option<Timestamp>,
    /// How long its request quota is still used up.
    pub quota_closed_for: Option<Duration>,
    /// This machine's clock less the store's (`Date` header), in milliseconds.
    pub clock_ahead_ms: Option<i64>,
    /// The newest call that was to prove the right to read.
    pub probe: Option<Probe<Result<(), Failure>>>,
    /// When the first of the failed ones in a row was answered that it is the last of.
    pub probes_fail_since: Option<Timestamp>,
}

/// The destination.
#[derive(Debug, Clone, Default)]
pub struct DestinationFacts {
    /// Whether it is down, as whoever delivers has seen it.
    pub outage: Health<Trouble>,
    /// When it last took something.
    pub answered_at: Option<Timestamp>,
    /// When its last outage ended.
    pub recovered_at: Option<Timestamp>,
    /// The newest look whether somebody listens there: any status, or why there is none.
    pub probe: Option<Probe<Result<u16, Failure>>>,
    /// When the first of the failed ones in a row was answered that it is the last of.
    pub probes_fail_since: Option<Timestamp>,
}

/// The webhooks as the store has them.
#[derive(Debug, Clone, Default)]
pub struct HookFacts {
    /// One per topic, as last seen.
    pub rows: Vec<HookRow>,
    /// How many there should be.
    pub expected: usize,
    /// When the store was last asked.
    pub looked_at: Option<Timestamp>,
    /// How long that took.
    pub took: Duration,
    /// Whether they can be looked after, or since when they cannot, and why.
    pub upkeep: Health<(Timestamp, HookFault)>,
    /// How long the relay's domain is still on BigCommerce's blocklist.
    pub blocked_for: Option<Duration>,
}

impl HookFacts {
    /// How many are as they should be.
    pub fn healthy(&self) -> usize {
        self.rows.iter().filter(|row| row.state == HookState::Healthy).count()
    }
}

/// Why hooks cannot be looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookFault {
    /// The store has not answered as it should.
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
    /// Right token and wrong signature, with no genuine one in between. The failure in it says nothing.
    pub wrong_signature: Option<Refusal>,
    /// When one came without a signature although signed ones had come before; cleared by the next signed one.
    pub unsigned_at: Option<Timestamp>,
    /// Refused with 401 within the last hour, for whatever reason.
    pub refused: u64,
    /// Orders that polling has found and no webhook had told of, since the last webhook.
    pub missed: u64,
}

/// What is wrong with the public address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFault {
    /// 502, 503 or 504: a gateway with nothing behind it.
    NotAvailable(u16),
    /// Something answers with this status, and it is not this relay.
    AnotherServer(u16),
    /// What is wrong with the certificate (see `http::certificate_problem`).
    Certificate(&'static str),
    /// No answer.
    Unreachable(Failure),
    /// Something answers; whether it is this relay cannot be told while the database cannot be read.
    Unproven,
}

/// Of a Cloud Elements callback.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallbackFacts {
    /// Its URL is plain `http`.
    pub is_plain_http: bool,
    /// Notifications that have not arrived.
    pub outstanding: u64,
    /// When the oldest of them is tried next.
    pub next_try_at: Option<Timestamp>,
}
