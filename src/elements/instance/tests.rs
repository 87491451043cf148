use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::{show::InstanceView, *};
use crate::{
    clock::Timestamp,
    http::LookupError,
    object::ConnectionId,
    spec::{BigCommerceAuth, CallbackSpec, DestinationSpec},
};

mod changed;
mod documented;
mod refused;

const ID: ConnectionId = ConnectionId(12345);

/// 2017-08-07T18:46:38Z
const MADE: Timestamp = Timestamp::from_seconds(1_502_131_598);

fn with<T>(run: impl FnOnce(Surroundings<'_>) -> T) -> T {
    let api_url = Url::parse("https://api.bigcommerce.com").expect("a URL");
    let policy = AddressPolicy::new(vec!["10.1.0.0/16".parse().expect("a network")]);
    run(Surroundings { api_url: &api_url, policy: &policy })
}

fn parsed(body: &Value) -> Result<InstanceRequest, ApiError> {
    InstanceRequest::parse(body.to_string().as_bytes(), None)
}

fn create(body: &Value) -> Result<Draft, ApiError> {
    with(|surroundings| parsed(body)?.create(surroundings))
}

fn put(old: &ConnectionSpec, body: &Value) -> Result<Draft, ApiError> {
    with(|surroundings| parsed(body)?.replace(old, surroundings))
}

fn patch(old: &ConnectionSpec, body: &Value) -> Result<Draft, ApiError> {
    with(|surroundings| parsed(body)?.merge(old, surroundings))
}

/// As in the vendor's BigCommerce guide ("Authenticate through API"), with more keys.
fn bigcommerce(more: Value) -> Value {
    let mut body = json!({
        "element": { "key": "bigcommerce" },
        "configuration": {
            "username": "merchant", "password": "an api key of the store",
            "store.url": "https://store-wuxeae6.mybigcommerce.com/api/v2"
        },
        "tags": ["Docs"],
        "name": "API Instance"
    });
    for (key, value) in more.as_object().expect("an object") {
        body["configuration"][key] = value.clone();
    }
    body
}

/// The same, with events as in the guide's example.
fn polling(more: Value) -> Value {
    let resource = |name: &str| {
        json!({
            "url": format!("/hubs/ecommerce/{name}?where=min_date_modified='${{date:EEE, dd MMM yyyy HH:mm:ss Z}}'"),
            "idField": "id",
            "datesConfiguration": {
                "updatedDateField": "date_modified", "updatedDateFormat": "EEE, dd MMM yyyy HH:mm:ss Z",
                "createdDateField": "date_created", "createdDateFormat": "EEE, dd MMM yyyy HH:mm:ss Z"
            }
        })
    };
    let mut body = bigcommerce(json!({
        "event.notification.enabled": true,
        "event.notification.callback.url": "http://mycoolapp.com",
        "event.poller.refresh_interval": "15",
        "event.poller.configuration":
            { "orders": resource("orders"), "products": resource("products"), "customers": resource("customers") }
    }));
    for (key, value) in more.as_object().expect("an object") {
        body["configuration"][key] = value.clone();
    }
    body
}

/// Credentials of an app, as in the guide's second example.
fn app(more: Value) -> Value {
    let mut body = json!({
        "element": { "id": 274 },
        "configuration": {
            "oauth.api.key": "client id", "oauth.api.secret": "client secret of the app",
            "oauth.callback.url": "https://mycoolapp.com"
        },
        "name": "API_Polling"
    });
    for (key, value) in more.as_object().expect("an object") {
        body["configuration"][key] = value.clone();
    }
    body
}

fn woocommerce(more: Value) -> Value {
    let mut body = json!({
        "element": { "key": "woocommercerest" },
        "configuration": {
            "store.url": "https://mycoolstore.com/shop/", "oauth.api.key": "ck_x", "oauth.api.secret": "cs_x",
            "event.notification.enabled": true, "event.vendor.type": "webhook",
            "event.notification.callback.url": "https://mycoolapp.com/events",
            "event.notification.signature.key": "a key"
        },
        "tags": ["Docs"],
        "name": "API Instance"
    });
    for (key, value) in more.as_object().expect("an object") {
        body["configuration"][key] = value.clone();
    }
    body
}

fn callback(spec: &ConnectionSpec) -> &CallbackSpec {
    match &spec.destination {
        Some(DestinationSpec::CloudElements(callback)) => callback,
        other => panic!("no callback: {other:?}"),
    }
}

fn view<'a>(spec: &'a ConnectionSpec, token: Option<&'a Secret>) -> Value {
    let view =
        InstanceView { id: ID, spec, created_at: MADE, is_disabled: false, is_valid: true, token, is_hydrated: true };
    view.json()
}

#[test]
fn a_legacy_account_is_taken() {
    let draft = create(&bigcommerce(json!({}))).expect("an instance");
    let SourceSpec::BigCommerce(store) = &draft.spec.source else { panic!("not BigCommerce") };
    assert_eq!(store.store_hash, "store-wuxeae6.mybigcommerce.com");
    let expected = BigCommerceAuth::Legacy {
        api_url: "https://store-wuxeae6.mybigcommerce.com/api/v2".to_owned(),
        username: "merchant".to_owned(),
        password: "an api key of the store".into(),
    };
    assert_eq!(store.auth, expected);
    assert!(draft.spec.destination.is_none() && !draft.spec.has_webhooks && draft.has_new_credentials);
    assert_eq!(draft.checks.iter().map(|check| check.key).collect::<Vec<_>>(), ["store.url"]);
    assert!(!format!("{draft:?}").contains("an api key"));
    assert!(!format!("{:?}", parsed(&bigcommerce(json!({})))).contains("an api key"));
}

#[test]
fn polling_is_read_with_its_resources() {
    let draft = create(&polling(json!({ "event.notification.enabled": "true" }))).expect("an instance");
    let names: Vec<String> = draft.spec.resource_names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["customers", "orders", "products"]);
    assert_eq!(draft.spec.poll_interval, Some(Duration::from_secs(900)));
    let callback = callback(&draft.spec);
    assert!(callback.has_raw && callback.drops_nulls && callback.signature_key.is_none());
    assert_eq!(callback.url.expose(), "http://mycoolapp.com/");
}

#[test]
fn tokens_come_with_a_hash_or_an_api_path() {
    let body = |configuration: Value| {
        let element = json!({ "key": "bigcommerce" });
        json!({ "element": element, "name": "x", "configuration": configuration })
    };
    for configuration in [
        json!({ "store.hash": "abcde" }),
        json!({ "store.url": "https://api.bigcommerce.com/stores/abcde/v2" }),
        json!({ "store.url": "https://api.bigcommerce.com/stores/abcde/v3/" }),
        json!({ "store.url": "https://store-abcde.mybigcommerce.com/api/v2" }),
        json!({ "store.url": "https://api.bigcommerce.com/stores/abcde", "store.hash": "abcde",
            "oauth.api.secret": "client secret of the app" }),
    ] {
        let mut configuration = configuration;
        configuration["oauth.user.token"] = "a token".into();
        let draft = create(&body(configuration.clone())).expect("an instance");
        let SourceSpec::BigCommerce(store) = draft.spec.source else { panic!("not BigCommerce") };
        assert_eq!((store.store_hash.as_str(), &store.auth), ("abcde", &BigCommerceAuth::Token("a token".into())));
        assert_eq!(store.client_secrets.len(), usize::from(configuration.get("oauth.api.secret").is_some()));
    }
}

#[test]
fn a_code_is_exchanged_first() {
    let mut body = app(json!({}));
    body["providerData"] = json!({ "code": "a code", "context": "stores/abcde", "scope": "store_v2_orders" });
    let mut draft = create(&body).expect("an instance");
    let exchange = draft.exchange.clone().expect("an exchange");
    assert_eq!((exchange.client_id.as_str(), exchange.redirect_uri.as_str()), ("client id", "https://mycoolapp.com"));
    assert!(draft.clone().set_token("other", "a token".into()).is_err());
    draft.set_token("abcde", "a token".into()).expect("the same store");
    assert_eq!(draft.exchange, None);
    let shown = view(&draft.spec, None);
    assert_eq!(shown["configuration"]["oauth.user.token"], MASK);
    assert!(!shown.to_string().contains("a code") && !shown.to_string().contains("providerData"));
    // A later change finds the token.
    let changed = patch(&draft.spec, &json!({ "name": "other" })).expect("an instance");
    assert!(!changed.has_new_credentials && changed.exchange.is_none());
    assert_eq!(changed.spec.source, draft.spec.source);
}

#[test]
fn shops_are_taken_with_webhooks_or_polling() {
    let draft = create(&woocommerce(json!({}))).expect("an instance");
    let SourceSpec::WooCommerce(shop) = &draft.spec.source else { panic!("not WooCommerce") };
    assert_eq!(shop.url, "https://mycoolstore.com/shop");
    assert_eq!(shop.webhook_secret.expose().len(), 48);
    assert!(draft.spec.has_webhooks);
    let names: Vec<String> = draft.spec.resource_names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["customers", "discounts", "orders", "products"]);
    let changed =
        patch(&draft.spec, &json!({ "configuration": { "event.vendor.type": "polling" } })).expect("an instance");
    assert!(!changed.spec.has_webhooks && !changed.has_new_credentials);
    assert_eq!(changed.spec.source, draft.spec.source, "the secret that signs webhooks stays");
    let text = create(&woocommerce(json!({
        "event.poller.configuration":
            json!({ "contacts": { "url": "/hubs/ecommerce/customers", "idField": "id" } }).to_string()
    })));
    assert_eq!(text.expect("an instance").spec.resources.len(), 1);
}

#[test]
fn webhooks_of_bigcommerce_need_a_token() {
    let mut body = polling(json!({ "event.vendor.type": "webhooks" }));
    let error = create(&body).expect_err("a legacy account");
    assert!(error.message.starts_with("event.vendor.type"), "{error}");
    body["configuration"] = json!({
        "oauth.user.token": "a token", "store.hash": "abcde", "event.notification.enabled": true,
        "event.vendor.type": "webhook", "event.notification.callback.url": "https://mycoolapp.com"
    });
    let draft = create(&body).expect("an instance");
    let SourceSpec::BigCommerce(store) = draft.spec.source else { panic!("not BigCommerce") };
    assert_eq!(store.scopes, ["store/order/*", "store/product/*", "store/customer/*"]);
}

#[test]
fn callbacks_are_told_as_configured() {
    let draft = create(&polling(json!({
        "event.notification.signature.key": "", "event.raw.enabled": "false", "filter.response.nulls": "false",
        "event.notification.callback.headers": "{\"X-Key\":\"k\",\"x-number\":5}",
        "event.notification.basic.username": "user", "event.notification.basic.password": "pass"
    })));
    let draft = draft.expect("an instance");
    let callback = callback(&draft.spec);
    assert!(callback.signature_key.is_none() && !callback.has_raw && !callback.drops_nulls);
    let headers: Vec<(&str, &str)> =
        callback.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("x-key", "k"), ("x-number", "5")]);
    assert_eq!(callback.basic, Some(("user".to_owned(), "pass".into())));
}

#[test]
fn answers_have_every_field_of_the_vendor_s_example() {
    let draft = create(&bigcommerce(json!({ "custom": "kept" }))).expect("an instance");
    let token = Secret::from("ABC/Dxxx");
    let shown = view(&draft.spec, Some(&token));
    for key in [
        "id",
        "name",
        "createdDate",
        "token",
        "element",
        "elementId",
        "tags",
        "provisionInteractions",
        "valid",
        "disabled",
        "maxCacheSize",
        "cacheTimeToLive",
        "configuration",
        "eventsEnabled",
        "traceLoggingEnabled",
        "cachingEnabled",
        "externalAuthentication",
        "user",
    ] {
        assert!(shown.get(key).is_some(), "{key}");
    }
    for key in [
        "id",
        "name",
        "hookName",
        "key",
        "description",
        "image",
        "active",
        "deleted",
        "typeOauth",
        "trialAccount",
        "resources",
        "transformationsEnabled",
        "bulkDownloadEnabled",
        "bulkUploadEnabled",
        "cloneable",
        "extendable",
        "beta",
        "authentication",
        "extended",
        "hub",
        "protocolType",
        "parameters",
    ] {
        assert!(shown["element"].get(key).is_some(), "element.{key}");
    }
    assert_eq!(shown["createdDate"], "2017-08-07T18:46:38Z");
    assert_eq!((&shown["token"], &shown["id"], &shown["elementId"]), (&json!("ABC/Dxxx"), &json!(12345), &json!(274)));
    assert_eq!(shown["configuration"]["password"], MASK);
    assert_eq!(shown["configuration"]["username"], "merchant");
    assert_eq!(shown["configuration"]["custom"], "kept");
    assert_eq!(view(&draft.spec, None)["token"], MASK);
    assert!(!view(&draft.spec, None).to_string().contains("an api key of the store"));
}

#[test]
fn configuration_is_listed_as_texts() {
    let draft =
        create(&polling(json!({ "event.notification.callback.headers": { "x-key": "hidden" } }))).expect("an instance");
    let list = show::configuration_list(&draft.spec.instance.as_ref().expect("an instance").configuration);
    let value = |key: &str| {
        let entries = list.as_array().expect("a list");
        entries.iter().find(|entry| entry["key"] == key).map(|entry| entry["propertyValue"].clone())
    };
    assert_eq!(value("event.notification.enabled"), Some(json!("true")));
    assert_eq!(value("password"), Some(json!(MASK)));
    assert_eq!(value("event.notification.callback.headers"), Some(json!(MASK)));
    assert!(
        value("event.poller.configuration")
            .is_some_and(|value| value.as_str().is_some_and(|text| text.contains("idField")))
    );
    assert!(!list.to_string().contains("hidden"));
}

#[test]
fn html_is_stripped() {
    for (text, plain) in [
        ("<b>bold</b>", "bold"),
        ("a < b > c", "a < b > c"),
        ("<<b>script>alert(1)<</b>/script>", "alert(1)"),
        ("x<img src=", "x"),
        ("<!-- c -->ä\u{7}", "ä"),
    ] {
        assert_eq!(request::without_html(text), plain);
    }
    let name = |text: &str| request::name_of(&json!(text)).ok();
    assert_eq!(name("<INSTANCE_NAME>").as_deref(), Some("INSTANCE_NAME"), "a template's placeholder");
    assert_eq!((name("<b></b>"), name("<img_src=x>")), (None, None));
}

proptest! {
    #[test]
    fn no_body_panics_or_shows_a_secret(
        key in "\\PC{0,12}|event.poller.configuration|event.notification.callback.url|store.url",
        text in "\\PC{0,40}", number: f64
    ) {
        for value in [json!(text), json!(number), json!([text]), json!({ &text: number })] {
            let more = json!({ &key: value });
            for body in [bigcommerce(more.clone()), polling(more.clone()), woocommerce(more.clone()), more.clone()] {
                if let Ok(draft) = create(&body) {
                    prop_assert!(!view(&draft.spec, None).to_string().contains("an api key of the store"));
                    let _ = patch(&draft.spec, &json!({ "configuration": { &key: value }, "name": text }));
                }
            }
        }
        let _ = InstanceRequest::parse(text.as_bytes(), Some(&text));
        let stripped = request::without_html(&text);
        prop_assert_eq!(request::without_html(&stripped), stripped);
    }
}
