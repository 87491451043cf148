//! What stores send never shows in `Debug`: tokens in headers, the content of orders.

use onetribe_relay::bigcommerce::{hooks::Hook, orders::Snapshot};

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
