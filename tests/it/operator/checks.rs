//! Each check, right and wrong, with the simulators' faults.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use onetribe_relay::{app::Parts, clock::Timestamp};
use rcgen::{CertificateParams, KeyPair};
use sandbox::{Action, Fault, HookRules, Operation, QuotaRule, SenderOptions, StoreConfig};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::world::{PATIENCE, World};

async fn report(world: &World) -> (u16, Value) {
    world.get("/integration/check").await
}

/// One check of a report: status and what it says, remedy included.
fn found<'a>(report: &'a Value, id: &str) -> (&'a str, String) {
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap();
    let remedy = check["remedy"].as_str();
    let status = check["status"].as_str().unwrap();
    assert_eq!(remedy.is_some(), matches!(status, "warn" | "fail"), "{check}");
    (status, format!("{} {}", check["detail"].as_str().unwrap(), remedy.unwrap_or_default()))
}

/// Runs the checks and looks at one of them.
async fn look(world: &World, id: &str, status: &str, says: &str) {
    let (code, report) = report(world).await;
    let (came, said) = found(&report, id);
    assert!(came == status && said.contains(says), "{id}: {came} {said}, not {status} {says}");
    assert_eq!(code, if report["status"] == "fail" { 503 } else { 200 });
    for secret in ["sandbox-access-token", "sandbox-client-secret", "sandbox-merchant-token", "sandbox-admin-token"] {
        assert!(!report.to_string().contains(secret), "{report}");
    }
}

#[actix_web::test]
async fn a_sound_integration_passes_in_the_contracts_shape_and_no_order_is_sent() {
    let world = World::start().await;
    let (code, report) = report(&world).await;
    assert_eq!((code, &report["status"]), (200, &Value::from("pass")), "{report}");
    assert!(report["checked_at"].as_str().unwrap().ends_with('Z'));
    let checks = report["checks"].as_array().unwrap();
    let ids: Vec<_> = checks.iter().map(|check| check["id"].as_str().unwrap()).collect();
    let all =
        ["configuration", "storage", "bigcommerce_api", "bigcommerce_hooks", "public_url", "one_tribe_destination"];
    assert_eq!(ids, [&all[..], &["deliveries"]].concat());
    for check in checks {
        let mut keys: Vec<_> = check.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["detail", "duration_ms", "id", "remedy", "status", "title"]);
        assert!(check["duration_ms"].is_u64());
    }
    assert_eq!(world.sink.accepted_count(), 0);
    world.finish().await;
}

#[actix_web::test]
async fn credentials_rights_and_quota_are_told_apart() {
    let world = World::start().await;
    for (status, came, says) in [
        (401, "fail", "refuses the access token"),
        (403, "fail", "may not read orders"),
        (404, "fail", "does not know this store"),
        (503, "fail", "does not answer as it should: HTTP 503"),
    ] {
        world.store.fault(Fault::new(Operation::OrderList, Action::Status(status)));
        look(&world, "bigcommerce_api", came, says).await;
        world.store.clear_faults();
    }
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(403)));
    look(&world, "bigcommerce_hooks", "fail", "refuses to show the webhooks").await;
    world.store.clear_faults();
    // A pause that outlasts a check is told at once, not waited for.
    world.store.fault(Fault::new(Operation::OrderList, Action::Status(429)).header("Retry-After", "120"));
    look(&world, "bigcommerce_api", "warn", "API limit is used up").await;
    let began = Instant::now();
    look(&world, "bigcommerce_api", "warn", "API limit is used up for").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    world.finish().await;
}

#[actix_web::test]
async fn a_quota_that_others_used_up_is_no_failure() {
    let world = World::start().await;
    let rule = QuotaRule { requests: 20, window: Duration::from_secs(60), ..QuotaRule::default() };
    world.store.set_quota(rule);
    world.store.other_app_uses(19);
    report(&world).await;
    look(&world, "bigcommerce_api", "warn", "API limit is used up").await;
    world.finish().await;
}

#[actix_web::test]
async fn what_is_wrong_with_a_hook_is_said_and_update_puts_it_right() {
    let world = World::start().await;
    let hook = world.store.hooks().remove(0);
    let change = |body: &'static str| {
        let url = format!("{}/stores/abcde/v3/hooks/{}", world.store.api_url(), hook.id);
        let request = world.client.put(url).header("X-Auth-Token", world.store.config().token.clone());
        request.header("Accept", "application/json").header("Content-Type", "application/json").body(body).send()
    };
    for (body, says) in [
        (r#"{"is_active":false}"#, "switched off by BigCommerce"),
        (r#"{"destination":"https://elsewhere.example/hook"}"#, "points to another address"),
        (r#"{"headers":{"x-relay-token":"old"}}"#, "does not carry the relay's token"),
    ] {
        assert!(change(body).await.unwrap().status().is_success());
        look(&world, "bigcommerce_hooks", "fail", says).await;
        let (status, report) = world.post("/integration/update").await;
        assert_eq!((status, found(&report, "bigcommerce_hooks").0), (200, "pass"));
    }
    world.store.block_domain("http://127.0.0.1", Instant::now() + Duration::from_secs(100));
    look(&world, "bigcommerce_hooks", "warn", "blocklist, for").await;
    world.finish().await;
}

#[actix_web::test]
async fn a_hook_that_cannot_be_made_is_missing() {
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[]);
    world.store.set_hook_rules(HookRules { per_scope: 0, ..HookRules::default() });
    world.start_relay().await;
    look(&world, "bigcommerce_hooks", "fail", "is missing. Click Update Integration").await;
    world.finish().await;
}

#[actix_web::test]
async fn another_relay_behind_the_public_address_is_not_this_one() {
    let other = World::start().await;
    let address = other.url("");
    // The same store, the same secrets, another inbox.
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[("PUBLIC_URL", &address)]);
    world.start_relay().await;
    look(&world, "public_url", "fail", "(HTTP 200), and it is not this relay").await;
    world.finish().await;
    other.finish().await;
}

#[actix_web::test]
async fn a_public_address_that_nobody_listens_at_cannot_be_reached() {
    let address = format!("http://127.0.0.1:{}", sandbox::relay::free_port().unwrap());
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[("PUBLIC_URL", &address)]);
    world.start_relay().await;
    look(&world, "public_url", "fail", "cannot be reached: no connection").await;
    // A webhook came all the same: only the relay cannot call itself.
    world.tell(world.store.place_order_silently(None, 11)).await;
    look(&world, "public_url", "warn", "yet a webhook came just now").await;
    world.finish().await;
}

/// A server that only shakes hands, with a certificate of its own making.
fn tls_server(params: CertificateParams) -> (SocketAddr, JoinHandle<()>) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    sandbox::http::install_tls_provider();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    });
    (address, task)
}

#[actix_web::test]
async fn certificate_problems_are_told_from_other_ones() {
    let names = || CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let (self_signed, server) = tls_server(names());
    let mut expired = names();
    (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let (expired, second) = tls_server(expired);
    for (address, says) in
        [(self_signed, "nobody who is trusted"), (expired, "certificate of the public address is not valid")]
    {
        let address = format!("https://127.0.0.1:{}", address.port());
        let extra = [("PUBLIC_URL", &*address), ("ONE_TRIBE_DESTINATION", &*address)];
        let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &extra);
        world.start_relay().await;
        look(&world, "public_url", "fail", says).await;
        look(&world, "one_tribe_destination", "fail", "One Tribe's certificate is not valid").await;
        world.finish().await;
    }
    server.abort();
    second.abort();
}

#[actix_web::test]
async fn a_destination_that_is_away_or_does_not_exist() {
    let gone = format!("http://127.0.0.1:{}/x", sandbox::relay::free_port().unwrap());
    for (url, says) in [(&*gone, "no connection"), ("https://no-such-host.invalid/x", "does not exist")] {
        let mut world =
            World::prepare(StoreConfig::default(), SenderOptions::default(), &[("ONE_TRIBE_DESTINATION", url)]);
        world.start_relay().await;
        look(&world, "one_tribe_destination", "fail", says).await;
        world.finish().await;
    }
}

#[actix_web::test]
async fn an_outage_of_the_destination_shows_in_its_check() {
    let world = World::start().await;
    world.sink.fault_all(Action::Status(404));
    crate::put_off(&world).await;
    look(&world, "one_tribe_destination", "fail", "Copy the payload URL from One Tribe once more").await;
    look(&world, "deliveries", "pass", "1 order under way or waiting").await;
    world.sink.clear_faults();
    world.arrived(1).await;
    world.finish().await;
}

#[actix_web::test]
async fn failed_orders_are_a_warning_with_the_way_out() {
    let world = World::start_with(&[("RETRY_MAX_AGE", "1s")]).await;
    let order = world.store.place_order_silently(None, 11);
    world.sink.fault_order(order, Action::Status(422));
    world.tell(order).await;
    world.settled(order, "failed").await;
    look(&world, "deliveries", "warn", "1 order could not be delivered. Look at the failed orders").await;
    world.finish().await;
}

#[actix_web::test]
async fn one_check_that_hangs_holds_up_no_other() {
    let world = World::start_with(&[("FETCH_TIMEOUT", "60s")]).await;
    world.store.fault(Fault::new(Operation::OrderList, Action::Hold));
    let began = Instant::now();
    let (code, report) = report(&world).await;
    let took = began.elapsed();
    world.store.clear_faults();
    world.store.release();
    assert_eq!(code, 503);
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert_eq!(found(&report, "bigcommerce_api"), ("fail", found(&report, "bigcommerce_api").1));
    assert!(found(&report, "bigcommerce_api").1.contains("BigCommerce has not answered within 10 seconds"));
    for check in report["checks"].as_array().unwrap() {
        let slow = check["id"] == "bigcommerce_api";
        assert_eq!(check["status"] == "fail", slow, "{check}");
        assert!(slow || check["duration_ms"].as_u64().unwrap() < 5_000, "{check}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn what_is_not_set_is_a_warning_or_skipped() {
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[("PUBLIC_URL", "")]);
    world.start_relay().await;
    look(&world, "configuration", "warn", "PUBLIC_URL is not set").await;
    look(&world, "bigcommerce_hooks", "skip", "").await;
    look(&world, "public_url", "skip", "").await;
    world.finish().await;
    let world = World::start_with(&[("RECONCILE_INTERVAL", "0")]).await;
    look(&world, "configuration", "warn", "not found by polling").await;
    world.finish().await;
}

#[actix_web::test]
async fn a_page_instead_of_orders_proves_no_right_to_read_them() {
    let world = World::start().await;
    world.store.fault(Fault::new(Operation::OrderList, Action::NotJson));
    look(&world, "bigcommerce_api", "fail", "BigCommerce does not answer as it should").await;
    world.finish().await;
}

#[actix_web::test]
async fn an_outage_that_no_order_is_left_to_find_over_is_not_told_for_ever() {
    let mut world = World::start_with(&[("SKIP_ORDER_STATUSES", "5")]).await;
    world.sink.fault_all(Action::Status(503));
    let order = crate::put_off(&world).await;
    look(&world, "one_tribe_destination", "fail", "One Tribe has not been taking orders").await;
    world.store.change_order(order, 5);
    world.settled(order, "skipped").await;
    world.sink.clear_faults();
    let forgotten = async {
        while found(&report(&world).await.1, "one_tribe_destination").0 != "pass" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.unwrap();
    // The store knows an order that the destination never got: by its status, rightly.
    world.stop_relay().await;
}

#[actix_web::test]
async fn a_relay_that_nothing_can_tell_of_orders_says_so() {
    let mut world = World::prepare(
        StoreConfig::default(),
        SenderOptions::default(),
        &[("PUBLIC_URL", ""), ("RECONCILE_INTERVAL", "0")],
    );
    world.start_relay().await;
    look(&world, "configuration", "fail", "nothing tells the relay of new orders").await;
    world.finish().await;
}

#[actix_web::test]
async fn polling_that_does_not_work_is_told_once_it_lasts() {
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[("RECONCILE_INTERVAL", "1s")]);
    let parts = Parts::open(world.config()).await.unwrap();
    world.store.fault(Fault::new(Operation::OrderList, Action::NotJson));
    world.start_relay().await;
    let noted = async || parts.inbox.note(parts.connection.id, "polling:trouble").await.unwrap();
    let mut began = None;
    while began.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        began = noted().await;
    }
    look(&world, "deliveries", "pass", "No order has come yet").await;
    let long_ago = Timestamp::now().before(Duration::from_secs(3600)).millis();
    parts.inbox.keep_note(parts.connection.id, "polling:trouble", Some(format!("{long_ago} why"))).await.unwrap();
    look(&world, "deliveries", "warn", "Polling has not worked for 1 hour").await;
    world.store.clear_faults();
    let over = async {
        while noted().await.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, over).await.unwrap();
    // Where it is switched off nobody is there to end it, and it is no trouble.
    world.stop_relay().await;
    parts.inbox.keep_note(parts.connection.id, "polling:trouble", Some(format!("{long_ago} why"))).await.unwrap();
    world.set("RECONCILE_INTERVAL", "0");
    world.start_relay().await;
    look(&world, "deliveries", "pass", "No order has come yet").await;
    parts.inbox.close().await;
    world.finish().await;
}
