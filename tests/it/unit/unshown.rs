//! `Debug` never shows what stores send: the content of orders, and the secrets that the relay puts on hooks.

use onetribe_relay::{
    secret::Secret,
    source::{bigcommerce::orders::read_order, hooks::WantedHook},
};

#[test]
fn a_wanted_hooks_secret_does_not_show() {
    let wanted = WantedHook {
        topic: "store/order/*".to_owned(),
        destination: "https://relay.example/webhooks/x".to_owned(),
        secret: Secret::from("s3cret"),
    };
    let shown = format!("{wanted:?}");
    assert!(shown.contains("store/order/*") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn an_orders_content_does_not_show() {
    let snapshot = read_order(sandbox::order::FIXTURE.into()).unwrap();
    let shown = format!("{snapshot:?}");
    assert!(shown.contains("218") && !shown.contains("Jane") && !shown.contains("Awaiting"), "{shown}");
}
