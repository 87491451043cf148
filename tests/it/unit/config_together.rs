//! Rules between variables: which are needed beside which, and which of them a fault names.

use std::ffi::OsString;

use onetribe_relay::config::{Config, ConfigError, Fault, Value};

use super::config::{KEY, REQUIRED, faults, read};

/// Reads these variables only.
fn alone(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_vars(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn named(vars: &[(&str, &str)]) -> Vec<&'static str> {
    alone(vars).err().map_or_else(Vec::new, |error| error.0.iter().map(|fault| fault.variable).collect())
}

fn message(vars: &[(&str, &str)]) -> String {
    let faults: Vec<Fault> = read(vars).unwrap_err().0;
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults[0].message.clone()
}

#[test]
fn the_first_four_belong_together() {
    for some in 1..15_u8 {
        let set = |at: usize| some & (1 << at) != 0;
        let vars: Vec<(&str, &str)> = (0..4).filter(|at| set(*at)).map(|at| REQUIRED[at]).collect();
        let missing: Vec<&str> = (0..4).filter(|at| !set(*at)).map(|at| REQUIRED[at].0).collect();
        assert_eq!(named(&vars), missing);
        let with_key: Vec<(&str, &str)> = vars.iter().copied().chain([("CREDENTIALS_KEY", KEY)]).collect();
        assert_eq!(named(&with_key), missing, "the key does not stand in for some of them");
        let said = alone(&vars).unwrap_err().to_string();
        assert!(said.contains(&format!("required beside {}", vars[0].0)), "{said}");
    }
    assert_eq!(named(&REQUIRED), [""; 0]);
}

#[test]
fn without_the_four_a_key_is_needed() {
    assert_eq!(named(&[]), REQUIRED.map(|(name, _)| name));
    assert!(alone(&[]).unwrap_err().to_string().contains("CREDENTIALS_KEY"), "the other way is told");
    let config = alone(&[("CREDENTIALS_KEY", KEY)]).unwrap();
    assert!(config.environment.is_none());
    assert_eq!(config.settings.credentials_keys.len(), 1);
    assert_eq!(named(&[("CREDENTIALS_KEY", "x")]), ["CREDENTIALS_KEY"], "one fault, not five");
}

#[test]
fn one_that_is_wrong_is_not_missing() {
    let vars = [("BIGCOMMERCE_STORE_HASH", "stores/abcde"), ("CREDENTIALS_KEY", KEY)];
    let mut names = named(&vars);
    names.sort_unstable();
    let mut all = REQUIRED.map(|(name, _)| name);
    all.sort_unstable();
    assert_eq!(names, all);
}

#[test]
fn the_app_and_the_elements_api_are_set_by_pairs() {
    let pairs = [
        [("BIGCOMMERCE_APP_CLIENT_ID", "an-app"), ("BIGCOMMERCE_APP_CLIENT_SECRET", "the-client-secret-of-the-app")],
        [("ELEMENTS_USER_SECRET", "a-user-secret"), ("ELEMENTS_ORGANIZATION_SECRET", "an-organization-secret")],
    ];
    let key = ("CREDENTIALS_KEY", KEY);
    for [one, other] in pairs {
        assert_eq!(faults(&[one, key]), [other.0]);
        assert_eq!(faults(&[other, key]), [one.0]);
        assert_eq!(faults(&[one, other, key]), [""; 0]);
        assert_eq!(faults(&[one, other]), ["CREDENTIALS_KEY"]);
        assert_eq!(faults(&[one]), [other.0, "CREDENTIALS_KEY"]);
        assert!(message(&[one, other]).contains(one.0));
    }
    let all: Vec<(&str, &str)> = pairs.into_iter().flatten().chain([key]).collect();
    let settings = read(&all).unwrap().settings;
    let (app, elements) = (settings.app.unwrap(), settings.elements.unwrap());
    assert_eq!((app.client_id.as_str(), app.client_secret.expose()), ("an-app", "the-client-secret-of-the-app"));
    assert_eq!(elements.user_secret.expose(), "a-user-secret");
    assert_eq!(elements.organization_secret.expose(), "an-organization-secret");
    assert_eq!(
        faults(&[pairs[0][0], ("BIGCOMMERCE_APP_CLIENT_SECRET", "short"), key]),
        ["BIGCOMMERCE_APP_CLIENT_SECRET"]
    );
}

#[test]
fn keys_are_32_bytes_in_base64_the_newest_first() {
    let other = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let ids = |text: &str| -> Vec<i64> {
        read(&[("CREDENTIALS_KEY", text)]).unwrap().settings.credentials_keys.iter().map(|key| key.id()).collect()
    };
    let (first, second) = (ids(KEY), ids(other));
    assert_eq!(ids(&format!(" {KEY} , {other} ,")), [first[0], second[0]]);
    assert_eq!(ids(KEY.trim_end_matches('=')), first, "padding may be left out");
    assert_eq!(ids("__________________________________________8"), ids("//////////////////////////////////////////8="));
    for wrong in [",", "x", "AAAA", &KEY[..40], &format!("{KEY}{KEY}"), &format!("{KEY},x"), "é", &"0".repeat(64)] {
        assert_eq!(faults(&[("CREDENTIALS_KEY", wrong)]), ["CREDENTIALS_KEY"], "{wrong}");
    }
}

#[test]
fn networks_are_given_in_cidr() {
    let networks = |text| -> Vec<String> {
        let settings = read(&[("ALLOWED_PRIVATE_NETWORKS", text)]).unwrap().settings;
        settings.allowed_private_networks.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        networks("127.0.0.0/8, fd00::/8,10.1.2.3/8,,192.168.0.7"),
        ["127.0.0.0/8", "fd00::/8", "10.0.0.0/8", "192.168.0.7/32"]
    );
    for wrong in ["localhost", "10.0.0.0/33", "10.0.0/8", "10.0.0.0-10.0.0.9", "::/129", "10.0.0.0/8;::1/128"] {
        assert_eq!(faults(&[("ALLOWED_PRIVATE_NETWORKS", wrong)]), ["ALLOWED_PRIVATE_NETWORKS"], "{wrong}");
    }
}

#[test]
fn hosts_of_payload_urls_are_names_and_addresses() {
    let settings = read(&[("ONE_TRIBE_HOSTS", "*.One.example, 127.0.0.1,::1,")]).unwrap().settings;
    assert_eq!(settings.one_tribe_hosts.to_string(), "*.one.example, 127.0.0.1, [::1]");
    for wrong in [",", "*", "https://one.example", "one.example:443", "one.example/", "a b"] {
        assert_eq!(faults(&[("ONE_TRIBE_HOSTS", wrong)]), ["ONE_TRIBE_HOSTS"], "{wrong}");
    }
}

#[test]
fn the_tolerance_is_never_more_than_the_retention() {
    let with = |tolerance, retention| faults(&[("WEBHOOK_TOLERANCE", tolerance), ("EVENT_RETENTION", retention)]);
    assert_eq!(with("14d", "14d"), [""; 0]);
    assert_eq!(with("48h", "2d"), [""; 0]);
    assert_eq!(with("172801s", "2d"), ["WEBHOOK_TOLERANCE"]);
    assert_eq!(faults(&[("WEBHOOK_TOLERANCE", "15d")]), ["WEBHOOK_TOLERANCE"], "the default counts too");
    assert_eq!(with("15d", "x"), ["EVENT_RETENTION"], "what cannot be compared is one fault, not two");
}

#[test]
fn a_fault_names_the_variable_that_was_set() {
    assert_eq!(faults(&[("EVENT_RETENTION", "49h")]), ["EVENT_RETENTION"]);
    assert!(message(&[("EVENT_RETENTION", "49h")]).contains("WEBHOOK_TOLERANCE (50h)"));
    assert!(message(&[("WEBHOOK_TOLERANCE", "15d")]).contains("EVENT_RETENTION (14d)"));
    assert_eq!(faults(&[("METRICS_PORT", "8080")]), ["METRICS_PORT"]);
    assert_eq!(faults(&[("METRICS_PORT", "9090"), ("PORT", "9090")]), ["METRICS_PORT"]);

    let secret = ("ADMIN_TOKEN".to_owned(), Value::OfFile(OsString::from("short"), "/run/secrets/x".into()));
    let required = REQUIRED.map(|(name, value)| (name.to_owned(), Value::from(value.to_owned())));
    let error = Config::from_vars(required.clone().into_iter().chain([secret])).unwrap_err();
    assert_eq!(error.0.iter().map(|fault| fault.variable).collect::<Vec<_>>(), ["ADMIN_TOKEN_FILE"]);
    assert!(error.0[0].message.starts_with("the content of `/run/secrets/x`: must be at least 16"), "{error}");

    let unusable = Value::Unusable("BIGCOMMERCE_ACCESS_TOKEN_FILE", "names an empty file".to_owned());
    let others = required.into_iter().filter(|(name, _)| name != "BIGCOMMERCE_ACCESS_TOKEN");
    let error = Config::from_vars(others.chain([("BIGCOMMERCE_ACCESS_TOKEN".to_owned(), unusable)])).unwrap_err();
    let fault = Fault { variable: "BIGCOMMERCE_ACCESS_TOKEN_FILE", message: "names an empty file".to_owned() };
    assert_eq!(error.0, [fault], "it is set, so it is not missing");
}

#[test]
fn a_rejected_value_is_shown_where_it_is_no_secret() {
    for (name, value, shown) in [
        ("PORT", "70000", "`70000`"),
        ("HOST", "example.com", "`example.com`"),
        ("BIGCOMMERCE_QUOTA_SHARE", "80%", "`80%`"),
        ("FETCH_TIMEOUT", "10 s", "`10 s`"),
        ("LOG_FORMAT", "a\u{1b}[31m\nb", "`a\\u{1b}[31m\\nb`"),
        ("BIGCOMMERCE_STORE_HASH", "stores/abcde", "`stores/abcde`"),
        ("PUBLIC_URL", "https://relay.example:8443", "`https://relay.example:8443`"),
        ("BIGCOMMERCE_API_URL", "api.bigcommerce.com", "`api.bigcommerce.com`"),
        ("BIGCOMMERCE_SCOPES", "store/order/*,cart", "`cart`"),
        ("SKIP_ORDER_STATUSES", "0,Incomplete", "`Incomplete`"),
        ("RUST_LOG", "info,dbug", "`dbug`"),
        ("ONE_TRIBE_HOSTS", "one.example,two.example/x", "`two.example/x`"),
    ] {
        let said = message(&[(name, value)]);
        assert!(said.contains(shown), "{name}: {said}");
        assert!(!said.contains('\n') && !said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn a_secret_in_the_wrong_variable_is_not_shown() {
    const TOKEN: &str = "s2bl3m1ok9j5k7q8w4x6z0a1b2c3d4e";
    for name in ["BIGCOMMERCE_STORE_HASH", "BIGCOMMERCE_SCOPES", "HOST", "LOG_FORMAT", "ALLOWED_PRIVATE_NETWORKS"] {
        for value in [TOKEN.to_owned(), format!("https://example.com/{TOKEN}/"), format!("{TOKEN}-{TOKEN}")] {
            let said = message(&[(name, &value)]);
            assert!(!said.contains(TOKEN), "{name}: {said}");
        }
    }
    assert!(message(&[("BIGCOMMERCE_STORE_HASH", TOKEN)]).contains("not shown, since it may hold a secret"));
}
