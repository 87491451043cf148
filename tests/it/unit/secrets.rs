//! What is marked secret in the contract never shows: not in `Debug`, not in a fault.

use onetribe_relay::bigcommerce::{hooks::Hook, orders::Snapshot};
use proptest::prelude::*;

use crate::config::read;

/// Each secret variable, and a value for it that is fine around a secret.
const GOOD: [(&str, &str, &str); 7] = [
    ("BIGCOMMERCE_ACCESS_TOKEN", "", ""),
    ("BIGCOMMERCE_CLIENT_SECRET", "", ",another"),
    ("ONE_TRIBE_DESTINATION", "https://api.example.com/order/", ""),
    ("DATABASE_URL", "postgres://relay:", "@db.example.com/relay"),
    ("DATABASE_URL", "sqlite:///data/", ".db"),
    ("ADMIN_TOKEN", "", ""),
    ("ALERT_URL", "https://hooks.example.com/", ""),
];

/// Each secret variable, and a value for it that is a fault around a secret.
const BAD: [(&str, &str, &str); 12] = [
    ("BIGCOMMERCE_ACCESS_TOKEN", "two ", " words"),
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
];

proptest! {
    #[test]
    fn no_secret_shows_in_debug(at in 0..GOOD.len(), secret in "[A-Za-z0-9]{20,40}") {
        let (name, before, after) = GOOD[at];
        let config = read(&[(name, &format!("{before}{secret}{after}"))]).unwrap();
        let shown = format!("{config:?} {config:#?}");
        prop_assert!(shown.contains("abcde"), "the store is no secret");
        prop_assert!(!shown.contains(&secret), "{name}");
    }

    #[test]
    fn no_secret_shows_in_a_fault(at in 0..BAD.len(), secret in "[A-Za-z0-9]{20,40}") {
        let (name, before, after) = BAD[at];
        let error = read(&[(name, &format!("{before}{secret}{after}"))]).unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        prop_assert!(shown.contains(name));
        prop_assert!(!shown.contains(&secret), "{name}");
    }
}

#[test]
fn a_hooks_headers_and_destination_do_not_show() {
    let hook: Hook = serde_json::from_str(
        r#"{"id":1,"scope":"store/order/*","destination":"https://x/s3cret","is_active":true,"headers":{"x-relay-token":"s3cret"}}"#,
    )
    .unwrap();
    assert_eq!(hook.headers["x-relay-token"], "s3cret");
    let shown = format!("{hook:?}");
    assert!(shown.contains("store/order/*") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn an_orders_content_does_not_show() {
    let snapshot = Snapshot::read(sandbox::order::FIXTURE.into()).unwrap();
    let shown = format!("{snapshot:?}");
    assert!(shown.contains("218") && !shown.contains("Jane") && !shown.contains("Awaiting"), "{shown}");
}
