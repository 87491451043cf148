//! Turns the environment into a [`Config`], or into a list of all its faults. No other module reads variables, and
//! only `main` passes the environment in.
//!
//! The rules are those of the README's table: `parse` and `urls` read single values, `check` the combinations.

mod check;
mod fault;
mod input;
mod names;
mod parse;
mod secret_files;
mod settings;
mod urls;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use serde::Deserialize;

use crate::{inbox::Database, spec::ConnectionSpec};

pub use fault::{ConfigError, Fault};
use input::Input;
pub use input::Value;
pub use names::{has_any_needed, misspelt};
pub use secret_files::read_secret_files;
pub use settings::{AppSettings, ElementsSettings, LogFormat, Settings};
pub use urls::is_loopback;

/// An environment variable that the relay reads.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The default, used if it is unset or empty.
    pub default: Option<&'static str>,
    /// For a secret: the variable that may name a file with the value instead.
    pub file: Option<&'static str>,
}

/// The name of the `_FILE` variable, which only secrets have.
macro_rules! twin {
    (open $name:literal) => {
        None
    };
    (secret $name:literal) => {
        Some(concat!($name, "_FILE"))
    };
}

/// Declares the variables once: the fields that `envy` fills, and the table that README, `.env.example` and tests are
/// checked against.
macro_rules! variables {
    ($($field:ident $name:literal $secrecy:ident $default:expr;)*) => {
        #[derive(Deserialize)]
        struct Raw { $($field: Option<String>,)* }

        /// Every variable, in the order of the README's table.
        pub const VARIABLES: &[Variable] =
            &[$(Variable { name: $name, default: $default, file: twin!($secrecy $name) },)*];

        impl Raw {
            fn inputs(self, values: &Values) -> Inputs {
                Inputs { $($field: values.input($name, $default, twin!($secrecy $name), self.$field),)* }
            }
        }

        struct Inputs { $($field: Input,)* }
    };
}

variables! {
    bigcommerce_store_hash "BIGCOMMERCE_STORE_HASH" open None;
    bigcommerce_access_token "BIGCOMMERCE_ACCESS_TOKEN" secret None;
    bigcommerce_client_secret "BIGCOMMERCE_CLIENT_SECRET" secret None;
    one_tribe_destination "ONE_TRIBE_DESTINATION" secret None;
    bigcommerce_scopes "BIGCOMMERCE_SCOPES" open Some("store/order/*");
    bigcommerce_api_url "BIGCOMMERCE_API_URL" open Some("https://api.bigcommerce.com");
    bigcommerce_hooks_api "BIGCOMMERCE_HOOKS_API" open Some("v2");
    bigcommerce_quota_share "BIGCOMMERCE_QUOTA_SHARE" open Some("0.8");
    bigcommerce_app_client_id "BIGCOMMERCE_APP_CLIENT_ID" open None;
    bigcommerce_app_client_secret "BIGCOMMERCE_APP_CLIENT_SECRET" secret None;
    bigcommerce_login_url "BIGCOMMERCE_LOGIN_URL" open Some("https://login.bigcommerce.com");
    bigcommerce_app_frame_ancestors "BIGCOMMERCE_APP_FRAME_ANCESTORS" open Some("https://*.mybigcommerce.com");
    one_tribe_hosts "ONE_TRIBE_HOSTS" open Some("onetribeglobal.com,*.onetribeglobal.com");
    elements_user_secret "ELEMENTS_USER_SECRET" secret None;
    elements_organization_secret "ELEMENTS_ORGANIZATION_SECRET" secret None;
    credentials_key "CREDENTIALS_KEY" secret None;
    allowed_private_networks "ALLOWED_PRIVATE_NETWORKS" open None;
    max_concurrency "MAX_CONCURRENCY" open Some("256");
    public_url "PUBLIC_URL" open None;
    skip_order_statuses "SKIP_ORDER_STATUSES" open None;
    database_url "DATABASE_URL" secret Some("sqlite://relay.db");
    host "HOST" open Some("0.0.0.0");
    port "PORT" open Some("8080");
    metrics_port "METRICS_PORT" open None;
    admin_token "ADMIN_TOKEN" secret None;
    alert_url "ALERT_URL" secret None;
    log_format "LOG_FORMAT" open Some("pretty");
    rust_log "RUST_LOG" open Some("info");
    webhook_tolerance "WEBHOOK_TOLERANCE" open Some("50h");
    event_retention "EVENT_RETENTION" open Some("14d");
    delivery_concurrency "DELIVERY_CONCURRENCY" open Some("8");
    fetch_timeout "FETCH_TIMEOUT" open Some("10s");
    forward_timeout "FORWARD_TIMEOUT" open Some("15s");
    retry_max_age "RETRY_MAX_AGE" open Some("72h");
    reconcile_interval "RECONCILE_INTERVAL" open Some("15m");
    hook_check_interval "HOOK_CHECK_INTERVAL" open Some("15m");
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The settings of the process.
    pub settings: Settings,
    /// The environment's own connection, which is never stored. Without it the relay serves only the connections in
    /// its database.
    pub environment: Option<ConnectionSpec>,
}

impl Config {
    /// Reads and checks all variables. Unknown ones are ignored; an empty one counts as unset, one that is not text
    /// is a fault. No file is read: `_FILE` variables are resolved before (see [`read_secret_files`]).
    ///
    /// # Errors
    /// Every fault, each with the name of its variable.
    pub fn from_vars(vars: impl IntoIterator<Item = (String, impl Into<Value>)>) -> Result<Self, ConfigError> {
        let inputs = read(vars);
        let mut faults = Vec::new();
        let config = inputs.check(&mut faults);
        config.filter(|_| faults.is_empty()).ok_or(ConfigError(faults))
    }

    /// Reads only what a health check inside the container needs: the address that this relay listens on.
    ///
    /// # Errors
    /// The faults of `HOST` and `PORT`.
    pub fn listen_address(
        vars: impl IntoIterator<Item = (String, impl Into<Value>)>,
    ) -> Result<(IpAddr, u16), ConfigError> {
        let inputs = read(vars);
        let mut faults = Vec::new();
        match (inputs.host.required(&mut faults, parse::ip), inputs.port.required(&mut faults, parse::port)) {
            (Some(host), Some(port)) => Ok((host, port)),
            _ => Err(ConfigError(faults)),
        }
    }

    /// Reads only what moving or copying an inbox needs: its database.
    ///
    /// # Errors
    /// The faults of `DATABASE_URL`.
    pub fn database(vars: impl IntoIterator<Item = (String, impl Into<Value>)>) -> Result<Database, ConfigError> {
        let mut faults = Vec::new();
        read(vars).database_url.required(&mut faults, parse::database).ok_or(ConfigError(faults))
    }
}

/// What is known of the variables beyond their text.
#[derive(Default)]
struct Values {
    of_files: BTreeMap<String, PathBuf>,
    problems: BTreeMap<String, (&'static str, String)>,
}

impl Values {
    fn input(
        &self,
        name: &'static str,
        default: Option<&str>,
        twin: Option<&'static str>,
        given: Option<String>,
    ) -> Input {
        let given = given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let (named, problem) = match self.problems.get(name) {
            Some((named, problem)) => (*named, Some(problem.clone())),
            None if self.of_files.contains_key(name) => (twin.unwrap_or(name), None),
            None => (name, None),
        };
        Input {
            name: named,
            is_set: given.is_some() || problem.is_some(),
            text: given.or(default.map(str::to_owned)),
            problem,
            file: self.of_files.get(name).cloned(),
            is_secret: twin.is_some(),
        }
    }
}

fn read(vars: impl IntoIterator<Item = (String, impl Into<Value>)>) -> Inputs {
    // If a name occurs twice, the last value counts.
    let once: BTreeMap<String, (&'static str, Value)> = vars
        .into_iter()
        .filter_map(|(name, value)| {
            let known = VARIABLES.iter().find(|known| known.name == name)?;
            Some((name, (known.name, value.into())))
        })
        .collect();
    let (mut texts, mut values) = (BTreeMap::new(), Values::default());
    for (name, (known, value)) in once {
        let text = match value {
            Value::Own(text) => text,
            Value::OfFile(text, path) => {
                values.of_files.insert(name.clone(), path);
                text
            }
            Value::Unusable(named, problem) => {
                values.problems.insert(name, (named, problem));
                continue;
            }
        };
        match text.into_string() {
            Ok(text) => drop(texts.insert(name, text)),
            Err(_) => drop(values.problems.insert(name, (known, "must be text in UTF-8".to_owned()))),
        }
    }
    let raw: Raw = envy::from_iter(texts).expect("every field comes once at most and is a text, which any text fits");
    raw.inputs(&values)
}
