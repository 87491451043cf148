//! Conditions, each of which a person should know of, and the judgment that contains them.

use std::{collections::BTreeSet, fmt};

use serde::{Serialize, Serializer};

use crate::{
    clock::Timestamp,
    inbox::Side,
    object::ObjectId,
    spec::{DestinationKind, SourceKind},
};

/// The severity of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is worth knowing, but nothing has to be done.
    Info,
    /// It works, but needs attention.
    Warning,
    /// It does not work.
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

/// The check that a condition belongs to.
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
    /// All checks, in the order in which they are shown.
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

/// The button that helps with a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The button "Check Integration".
    Check,
    /// The button "Update Integration".
    Update,
    /// Resends all failed orders.
    ResendFailed,
    /// Resumes the connection.
    Resume,
    /// Enters the payload URL.
    SetDestination,
}

/// Defines codes and their names in one place, for both directions.
macro_rules! condition_codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal)*) => {
        /// The fixed name of a condition, also the alert's and the log's. In the order in which they are
        /// told: what stops, loses or holds orders now, causes before consequences; then what may do so.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in databases, metrics and JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The code with this name; `None` for the name of a condition that only another version knows.
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
    /// According to its API, the store does not exist.
    StoreUnknown "store_unknown"
    /// The store refuses the credentials, or they may not read orders.
    CredentialsRefused "credentials_refused"
    /// WordPress does not notice that it is called by https.
    ShopNotHttps "shop_not_https"
    /// The shop's REST API cannot be found.
    ShopRestOff "shop_rest_off"
    /// A firewall answers instead of the shop.
    ShopChallenge "shop_challenge"
    /// The store does not answer as it should.
    StoreDown "store_down"
    /// The destination answers that it does not accept orders at this address.
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
    /// Signatures do not match the configured secret.
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
    /// The webhooks cannot be created or repaired.
    HooksNotMendable "hooks_not_mendable"
    /// A webhook is missing or altered.
    HooksWrong "hooks_wrong"
    /// BigCommerce has the relay's domain on its blocklist.
    Blocklisted "blocklisted"
    /// Polling finds orders for which no webhook came.
    WebhooksMissed "webhooks_missed"
    /// Webhooks come without the signature they used to have.
    WebhooksUnsigned "webhooks_unsigned"
    /// Webhooks were refused.
    WebhooksRefused "webhooks_refused"
    /// The callback's URL is plain http.
    CallbackPlain "callback_plain"
    /// The store's lists cannot be read.
    PollingFailing "polling_failing"
    /// Nothing has been checked yet, and no order has gone through.
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

/// Something that a person should know of. No text contains a secret or personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The fixed name.
    pub code: Code,
    /// The severity.
    pub severity: Severity,
    /// The check it belongs to.
    #[serde(skip)]
    pub check: CheckId,
    /// Since when it has held, if that is known.
    pub since: Option<Timestamp>,
    /// The headline, a few words.
    pub title: String,
    /// What is the case, in one sentence.
    pub cause: String,
    /// What follows from it, in one sentence; may be empty.
    pub consequence: String,
    /// What to do, or that there is nothing to do.
    pub cure: String,
    /// The orders that it is about, as many as are named.
    pub orders: Vec<ObjectId>,
    /// Whether it is certain and lasting enough for an alert.
    #[serde(skip)]
    pub alerts: bool,
    /// The button that helps, if any.
    #[serde(skip)]
    pub action: Option<Action>,
}

impl Condition {
    /// A condition without cause, consequence and cure, which are added later.
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

    /// Cause and consequence as one text.
    pub fn detail(&self) -> String {
        join(&[&self.cause, &self.consequence])
    }

    /// Cause, consequence and cure, in that order, as one line for a log or an alert.
    pub fn line(&self) -> String {
        join(&[&self.cause, &self.consequence, &self.cure])
    }
}

fn join(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

/// The judgment of all facts of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgment {
    /// The conditions that hold: the gravest first, and within a severity causes before consequences.
    pub conditions: Vec<Condition>,
    /// Conditions that cannot be judged: not observed since the start, or hidden by another one. None of them is
    /// known to be over.
    pub unknown: BTreeSet<Code>,
}

impl Judgment {
    /// The condition with this code, if it holds.
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

    /// The worst severity of the conditions that hold.
    pub fn worst(&self) -> Option<Severity> {
        self.conditions.iter().map(|condition| condition.severity).max()
    }

    /// The conditions that belong to a check.
    pub fn of_check(&self, check: CheckId) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().filter(move |condition| condition.check == check)
    }

    /// Whether a side counts as down: something is in the way there, and not for a moment only.
    pub fn is_down(&self, side: Side) -> bool {
        self.in_the_way(side).is_some_and(|cause| cause.severity == Severity::Error)
    }

    /// Whether `code` holds or may hold.
    pub fn may_hold(&self, code: Code) -> bool {
        self.unknown.contains(&code) || self.find(code).is_some()
    }
}
