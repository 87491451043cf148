//! A condition: one thing that a person should know of, and what the judgment of all facts comes to.

use std::{collections::BTreeSet, fmt};

use serde::{Serialize, Serializer};

use crate::{
    clock::Timestamp,
    inbox::Side,
    object::ObjectId,
    spec::{DestinationKind, SourceKind},
};

/// How much a condition matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, nothing to do.
    Info,
    /// Works, and needs attention.
    Warning,
    /// Does not work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Which check a condition belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckId {
    /// Settings.
    Configuration,
    /// The database and its disk.
    Storage,
    /// The store's API.
    StoreApi,
    /// The webhooks at the store.
    Hooks,
    /// The public address.
    PublicUrl,
    /// The destination.
    Destination,
    /// Orders on their way.
    Deliveries,
}

impl CheckId {
    /// Each of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Configuration,
        Self::Storage,
        Self::StoreApi,
        Self::Hooks,
        Self::PublicUrl,
        Self::Destination,
        Self::Deliveries,
    ];

    /// The fixed name in reports.
    pub fn code(self, source: SourceKind, destination: Option<DestinationKind>) -> &'static str {
        match (self, source) {
            (Self::Configuration, _) => "configuration",
            (Self::Storage, _) => "storage",
            (Self::StoreApi, SourceKind::BigCommerce) => "bigcommerce_api",
            (Self::StoreApi, SourceKind::WooCommerce) => "woocommerce_api",
            (Self::Hooks, SourceKind::BigCommerce) => "bigcommerce_hooks",
            (Self::Hooks, SourceKind::WooCommerce) => "woocommerce_webhooks",
            (Self::PublicUrl, _) => "public_url",
            (Self::Destination, _) if destination == Some(DestinationKind::CloudElements) => "callback",
            (Self::Destination, _) => "one_tribe_destination",
            (Self::Deliveries, _) => "deliveries",
        }
    }
}

/// What a person may press to help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Check Integration.
    Check,
    /// Update Integration.
    Update,
    /// Resend all failed orders.
    ResendFailed,
    /// Resume the connection.
    Resume,
    /// Give the payload URL.
    SetDestination,
}

/// Codes and their names, one place for both directions.
macro_rules! condition_codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal)*) => {
        /// The fixed name of a condition: also the alert's, and the metric's label. In the order in which they are
        /// told: what stops, loses or holds orders now, causes before consequences; then what may do so.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Each of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As databases, metrics and JSON name it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Reads [`Code::name`] back; `None` for the name of another relay's condition.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

condition_codes! {
    /// The database cannot be written or read.
    StorageFailing "storage_failing"
    /// The connection has ended.
    Disconnected "disconnected"
    /// There is no payload URL yet.
    Incomplete "incomplete"
    /// The store does not exist as far as its API knows.
    StoreUnknown "store_unknown"
    /// The store refuses the credentials, or their right to read orders.
    CredentialsRefused "credentials_refused"
    /// WordPress does not notice https.
    ShopNotHttps "shop_not_https"
    /// The shop's REST API is not there.
    ShopRestOff "shop_rest_off"
    /// A firewall of the shop answers instead of it.
    ShopChallenge "shop_challenge"
    /// The store does not answer as it should.
    StoreDown "store_down"
    /// The destination says that it does not take orders at this address.
    DestinationRefuses "destination_refuses"
    /// The destination does not answer as it should.
    DestinationDown "destination_down"
    /// The callback has answered 410.
    CallbackGone "callback_gone"
    /// The last retry of a notification has failed.
    RetriesExhausted "retries_exhausted"
    /// The connection has been paused.
    Paused "paused"
    /// Orders have been refused for so long that they are no longer tried.
    OrderFailed "order_failed"
    /// Orders are refused and still tried.
    OrdersRefused "orders_refused"
    /// Notifications have not arrived and are tried again.
    NotificationsOutstanding "notifications_outstanding"
    /// The store's request quota is used up.
    QuotaUsedUp "quota_used_up"
    /// Orders wait for too long.
    WaitingLong "waiting_long"
    /// The disk is nearly full.
    DiskLow "disk_low"
    /// Signatures do not fit the configured secret.
    ClientSecretWrong "client_secret_wrong"
    /// The public address does not lead to this relay.
    PublicUrlWrong "public_url_wrong"
    /// This machine's clock is wrong, or the store's.
    ClockSkewed "clock_skewed"
    /// `PUBLIC_URL` is not set.
    PublicUrlMissing "public_url_missing"
    /// Polling is switched off.
    PollingOff "polling_off"
    /// `ADMIN_TOKEN` is not set.
    AdminTokenMissing "admin_token_missing"
    /// The shop's key may not make webhooks.
    ShopReadOnly "shop_read_only"
    /// WooCommerce has switched webhooks off.
    ShopWebhooksDisabled "shop_webhooks_disabled"
    /// WordPress's scheduled tasks run late.
    ShopCronLate "shop_cron_late"
    /// The shop's web server strips the header with the keys.
    ShopHeaderStripped "shop_header_stripped"
    /// The webhooks cannot be made or put right.
    HooksNotMendable "hooks_not_mendable"
    /// A webhook is missing or altered.
    HooksWrong "hooks_wrong"
    /// BigCommerce has the relay's domain on its blocklist.
    Blocklisted "blocklisted"
    /// Polling finds orders that no webhook told of.
    WebhooksMissed "webhooks_missed"
    /// Webhooks come without the signature they used to have.
    WebhooksUnsigned "webhooks_unsigned"
    /// Webhooks were refused.
    WebhooksRefused "webhooks_refused"
    /// The callback's URL is plain http.
    CallbackPlain "callback_plain"
    /// The store's lists cannot be read.
    PollingFailing "polling_failing"
    /// Not checked yet, and nothing has gone through.
    NotChecked "not_checked"
    /// Log lines were dropped.
    LogLinesDropped "log_lines_dropped"
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that a person should know of. None of its texts holds a secret or anything personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Its fixed name.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// Which check it belongs to.
    #[serde(skip)]
    pub check: CheckId,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// A few words for a headline.
    pub title: String,
    /// What is so, in a sentence.
    pub cause: String,
    /// What follows from it, in a sentence or none.
    pub consequence: String,
    /// What to do, or that there is nothing to do.
    pub cure: String,
    /// The orders that it is about, as many as are named.
    pub orders: Vec<ObjectId>,
    /// Whether it is certain, and lasting, enough to alert on.
    #[serde(skip)]
    pub alerts: bool,
    /// The button that helps, if one does.
    #[serde(skip)]
    pub action: Option<Action>,
}

impl Condition {
    /// With cause, consequence and cure to follow.
    pub(super) fn new(code: Code, severity: Severity, check: CheckId, title: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            check,
            since: None,
            title: title.into(),
            cause: String::new(),
            consequence: String::new(),
            cure: String::new(),
            orders: Vec::new(),
            alerts: false,
            action: None,
        }
    }

    pub(super) fn text(
        mut self,
        cause: impl Into<String>,
        consequence: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        (self.cause, self.consequence, self.cure) = (cause.into(), consequence.into(), cure.into());
        self
    }

    pub(super) fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    pub(super) fn alerting(mut self, alerts: bool) -> Self {
        self.alerts = alerts;
        self
    }

    pub(super) fn action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Cause and consequence.
    pub fn detail(&self) -> String {
        join(&[&self.cause, &self.consequence])
    }

    /// Cause, consequence, cure, in that order: one line for a log or an alert.
    pub fn line(&self) -> String {
        join(&[&self.cause, &self.consequence, &self.cure])
    }
}

fn join(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

/// What all facts come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgment {
    /// What holds: the gravest first, and of the same severity causes before consequences.
    pub conditions: Vec<Condition>,
    /// What cannot be judged: not seen since the start, or not while something else is in the way. None of these is
    /// known to be over.
    pub unknown: BTreeSet<Code>,
}

impl Judgment {
    /// The condition of this code, if it holds.
    pub fn find(&self, code: Code) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.code == code)
    }

    /// What keeps all orders from going on at one side, if anything does: none can be fetched, or none is taken.
    pub fn in_the_way(&self, side: Side) -> Option<&Condition> {
        let causes: &[Code] = match side {
            Side::Store => &[
                Code::StoreUnknown,
                Code::CredentialsRefused,
                Code::ShopNotHttps,
                Code::ShopRestOff,
                Code::ShopChallenge,
                Code::StoreDown,
            ],
            Side::Destination => {
                &[Code::DestinationRefuses, Code::DestinationDown, Code::CallbackGone, Code::RetriesExhausted]
            }
        };
        causes.iter().find_map(|code| self.find(*code))
    }

    /// What keeps orders from being delivered at all, if anything does.
    pub fn holds_all(&self) -> Option<&Condition> {
        let halted = || [Code::Incomplete, Code::Paused].into_iter().find_map(|code| self.find(code));
        halted().or_else(|| self.in_the_way(Side::Store)).or_else(|| self.in_the_way(Side::Destination))
    }

    /// The worst severity of what holds.
    pub fn worst(&self) -> Option<Severity> {
        self.conditions.iter().map(|condition| condition.severity).max()
    }

    /// What belongs to one check.
    pub fn of_check(&self, check: CheckId) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().filter(move |condition| condition.check == check)
    }

    /// Whether a side does not work, so that nothing can be fetched from it or delivered to it.
    pub fn is_down(&self, side: Side) -> bool {
        let causes: &[Code] = match side {
            Side::Store => {
                &[Code::StoreDown, Code::StoreUnknown, Code::ShopNotHttps, Code::ShopRestOff, Code::ShopChallenge]
            }
            Side::Destination => {
                &[Code::DestinationDown, Code::DestinationRefuses, Code::CallbackGone, Code::RetriesExhausted]
            }
        };
        causes.iter().any(|code| self.find(*code).is_some_and(|condition| condition.severity == Severity::Error))
    }

    /// Whether `code` holds or may hold.
    pub fn may_hold(&self, code: Code) -> bool {
        self.unknown.contains(&code) || self.find(code).is_some()
    }
}
