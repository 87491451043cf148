//! The environment becomes a [`Config`], or a list of every fault in it. Nothing else reads a variable, and only
//! `main` hands the environment in.
//!
//! The rules are those of the README's table; `parse` holds what reads one value.

mod parse;
pub mod postgres;

use std::{collections::BTreeMap, ffi::OsString, fmt, net::IpAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::{event::StoreHash, words};

/// One environment variable that the relay knows.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is unset or empty.
    pub default: Option<&'static str>,
}

/// Declares the variables once: what `envy` fills, and the table that README, `.env.example` and tests are held to.
macro_rules! variables {
    ($($field:ident $name:literal $default:expr;)*) => {
        #[derive(Deserialize)]
        struct Raw { $($field: Option<String>,)* }

        /// Every variable, in the order of the README's table.
        pub const VARIABLES: &[Variable] = &[$(Variable { name: $name, default: $default },)*];

        impl Raw {
            fn inputs(self, garbled: &[String]) -> Inputs {
                let fill = |given: Option<String>, default: Option<&str>| {
                    given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).or(default.map(str::to_owned))
                };
                let garbled = |name: &str| garbled.iter().any(|other| other == name);
                Inputs {
                    $($field: parse::Input {
                        name: $name,
                        text: fill(self.$field, $default),
                        garbled: garbled($name),
                    },)*
                }
            }
        }

        struct Inputs { $($field: parse::Input,)* }
    };
}

variables! {
    bigcommerce_store_hash "BIGCOMMERCE_STORE_HASH" None;
    bigcommerce_access_token "BIGCOMMERCE_ACCESS_TOKEN" None;
    bigcommerce_client_secret "BIGCOMMERCE_CLIENT_SECRET" None;
    bigcommerce_scopes "BIGCOMMERCE_SCOPES" Some("store/order/*");
    bigcommerce_api_url "BIGCOMMERCE_API_URL" Some("https://api.bigcommerce.com");
    bigcommerce_hooks_api "BIGCOMMERCE_HOOKS_API" Some("v2");
    bigcommerce_quota_share "BIGCOMMERCE_QUOTA_SHARE" Some("0.8");
    one_tribe_destination "ONE_TRIBE_DESTINATION" None;
    public_url "PUBLIC_URL" None;
    skip_order_statuses "SKIP_ORDER_STATUSES" None;
    database_url "DATABASE_URL" Some("sqlite://relay.db");
    host "HOST" Some("0.0.0.0");
    port "PORT" Some("8080");
    metrics_port "METRICS_PORT" None;
    admin_token "ADMIN_TOKEN" None;
    alert_url "ALERT_URL" None;
    log_format "LOG_FORMAT" Some("pretty");
    rust_log "RUST_LOG" Some("info");
    webhook_tolerance "WEBHOOK_TOLERANCE" Some("50h");
    event_retention "EVENT_RETENTION" Some("14d");
    delivery_concurrency "DELIVERY_CONCURRENCY" Some("8");
    fetch_timeout "FETCH_TIMEOUT" Some("10s");
    forward_timeout "FORWARD_TIMEOUT" Some("15s");
    retry_max_age "RETRY_MAX_AGE" Some("72h");
    reconcile_interval "RECONCILE_INTERVAL" Some("15m");
    hook_check_interval "HOOK_CHECK_INTERVAL" Some("15m");
}

/// Everything the relay was told, proven to be usable.
#[derive(Debug, Clone)]
pub struct Config {
    /// What belongs to the one store served today.
    pub connection: ConnectionConfig,
    /// Where receipts and order rows are kept.
    pub database: Database,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// The port of `/metrics`, if it is served.
    pub metrics_port: Option<u16>,
    /// Opens the admin pages.
    pub admin_token: Option<SecretString>,
    /// Where alerts are posted.
    pub alert_url: Option<SecretString>,
    /// How logs are written.
    pub log_format: LogFormat,
    /// What is logged, in `RUST_LOG`'s own syntax.
    pub log_filter: String,
    /// How old a signed callback may be.
    pub webhook_tolerance: Duration,
    /// How long settled orders are kept, each with the receipts of its events.
    pub event_retention: Duration,
}

/// What belongs to one store and its destination.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// The store.
    pub store: StoreHash,
    /// Sent as `X-Auth-Token`.
    pub access_token: SecretString,
    /// Verify callbacks; the first is the current one.
    pub client_secrets: Vec<SecretString>,
    /// The scopes to register hooks for.
    pub scopes: Vec<String>,
    /// BigCommerce's API.
    pub api_url: Url,
    /// Which hooks API to begin with.
    pub hooks_api: HooksApi,
    /// The share of the store's request quota that may be used up, in (0, 1].
    pub quota_share: f64,
    /// The merchant's payload URL, a secret whole.
    pub destination: SecretString,
    /// Where BigCommerce reaches the relay, without a trailing slash.
    pub public_url: Option<Url>,
    /// Status ids that are not forwarded.
    pub skip_statuses: Vec<i64>,
    /// Orders under way at once.
    pub concurrency: usize,
    /// Bounds one call to BigCommerce, body and all.
    pub fetch_timeout: Duration,
    /// Bounds one call to the destination.
    pub forward_timeout: Duration,
    /// How long a refused order is tried.
    pub retry_max_age: Duration,
    /// How often BigCommerce is polled; `None` is off.
    pub reconcile_interval: Option<Duration>,
    /// How often hooks are looked after; `None` is off.
    pub hook_check_interval: Option<Duration>,
}

/// The two hooks APIs of BigCommerce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HooksApi {
    /// `/v2/hooks`
    V2,
    /// `/v3/hooks`
    V3,
}

/// Where the inbox lives.
#[derive(Clone)]
pub enum Database {
    /// A file beside the relay.
    Sqlite(PathBuf),
    /// A server; the URL holds a password.
    Postgres(SecretString),
}

/// Only the kind: the address is a secret.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite(..)",
            Self::Postgres(_) => "Postgres(..)",
        })
    }
}

impl Database {
    /// Its name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// One thing wrong with the configuration. Never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable's name.
    pub variable: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Every fault of the configuration at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {}:", words::count(self.0.len() as u64, "fault"))?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {}: {}", fault.variable, fault.message))
    }
}

impl Config {
    /// Reads and checks all variables. Unknown ones are left alone; an empty one counts as unset, one that is no text is a
    /// fault.
    ///
    /// # Errors
    /// Every fault at once, each by its variable's name.
    pub fn from_vars(vars: impl IntoIterator<Item = (String, impl Into<OsString>)>) -> Result<Self, ConfigError> {
        let inputs = read(vars);
        let mut faults = Vec::new();
        let config = inputs.check(&mut faults);
        config.filter(|_| faults.is_empty()).ok_or(ConfigError(faults))
    }

    /// Only what a health check from inside the container needs: where this relay listens.
    ///
    /// # Errors
    /// The faults of `HOST` and `PORT`.
    pub fn listen_address(
        vars: impl IntoIterator<Item = (String, impl Into<OsString>)>,
    ) -> Result<(IpAddr, u16), ConfigError> {
        let inputs = read(vars);
        let mut faults = Vec::new();
        match (inputs.host.required(&mut faults, parse::ip), inputs.port.required(&mut faults, parse::port)) {
            (Some(host), Some(port)) => Ok((host, port)),
            _ => Err(ConfigError(faults)),
        }
    }
}

impl Config {
    /// Only what moving or copying an inbox needs: where it is.
    ///
    /// # Errors
    /// The faults of `DATABASE_URL`.
    pub fn database(vars: impl IntoIterator<Item = (String, impl Into<OsString>)>) -> Result<Database, ConfigError> {
        let mut faults = Vec::new();
        read(vars).database_url.required(&mut faults, parse::database).ok_or(ConfigError(faults))
    }
}

fn read(vars: impl IntoIterator<Item = (String, impl Into<OsString>)>) -> Inputs {
    let known = |name: &str| VARIABLES.iter().any(|known| known.name == name);
    // Of a name that comes twice the last one counts.
    let once: BTreeMap<String, OsString> =
        vars.into_iter().filter(|(name, _)| known(name)).map(|(name, value)| (name, value.into())).collect();
    let (mut texts, mut garbled) = (BTreeMap::new(), Vec::new());
    for (name, value) in once {
        match value.into_string() {
            Ok(text) => drop(texts.insert(name, text)),
            Err(_) => garbled.push(name),
        }
    }
    let raw: Raw = envy::from_iter(texts).expect("every field comes once at most and is a text, which any text fits");
    raw.inputs(&garbled)
}

impl Inputs {
    /// `None` exactly when a fault was added.
    fn check(&self, faults: &mut Vec<Fault>) -> Option<Config> {
        let api_url = self.bigcommerce_api_url.required(faults, parse::service_url);
        let api_is_local = api_url.as_ref().is_some_and(is_loopback);
        let webhook_tolerance = self.webhook_tolerance.required(faults, parse::span);
        let event_retention = self.event_retention.required(faults, parse::span);
        if let (Some(tolerance), Some(retention)) = (webhook_tolerance, event_retention)
            && tolerance > retention
        {
            faults.push(Fault {
                variable: self.webhook_tolerance.name,
                message: "must not be more than EVENT_RETENTION, or a late duplicate could not be recognised".into(),
            });
        }
        // Every value is read before the first `?`, so that every fault is found in one go.
        let store = self.bigcommerce_store_hash.required(faults, parse::store_hash);
        let access_token = self.bigcommerce_access_token.required(faults, parse::header_secret);
        let client_secrets = self.bigcommerce_client_secret.required(faults, parse::secrets);
        let scopes = self.bigcommerce_scopes.required(faults, parse::scopes);
        let hooks_api = self.bigcommerce_hooks_api.required(faults, parse::hooks_api);
        let quota_share = self.bigcommerce_quota_share.required(faults, parse::share);
        let destination = self.one_tribe_destination.required(faults, parse::destination);
        let public_url = self.public_url.optional(faults, |text| parse::public_url(text, api_is_local));
        let skip_statuses = self.skip_order_statuses.optional(faults, parse::statuses).unwrap_or_default();
        let concurrency = self.delivery_concurrency.required(faults, parse::concurrency);
        let fetch_timeout = self.fetch_timeout.required(faults, parse::timeout);
        let forward_timeout = self.forward_timeout.required(faults, parse::timeout);
        let retry_max_age = self.retry_max_age.required(faults, parse::span);
        let reconcile_interval = self.reconcile_interval.required(faults, parse::interval);
        let hook_check_interval = self.hook_check_interval.required(faults, parse::interval);
        let database = self.database_url.required(faults, parse::database);
        let host = self.host.required(faults, parse::ip);
        let port = self.port.required(faults, parse::port);
        let metrics_port = self.metrics_port.optional(faults, parse::port);
        let admin_token = self.admin_token.optional(faults, parse::admin_token);
        let alert_url = self.alert_url.optional(faults, parse::alert_url);
        let log_format = self.log_format.required(faults, parse::log_format);
        let log_filter = self.rust_log.required(faults, parse::log_filter);
        if let (Some(port), Some(metrics)) = (port, metrics_port)
            && port == metrics
            && port != 0
        {
            faults.push(Fault { variable: self.metrics_port.name, message: "must differ from PORT".into() });
        }
        Some(Config {
            connection: ConnectionConfig {
                store: store?,
                access_token: access_token?,
                client_secrets: client_secrets?,
                scopes: scopes?,
                api_url: api_url?,
                hooks_api: hooks_api?,
                quota_share: quota_share?,
                destination: destination?,
                public_url,
                skip_statuses,
                concurrency: concurrency?,
                fetch_timeout: fetch_timeout?,
                forward_timeout: forward_timeout?,
                retry_max_age: retry_max_age?,
                reconcile_interval: reconcile_interval?,
                hook_check_interval: hook_check_interval?,
            },
            database: database?,
            host: host?,
            port: port?,
            metrics_port,
            admin_token,
            alert_url,
            log_format: log_format?,
            log_filter: log_filter?,
            webhook_tolerance: webhook_tolerance?,
            event_retention: event_retention?,
        })
    }
}

/// Whether a URL's host is this machine itself (`localhost`, `127.0.0.0/8`, `::1`).
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}
