//! Invalid requests, and URLs that lead to addresses that are not permitted.

use super::*;

#[test]
fn what_is_wrong_is_named() {
    let without = |mut body: Value, key: &str| {
        body["configuration"].as_object_mut().expect("an object").remove(key);
        body
    };
    let top = |key: &str, value: Value| {
        let mut body = bigcommerce(json!({}));
        body[key] = value;
        body
    };
    for (body, status, named) in [
        (json!([]), 400, "body"),
        (top("element", json!({ "key": "shopify" })), 404, "element"),
        (top("element", json!({ "id": 127 })), 404, "element"),
        (top("element", json!({ "key": "bigcommerce", "id": 2881 })), 400, "element"),
        (top("element", Value::Null), 400, "element.key"),
        (top("name", Value::Null), 400, "name"),
        (top("name", json!("<b></b>")), 400, "name"),
        (top("name", json!("x".repeat(256))), 400, "name"),
        (top("tags", json!({ "a": 1 })), 400, "tags"),
        (top("configuration", json!("x")), 400, "configuration"),
        (top("configuration", Value::Null), 400, "username"),
        (top("providerData", json!({ "context": "stores/abcde" })), 400, "providerData.code"),
        (without(bigcommerce(json!({})), "password"), 400, "password"),
        (without(bigcommerce(json!({})), "store.url"), 400, "store.url"),
        (bigcommerce(json!({ "password": MASK })), 400, "password"),
        (bigcommerce(json!({ "oauth.user.token": "t" })), 400, "oauth.user.token"),
        (bigcommerce(json!({ "store.url": "https://store.example/shop" })), 400, "store.url"),
        (bigcommerce(json!({ "store.url": "http://store.example/api/v2?x=1" })), 400, "store.url"),
        (bigcommerce(json!({ "store.url": "ftp://store.example/api/v2" })), 400, "store.url"),
        (bigcommerce(json!({ "store.url": "https://user:pass@store.example/api/v2" })), 400, "store.url"),
        (bigcommerce(json!({ "store.url": "https://127.0.0.1/api/v2" })), 400, "store.url"),
        (bigcommerce(json!({ "store.url": "http://8.8.8.8/api/v2" })), 400, "store.url"),
        (bigcommerce(json!({ "store.url": ["x"] })), 400, "store.url"),
        (app(json!({})), 400, "oauth.user.token"),
        (app(json!({})), 400, "providerData"),
        (app(json!({ "oauth.user.token": "t" })), 400, "store.hash"),
        (app(json!({ "oauth.user.token": "t", "store.hash": "../x" })), 400, "store.hash"),
        (
            app(json!({ "oauth.user.token": "t", "store.url": "https://evil.example/stores/abcde/v2" })),
            400,
            "store.url",
        ),
        (
            app(json!({ "oauth.user.token": "t", "store.hash": "x",
                    "store.url": "https://api.bigcommerce.com/stores/y/v2" })),
            400,
            "store.hash",
        ),
        (without(woocommerce(json!({})), "oauth.api.secret"), 400, "oauth.api.secret"),
        (woocommerce(json!({ "store.url": "http://192.168.0.1" })), 400, "store.url"),
        (woocommerce(json!({ "event.vendor.type": "carrier pigeon" })), 400, "event.vendor.type"),
        (woocommerce(json!({ "event.notification.type": "email" })), 400, "event.notification.type"),
        (without(polling(json!({})), "event.notification.callback.url"), 400, "event.notification.callback.url"),
        (polling(json!({ "event.notification.enabled": "perhaps" })), 400, "event.notification.enabled"),
        (
            polling(json!({ "event.notification.callback.url": "<CALLBACK_URL>" })),
            400,
            "event.notification.callback.url",
        ),
        (
            polling(json!({ "event.notification.callback.url": "http://169.254.169.254/latest" })),
            400,
            "event.notification.callback.url",
        ),
        (
            polling(json!({ "event.notification.callback.url": "http://localhost:80/" })),
            400,
            "event.notification.callback.url",
        ),
        (
            polling(json!({ "event.notification.callback.url": "https://u:p@x.example/" })),
            400,
            "event.notification.callback.url",
        ),
        (polling(json!({ "event.notification.callback.headers": "x" })), 400, "event.notification.callback.headers"),
        (
            polling(json!({ "event.notification.callback.headers": { "Host": "x" } })),
            400,
            "event.notification.callback.headers",
        ),
        (
            polling(json!({ "event.notification.callback.headers": { "Elements-Webhook-Id": "x" } })),
            400,
            "event.notification.callback.headers",
        ),
        (
            polling(json!({ "event.notification.callback.headers": { "a": "x\ny" } })),
            400,
            "event.notification.callback.headers",
        ),
        (
            polling(json!({ "event.notification.callback.headers": { "a": "1", "A": "2" } })),
            400,
            "event.notification.callback.headers",
        ),
        (polling(json!({ "event.notification.basic.username": "u" })), 400, "event.notification.basic.password"),
        (polling(json!({ "event.notification.basic.password": "p" })), 400, "event.notification.basic.username"),
        (polling(json!({ "event.poller.refresh_interval": "<minutes>" })), 400, "event.poller.refresh_interval"),
        (polling(json!({ "event.poller.configuration": "{" })), 400, "event.poller.configuration"),
    ] {
        let error = create(&body).expect_err(named);
        assert!(error.status == status && error.message.contains(named), "{body}: {error:?}");
        assert!(!error.message.contains("an api key of the store"), "{error}");
    }
    assert_eq!(InstanceRequest::parse(b"{", None).map(|_| ()).expect_err("no JSON").status, 400);
    let path = |element| InstanceRequest::parse(bigcommerce(json!({})).to_string().as_bytes(), Some(element));
    assert!(path("274").is_ok());
    assert_eq!(path("2881").map(|_| ()).expect_err("another").status, 400);
    assert_eq!(path("9").map(|_| ()).expect_err("unknown").status, 404);
}

#[test]
fn urls_that_need_dns_are_judged_by_what_it_says() {
    let policy = AddressPolicy::new(vec!["10.1.0.0/16".parse().expect("a network")]);
    let draft = create(&woocommerce(json!({ "store.url": "http://mycoolstore.com" }))).expect("an instance");
    let [store, callback] = draft.checks.as_slice() else { panic!("two checks: {:?}", draft.checks) };
    let judge = |check: &UrlCheck, address: &str| check.judge(&policy, Ok(vec![address.parse().expect("an address")]));
    assert!(judge(store, "10.1.2.3").is_ok());
    assert!(judge(store, "8.8.8.8").expect_err("plain http").message.starts_with("store.url"));
    assert!(judge(callback, "8.8.8.8").is_ok());
    let error = callback.judge(&policy, Err(LookupError::Private)).expect_err("private");
    assert!(error.message.starts_with("event.notification.callback.url"));
    assert!(create(&woocommerce(json!({ "store.url": "http://10.1.2.3:8080" }))).is_ok());
}
