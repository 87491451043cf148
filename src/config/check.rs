//! Checks the variables in combination. Every value is read before the first `?`, so that all faults are found at once.

use std::time::Duration;

use super::{
    AppSettings, Config, ElementsSettings, Inputs, Settings, fault::Fault, input::Input, is_loopback, parse, urls,
};
use crate::{
    secret::Secret,
    spec::{BigCommerceAuth, BigCommerceSpec, ConnectionSpec, DestinationSpec, Origin, SourceSpec},
};

/// Upper limit of `DELIVERY_CONCURRENCY`.
const MAX_DELIVERY_CONCURRENCY: usize = 256;

/// Upper limit of `MAX_CONCURRENCY`: each call holds a socket.
const MAX_CONCURRENCY: usize = 4096;

/// Sizes, durations and intervals.
struct Limits {
    max_concurrency: usize,
    webhook_tolerance: Duration,
    event_retention: Duration,
    delivery_concurrency: usize,
    fetch_timeout: Duration,
    forward_timeout: Duration,
    retry_max_age: Duration,
    reconcile_interval: Option<Duration>,
    hook_check_interval: Option<Duration>,
}

impl Inputs {
    /// The configuration; `None` only if a fault was added.
    pub(super) fn check(&self, faults: &mut Vec<Fault>) -> Option<Config> {
        let scopes = self.bigcommerce_scopes.required(faults, parse::scopes);
        let skip_statuses = self.skip_order_statuses.optional(faults, parse::statuses).unwrap_or_default();
        let environment = self.environment(faults, scopes.clone(), skip_statuses);
        let settings = self.settings(faults, scopes);
        Some(Config { settings: settings?, environment: environment? })
    }

    /// The environment's own connection: `Some(None)` if none is configured.
    fn environment(
        &self,
        faults: &mut Vec<Fault>,
        scopes: Option<Vec<String>>,
        skip_statuses: Vec<String>,
    ) -> Option<Option<ConnectionSpec>> {
        let four = [
            &self.bigcommerce_store_hash,
            &self.bigcommerce_access_token,
            &self.bigcommerce_client_secret,
            &self.one_tribe_destination,
        ];
        let set: Vec<&str> = four.iter().filter(|input| input.is_set).map(|input| input.name).collect();
        if set.is_empty() && self.credentials_key.is_set {
            return Some(None);
        }
        for (at, input) in four.iter().enumerate().filter(|(_, input)| !input.is_set) {
            let missing = match set.first() {
                Some(set) => format!("is required beside {set}, and not set"),
                None if at == 0 => "is required and not set (or set CREDENTIALS_KEY alone instead of these four, to \
                                    serve the connections in the database)"
                    .to_owned(),
                None => "is required and not set".to_owned(),
            };
            input.fault(faults, missing);
        }
        let store_hash = self.bigcommerce_store_hash.optional(faults, parse::store_hash);
        let access_token = self.bigcommerce_access_token.optional(faults, parse::header_secret);
        let client_secrets = self.bigcommerce_client_secret.optional(faults, parse::client_secrets);
        let url = self.one_tribe_destination.optional(faults, urls::destination);
        Some(Some(spec(store_hash?, access_token?, client_secrets?, url?, scopes?, skip_statuses)))
    }

    fn settings(&self, faults: &mut Vec<Fault>, scopes: Option<Vec<String>>) -> Option<Settings> {
        let api_url = self.bigcommerce_api_url.required(faults, urls::api_url);
        let api_is_local = api_url.as_ref().is_some_and(is_loopback);
        let login_url = self.bigcommerce_login_url.required(faults, urls::login_url);
        let hooks_api = self.bigcommerce_hooks_api.required(faults, parse::hooks_api);
        let quota_share = self.bigcommerce_quota_share.required(faults, parse::share);
        let app = self.app(faults);
        let frame_ancestors = self.bigcommerce_app_frame_ancestors.required(faults, urls::frame_ancestors);
        let one_tribe_hosts = self.one_tribe_hosts.required(faults, parse::hosts);
        let elements = self.elements(faults);
        let credentials_keys = self.credentials_key.optional(faults, parse::keys).unwrap_or_default();
        self.check_key(faults);
        let allowed_private_networks =
            self.allowed_private_networks.optional(faults, parse::networks).unwrap_or_default();
        let public_url = self.public_url.optional(faults, |text| urls::public_url(text, api_is_local));
        let database = self.database_url.required(faults, parse::database);
        let host = self.host.required(faults, parse::ip);
        let port = self.port.required(faults, parse::port);
        let metrics_port = self.metrics_port.optional(faults, parse::port);
        let admin_token = self.admin_token.optional(faults, parse::admin_token);
        let alert_url = self.alert_url.optional(faults, urls::alert_url);
        let log_format = self.log_format.required(faults, parse::log_format);
        let log_filter = self.rust_log.required(faults, parse::log_filter);
        let limits = self.limits(faults);
        self.check_ports(faults, port, metrics_port);
        let limits = limits?;
        Some(Settings {
            api_url: api_url?,
            login_url: login_url?,
            hooks_api: hooks_api?,
            quota_share: quota_share?,
            scopes: scopes?,
            app,
            frame_ancestors: frame_ancestors?,
            one_tribe_hosts: one_tribe_hosts?,
            elements,
            credentials_keys,
            allowed_private_networks,
            max_concurrency: limits.max_concurrency,
            public_url,
            database: database?,
            host: host?,
            port: port?,
            metrics_port,
            admin_token,
            alert_url,
            log_format: log_format?,
            log_filter: log_filter?,
            webhook_tolerance: limits.webhook_tolerance,
            event_retention: limits.event_retention,
            delivery_concurrency: limits.delivery_concurrency,
            fetch_timeout: limits.fetch_timeout,
            forward_timeout: limits.forward_timeout,
            retry_max_age: limits.retry_max_age,
            reconcile_interval: limits.reconcile_interval,
            hook_check_interval: limits.hook_check_interval,
        })
    }

    fn limits(&self, faults: &mut Vec<Fault>) -> Option<Limits> {
        let max_concurrency = self.max_concurrency.required(faults, |text| parse::concurrency(text, MAX_CONCURRENCY));
        let webhook_tolerance = self.webhook_tolerance.required(faults, parse::span);
        let event_retention = self.event_retention.required(faults, parse::span);
        let delivery_concurrency =
            self.delivery_concurrency.required(faults, |text| parse::concurrency(text, MAX_DELIVERY_CONCURRENCY));
        let fetch_timeout = self.fetch_timeout.required(faults, parse::timeout);
        let forward_timeout = self.forward_timeout.required(faults, parse::timeout);
        let retry_max_age = self.retry_max_age.required(faults, parse::span);
        let reconcile_interval = self.reconcile_interval.required(faults, parse::interval);
        let hook_check_interval = self.hook_check_interval.required(faults, parse::interval);
        if webhook_tolerance > event_retention && event_retention.is_some() {
            self.fault_tolerance(faults);
        }
        Some(Limits {
            max_concurrency: max_concurrency?,
            webhook_tolerance: webhook_tolerance?,
            event_retention: event_retention?,
            delivery_concurrency: delivery_concurrency?,
            fetch_timeout: fetch_timeout?,
            forward_timeout: forward_timeout?,
            retry_max_age: retry_max_age?,
            reconcile_interval: reconcile_interval?,
            hook_check_interval: hook_check_interval?,
        })
    }

    fn app(&self, faults: &mut Vec<Fault>) -> Option<AppSettings> {
        let (id, secret) = (&self.bigcommerce_app_client_id, &self.bigcommerce_app_client_secret);
        check_pair(faults, id, secret);
        let client_id = id.optional(faults, parse::client_id);
        let client_secret = secret.optional(faults, parse::client_secret);
        Some(AppSettings { client_id: client_id?, client_secret: client_secret? })
    }

    fn elements(&self, faults: &mut Vec<Fault>) -> Option<ElementsSettings> {
        let (user, organization) = (&self.elements_user_secret, &self.elements_organization_secret);
        check_pair(faults, user, organization);
        let user_secret = user.optional(faults, parse::elements_secret);
        let organization_secret = organization.optional(faults, parse::elements_secret);
        Some(ElementsSettings { user_secret: user_secret?, organization_secret: organization_secret? })
    }

    /// Connections made by the app and the Elements API are stored sealed, so both need a key.
    fn check_key(&self, faults: &mut Vec<Fault>) {
        let inputs = [
            &self.bigcommerce_app_client_id,
            &self.bigcommerce_app_client_secret,
            &self.elements_user_secret,
            &self.elements_organization_secret,
        ];
        let needs_it = inputs.iter().find(|input| input.is_set);
        if let Some(input) = needs_it.filter(|_| !self.credentials_key.is_set) {
            let message = format!(
                "is required beside {}, and not set: it seals the credentials of connections; `openssl rand -base64 32` \
                 makes one",
                input.name
            );
            self.credentials_key.fault(faults, message);
        }
    }

    fn check_ports(&self, faults: &mut Vec<Fault>, port: Option<u16>, metrics_port: Option<u16>) {
        if let (Some(port), Some(metrics)) = (port, metrics_port)
            && port == metrics
            && port != 0
        {
            self.metrics_port.fault(faults, format!("must differ from PORT, which is {port} too"));
        }
    }

    /// Reports the fault under the variable that was set.
    fn fault_tolerance(&self, faults: &mut Vec<Fault>) {
        const WHY: &str = "or a late duplicate could not be recognised";
        let (tolerance, retention) = (&self.webhook_tolerance, &self.event_retention);
        let shown = |input: &Input| input.text.clone().unwrap_or_default();
        if tolerance.is_set {
            let most = shown(retention);
            tolerance.fault(faults, format!("must not be more than EVENT_RETENTION ({most}), {WHY}"));
        } else {
            let least = shown(tolerance);
            retention.fault(faults, format!("must not be less than WEBHOOK_TOLERANCE ({least}), {WHY}"));
        }
    }
}

/// Checks two variables that must be set together.
fn check_pair(faults: &mut Vec<Fault>, one: &Input, other: &Input) {
    for (set, missing) in [(one, other), (other, one)] {
        if set.is_set && !missing.is_set {
            missing.fault(faults, format!("is required beside {}, and not set", set.name));
        }
    }
}

/// The environment's own connection: a BigCommerce store with an API account, whose orders go to One Tribe.
fn spec(
    store_hash: String,
    access_token: Secret,
    client_secrets: Vec<Secret>,
    url: Secret,
    scopes: Vec<String>,
    skip_statuses: Vec<String>,
) -> ConnectionSpec {
    ConnectionSpec {
        name: store_hash.clone(),
        origin: Origin::Environment,
        source: SourceSpec::BigCommerce(BigCommerceSpec {
            store_hash,
            auth: BigCommerceAuth::Token(access_token),
            client_secrets,
            scopes,
            is_app: false,
        }),
        destination: Some(DestinationSpec::OneTribe { url }),
        skip_statuses,
        resources: Vec::new(),
        poll_interval: None,
        has_webhooks: true,
        instance: None,
    }
}
