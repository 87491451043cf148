//! Faults of a WooCommerce shop, one per cause.

use std::time::Duration;

/// A fault that a shop's answers or webhooks have shown. Evidence of the opposite removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShopProblem {
    /// The web server removes `Authorization`, so calls carry the keys in the URL instead.
    HeaderStripped,
    /// WordPress does not notice that it is called over https and ignores the keys.
    NotHttps,
    /// The key is known, but its secret is wrong.
    WrongSecret,
    /// The key, or its user, may not read orders.
    MayNotRead,
    /// The key may read, but not create webhooks.
    ReadOnly,
    /// A firewall answers with a challenge page, with this status.
    Challenge(u16),
    /// WooCommerce has switched webhooks off after seven failed deliveries.
    WebhooksDisabled,
    /// Webhooks come this late: WordPress's scheduled tasks do not run.
    CronLate(Duration),
    /// The REST API is switched off or blocked: `/wp-json` is not there.
    RestOff,
}
