//! Variables marked secret in the contract are never shown, neither by `Debug` nor in a fault.

use onetribe_relay::config::{Config, ConfigError};
use proptest::prelude::*;

use super::config::{KEY, read};

/// Each secret variable, with a prefix and a suffix that make a valid value around a secret.
const GOOD: [(&str, &str, &str); 10] = [
    ("BIGCOMMERCE_ACCESS_TOKEN", "", ""),
    ("BIGCOMMERCE_CLIENT_SECRET", "", ",another-client-secret"),
    ("ONE_TRIBE_DESTINATION", "https://api.example.com/order/", ""),
    ("BIGCOMMERCE_APP_CLIENT_SECRET", "", ""),
    ("ELEMENTS_USER_SECRET", "", ""),
    ("ELEMENTS_ORGANIZATION_SECRET", "", ""),
    ("DATABASE_URL", "postgres://relay:", "@db.example.com/relay"),
    ("DATABASE_URL", "sqlite:///data/", ".db"),
    ("ADMIN_TOKEN", "", ""),
    ("ALERT_URL", "https://hooks.example.com/", ""),
];

/// The variables needed beside the others, so that each of them can be valid.
const BESIDE: [(&str, &str); 5] = [
    ("BIGCOMMERCE_APP_CLIENT_ID", "an-app"),
    ("BIGCOMMERCE_APP_CLIENT_SECRET", "the-client-secret-of-the-app"),
    ("ELEMENTS_USER_SECRET", "a-user-secret"),
    ("ELEMENTS_ORGANIZATION_SECRET", "an-organization-secret"),
    ("CREDENTIALS_KEY", KEY),
];

/// Each secret variable, with a prefix and a suffix that make a faulty value around a secret.
const BAD: [(&str, &str, &str); 20] = [
    ("BIGCOMMERCE_ACCESS_TOKEN", "two ", " words"),
    ("BIGCOMMERCE_CLIENT_SECRET", "", ",short"),
    ("BIGCOMMERCE_APP_CLIENT_SECRET", "\u{1}", ""),
    ("ELEMENTS_USER_SECRET", "", ",comma"),
    ("ELEMENTS_ORGANIZATION_SECRET", "é", ""),
    ("CREDENTIALS_KEY", "", ""),
    ("CREDENTIALS_KEY", "AA", ","),
    ("ONE_TRIBE_DESTINATION", "", ""),
    ("ONE_TRIBE_DESTINATION", "http://example.com/", ""),
    ("ONE_TRIBE_DESTINATION", "https://", "@example.com"),
    ("ONE_TRIBE_DESTINATION", "https://example.com/", "#"),
    ("ONE_TRIBE_DESTINATION", "https://exa mple.com/", ""),
    ("DATABASE_URL", "mysql://relay:", "@db"),
    ("DATABASE_URL", "sqlite://", ":memory:"),
    ("DATABASE_URL", "sqlite://", "?mode=ro"),
    ("ADMIN_TOKEN", "é", ""),
    ("ALERT_URL", "ftp://example.com/", ""),
    ("ALERT_URL", "", ""),
    // These are not secret, but people write passwords into addresses.
    ("PUBLIC_URL", "https://user:", "@example.com"),
    ("BIGCOMMERCE_API_URL", "https://", "@example.com"),
];

/// Reads the variables in [`BESIDE`] with one variable set to `value`.
fn all_with(name: &'static str, value: &str) -> Result<Config, ConfigError> {
    let others = BESIDE.iter().copied().filter(|(other, _)| *other != name);
    read(&others.chain([(name, value)]).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn no_secret_shows_in_debug(at in 0..GOOD.len(), secret in "[A-Za-z0-9]{20,40}") {
        let (name, before, after) = GOOD[at];
        let config = all_with(name, &format!("{before}{secret}{after}")).unwrap();
        let shown = format!("{config:?} {config:#?}");
        prop_assert!(shown.contains("abcde"), "the store is no secret");
        prop_assert!(!shown.contains(&secret), "{name}");
    }

    #[test]
    fn no_secret_shows_in_a_fault(at in 0..BAD.len(), secret in "[A-Za-z0-9]{20,40}") {
        let (name, before, after) = BAD[at];
        let error = all_with(name, &format!("{before}{secret}{after}")).unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        prop_assert!(shown.contains(name));
        prop_assert!(!shown.contains(&secret), "{name}");
    }
}

#[test]
fn a_key_does_not_show() {
    let config = all_with("CREDENTIALS_KEY", KEY).unwrap();
    let shown = format!("{config:?}");
    assert_eq!(config.settings.credentials_keys.len(), 1);
    assert!(!shown.contains(KEY) && !shown.contains("1, 2, 3, 4"), "{shown}");
}
