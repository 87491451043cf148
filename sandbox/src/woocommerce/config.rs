//! How a simulated shop is set up. The defaults are those of a small shop of today, called as if through `https`.

use std::time::Duration;

use crate::clock::system_clock;
use crate::store::Clock;

/// Which WooCommerce a shop behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShopVersion {
    /// Ignores `modified_after`; no HPOS.
    V5_7,
    /// With HPOS it sends no `deleted` and `restored`, but `updated`.
    V8_0,
    /// Sends `order.created` for drafts alone.
    V9_0,
    /// Sends `order.created` when an order leaves its draft, after `order.updated`; lists no drafts.
    V11_0,
}

impl ShopVersion {
    /// As the shop writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V5_7 => "5.7.1",
            Self::V8_0 => "8.0.3",
            Self::V9_0 => "9.0.2",
            Self::V11_0 => "11.0.1",
        }
    }
}

/// How a shop writes its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShopPermalinks {
    /// `/wp-json/…`
    Pretty,
    /// `/index.php/wp-json/…`
    IndexPhp,
    /// `/?rest_route=/…`; no key can be got by one click.
    Plain,
}

/// What may be done with the shop's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestState {
    /// All that keys may do.
    Open,
    /// Nothing: a plugin answers 401 to everybody.
    Closed,
    /// WooCommerce is not active: its routes do not exist.
    WithoutWooCommerce,
}

/// What a pair of keys may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRights {
    /// Everything.
    ReadWrite,
    /// No webhooks can be made.
    Read,
    /// The user may not read orders any more: 403, and webhook bodies are errors.
    Demoted,
    /// The user is gone: 401, and webhook bodies are errors.
    Deleted,
}

/// How a simulated shop is set up.
#[derive(Debug, Clone)]
pub struct ShopConfig {
    /// Which WooCommerce it behaves like.
    pub version: ShopVersion,
    /// How it writes its addresses.
    pub permalinks: ShopPermalinks,
    /// The folder it is installed in, such as `/blog`; empty for none.
    pub folder: String,
    /// Whether it stores orders in tables of their own. Not before 8.0.
    pub has_hpos: bool,
    /// Whether WordPress believes that it is called by `https`: only then it looks at keys in the open.
    pub is_ssl: bool,
    /// Whether the shop's own address, as WordPress has it, begins with `https`; signatures are of that address.
    pub home_is_https: bool,
    /// Whether the web server takes the `Authorization` header away.
    pub strips_authorization: bool,
    /// Whether lists can be sorted by the last change.
    pub sorts_by_change: bool,
    /// Whether each page of a list is answered with its first one, as a cache or a plugin may do.
    pub repeats_first_page: bool,
    /// What may be done with its API.
    pub rest: RestState,
    /// The shop's zone: seconds ahead of UTC.
    pub utc_offset: i64,
    /// `ck_…` of the keys that exist from the start.
    pub consumer_key: String,
    /// `cs_…`
    pub consumer_secret: String,
    /// What `X-WC-Webhook-Source` says, if not the shop's own address.
    pub source: Option<String>,
    /// Whether keys are posted to plain `http` too, which WooCommerce does not do.
    pub posts_keys_to_http: bool,
    /// How many bytes more each order has.
    pub padding: usize,
    /// How long a webhook waits in the queue. None: until [`super::ShopSim::run_queue`], as without WP-Cron.
    pub queue_delay: Option<Duration>,
    /// Deliveries at a time.
    pub senders: usize,
    /// How long a delivery may take; WooCommerce: 60 s.
    pub delivery_timeout: Duration,
    /// Whether [`super::ShopSim::calls`] has details from the start.
    pub record_details: bool,
    /// Threads that serve.
    pub workers: usize,
    /// Dates the orders.
    pub clock: Clock,
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self {
            version: ShopVersion::V11_0,
            permalinks: ShopPermalinks::Pretty,
            folder: String::new(),
            has_hpos: true,
            is_ssl: true,
            home_is_https: false,
            strips_authorization: false,
            sorts_by_change: true,
            repeats_first_page: false,
            rest: RestState::Open,
            utc_offset: 0,
            consumer_key: format!("ck_{}", "5a".repeat(20)),
            consumer_secret: format!("cs_{}", "c3".repeat(20)),
            source: None,
            posts_keys_to_http: true,
            padding: 0,
            queue_delay: Some(Duration::ZERO),
            senders: 4,
            delivery_timeout: Duration::from_secs(60),
            record_details: true,
            workers: 1,
            clock: Clock::new(system_clock),
        }
    }
}
