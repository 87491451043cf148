//! The settings of the process, from the variables.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use url::Url;

use crate::{
    inbox::Database,
    secret::Secret,
    source::bigcommerce::HooksApi,
    spec::{keyring::SealingKey, payload_url::OneTribeHosts},
};

/// The settings of the process: everything but the environment's own connection. Durations are as the operator gave
/// them; URLs have no trailing slash unless they consist of nothing but a host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// BigCommerce's API, for every BigCommerce connection.
    pub api_url: Url,
    /// The server at which BigCommerce exchanges codes for tokens.
    pub login_url: Url,
    /// The hooks API to try first. Stores of the app always use v3.
    pub hooks_api: HooksApi,
    /// The share of a store's request quota that may be used, in (0, 1].
    pub quota_share: f64,
    /// The scopes that hooks are registered for; at least one is about orders.
    pub scopes: Vec<String>,
    /// The single-click app, if it is configured.
    pub app: Option<AppSettings>,
    /// The sources of the `frame-ancestors` directive for the app's pages, valid for the header as they are.
    pub frame_ancestors: Vec<String>,
    /// The hosts that a payload URL from a merchant or an API may use.
    pub one_tribe_hosts: OneTribeHosts,
    /// The secrets of the Cloud Elements API, if it is configured.
    pub elements: Option<ElementsSettings>,
    /// The keys that seal credentials in the database, the newest first; empty if `CREDENTIALS_KEY` is not set.
    pub credentials_keys: Vec<SealingKey>,
    /// Private networks to which URLs given through an API or a page may lead.
    pub allowed_private_networks: Vec<IpNet>,
    /// Most calls under way at once, over all connections.
    pub max_concurrency: usize,
    /// The public address at which stores reach the relay. Without it no hook is registered.
    pub public_url: Option<Url>,
    /// The database of the inbox.
    pub database: Database,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// The port of `/metrics`, if metrics are served.
    pub metrics_port: Option<u16>,
    /// The password of the admin pages and endpoints.
    pub admin_token: Option<Secret>,
    /// The URL that alerts are posted to.
    pub alert_url: Option<Secret>,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The log filter, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// How old a signed webhook may be; at most `event_retention`.
    pub webhook_tolerance: Duration,
    /// How long settled objects are kept, each with the receipts of its events.
    pub event_retention: Duration,
    /// Most objects of one connection under way at once.
    pub delivery_concurrency: usize,
    /// The time limit of a call to a store, body included.
    pub fetch_timeout: Duration,
    /// The time limit of a call to a destination.
    pub forward_timeout: Duration,
    /// How long a refused object is tried again.
    pub retry_max_age: Duration,
    /// How often a store is polled, unless its connection says otherwise; `None` is off.
    pub reconcile_interval: Option<Duration>,
    /// How often hooks are checked; `None` is off.
    pub hook_check_interval: Option<Duration>,
}

/// The app's own credentials.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// The app's client id, which BigCommerce's tokens name as `aud`.
    pub client_id: String,
    /// The app's client secret, which signs tokens, and the webhooks of every store with the app.
    pub client_secret: Secret,
}

/// The secrets of the Cloud Elements API.
#[derive(Debug, Clone)]
pub struct ElementsSettings {
    /// The secret after `User`.
    pub user_secret: Secret,
    /// The secret after `Organization`.
    pub organization_secret: Secret,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}
