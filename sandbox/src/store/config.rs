//! How a simulated store is set up. The defaults are those of a small real store.

use std::fmt;
use std::sync::Arc;

use super::quota::QuotaRule;
use crate::clock::system_clock;

/// A function that returns the time in unix seconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock that calls `now`.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The id of a store's first order, as in the fixture.
const FIRST_ORDER_ID: i64 = 218;

/// The distance between the first order ids of numbered stores.
const ORDER_IDS_PER_STORE: i64 = 1_000_000;

/// How a simulated store is set up.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The store hash: `abcde` in `stores/abcde`.
    pub hash: String,
    /// The token of its first API account, sent as `X-Auth-Token`.
    pub token: String,
    /// The client secret of that API account, which signs its callbacks.
    pub client_secret: String,
    /// The client id of that API account.
    pub client_id: String,
    /// A legacy API account, as user and API token, which calls `/api/v2` at the store's own address with Basic
    /// authentication.
    pub legacy: Option<(String, String)>,
    /// The store's name.
    pub name: String,
    /// The id of its first order.
    pub first_order_id: i64,
    /// The request quota.
    pub quota: QuotaRule,
    /// The largest page of orders; a larger `limit` is reduced to it.
    pub max_page_size: usize,
    /// Whether `min_date_modified` and `max_date_modified` exclude the very times they name.
    pub exclusive_dates: bool,
    /// Whether [`super::StoreSim::calls`] records details from the start.
    pub record_details: bool,
    /// How many threads serve requests.
    pub workers: usize,
    /// The clock for the dates of orders and hooks.
    pub clock: Clock,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            hash: "abcde".to_owned(),
            token: "sandbox-access-token".to_owned(),
            client_secret: "sandbox-client-secret".to_owned(),
            client_id: "sandboxclient".to_owned(),
            legacy: None,
            name: "Sandbox Store".to_owned(),
            first_order_id: FIRST_ORDER_ID,
            quota: QuotaRule::default(),
            max_page_size: 250,
            exclusive_dates: false,
            record_details: true,
            workers: 1,
            clock: Clock::new(system_clock),
        }
    }
}

impl StoreConfig {
    /// The configuration of one of many stores: hash `store7`, and a token, secret, client id, name and order ids that
    /// no other number has.
    pub fn numbered(number: usize) -> Self {
        let index = i64::try_from(number).unwrap_or(0);
        Self {
            hash: format!("store{number}"),
            token: format!("sandbox-access-token-{number}"),
            client_secret: format!("sandbox-client-secret-{number}"),
            client_id: format!("sandboxclient{number}"),
            name: format!("Sandbox Store {number}"),
            first_order_id: FIRST_ORDER_ID + index.saturating_mul(ORDER_IDS_PER_STORE),
            ..Self::default()
        }
    }

    /// The storefront's host.
    pub fn domain(&self) -> String {
        format!("{}.example", self.hash)
    }
}
