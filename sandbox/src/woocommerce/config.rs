//! How a simulated shop is set up. The defaults are those of a small present-day shop called over `https`.

use std::time::Duration;

use crate::clock::system_clock;
use crate::store::Clock;

/// The WooCommerce version that a shop behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShopVersion {
    /// Ignores `modified_after`; no HPOS.
    V5_7,
    /// With HPOS it sends no `deleted` and `restored`, but `updated`.
    V8_0,
    /// Sends `order.created` only for drafts.
    V9_0,
    /// Sends `order.created` when an order stops being a draft, after `order.updated`; leaves drafts out of lists.
    V11_0,
}

impl ShopVersion {
    /// The version number, as the shop writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V5_7 => "5.7.1",
            Self::V8_0 => "8.0.3",
            Self::V9_0 => "9.0.2",
            Self::V11_0 => "11.0.1",
        }
    }
}

/// The form of a shop's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShopPermalinks {
    /// `/wp-json/…`
    Pretty,
    /// `/index.php/wp-json/…`
    IndexPhp,
    /// `/?rest_route=/…`; keys in one click are not available.
    Plain,
}

/// The state of the shop's REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestState {
    /// Open to all valid keys.
    Open,
    /// A plugin answers 401 to everybody.
    Closed,
    /// WooCommerce is not active: its routes do not exist.
    WithoutWooCommerce,
}

/// What a pair of keys may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRights {
    /// Everything.
    ReadWrite,
    /// Reads only: no webhooks can be created.
    Read,
    /// The user may no longer read orders: calls get 403, and webhook bodies are errors.
    Demoted,
    /// The user was deleted: calls get 401, and webhook bodies are errors.
    Deleted,
}

/// How a simulated shop is set up.
#[derive(Debug, Clone)]
pub struct ShopConfig {
    /// The WooCommerce version that it behaves like.
    pub version: ShopVersion,
    /// The form of its addresses.
    pub permalinks: ShopPermalinks,
    /// The folder it is installed in, such as `/blog`; empty for none.
    pub folder: String,
    /// Whether it stores orders in tables of their own (HPOS), which exist from 8.0 on.
    pub has_hpos: bool,
    /// Whether WordPress takes requests for `https`: only then does it accept keys sent in the clear.
    pub is_ssl: bool,
    /// Whether the shop's own address in WordPress begins with `https`; OAuth signatures cover that address.
    pub home_is_https: bool,
    /// Whether the web server removes the `Authorization` header.
    pub strips_authorization: bool,
    /// Whether lists can be sorted by the last change.
    pub sorts_by_change: bool,
    /// Whether every page of a list is answered with the first one, as a cache or a plugin may do.
    pub repeats_first_page: bool,
    /// The state of its REST API.
    pub rest: RestState,
    /// The shop's time zone, in seconds ahead of UTC.
    pub utc_offset: i64,
    /// The consumer key, `ck_…`, of the pair that exists from the start.
    pub consumer_key: String,
    /// The consumer secret, `cs_…`, of that pair.
    pub consumer_secret: String,
    /// The value of `X-WC-Webhook-Source`, if not the shop's own address.
    pub source: Option<String>,
    /// Whether keys are posted to plain `http` too, as WooCommerce itself never does.
    pub posts_keys_to_http: bool,
    /// How many bytes are added to each order.
    pub padding: usize,
    /// How long a webhook waits in the queue. `None`: until [`super::ShopSim::run_queue`], as without WP-Cron.
    pub queue_delay: Option<Duration>,
    /// How many deliveries may be under way at once.
    pub senders: usize,
    /// How long a delivery may take; 60 s in WooCommerce.
    pub delivery_timeout: Duration,
    /// Whether [`super::ShopSim::calls`] records details from the start.
    pub record_details: bool,
    /// How many threads serve requests.
    pub workers: usize,
    /// The clock for the dates of orders.
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
