//! The table of variables in the contract: defaults, rules, and every fault at once under the variable's name. URLs are
//! in `config_urls`, rules between variables in `config_together`, secrets in `secrets`.

use std::{ffi::OsString, net::IpAddr, os::unix::ffi::OsStringExt, path::Path, time::Duration};

use onetribe_relay::{
    config::{Config, ConfigError, LogFormat, VARIABLES},
    inbox::Database,
    secret::Secret,
    source::bigcommerce::HooksApi,
    spec::{BigCommerceAuth, BigCommerceSpec, ConnectionSpec, DestinationSpec, Origin, SourceSpec},
};
use proptest::prelude::*;

/// The required variables with valid values.
pub const REQUIRED: [(&str, &str); 4] = [
    ("BIGCOMMERCE_STORE_HASH", "abcde"),
    ("BIGCOMMERCE_ACCESS_TOKEN", "an-access-token"),
    ("BIGCOMMERCE_CLIENT_SECRET", "a-client-secret-of-abcde"),
    ("ONE_TRIBE_DESTINATION", "https://api.example.com/direct/webhook/big-commerce/order/token"),
];

/// 32 bytes in base64.
pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The contract's table, written independently: name, default (`None`: none), whether it is secret.
pub const TABLE: [(&str, Option<&str>, bool); 36] = [
    ("BIGCOMMERCE_STORE_HASH", None, false),
    ("BIGCOMMERCE_ACCESS_TOKEN", None, true),
    ("BIGCOMMERCE_CLIENT_SECRET", None, true),
    ("ONE_TRIBE_DESTINATION", None, true),
    ("BIGCOMMERCE_SCOPES", Some("store/order/*"), false),
    ("BIGCOMMERCE_API_URL", Some("https://api.bigcommerce.com"), false),
    ("BIGCOMMERCE_HOOKS_API", Some("v2"), false),
    ("BIGCOMMERCE_QUOTA_SHARE", Some("0.8"), false),
    ("BIGCOMMERCE_APP_CLIENT_ID", None, false),
    ("BIGCOMMERCE_APP_CLIENT_SECRET", None, true),
    ("BIGCOMMERCE_LOGIN_URL", Some("https://login.bigcommerce.com"), false),
    ("BIGCOMMERCE_APP_FRAME_ANCESTORS", Some("https://*.mybigcommerce.com"), false),
    ("ONE_TRIBE_HOSTS", Some("onetribeglobal.com,*.onetribeglobal.com"), false),
    ("ELEMENTS_USER_SECRET", None, true),
    ("ELEMENTS_ORGANIZATION_SECRET", None, true),
    ("CREDENTIALS_KEY", None, true),
    ("ALLOWED_PRIVATE_NETWORKS", None, false),
    ("MAX_CONCURRENCY", Some("256"), false),
    ("PUBLIC_URL", None, false),
    ("SKIP_ORDER_STATUSES", None, false),
    ("DATABASE_URL", Some("sqlite://relay.db"), true),
    ("HOST", Some("0.0.0.0"), false),
    ("PORT", Some("8080"), false),
    ("METRICS_PORT", None, false),
    ("ADMIN_TOKEN", None, true),
    ("ALERT_URL", None, true),
    ("LOG_FORMAT", Some("pretty"), false),
    ("RUST_LOG", Some("info"), false),
    ("WEBHOOK_TOLERANCE", Some("50h"), false),
    ("EVENT_RETENTION", Some("14d"), false),
    ("DELIVERY_CONCURRENCY", Some("8"), false),
    ("FETCH_TIMEOUT", Some("10s"), false),
    ("FORWARD_TIMEOUT", Some("15s"), false),
    ("RETRY_MAX_AGE", Some("72h"), false),
    ("RECONCILE_INTERVAL", Some("15m"), false),
    ("HOOK_CHECK_INTERVAL", Some("15m"), false),
];

const HOUR: u64 = 3600;

/// Reads the required variables together with `others`, which override them.
pub fn read(others: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let base = REQUIRED.iter().filter(|(name, _)| others.iter().all(|(other, _)| other != name));
    Config::from_vars(base.chain(others).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The connection that the environment describes.
pub fn environment(config: &Config) -> (&ConnectionSpec, &BigCommerceSpec) {
    let spec = config.environment.as_ref().expect("the environment has a connection");
    let SourceSpec::BigCommerce(store) = &spec.source else { panic!("not a BigCommerce store") };
    (spec, store)
}

/// Secrets as plain text.
pub fn exposed(secrets: &[Secret]) -> Vec<&str> {
    secrets.iter().map(Secret::expose).collect()
}

/// The names of the faulty variables.
pub fn faults(others: &[(&str, &str)]) -> Vec<&'static str> {
    read(others).err().map_or_else(Vec::new, |error| error.0.iter().map(|fault| fault.variable).collect())
}

pub fn accepts(name: &str, values: &[&str]) {
    values.iter().for_each(|value| assert_eq!(faults(&[(name, value)]), [""; 0], "{name}={value:?}"));
}

pub fn refuses(name: &str, values: &[&str]) {
    values.iter().for_each(|value| assert_eq!(faults(&[(name, value)]), [name], "{name}={value:?}"));
}

#[test]
fn the_variables_and_their_defaults_are_those_of_the_contract() {
    let known: Vec<_> =
        VARIABLES.iter().map(|variable| (variable.name, variable.default, variable.file.is_some())).collect();
    assert_eq!(known, TABLE);
    for variable in VARIABLES {
        assert!(variable.file.is_none_or(|file| file == format!("{}_FILE", variable.name)), "{variable:?}");
    }
}

#[test]
fn unset_variables_get_the_contracts_defaults() {
    let config = read(&[]).unwrap();
    let (spec, store) = environment(&config);
    assert_eq!((spec.name.as_str(), spec.origin, spec.has_webhooks), ("abcde", Origin::Environment, true));
    assert_eq!((store.store_hash.as_str(), store.is_app), ("abcde", false));
    assert_eq!(store.auth, BigCommerceAuth::Token("an-access-token".into()));
    assert_eq!(exposed(&store.client_secrets), ["a-client-secret-of-abcde"]);
    assert_eq!(store.scopes, ["store/order/*"]);
    assert_eq!(spec.skip_statuses, [""; 0]);
    assert!(spec.resources.is_empty() && spec.poll_interval.is_none() && spec.instance.is_none());
    assert!(matches!(&spec.destination, Some(DestinationSpec::OneTribe { url }) if url.expose() == REQUIRED[3].1));

    let settings = config.settings;
    assert_eq!(settings.api_url.as_str(), "https://api.bigcommerce.com/");
    assert_eq!(settings.login_url.as_str(), "https://login.bigcommerce.com/");
    assert_eq!(settings.hooks_api, HooksApi::V2);
    assert!((settings.quota_share - 0.8).abs() < 1e-9);
    assert_eq!(settings.scopes, ["store/order/*"]);
    assert!(settings.app.is_none() && settings.elements.is_none());
    assert_eq!(settings.frame_ancestors, ["https://*.mybigcommerce.com"]);
    assert!(settings.credentials_keys.is_empty() && settings.allowed_private_networks.is_empty());
    assert_eq!(settings.one_tribe_hosts, Default::default());
    assert_eq!(settings.max_concurrency, 256);
    assert_eq!(settings.public_url, None);
    assert_eq!(settings.delivery_concurrency, 8);
    assert_eq!(settings.fetch_timeout, Duration::from_secs(10));
    assert_eq!(settings.forward_timeout, Duration::from_secs(15));
    assert_eq!(settings.retry_max_age, Duration::from_secs(72 * HOUR));
    assert_eq!(settings.reconcile_interval, Some(Duration::from_secs(15 * 60)));
    assert_eq!(settings.hook_check_interval, Some(Duration::from_secs(15 * 60)));
    assert!(matches!(&settings.database, Database::Sqlite(path) if path == Path::new("relay.db")));
    assert_eq!((settings.host, settings.port, settings.metrics_port), (IpAddr::from([0, 0, 0, 0]), 8080, None));
    assert!(settings.admin_token.is_none() && settings.alert_url.is_none());
    assert_eq!((settings.log_format, settings.log_filter.as_str()), (LogFormat::Pretty, "info"));
    assert_eq!(settings.webhook_tolerance, Duration::from_secs(50 * HOUR));
    assert_eq!(settings.event_retention, Duration::from_secs(14 * 24 * HOUR));
}

#[test]
fn empty_and_blank_count_as_unset() {
    for blank in ["", "  ", "\t\n"] {
        let all: Vec<_> = VARIABLES.iter().map(|variable| (variable.name.to_owned(), blank.to_owned())).collect();
        let error = Config::from_vars(all).unwrap_err();
        let named: Vec<_> = error.0.iter().map(|fault| fault.variable).collect();
        assert_eq!(named, REQUIRED.map(|(name, _)| name));
        assert!(error.0.iter().all(|fault| fault.message.contains("required")), "{error}");
    }
}

#[test]
fn every_fault_is_reported_in_one_go_by_name() {
    let wrong: Vec<(String, String)> = TABLE
        .iter()
        .filter(|(name, ..)| !["WEBHOOK_TOLERANCE", "DELIVERY_CONCURRENCY"].contains(name))
        .map(|(name, ..)| ((*name).to_owned(), " \u{1}=?://".to_owned()))
        .chain([("WEBHOOK_TOLERANCE".to_owned(), "1x".to_owned()), ("DELIVERY_CONCURRENCY".to_owned(), "0".to_owned())])
        .collect();
    let error = Config::from_vars(wrong).unwrap_err();
    let mut named: Vec<_> = error.0.iter().map(|fault| fault.variable).collect();
    named.sort_unstable();
    let mut all = TABLE.map(|row| row.0);
    all.sort_unstable();
    assert_eq!(named, all);
    let said = error.to_string();
    assert!(said.starts_with("the configuration has 36 faults:"), "{said}");
    assert!(all.iter().all(|name| said.contains(&format!("\n  {name}: "))), "{said}");
}

#[test]
fn what_is_no_text_is_a_fault_like_any_other() {
    let garbled = |name: &str| (name.to_owned(), OsString::from_vec(b"s3cret\xff".to_vec()));
    let all = |vars: Vec<(String, OsString)>| {
        let required = REQUIRED.map(|(name, value)| (name.to_owned(), OsString::from(value)));
        Config::from_vars(required.into_iter().chain(vars)).err().map_or_else(Vec::new, |error| error.0)
    };
    let faults =
        all(vec![garbled("PORT"), garbled("ADMIN_TOKEN"), garbled("BIGCOMMERCE_ACCESS_TOKEN"), garbled("LANG")]);
    let named: Vec<_> = faults.iter().map(|fault| fault.variable).collect();
    assert_eq!(named, ["BIGCOMMERCE_ACCESS_TOKEN", "PORT", "ADMIN_TOKEN"]);
    assert!(faults.iter().all(|fault| fault.message == "must be text in UTF-8"), "{faults:?}");
    let one = all(vec![garbled("PORT"), ("PORT".to_owned(), "8081".into())]);
    assert_eq!(one, [], "the last one counts");
}

#[test]
fn one_fault_is_not_several() {
    let said = read(&[("PORT", "many")]).unwrap_err().to_string();
    assert!(said.starts_with("the configuration has 1 fault:\n  PORT: "), "{said}");
}

#[test]
fn of_a_variable_that_stands_twice_the_last_one_counts() {
    // A `.env` file with two lines for the same variable gives this.
    let config = read(&[("PORT", "1000"), ("PORT", "2000")]).unwrap();
    assert_eq!(config.settings.port, 2000);
    let twice = REQUIRED.iter().chain(&REQUIRED).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    assert!(Config::from_vars(twice).is_ok());
}

#[test]
fn unknown_variables_and_names_in_small_letters_are_left_alone() {
    assert_eq!(faults(&[("PATH", "/bin"), ("BIGCOMMERCE_STORE", "x"), ("", ""), ("É", "\u{0}")]), [""; 0]);
    assert_eq!(read(&[("port", "1")]).unwrap().settings.port, 8080);
}

#[test]
fn durations_are_whole_numbers_with_a_unit() {
    for (text, seconds) in [
        ("1s", 1),
        ("90s", 90),
        ("15m", 900),
        ("72h", 72 * HOUR),
        ("14d", 336 * HOUR),
        ("007s", 7),
        ("3650d", 87_600 * HOUR),
    ] {
        let read = read(&[("RETRY_MAX_AGE", text)]).unwrap();
        assert_eq!(read.settings.retry_max_age, Duration::from_secs(seconds), "{text}");
    }
    let wrong = [
        "0",
        "0s",
        "0d",
        "90",
        "s",
        "1.5h",
        "-1h",
        "+1h",
        "1 h",
        "1ms",
        "1H",
        "1hs",
        "h1",
        "1w",
        "١s",
        "1é",
        "3651d",
        "99999999999999999999s",
        "18446744073709551615d",
    ];
    for name in ["RETRY_MAX_AGE", "FETCH_TIMEOUT", "FORWARD_TIMEOUT", "WEBHOOK_TOLERANCE", "EVENT_RETENTION"] {
        refuses(name, &wrong);
    }
    for name in ["RECONCILE_INTERVAL", "HOOK_CHECK_INTERVAL"] {
        refuses(name, &wrong[3..]);
    }
}

#[test]
fn an_interval_of_nothing_switches_it_off() {
    for off in ["0", "0s", "0d", " 0 "] {
        let config = read(&[("RECONCILE_INTERVAL", off), ("HOOK_CHECK_INTERVAL", off)]).unwrap().settings;
        assert_eq!((config.reconcile_interval, config.hook_check_interval), (None, None), "{off}");
    }
}

#[test]
fn small_rules_hold() {
    accepts("BIGCOMMERCE_STORE_HASH", &["abcde", " abcde ", "A1"]);
    refuses("BIGCOMMERCE_STORE_HASH", &["stores/abcde", "ab/cde", "ab cde", "é", "https://x"]);
    refuses("BIGCOMMERCE_ACCESS_TOKEN", &["two words", "é", "a\nb", "a\u{7f}"]);
    accepts(
        "BIGCOMMERCE_CLIENT_SECRET",
        &["0123456789abcdef", "0123456789abcdef,fedcba9876543210", "äöüäöüäöüäöüäöüä"],
    );
    refuses("BIGCOMMERCE_CLIENT_SECRET", &[",", " , ,", "0123456789abcde", "0123456789abcdef,short"]);
    accepts("BIGCOMMERCE_HOOKS_API", &["v2", "v3"]);
    refuses("BIGCOMMERCE_HOOKS_API", &["V2", "2", "v4", "v2,v3"]);
    accepts("BIGCOMMERCE_QUOTA_SHARE", &["1", "1.0", "0.01", ".5"]);
    refuses("BIGCOMMERCE_QUOTA_SHARE", &["0", "0.0", "-0.5", "1.01", "80%", "NaN", "inf", "-inf", "0,8", "x"]);
    accepts(
        "BIGCOMMERCE_SCOPES",
        &["store/order/created", "store/order/*,store/product/*", "store/order/*, store/order/*"],
    );
    accepts("BIGCOMMERCE_SCOPES", &["store/channel/1/order/*", "store/cart/*,store/channel/7/order/created"]);
    refuses(
        "BIGCOMMERCE_SCOPES",
        &["store/product/*", "store/cart/*,store/customer/*", "store/order/", "store/orders/x"],
    );
    refuses("BIGCOMMERCE_SCOPES", &[",", "order/created", "store/order/created;store/x/y", "store/é", "store/a b"]);
    accepts("SKIP_ORDER_STATUSES", &["0", "0,5,6", " 0 , 14 ", ","]);
    refuses("SKIP_ORDER_STATUSES", &["-1", "Incomplete", "0;5", "1.5", "99999999999999999999"]);
    accepts("HOST", &["127.0.0.1", "::", "::1", "localhost"]);
    refuses("HOST", &["example.com", "127.0.0.1:80", "[::1]", "256.0.0.1"]);
    accepts("PORT", &["0", "1", "65535"]);
    refuses("PORT", &["65536", "-1", "http", "80.0", "8 0"]);
    refuses("METRICS_PORT", &["65536", "8080"]);
    accepts("METRICS_PORT", &["9090"]);
    assert_eq!(faults(&[("PORT", "0"), ("METRICS_PORT", "0")]), [""; 0], "the system chooses two");
    accepts("ADMIN_TOKEN", &["0123456789abcdef"]);
    refuses("ADMIN_TOKEN", &["0123456789abcde", "0123456789 abcdef", "ééééééééééééééééé"]);
    accepts("LOG_FORMAT", &["pretty", "json"]);
    refuses("LOG_FORMAT", &["JSON", "text"]);
    accepts(
        "RUST_LOG",
        &[
            "info",
            "off",
            "WARN",
            "info,onetribe_relay=debug",
            "warn,sqlx=error",
            "onetribe_relay",
            "info,onetribe_relay::web",
            "info,warning=debug",
            "info,[request]=debug",
        ],
    );
    refuses(
        "RUST_LOG",
        &["onetribe_relay=loud", "info,,==", "warning", "loud", "info,dbug", "fatal", "onetribe-relay", "information"],
    );
    accepts("DELIVERY_CONCURRENCY", &["1", "256"]);
    refuses("DELIVERY_CONCURRENCY", &["0", "257", "-1", "many", "8.0"]);
    accepts("MAX_CONCURRENCY", &["1", "256", "4096"]);
    refuses("MAX_CONCURRENCY", &["0", "4097", "-1", "many", "8.0"]);
}

#[test]
fn a_database_is_a_file_or_a_server() {
    accepts(
        "DATABASE_URL",
        &["sqlite://relay.db", "sqlite:///data/relay.db", "postgres://u:p@db/relay", "postgresql://db/x"],
    );
    refuses(
        "DATABASE_URL",
        &[
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://a?mode=ro",
            "relay.db",
            "mysql://x",
            "postgres:relay",
            "postgres://u:p@db:many/relay",
            "postgres://u:p@db/relay?sslmode=full",
            "postgres://u:p@db/relay?sslmod=require",
            "postgres://u:p@db/relay?port=many",
            "postgres://u:p@db/relay?hostaddr=db",
            "postgres://u:p@db/relay?statement-cache-capacity=x",
        ],
    );
    accepts(
        "DATABASE_URL",
        &[
            "postgres://u:p@db/relay?sslmode=verify-full&sslrootcert=/nowhere.pem",
            "POSTGRES://u:p%40@db/x?options[a]=b",
        ],
    );
}

#[test]
fn a_parameter_of_the_database_that_cannot_be_used_is_named() {
    for (url, says) in [
        ("postgres://u:s3cret@db/x?port=5433&sslmode=s3cret", "its sslmode must be one of disable, allow, prefer"),
        ("postgres://u:s3cret@db/x?port=s3cret", "its parameter port has a value that cannot be used"),
        ("postgres://u:s3cret@db/x?s3cret", "has a parameter after its `?` that is not known"),
        ("postgres://u:s3c/ret@db/x", "in a password, `@` is written as `%40`"),
    ] {
        let said = read(&[("DATABASE_URL", url), ("PORT", "many")]).unwrap_err().to_string();
        assert!(said.contains(says) && said.contains("PORT") && !said.contains("s3c"), "{said}");
    }
}

#[test]
fn lists_are_cut_trimmed_and_kept_in_order() {
    let config = read(&[
        ("BIGCOMMERCE_CLIENT_SECRET", " new-client-secret , old-client-secret ,,"),
        ("BIGCOMMERCE_SCOPES", "store/order/created, store/cart/*,store/order/created"),
        ("SKIP_ORDER_STATUSES", "5, 0,"),
    ]);
    let config = config.unwrap();
    let (spec, store) = environment(&config);
    assert_eq!(exposed(&store.client_secrets), ["new-client-secret", "old-client-secret"]);
    assert_eq!(store.scopes, ["store/order/created", "store/cart/*"]);
    assert_eq!(spec.skip_statuses, ["5", "0"]);
}

#[test]
fn a_health_check_reads_only_host_and_port() {
    let read = |vars: &[(&str, &str)]| {
        Config::listen_address(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    assert_eq!(read(&[]).unwrap(), (IpAddr::from([0, 0, 0, 0]), 8080));
    assert_eq!(read(&[("HOST", "::1"), ("PORT", "1"), ("RUST_LOG", "=")]).unwrap(), ("::1".parse().unwrap(), 1));
    let named: Vec<_> =
        read(&[("HOST", "x"), ("PORT", "y")]).unwrap_err().0.iter().map(|fault| fault.variable).collect();
    assert_eq!(named, ["HOST", "PORT"]);
}

proptest! {
    #[test]
    fn no_text_in_any_variable_makes_reading_panic(at in 0..TABLE.len(), text in "\\PC*|[0-9]{0,25}[smhdé]?|https?://\\PC{0,20}") {
        let name = TABLE[at].0;
        // Variables that come in pairs, and those that need the key, make others missing.
        let beside = ["BIGCOMMERCE_APP_CLIENT_", "ELEMENTS_"].iter().find(|start| name.starts_with(**start));
        let may = |fault: &str| fault == name || beside.is_some_and(|start| fault.starts_with(start) || fault == "CREDENTIALS_KEY");
        prop_assert!(faults(&[(name, &text)]).into_iter().all(may));
    }
}
