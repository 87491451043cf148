//! Each check against the running relay, right and wrong, with the simulators' faults; and what the page does with it.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair};
use reqwest::{Method, Response};
use sandbox::{Action, Fault, HookRules, Operation, QuotaRule, SenderOptions, StoreConfig, relay::ADMIN_TOKEN};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::relay::world::{PATIENCE, World};

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
    let (code, report) = world.get("/integration/check").await;
    let (came, said) = found(&report, id);
    assert!(came == status && said.contains(says), "{id}: {came} {said}, not {status} {says}");
    assert_eq!(code, if report["status"] == "fail" { 503 } else { 200 });
    for secret in ["sandbox-access-token", "sandbox-client-secret", "sandbox-merchant-token", "sandbox-admin-token"] {
        assert!(!report.to_string().contains(secret), "{report}");
    }
}

#[actix_web::test]
async fn mistakes_in_the_settings_are_told_from_outages_and_are_over_with_the_next_answer() {
    let world = World::start().await;
    for (status, says) in [
        (401, "set BIGCOMMERCE_ACCESS_TOKEN anew"),
        (403, "may not read orders"),
        (404, "check BIGCOMMERCE_STORE_HASH"),
        (503, "does not answer as it should (HTTP 503)"),
    ] {
        world.store.fault(Fault::new(Operation::Any, Action::Status(status)));
        look(&world, "bigcommerce_api", "fail", says).await;
        world.store.clear_faults();
        look(&world, "bigcommerce_api", "pass", "may read orders").await;
    }
    world.store.fault(Fault::new(Operation::OrderList, Action::NotJson));
    look(&world, "bigcommerce_api", "fail", "BigCommerce does not answer as it should").await;
    world.store.clear_faults();
    // A pause that outlasts a check is told at once, not waited for.
    world.store.fault(Fault::new(Operation::OrderList, Action::Status(429)).header("Retry-After", "120"));
    look(&world, "bigcommerce_api", "warn", "API limit is used up").await;
    let began = Instant::now();
    look(&world, "bigcommerce_api", "warn", "API limit is used up for").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    world.finish().await;
}

/// Refused until an order goes through, which nobody has to ask for.
#[actix_web::test]
async fn a_token_that_works_again_is_green_without_a_click() {
    let world = World::start().await;
    world.store.fault(Fault::new(Operation::Any, Action::Status(401)));
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    let says = async |words: &str| {
        let asked = async {
            while !page(&world).await.contains(words) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "{words}: {}", page(&world).await);
    };
    says("<title>BigCommerce refuses the access token").await;
    world.store.clear_faults();
    world.arrived(1).await;
    says("<title>Connected ·").await;
    world.finish().await;
}

/// The hash of another store: the page says so at once, the log and the alert once it is certain, and nobody speaks of
/// v3.
#[actix_web::test]
async fn an_unknown_store_is_an_alert_with_its_cure() {
    let receiver = crate::support::receiver::Receiver::start();
    let extra = [("BIGCOMMERCE_STORE_HASH", "zzzzz"), ("ALERT_URL", &receiver.url)];
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &extra);
    world.start_relay().await;
    let told = async {
        loop {
            let text = receiver.texts().into_iter().next();
            if let Some(text) = text {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // It is certain with the first of the ever rarer tries that is ten seconds after the first refusal.
    let text = tokio::time::timeout(2 * PATIENCE, told).await.unwrap();
    for part in ["BigCommerce does not know this store (HTTP 404)", "check BIGCOMMERCE_STORE_HASH", "Status page: "] {
        assert!(text.contains(part), "{text}");
    }
    look(&world, "bigcommerce_api", "fail", "does not know this store").await;
    assert!(page(&world).await.contains("<title>The store is not known"));
    world.finish().await;
}

#[actix_web::test]
async fn a_quota_that_others_used_up_is_no_failure() {
    let world = World::start().await;
    let rule = QuotaRule { requests: 20, window: Duration::from_secs(60), ..QuotaRule::default() };
    world.store.set_quota(rule);
    world.store.other_app_uses(19);
    world.get("/integration/check").await;
    look(&world, "bigcommerce_api", "warn", "API limit is used up").await;
    world.finish().await;
}

#[actix_web::test]
async fn what_is_wrong_with_a_hook_is_amber_with_its_consequence_and_update_puts_it_right() {
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
        look(&world, "bigcommerce_hooks", "warn", says).await;
        look(&world, "bigcommerce_hooks", "warn", "up to 15 minutes late").await;
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
    let told = async {
        while !found(&world.get("/integration/check").await.1, "bigcommerce_hooks").1.contains("could not be put right")
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    look(&world, "bigcommerce_hooks", "warn", "up to 15 minutes late").await;
    world.finish().await;
}

/// Polling finds what no webhook told of: three orders are no coincidence.
#[actix_web::test]
async fn orders_found_by_polling_alone_are_told_and_a_webhook_ends_it() {
    let world = World::start_with(&[("RECONCILE_INTERVAL", "1s")]).await;
    // What the first poll finds may have changed before there was a relay: it counts for nothing.
    let before = world.store.place_order_silently(None, 11);
    world.settled(before, "delivered").await;
    let first = world.store.place_order_as(None, 11);
    world.settled(first, "delivered").await;
    let silent: Vec<i64> = (0..4).map(|_| world.store.place_order_silently(None, 11)).collect();
    for order in &silent {
        world.settled(*order, "delivered").await;
    }
    let told = async {
        while found(&world.get("/integration/check").await.1, "bigcommerce_hooks").0 != "warn" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    look(&world, "bigcommerce_hooks", "warn", "that no webhook told of; the last one came").await;
    world.tell(first).await;
    look(&world, "bigcommerce_hooks", "pass", "").await;
    world.finish().await;
}

#[actix_web::test]
async fn another_relay_behind_the_public_address_is_not_this_one() {
    let other = World::start().await;
    // The same store, the same secrets, another inbox.
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[("PUBLIC_URL", &other.url(""))]);
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
async fn one_check_that_hangs_holds_up_no_other() {
    let world = World::start_with(&[("FETCH_TIMEOUT", "60s")]).await;
    world.store.fault(Fault::new(Operation::OrderList, Action::Hold));
    let began = Instant::now();
    let (code, report) = world.get("/integration/check").await;
    let took = began.elapsed();
    world.store.clear_faults();
    world.store.release();
    assert_eq!(code, 503);
    assert!(took < Duration::from_secs(15), "{took:?}");
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
    look(&world, "configuration", "warn", "polling is switched off").await;
    world.finish().await;
    let extra = [("PUBLIC_URL", ""), ("RECONCILE_INTERVAL", "0")];
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &extra);
    world.start_relay().await;
    look(&world, "configuration", "fail", "Nothing tells the relay of new orders").await;
    world.finish().await;
}

async fn browse(world: &World, method: Method, path: &str) -> Response {
    let request = world.client.request(method, world.url(path)).basic_auth("anybody", Some(ADMIN_TOKEN));
    request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8").send().await.unwrap()
}

/// The status page as a browser gets it.
#[actix_web::test]
async fn an_old_order_that_waits_stands_on_the_page_beside_many_newer_ones() {
    let world = World::start_with(&[("RECONCILE_INTERVAL", "0")]).await;
    world.store.set_quota(sandbox::QuotaRule::unlimited());
    for _ in 0..230 {
        world.store.place_order_as(None, 11);
    }
    world.arrived(230).await;
    let old = world.store.place_order_silently(Some(5), 11);
    world.sink.fault_all(Action::Status(503));
    world.tell(old).await;
    world.sink.wait_for(|sink| sink.attempts() > 230, PATIENCE).await.unwrap();
    let page = page(&world).await;
    assert!(page.contains(">Order 5</a>") || page.contains(">Order 5</b>"), "{page}");
    world.sink.clear_faults();
    world.arrived(231).await;
    world.finish().await;
}

async fn page(world: &World) -> String {
    browse(world, Method::GET, "/integration").await.text().await.unwrap()
}

#[actix_web::test]
async fn the_page_is_html_and_closed_to_everything_from_elsewhere() {
    let world = World::start().await;
    for path in ["/integration", "/integration/check", "/connections"] {
        let response = browse(&world, Method::GET, path).await;
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        let policy = header("content-security-policy");
        for part in
            ["default-src 'none'", "'sha256-", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(part) || path == "/connections" && part.starts_with("form-action"), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        // `no-referrer` would turn the Origin of the page's own forms into `null`.
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
        let page = response.text().await.unwrap();
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{page}");
        for never in [" style=\"", "sandbox-access", "sandbox-client", "sandbox-merchant", "onclick", "http-equiv"] {
            assert!(!page.contains(never), "{path} contains {never}");
        }
    }
    world.finish().await;
}

/// Whoever types an address, or comes back by it, is not answered with JSON.
#[actix_web::test]
async fn where_no_page_is_a_browser_gets_one_with_a_way_on() {
    let world = World::start().await;
    for (path, status, says, onward) in [
        ("/connections/99/integration", 404, "There is no connection with this id.", "../../connections"),
        ("/connections/99/integration/check", 404, "There is no connection with this id.", "../../../connections"),
        ("/connections/99/orders", 404, "There is no connection with this id.", "../../connections"),
        ("/integration/update", 405, "a button of the status page", "../integration"),
        ("/orders/218/resend", 405, "a button of the status page", "../../integration"),
        ("/no-such-page", 404, "There is nothing at this address.", "integration"),
    ] {
        let response = browse(&world, Method::GET, path).await;
        assert_eq!((response.status().as_u16(), &response.headers()["vary"]), (status, &"Accept".parse().unwrap()));
        assert_eq!(response.headers().contains_key("allow"), status == 405);
        let page = response.text().await.unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains(says), "{path}: {page}");
        assert!(page.contains(&format!("href=\"{onward}\"")), "{path}: {page}");
        let (code, report) = world.get(path).await;
        assert!(code == status && report["error"].is_string(), "{path}: {report}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn update_integration_is_answered_by_a_redirect_and_says_what_it_did() {
    let world = World::start().await;
    world.store.deactivate_hook(world.store.hooks()[0].id);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request = client.post(world.url("/integration/update")).basic_auth("x", Some(ADMIN_TOKEN));
    let answer = request.header("accept", "text/html").send().await.unwrap();
    assert_eq!(answer.status(), 303);
    let to = answer.url().join(answer.headers()["location"].to_str().unwrap()).unwrap();
    let follow = client.get(to.clone()).basic_auth("x", Some(ADMIN_TOKEN)).header("accept", "text/html");
    let page = follow.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("1 webhook switched on again"), "{page}");
    assert!(world.store.hooks()[0].is_active);
    world.finish().await;
}
