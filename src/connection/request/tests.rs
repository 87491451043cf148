use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rules() -> RequestRules {
    RequestRules {
        policy: AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("a network")]),
        one_tribe_hosts: "onetribeglobal.com,*.onetribeglobal.com,127.0.0.1".parse().expect("hosts"),
        scopes: vec!["store/order/*".into()],
    }
}

fn bigcommerce() -> Value {
    json!({
        "name": "Shop of Jane",
        "source": {
            "kind": "bigcommerce",
            "store_hash": "abcde",
            "access_token": "s3cret-token",
            "client_secret": "s3cret-client-secret"
        },
        "destination": {"kind": "one_tribe", "url": "https://api.onetribeglobal.com/order/s3cret"}
    })
}

fn woocommerce() -> Value {
    json!({
        "name": "Shop of Joe",
        "source": {
            "kind": "woocommerce",
            "url": "https://WWW.shop.example/",
            "consumer_key": "ck_s3cret",
            "consumer_secret": "cs_s3cret"
        },
        "destination": {"kind": "cloud_elements", "callback_url": "http://client.example/cb", "signature_key": "s3cret"},
        "skip_order_statuses": ["pending", "wc-on-hold", "pending"],
        "state": "paused"
    })
}

/// A copy of a body with the value at `pointer` replaced; `null` removes it.
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    body.pointer_mut(parent).expect("it is there")[name] = value;
    body
}

fn read(body: &Value) -> Result<ConnectionRequest, RequestProblem> {
    ConnectionRequest::from_json(body.to_string().as_bytes(), &rules())
}

fn change(former: &Value, patch: &Value) -> Result<ConnectionChange, RequestProblem> {
    let former = read(former).expect("a connection").spec;
    ConnectionChange::from_json(patch.to_string().as_bytes(), &former, &rules())
}

fn problem<T: std::fmt::Debug>(result: Result<T, RequestProblem>) -> FieldProblem {
    match result {
        Err(RequestProblem::Field(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bigcommerce_store_is_taken() {
    let request = read(&with(bigcommerce(), "/skip_order_statuses", json!([0, "5", 5]))).expect("it is right");
    assert_eq!(request.state, ConnectionState::Active);
    let spec = request.spec;
    assert_eq!((spec.name.as_str(), spec.origin, spec.has_webhooks), ("Shop of Jane", Origin::Api, true));
    assert_eq!(spec.skip_statuses, ["0", "5"]);
    let SourceSpec::BigCommerce(store) = &spec.source else { panic!("another kind") };
    assert_eq!((store.store_hash.as_str(), store.is_app), ("abcde", false));
    assert_eq!(store.auth, BigCommerceAuth::Token("s3cret-token".into()));
    assert_eq!(store.client_secrets, ["s3cret-client-secret".into()]);
    assert_eq!(store.scopes, ["store/order/*"]);
    let destination = spec.destination.expect("a destination");
    assert_eq!(destination.url().expose(), "https://api.onetribeglobal.com/order/s3cret");
}

#[test]
fn a_woocommerce_shop_is_taken() {
    let request = read(&woocommerce()).expect("it is right");
    assert_eq!(
        (request.state, &request.spec.skip_statuses[..]),
        (ConnectionState::Paused, &["pending".into(), "on-hold".into()][..])
    );
    let SourceSpec::WooCommerce(shop) = &request.spec.source else { panic!("another kind") };
    assert_eq!((shop.url.as_str(), request.spec.source.store()), ("https://www.shop.example", "shop.example".into()));
    assert_eq!(shop.consumer_key.expose(), "ck_s3cret");
    let secret = shop.webhook_secret.expose();
    assert!(secret.len() == 48 && secret.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_ne!(new_webhook_secret(), new_webhook_secret());
    let Some(DestinationSpec::CloudElements(callback)) = request.spec.destination else { panic!("another kind") };
    assert_eq!(callback.url.expose(), "http://client.example/cb");
    assert_eq!(callback.signature_key, Some("s3cret".into()));
    assert!(callback.has_raw && callback.drops_nulls && callback.headers.is_empty() && callback.basic.is_none());
}

#[test]
fn what_is_no_json_is_told_from_a_wrong_field() {
    for body in ["", "{", "name=x", "{\"name\":\"s3cret}", "{\"a\":1}}", "\u{feff}{}"] {
        let error = ConnectionRequest::from_json(body.as_bytes(), &rules()).expect_err("no JSON");
        assert!(matches!(error, RequestProblem::NotJson { .. }), "{body}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    assert!(matches!(ConnectionRequest::from_json(b"\xff", &rules()), Err(RequestProblem::NotJson { .. })));
    for body in [json!([]), json!("x"), json!(1), json!(null)] {
        assert_eq!(problem(read(&body)).field, "body");
    }
}

#[test]
fn a_wrong_missing_or_unknown_field_is_named() {
    let long = "x".repeat(2000);
    for (body, pointer, value, field) in [
        (bigcommerce(), "/name", json!(null), "name"),
        (bigcommerce(), "/name", json!(""), "name"),
        (bigcommerce(), "/name", json!(5), "name"),
        (bigcommerce(), "/name", json!("a\u{202e}b"), "name"),
        (bigcommerce(), "/nam", json!("x"), "nam"),
        (bigcommerce(), "/origin", json!("environment"), "origin"),
        (bigcommerce(), "/source", json!(null), "source"),
        (bigcommerce(), "/source", json!("abcde"), "source"),
        (bigcommerce(), "/source/kind", json!(null), "source.kind"),
        (bigcommerce(), "/source/kind", json!("shopify"), "source.kind"),
        (bigcommerce(), "/source/kind", json!("woocommerce"), "source.access_token"),
        (bigcommerce(), "/source/store_hash", json!("stores/abcde"), "source.store_hash"),
        (bigcommerce(), "/source/access_token", json!(null), "source.access_token"),
        (bigcommerce(), "/source/access_token", json!(""), "source.access_token"),
        (bigcommerce(), "/source/access_token", json!("two s3cret words"), "source.access_token"),
        (bigcommerce(), "/source/access_token", json!("s3cret\r\nx: y"), "source.access_token"),
        (bigcommerce(), "/source/access_token", json!(long), "source.access_token"),
        (bigcommerce(), "/source/client_secret", json!("s3cret-is-short"), "source.client_secret"),
        (bigcommerce(), "/source/client_secret", json!(["s3cret-client-secret"]), "source.client_secret"),
        (bigcommerce(), "/source/acess_token", json!("s3cret"), "source.acess_token"),
        (bigcommerce(), "/source/is_app", json!(true), "source.is_app"),
        (bigcommerce(), "/destination", json!(null), "destination"),
        (bigcommerce(), "/destination/kind", json!("somewhere"), "destination.kind"),
        (bigcommerce(), "/destination/url", json!(null), "destination.url"),
        (bigcommerce(), "/destination/url", json!("https://evil.example/s3cret"), "destination.url"),
        (bigcommerce(), "/destination/url", json!("http://api.onetribeglobal.com/s3cret"), "destination.url"),
        (bigcommerce(), "/destination/url", json!("https://10.0.0.1/s3cret"), "destination.url"),
        (bigcommerce(), "/destination/url", json!("https://u:s3cret@onetribeglobal.com/x"), "destination.url"),
        (bigcommerce(), "/destination/callback_url", json!("https://a.example"), "destination.callback_url"),
        (bigcommerce(), "/skip_order_statuses", json!("0"), "skip_order_statuses"),
        (bigcommerce(), "/skip_order_statuses", json!([0, "pending"]), "skip_order_statuses[1]"),
        (bigcommerce(), "/skip_order_statuses", json!([0.5]), "skip_order_statuses[0]"),
        (bigcommerce(), "/skip_order_statuses", json!([-1]), "skip_order_statuses[0]"),
        (bigcommerce(), "/skip_order_statuses", json!([[]]), "skip_order_statuses[0]"),
        (bigcommerce(), "/state", json!("incomplete"), "state"),
        (bigcommerce(), "/state", json!("Active"), "state"),
        (bigcommerce(), "/state", json!(true), "state"),
        (woocommerce(), "/source/url", json!("http://shop.example"), "source.url"),
        (woocommerce(), "/source/url", json!("https://192.168.1.1"), "source.url"),
        (woocommerce(), "/source/url", json!("https://[::1]"), "source.url"),
        (woocommerce(), "/source/url", json!("https://u:s3cret@shop.example"), "source.url"),
        (woocommerce(), "/source/consumer_key", json!("ck s3cret"), "source.consumer_key"),
        (woocommerce(), "/source/consumer_secret", json!(null), "source.consumer_secret"),
        (woocommerce(), "/source/webhook_secret", json!("s3cret"), "source.webhook_secret"),
        (
            woocommerce(),
            "/destination/callback_url",
            json!("http://169.254.169.254/s3cret"),
            "destination.callback_url",
        ),
        (woocommerce(), "/destination/callback_url", json!("ftp://a.example/s3cret"), "destination.callback_url"),
        (woocommerce(), "/destination/signature_key", json!(""), "destination.signature_key"),
        (woocommerce(), "/destination/signature_key", json!("s3cret\n"), "destination.signature_key"),
        (woocommerce(), "/skip_order_statuses", json!([0]), "skip_order_statuses[0]"),
        (woocommerce(), "/skip_order_statuses", json!(["Pending"]), "skip_order_statuses[0]"),
    ] {
        let body = with(body, pointer, value);
        let problem = problem(read(&body));
        assert_eq!(problem.field, field, "{body}");
        let said = RequestProblem::from(problem).to_string();
        assert!(said.starts_with(field) && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn what_a_client_has_called_a_field_is_shown_harmlessly() {
    let problem = problem(read(&with(bigcommerce(), "/\u{1b}[31m\u{202e}x\nx", json!(1))));
    assert_eq!(problem.field, "\\u{1b}[31m\\u{202e}x\\nx");
    assert!(problem.problem.contains("the fields here are name, source"), "{problem}");
}

#[test]
fn opened_networks_may_be_named_by_plain_http() {
    let body = with(woocommerce(), "/source/url", json!("http://127.0.0.1:9000/"));
    let SourceSpec::WooCommerce(shop) = read(&body).expect("it is right").spec.source else { panic!("another kind") };
    assert_eq!(shop.url, "http://127.0.0.1:9000");
    let body = with(bigcommerce(), "/destination/url", json!("http://127.0.0.1:9000/x"));
    assert!(read(&body).is_ok());
}

#[test]
fn a_change_leaves_what_is_not_given() {
    let former = read(&bigcommerce()).expect("a connection").spec;
    let nothing = change(&bigcommerce(), &json!({})).expect("it is right");
    assert_eq!(nothing, ConnectionChange { spec: former.clone(), state: None, is_source_changed: false });

    let paused = change(&bigcommerce(), &json!({"state": "paused"})).expect("it is right");
    assert_eq!((paused.spec == former, paused.state), (true, Some(ConnectionState::Paused)));

    let renewed = change(&bigcommerce(), &json!({"source": {"access_token": "another"}})).expect("it is right");
    assert!(renewed.is_source_changed);
    let SourceSpec::BigCommerce(store) = &renewed.spec.source else { panic!("another kind") };
    assert_eq!(store.auth, BigCommerceAuth::Token("another".into()));
    assert_eq!(store.client_secrets, ["s3cret-client-secret".into()]);

    let rotated = json!({"source": {"client_secret": "another-client-secret, s3cret-client-secret"}});
    let rotated = change(&bigcommerce(), &rotated).expect("it is right");
    let SourceSpec::BigCommerce(store) = &rotated.spec.source else { panic!("another kind") };
    assert_eq!(store.client_secrets, ["another-client-secret".into(), "s3cret-client-secret".into()]);

    let same = json!({"source": {"kind": "bigcommerce", "store_hash": "abcde", "access_token": "s3cret-token"}});
    assert!(!change(&bigcommerce(), &same).expect("it is right").is_source_changed);

    let elsewhere =
        json!({"name": "New", "destination": {"kind": "cloud_elements", "callback_url": "https://a.example/"}});
    let elsewhere = change(&bigcommerce(), &elsewhere).expect("it is right");
    assert_eq!((elsewhere.spec.name.as_str(), elsewhere.is_source_changed), ("New", false));
    assert_eq!(elsewhere.spec.destination.expect("a destination").host(), "a.example");
}

#[test]
fn a_shop_keeps_its_webhook_secret() {
    let former = read(&woocommerce()).expect("a connection").spec;
    let patch = json!({"source": {"url": "https://shop.example", "consumer_secret": "another"}});
    let change = ConnectionChange::from_json(patch.to_string().as_bytes(), &former, &rules()).expect("it is right");
    let (SourceSpec::WooCommerce(before), SourceSpec::WooCommerce(after)) = (&former.source, &change.spec.source)
    else {
        panic!("another kind")
    };
    assert_eq!(after.webhook_secret, before.webhook_secret);
    assert_eq!(after.consumer_key, before.consumer_key);
    assert_eq!((after.url.as_str(), after.consumer_secret.expose()), ("https://shop.example", "another"));
}

#[test]
fn a_connection_stays_with_its_store() {
    for (body, patch, field) in [
        (bigcommerce(), json!({"source": {"store_hash": "fghij"}}), "source.store_hash"),
        (bigcommerce(), json!({"source": {"kind": "woocommerce"}}), "source.kind"),
        (bigcommerce(), json!({"source": {"consumer_key": "x"}}), "source.consumer_key"),
        (woocommerce(), json!({"source": {"url": "https://another.example"}}), "source.url"),
        (woocommerce(), json!({"source": {"url": "https://shop.example/sub"}}), "source.url"),
        (bigcommerce(), json!({"id": 5}), "id"),
        (bigcommerce(), json!({"state": "disconnected"}), "state"),
        (bigcommerce(), json!({"destination": {"url": "https://api.onetribeglobal.com/x"}}), "destination.kind"),
        (bigcommerce(), json!({"source": []}), "source"),
    ] {
        assert_eq!(problem(change(&body, &patch)).field, field, "{patch}");
    }
}

#[test]
fn what_is_kept_up_elsewhere_is_not_changed_here() {
    let rules = rules();
    for (origin, refused) in [
        (Origin::App, &["source"][..]),
        (Origin::Instance, &["source", "destination"][..]),
        (Origin::Environment, &["source"][..]),
    ] {
        let former = ConnectionSpec { origin, ..read(&bigcommerce()).expect("a connection").spec };
        let parts = [
            ("source", json!({"source": {"access_token": "x"}})),
            ("destination", json!({"destination": {"kind": "one_tribe", "url": "https://onetribeglobal.com/x"}})),
            ("name", json!({"name": "x"})),
        ];
        for (field, patch) in parts {
            let change = ConnectionChange::from_json(patch.to_string().as_bytes(), &former, &rules);
            assert_eq!(change.is_err(), refused.contains(&field), "{origin} {field}");
        }
    }
}

#[tokio::test]
async fn hosts_that_lead_inside_are_refused_and_unknown_ones_are_not() {
    let spec = |body: Value| read(&body).expect("it is right").spec;
    let closed = AddressPolicy::default();
    let inside = spec(with(woocommerce(), "/source/url", json!("http://127.0.0.1:9000")));
    let problem = check_addresses(&inside, &closed).await.expect_err("it leads inside");
    assert!(problem.field == "source.url" && problem.problem.contains("ALLOWED_PRIVATE_NETWORKS"), "{problem}");
    assert_eq!(check_addresses(&spec(with(inside_only(), "/state", json!("active"))), &rules().policy).await, Ok(()));
    let inside = spec(with(bigcommerce(), "/destination/url", json!("http://127.0.0.1:9000/s3cret")));
    let problem = check_addresses(&inside, &closed).await.expect_err("it leads inside");
    assert!(problem.field == "destination.url" && !problem.to_string().contains("s3cret"), "{problem}");
    let unknown = with(inside_only(), "/destination/callback_url", json!("https://no.such.host.invalid/"));
    assert_eq!(check_addresses(&spec(unknown), &rules().policy).await, Ok(()));
}

fn inside_only() -> Value {
    let body = with(woocommerce(), "/source/url", json!("http://127.0.0.1:9000"));
    with(body, "/destination/callback_url", json!("http://127.0.0.1:9000/cb"))
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let read = ConnectionRequest::from_json(&body, &rules());
        prop_assert!(read.is_err());
    }

    #[test]
    fn no_secret_shows_in_debug_or_in_a_problem(secret in "[A-Za-z0-9]{20,40}", bad in "[ \u{1}é]?", at in 0..4usize) {
        let given = format!("{secret}{bad}");
        let (body, pointer, value) = match at {
            0 => (bigcommerce(), "/source/access_token", given),
            1 => (bigcommerce(), "/source/client_secret", given),
            2 => (bigcommerce(), "/destination/url", format!("https://onetribeglobal.com/{given}")),
            _ => (woocommerce(), "/source/consumer_secret", given),
        };
        let shown = format!("{:?}", read(&with(body, pointer, json!(value))));
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }
}
