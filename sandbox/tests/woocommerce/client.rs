//! Calls: finding the API, authentication, the answers, and the cost of a shop in trouble.

use std::time::{Duration, Instant};

use onetribe_relay::{
    http::Failure,
    retry::FetchBlame,
    source::woocommerce::{AuthMode, Shop, blame, root::Permalinks},
};
use sandbox::{Action, Fault, Operation, ShopConfig, ShopPermalinks, ShopSim};
use serde_json::json;

use super::{SOON, client, client_with, number, shops, spec, start};

async fn fetch(shop: &Shop, id: i64) -> Result<bytes::Bytes, Failure> {
    let permit = shop.take().await;
    shop.order(permit, &number(id)).await.map(|order| order.body).map_err(|error| error.failure)
}

#[tokio::test]
async fn every_kind_of_shop_is_found_and_read() {
    for permalinks in [ShopPermalinks::Pretty, ShopPermalinks::IndexPhp, ShopPermalinks::Plain] {
        for folder in ["", "/blog"] {
            for is_ssl in [true, false] {
                let config = ShopConfig { permalinks, folder: folder.to_owned(), is_ssl, ..ShopConfig::default() };
                let (sim, shop) = start(config);
                let id = sim.place_order();
                let case = format!("{permalinks:?} {folder:?} {is_ssl}");
                shop.can_read().await.expect(&case);
                assert_eq!(fetch(&shop, id).await, Ok(sim.order_bytes(id).expect("it is there")), "{case}");
                let expected = match permalinks {
                    ShopPermalinks::Pretty => Permalinks::Pretty,
                    ShopPermalinks::IndexPhp => Permalinks::IndexPhp,
                    ShopPermalinks::Plain => Permalinks::Plain,
                };
                assert_eq!(shop.facts().permalinks, Some(expected), "{case}");
                assert_eq!(shop.info().await.expect(&case).name, "Sandbox shop");
                sim.stop().await;
            }
        }
    }
}

#[tokio::test]
async fn the_api_is_looked_for_once_and_again_when_it_has_moved() {
    let (sim, shop) = start(ShopConfig::default());
    let id = sim.place_order();
    let (first, second, third) = tokio::join!(fetch(&shop, id), fetch(&shop, id), fetch(&shop, id));
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert_eq!(sim.call_count(Operation::Any), 4, "one look and three orders");
    sim.configure(|config| config.permalinks = ShopPermalinks::Plain);
    let lost = fetch(&shop, id).await.expect_err("the API has moved");
    assert_eq!((lost, blame(lost)), (Failure::Html(404), FetchBlame::Store), "nothing is said of the order");
    assert!(fetch(&shop, id).await.is_ok());
    let asked = sim.calls().pop().expect("a call").path_and_query;
    assert_eq!(asked, format!("/index.php?rest_route=/wc/v3/orders/{id}&x=wp-json/wc/"));
}

#[tokio::test]
async fn a_stripped_header_is_proven_before_the_secret_goes_into_a_query() {
    let (sim, shop) = start(ShopConfig { strips_authorization: true, ..ShopConfig::default() });
    let id = sim.place_order();
    assert!(fetch(&shop, id).await.is_ok());
    assert_eq!(shop.facts().auth, AuthMode::QueryKeys);
    let secret = sim.config().consumer_secret.clone();
    let calls: Vec<String> = sim.calls().into_iter().map(|call| call.path_and_query).collect();
    let first = calls.iter().position(|call| call.contains(&secret)).expect("it is in the query in the end");
    assert!(calls[first - 1].contains("consumer_secret=cs_00000"), "after the proof alone: {calls:?}");

    sim.configure(|config| config.strips_authorization = false);
    shop.can_read().await.expect("it works either way");
    assert_eq!(shop.facts().auth, AuthMode::Basic, "the header arrives again");
}

#[tokio::test]
async fn the_secret_of_a_key_that_is_refused_goes_into_no_query() {
    for (wrong_key, rest_of_it) in [(true, false), (false, true)] {
        let sim = ShopSim::start().expect("a port");
        let mut keys = spec(&sim);
        if wrong_key {
            keys.consumer_key = format!("ck_{}", "0".repeat(40)).into();
        }
        if rest_of_it {
            keys.consumer_secret = format!("cs_{}", "1".repeat(40)).into();
        }
        let shop = client_with(&sim, &keys, SOON);
        for _ in 0..3 {
            assert_eq!(fetch(&shop, 1).await, Err(Failure::Status(401)));
        }
        let is_told = sim.calls().iter().any(|call| call.path_and_query.contains(keys.consumer_secret.expose()));
        assert!(!is_told && shop.facts().auth == AuthMode::Basic);
    }
}

#[tokio::test]
async fn what_is_not_the_json_asked_for_is_a_failure() {
    let sim = ShopSim::start().expect("a port");
    let shop = client_with(&sim, &spec(&sim), SOON);
    let impatient = client_with(&sim, &spec(&sim), Duration::from_millis(700));
    let id = sim.place_order();
    assert!(fetch(&shop, id).await.is_ok());
    for (action, failure) in [
        (Action::NotJson, Failure::Html(200)),
        (Action::Prefix("<br />\n<b>Notice</b>: Undefined index"), Failure::Html(200)),
        (Action::Prefix("Notice: Undefined index in x.php on line 1\n"), Failure::NotJson),
        (Action::AnotherOrder, Failure::Status(404)),
        (Action::Oversized { announced: true }, Failure::TooLarge),
        (Action::Oversized { announced: false }, Failure::TooLarge),
        (Action::HalfAnswer, Failure::Broken),
        (Action::Drop, Failure::Broken),
        (Action::Status(500), Failure::Status(500)),
        (Action::Drip(2 * SOON), Failure::Timeout),
        (Action::Slow(2 * SOON), Failure::Timeout),
    ] {
        sim.fault(Fault::new(Operation::OrderSingle, action.clone()).times(1));
        let client = if failure == Failure::Timeout { &impatient } else { &shop };
        assert_eq!(fetch(client, id).await, Err(failure), "{action:?}");
    }
    sim.fault(Fault::new(Operation::OrderSingle, Action::Prefix("\u{feff}")).times(1));
    assert!(fetch(&shop, id).await.is_ok(), "a byte order mark is no harm");
    let elsewhere = Action::Redirect("https://evil.example/".to_owned());
    sim.fault(Fault::new(Operation::OrderSingle, elsewhere).times(1));
    assert_eq!(fetch(&shop, id).await, Err(Failure::Status(302)));
    let challenge = Fault::new(Operation::OrderSingle, Action::Status(403)).header("Content-Type", "text/html");
    sim.fault(challenge.times(1));
    let challenged = fetch(&shop, id).await.expect_err("a challenge");
    assert_eq!((challenged, blame(challenged)), (Failure::Html(403), FetchBlame::Store));

    let other = sim.place_order_as(Some(id + 1), "processing");
    sim.fault(Fault::new(Operation::OrderSingle, Action::AnotherOrder).times(1));
    assert_eq!(fetch(&shop, other - 1).await, Err(Failure::AnotherObject));
    sim.fault(Fault::new(Operation::OrderList, Action::NotJson).times(1));
    let listed = shop.orders(shop.take().await, &[number(id), number(other)]).await;
    assert_eq!(listed.map_err(|error| error.failure).err(), Some(Failure::Html(200)), "never an empty list");
}

#[tokio::test]
async fn an_object_is_missing_only_where_the_shop_says_so() {
    let (sim, shop) = start(ShopConfig::default());
    let id = sim.place_order();
    sim.trash_order(id);
    let trashed = shop.order(shop.take().await, &number(id)).await.expect("it is in the trash");
    assert!(trashed.is_deleted && trashed.status.as_deref() == Some("trash"));
    sim.delete_order(id);
    assert_eq!(fetch(&shop, id).await, Err(Failure::Status(404)));
    sim.configure(|config| config.rest = sandbox::RestState::WithoutWooCommerce);
    let gone = fetch(&shop, id).await.expect_err("WooCommerce is not active");
    assert_eq!(blame(gone), FetchBlame::Store);
}

#[tokio::test]
async fn what_stands_before_a_shop_cannot_make_an_order_gone() {
    let (sim, shop) = start(ShopConfig::default());
    let id = sim.place_order();
    assert!(fetch(&shop, id).await.is_ok());
    for status in [404, 410] {
        for kind in ["text/plain", "application/json", "text/html"] {
            let away = Fault::new(Operation::OrderSingle, Action::Status(status)).header("Content-Type", kind);
            sim.fault(away.times(1));
            let seen = fetch(&shop, id).await.expect_err("a proxy knows no such page");
            assert_eq!(blame(seen), FetchBlame::Store, "{status} {kind}");
        }
    }
    assert!(fetch(&shop, id).await.is_ok());
}

#[tokio::test]
async fn calls_side_by_side_wait_for_one_proof_that_the_header_is_stripped() {
    let (sim, shop) = start(ShopConfig { strips_authorization: true, ..ShopConfig::default() });
    let id = sim.place_order();
    sim.fault(Fault::new(Operation::OrderList, Action::Slow(Duration::from_millis(200))));
    let (one, other) = tokio::join!(fetch(&shop, id), fetch(&shop, id));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(sim.call_count(Operation::OrderList), 1, "proven once");
}

#[tokio::test]
async fn two_calls_at_a_time_whoever_makes_them() {
    let sim = ShopSim::start().expect("a port");
    let id = sim.place_order();
    let shops = shops(SOON);
    let shop = || Shop::new(shops.clone(), &spec(&sim)).expect("an address").starting_with(AuthMode::Basic);
    let (one, other) = (shop(), shop());
    assert!(fetch(&one, id).await.is_ok() && fetch(&other, id).await.is_ok());
    sim.fault(Fault::new(Operation::OrderSingle, Action::Hold));
    let watch = async {
        sim.wait_for(|sim| sim.held() == 2, SOON).await.expect("two are held");
        assert!(one.try_take(3).is_err() && other.try_take(3).is_err());
        let most = sim.call_count(Operation::OrderSingle);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(sim.call_count(Operation::OrderSingle), most, "no third");
        sim.clear_faults();
        sim.release();
    };
    let calls = tokio::join!(fetch(&one, id), fetch(&other, id), fetch(&one, id), fetch(&other, id), watch);
    assert!(calls.0.is_ok() && calls.1.is_ok() && calls.2.is_ok() && calls.3.is_ok());
}

#[tokio::test]
async fn a_pause_that_the_shop_asks_for_is_kept() {
    let (sim, shop) = start(ShopConfig::default());
    let id = sim.place_order();
    assert!(fetch(&shop, id).await.is_ok());
    let busy = Fault::new(Operation::OrderSingle, Action::Status(503)).header("Retry-After", "1");
    sim.fault(busy.times(1));
    let began = Instant::now();
    assert_eq!(fetch(&shop, id).await, Err(Failure::Status(503)));
    assert!(shop.pause(began).is_some() && shop.try_take(1).is_err());
    assert!(fetch(&shop, id).await.is_ok());
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());

    sim.fault(Fault::new(Operation::OrderSingle, Action::Status(429)).header("Retry-After", "600").times(1));
    assert_eq!(fetch(&shop, id).await, Err(Failure::Status(429)));
    let refused = shop.take_urgent().await.expect_err("nobody waits ten minutes");
    assert_eq!(refused.failure, Failure::Status(429));
}

#[tokio::test]
async fn a_backlog_is_fetched_in_lists() {
    let (sim, shop) = start(ShopConfig { record_details: false, ..ShopConfig::default() });
    let ids: Vec<i64> = (0..5000).map(|_| sim.place_order_silently(None, "processing")).collect();
    let mut fetched = 0;
    for batch in ids.chunks(100) {
        let batch: Vec<_> = batch.iter().copied().map(number).collect();
        let rows = shop.orders(shop.take().await, &batch).await.expect("a list");
        assert!(rows.iter().all(|row| batch.contains(&row.id)));
        let id = rows[0].id.number().expect("a number");
        assert_eq!(rows[0].body, sim.order_bytes(id).expect("it is there"), "the very bytes of a single call");
        fetched += rows.len();
    }
    assert_eq!(fetched, 5000);
    assert!(sim.call_count(Operation::Any) <= 60, "{}", sim.call_count(Operation::Any));
    sim.trash_order(ids[0]);
    let rows = shop.orders(shop.take().await, &[number(ids[0]), number(ids[1]), number(99_999)]).await.expect("a list");
    assert_eq!(rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [number(ids[1])], "the trash is left out");
}

#[tokio::test]
async fn other_resources_are_read_as_they_are() {
    let (sim, shop) = start(ShopConfig::default());
    let product = sim.add_object("products", json!({ "name": "Tee", "status": "publish" }));
    for n in 0..3 {
        sim.add_object("customers", json!({ "email": format!("{n}@example.com") }));
    }
    let query = [("per_page".to_owned(), "2".to_owned())];
    let customers = shop.get(shop.take().await, "customers", &query).await.expect("a list");
    assert_eq!((customers.status, customers.total, customers.pages), (200, Some(3), Some(2)));
    let one = shop.object(shop.take().await, "products", &number(product)).await.expect("a product");
    assert_eq!(one.status.as_deref(), Some("publish"));
    let walked = shop.walk(shop.take().await, "customers", 2, 2).await.expect("a page");
    assert_eq!(walked.len(), 1);
    let refunds = shop.get(shop.take().await, "orders/99/refunds", &[]).await;
    assert_eq!(refunds.err().map(|error| error.failure), Some(Failure::Status(404)));
    for path in ["../../wp/v2/users", "orders?x=1", "https://evil.example/"] {
        assert!(shop.get(shop.take().await, path, &[]).await.is_err(), "{path}");
    }
    assert_eq!(client(&sim).facts().permalinks, None, "nothing is called for a client alone");
}
