//! What holds for the whole process, as the variables have said it.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use url::Url;

use crate::{
    inbox::Database,
    secret::Secret,
    source::bigcommerce::HooksApi,
    spec::{keyring::SealingKey, payload_url::OneTribeHosts},
};

/// The settings of the process: everything but the environment's own connection. Spans are as the operator gave them;
/// URLs have no trailing slash unless they are nothing but a host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// BigCommerce's API, for every BigCommerce connection.
    pub api_url: Url,
    /// Where BigCommerce exchanges codes for tokens.
    pub login_url: Url,
    /// Which hooks API to begin with. App-installed stores always use v3.
    pub hooks_api: HooksApi,
    /// The share of a store's request quota that may be used up, in (0, 1].
    pub quota_share: f64,
    /// The scopes that hooks are registered for; at least one brings orders.
    pub scopes: Vec<String>,
    /// The single-click app, if it is served.
    pub app: Option<AppSettings>,
    /// Who may frame the app's pages: sources of a `frame-ancestors` directive, fit to be written into the header as
    /// they are.
    pub frame_ancestors: Vec<String>,
    /// The hosts that a payload URL typed by a merchant, or given to an API, may name.
    pub one_tribe_hosts: OneTribeHosts,
    /// The secrets of the Cloud Elements API, if it is served.
    pub elements: Option<ElementsSettings>,
    /// Seal the credentials of connections kept in the database, the newest first; none unless `CREDENTIALS_KEY` is
    /// set.
    pub credentials_keys: Vec<SealingKey>,
    /// Private networks that URLs given through an API or a page may lead to all the same.
    pub allowed_private_networks: Vec<IpNet>,
    /// Calls to far sides under way at once, all connections together.
    pub max_concurrency: usize,
    /// Where stores reach the relay. Without it no hook is registered.
    pub public_url: Option<Url>,
    /// Where the inbox is kept.
    pub database: Database,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// The port of `/metrics`, if it is served.
    pub metrics_port: Option<u16>,
    /// Opens the admin pages and endpoints.
    pub admin_token: Option<Secret>,
    /// Where alerts are posted.
    pub alert_url: Option<Secret>,
    /// How logs are written.
    pub log_format: LogFormat,
    /// What is logged, in `RUST_LOG`'s own syntax.
    pub log_filter: String,
    /// How old a signed callback may be; never more than `event_retention`.
    pub webhook_tolerance: Duration,
    /// How long settled objects are kept, each with the receipts of its events.
    pub event_retention: Duration,
    /// Objects of one connection under way at once.
    pub delivery_concurrency: usize,
    /// Bounds one call to a store, body and all.
    pub fetch_timeout: Duration,
    /// Bounds one call to a destination.
    pub forward_timeout: Duration,
    /// How long a refused object is tried.
    pub retry_max_age: Duration,
    /// How often a store is polled, unless its connection says otherwise; `None` is off.
    pub reconcile_interval: Option<Duration>,
    /// How often hooks are looked after; `None` is off.
    pub hook_check_interval: Option<Duration>,
}

/// The app's own credentials.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// Names the app; the `aud` of BigCommerce's tokens.
    pub client_id: String,
    /// Signs the tokens and the webhooks of every store that installs the app.
    pub client_secret: Secret,
}

/// What opens the Cloud Elements API.
#[derive(Debug, Clone)]
pub struct ElementsSettings {
    /// `User …`
    pub user_secret: Secret,
    /// `Organization …`
    pub organization_secret: Secret,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}
