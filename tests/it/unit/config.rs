//! The contract's table of variables: defaults, rules, and every fault at once by its name. URLs are in `config_urls`,
//! secrets in `secrets`.

use std::{ffi::OsString, net::IpAddr, os::unix::ffi::OsStringExt, path::Path, time::Duration};

use onetribe_relay::config::{Config, ConfigError, Database, HooksApi, LogFormat, VARIABLES};
use proptest::prelude::*;
use secrecy::ExposeSecret;

/// What must be set, rightly set.
pub const REQUIRED: [(&str, &str); 4] = [
    ("BIGCOMMERCE_STORE_HASH", "abcde"),
    ("BIGCOMMERCE_ACCESS_TOKEN", "an-access-token"),
    ("BIGCOMMERCE_CLIENT_SECRET", "a-client-secret"),
    ("ONE_TRIBE_DESTINATION", "https://api.example.com/direct/webhook/big-commerce/order/token"),
];

/// The table of the contract, by itself: name, default (`None`: none), whether it is required.
const TABLE: [(&str, Option<&str>, bool); 26] = [
    ("BIGCOMMERCE_STORE_HASH", None, true),
    ("BIGCOMMERCE_ACCESS_TOKEN", None, true),
    ("BIGCOMMERCE_CLIENT_SECRET", None, true),
    ("BIGCOMMERCE_SCOPES", Some("store/order/*"), false),
    ("BIGCOMMERCE_API_URL", Some("https://api.bigcommerce.com"), false),
    ("BIGCOMMERCE_HOOKS_API", Some("v2"), false),
    ("BIGCOMMERCE_QUOTA_SHARE", Some("0.8"), false),
    ("ONE_TRIBE_DESTINATION", None, true),
    ("PUBLIC_URL", None, false),
    ("SKIP_ORDER_STATUSES", None, false),
    ("DATABASE_URL", Some("sqlite://relay.db"), false),
    ("HOST", Some("0.0.0.0"), false),
    ("PORT", Some("8080"), false),
    ("METRICS_PORT", None, false),
    ("ADMIN_TOKEN", None, false),
    ("ALERT_URL", None, false),
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

/// The required variables, with `others` on top.
pub fn read(others: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let base = REQUIRED.iter().filter(|(name, _)| others.iter().all(|(other, _)| other != name));
    Config::from_vars(base.chain(others).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The names of the variables that are at fault.
pub fn faults(others: &[(&str, &str)]) -> Vec<&'static str> {
    read(others).err().map_or_else(Vec::new, |error| error.0.iter().map(|fault| fault.variable).collect())
}

fn accepts(name: &str, values: &[&str]) {
    values.iter().for_each(|value| assert_eq!(faults(&[(name, value)]), [""; 0], "{name}={value:?}"));
}

fn refuses(name: &str, values: &[&str]) {
    values.iter().for_each(|value| assert_eq!(faults(&[(name, value)]), [name], "{name}={value:?}"));
}

#[test]
fn the_variables_and_their_defaults_are_those_of_the_contract() {
    let known: Vec<_> = VARIABLES.iter().map(|variable| (variable.name, variable.default)).collect();
    assert_eq!(known, TABLE.map(|(name, default, _)| (name, default)));
}

#[test]
fn unset_variables_get_the_contracts_defaults() {
    let config = read(&[]).unwrap();
    let connection = &config.connection;
    assert_eq!(connection.store.as_str(), "abcde");
    assert_eq!(connection.access_token.expose_secret(), "an-access-token");
    assert_eq!(
        connection.client_secrets.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(),
        ["a-client-secret"]
    );
    assert_eq!(connection.scopes, ["store/order/*"]);
    assert_eq!(connection.api_url.as_str(), "https://api.bigcommerce.com/");
    assert_eq!(connection.hooks_api, HooksApi::V2);
    assert!((connection.quota_share - 0.8).abs() < 1e-9);
    assert_eq!(connection.public_url, None);
    assert_eq!(connection.skip_statuses, [0; 0]);
    assert_eq!(connection.concurrency, 8);
    assert_eq!(connection.fetch_timeout, Duration::from_secs(10));
    assert_eq!(connection.forward_timeout, Duration::from_secs(15));
    assert_eq!(connection.retry_max_age, Duration::from_secs(72 * HOUR));
    assert_eq!(connection.reconcile_interval, Some(Duration::from_secs(15 * 60)));
    assert_eq!(connection.hook_check_interval, Some(Duration::from_secs(15 * 60)));
    assert!(matches!(&config.database, Database::Sqlite(path) if path == Path::new("relay.db")));
    assert_eq!((config.host, config.port, config.metrics_port), (IpAddr::from([0, 0, 0, 0]), 8080, None));
    assert!(config.admin_token.is_none() && config.alert_url.is_none());
    assert_eq!((config.log_format, config.log_filter.as_str()), (LogFormat::Pretty, "info"));
    assert_eq!(config.webhook_tolerance, Duration::from_secs(50 * HOUR));
    assert_eq!(config.event_retention, Duration::from_secs(14 * 24 * HOUR));
}

#[test]
fn empty_and_blank_count_as_unset() {
    for blank in ["", "  ", "\t\n"] {
        let all: Vec<_> = VARIABLES.iter().map(|variable| (variable.name.to_owned(), blank.to_owned())).collect();
        let error = Config::from_vars(all).unwrap_err();
        let required: Vec<_> = TABLE.iter().filter(|row| row.2).map(|row| row.0).collect();
        let mut named: Vec<_> = error.0.iter().map(|fault| fault.variable).collect();
        named.sort_by_key(|name| TABLE.iter().position(|row| row.0 == *name));
        assert_eq!(named, required);
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
    let mut all = TABLE.map(|row| row.0).to_vec();
    // A client secret may be any text, so this one is no fault.
    all.retain(|name| *name != "BIGCOMMERCE_CLIENT_SECRET");
    all.sort_unstable();
    assert_eq!(named, all);
    let said = error.to_string();
    assert!(said.starts_with("the configuration has 25 faults:"), "{said}");
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
    // As a `.env` file with the same line twice gives it.
    let config = read(&[("PORT", "1000"), ("PORT", "2000")]).unwrap();
    assert_eq!(config.port, 2000);
    let twice = REQUIRED.iter().chain(&REQUIRED).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    assert!(Config::from_vars(twice).is_ok());
}

#[test]
fn unknown_variables_and_names_in_small_letters_are_left_alone() {
    assert_eq!(faults(&[("PATH", "/bin"), ("BIGCOMMERCE_STORE", "x"), ("", ""), ("É", "\u{0}")]), [""; 0]);
    assert_eq!(read(&[("port", "1")]).unwrap().port, 8080);
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
        assert_eq!(read.connection.retry_max_age, Duration::from_secs(seconds), "{text}");
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
        let config = read(&[("RECONCILE_INTERVAL", off), ("HOOK_CHECK_INTERVAL", off)]).unwrap().connection;
        assert_eq!((config.reconcile_interval, config.hook_check_interval), (None, None), "{off}");
    }
}

#[test]
fn the_tolerance_is_never_more_than_the_retention() {
    let with = |tolerance, retention| faults(&[("WEBHOOK_TOLERANCE", tolerance), ("EVENT_RETENTION", retention)]);
    assert_eq!(with("14d", "14d"), [""; 0]);
    assert_eq!(with("48h", "2d"), [""; 0]);
    assert_eq!(with("172801s", "2d"), ["WEBHOOK_TOLERANCE"]);
    assert_eq!(faults(&[("EVENT_RETENTION", "49h")]), ["WEBHOOK_TOLERANCE"], "the default counts too");
    assert_eq!(with("15d", "x"), ["EVENT_RETENTION"], "what cannot be compared is one fault, not two");
}

#[test]
fn small_rules_hold() {
    accepts("BIGCOMMERCE_STORE_HASH", &["abcde", " abcde ", "A1"]);
    refuses("BIGCOMMERCE_STORE_HASH", &["stores/abcde", "ab/cde", "ab cde", "é", "https://x"]);
    refuses("BIGCOMMERCE_ACCESS_TOKEN", &["two words", "é", "a\nb", "a\u{7f}"]);
    refuses("BIGCOMMERCE_CLIENT_SECRET", &[",", " , ,"]);
    accepts("BIGCOMMERCE_HOOKS_API", &["v2", "v3"]);
    refuses("BIGCOMMERCE_HOOKS_API", &["V2", "2", "v4", "v2,v3"]);
    accepts("BIGCOMMERCE_QUOTA_SHARE", &["1", "1.0", "0.01", ".5"]);
    refuses("BIGCOMMERCE_QUOTA_SHARE", &["0", "0.0", "-0.5", "1.01", "80%", "NaN", "inf", "-inf", "0,8", "x"]);
    accepts(
        "BIGCOMMERCE_SCOPES",
        &["store/order/created", "store/order/*,store/product/*", "store/order/*, store/order/*"],
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
        ("BIGCOMMERCE_CLIENT_SECRET", " new , old ,,"),
        ("BIGCOMMERCE_SCOPES", "store/order/created, store/cart/*,store/order/created"),
        ("SKIP_ORDER_STATUSES", "5, 0,"),
    ]);
    let connection = config.unwrap().connection;
    assert_eq!(connection.client_secrets.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), ["new", "old"]);
    assert_eq!(connection.scopes, ["store/order/created", "store/cart/*"]);
    assert_eq!(connection.skip_statuses, [5, 0]);
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
        prop_assert!(faults(&[(name, &text)]).iter().all(|fault| *fault == name || *fault == "WEBHOOK_TOLERANCE"));
    }
}
