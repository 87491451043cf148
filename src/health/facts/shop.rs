//! What can be wrong at a WooCommerce shop, one cause each.

use std::time::Duration;

/// Something that a shop's answers, or its webhooks, have shown to be wrong. Whoever sees the opposite takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShopProblem {
    /// The web server strips `Authorization`: calls carry the keys in the address instead.
    HeaderStripped,
    /// WordPress does not notice that it is called over https and ignores the keys.
    NotHttps,
    /// The key is known, its secret is wrong.
    WrongSecret,
    /// The key, or the user whom it belongs to, may not read orders.
    MayNotRead,
    /// The key may read, and not make webhooks.
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
