//! How a simulated store is set up. The defaults are those of a small real store.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::quota::QuotaRule;

/// Tells the time, in unix seconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock of one's own.
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

/// The system's time in unix seconds.
pub fn system_clock() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

/// How a simulated store is set up.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `abcde` in `stores/abcde`.
    pub hash: String,
    /// The only accepted `X-Auth-Token`.
    pub token: String,
    /// The API account's client secret, with which callbacks are signed.
    pub client_secret: String,
    /// The request quota.
    pub quota: QuotaRule,
    /// The largest page of orders; a larger `limit` is cut to it.
    pub max_page_size: usize,
    /// Whether `min_date_modified` and `max_date_modified` exclude the times they name.
    pub exclusive_dates: bool,
    /// Whether [`super::StoreSim::calls`] has details from the start.
    pub record_details: bool,
    /// Threads that serve.
    pub workers: usize,
    /// Dates the orders and hooks.
    pub clock: Clock,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            hash: "abcde".to_owned(),
            token: "sandbox-access-token".to_owned(),
            client_secret: "sandbox-client-secret".to_owned(),
            quota: QuotaRule::default(),
            max_page_size: 250,
            exclusive_dates: false,
            record_details: true,
            workers: 1,
            clock: Clock::new(system_clock),
        }
    }
}
