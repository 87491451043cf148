//! Many stores at one address: independent of each other, except for the blocklist of a client they share.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::{Method, StatusCode};
use sandbox::{
    Action, ApiAccount, Fault, Operation, QuotaRule, Sender, SenderOptions, StoreConfig, StoreFarm, StoreSim,
};
use serde_json::json;

use crate::SOON;
use crate::api::{Api, finish};
use crate::receiver::Receiver;

const APP: &str = "the-app";

fn app_account(token: &str, scopes: &[&str]) -> ApiAccount {
    ApiAccount {
        client_id: APP.to_owned(),
        client_secret: "the-apps-client-secret".to_owned(),
        token: token.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    }
}

async fn as_app(store: &StoreSim, token: &str, method: Method, path: &str) -> crate::api::Got {
    let url = format!("{}/stores/{}/{path}", store.api_url(), store.config().hash);
    let mut request = sandbox::http::client().request(method.clone(), url).header("X-Auth-Token", token);
    request = request.header("Accept", "application/json");
    if method == Method::POST {
        let hook = json!({ "scope": "store/order/*", "destination": "https://relay.example/app", "is_active": true });
        request = request.header("Content-Type", "application/json").body(hook.to_string());
    }
    finish(request).await.expect("an answer")
}

#[tokio::test]
async fn each_store_has_its_own_orders_quota_faults_and_record() {
    let farm = StoreFarm::start(3).expect("a port");
    let [one, two, three] = &farm.stores()[..] else { panic!("three stores") };
    assert_eq!((one.api_url(), two.api_url()), (farm.api_url(), farm.api_url()));
    let (first, second, third) = (Api::of(one), Api::of(two), Api::of(three));

    let (a, b) = (one.place_order(), two.place_order());
    assert_ne!(a, b, "ids that no other store has");
    assert_eq!(first.get(&format!("v2/orders/{a}")).await.status, 200);
    assert_eq!(second.get(&format!("v2/orders/{a}")).await.status, 404);

    two.fault(Fault::new(Operation::Any, Action::Status(503)));
    three.set_quota(QuotaRule { requests: 1, ..QuotaRule::default() });
    three.other_app_uses(1);
    assert_eq!(first.get("v2/time").await.status, 200);
    assert_eq!(second.get("v2/time").await.status, 503);
    assert_eq!(third.get("v2/time").await.status, 429);
    assert_eq!((one.call_count(Operation::Any), two.call_count(Operation::Any)), (2, 2));
    assert_eq!((one.quota_refusals(), three.quota_refusals()), (0, 1));

    let foreign = as_app(one, &two.config().token, Method::GET, "v2/time").await;
    assert_eq!(foreign.status, 401, "another store's token");
    let added = farm.add(StoreConfig { hash: "late".to_owned(), ..StoreConfig::numbered(4) });
    assert_eq!(Api::of(&added).get("v2/time").await.status, 200);
    farm.remove("late");
    assert_eq!(Api::of(&added).get("v2/time").await.status, StatusCode::NOT_FOUND);
    assert!(farm.store("late").is_none());
    farm.stop().await;
}

#[tokio::test]
async fn a_store_tells_of_itself_and_its_clock_can_be_wrong() {
    let store = StoreSim::start().expect("a port");
    let api = Api::of(&store);
    let told = api.get("v2/store").await.json();
    assert_eq!(told["name"], "Sandbox Store");
    assert_eq!(told["domain"], "abcde.example");
    assert_eq!(told["secure_url"], "https://abcde.example");
    assert_eq!(told["control_panel_base_url"], "https://store-abcde.mybigcommerce.com");
    store.set_clock_skew(7200);
    let got = api.get("v2/time").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().cast_signed();
    let ahead = got.json()["time"].as_i64().expect("a number") - now;
    assert!((7195..=7205).contains(&ahead), "{ahead}");
    let date = jiff::fmt::rfc2822::parse(got.header("Date").expect("a date")).expect("a date").timestamp();
    assert!((7195..=7205).contains(&(date.as_second() - now)), "{date}");
    store.stop().await;
}

#[tokio::test]
async fn an_apps_account_sees_its_own_hooks_and_may_do_what_its_scopes_say() {
    let store = StoreSim::start().expect("a port");
    store.add_hook("store/order/*", "https://relay.example/own").expect("a hook");
    store.grant(app_account("app-token", &["store_v2_orders_read_only"]));
    assert_eq!(as_app(&store, "app-token", Method::GET, "v2/orders").await.status, 204);
    assert_eq!(as_app(&store, "app-token", Method::GET, "v2/store").await.status, 403);
    assert_eq!(as_app(&store, "app-token", Method::POST, "v3/hooks").await.status, 200);
    let seen = as_app(&store, "app-token", Method::GET, "v3/hooks").await.json();
    let seen = seen["data"].as_array().expect("a list").clone();
    assert_eq!((seen.len(), &seen[0]["client_id"]), (1, &json!(APP)));
    assert!(seen[0].get("client_secret").is_none());
    assert_eq!(Api::of(&store).get("v2/hooks").await.ids().len(), 1, "nor does the other account see the app's");
    let foreign = format!("v3/hooks/{}", store.hooks()[0].id);
    assert_eq!(as_app(&store, "app-token", Method::GET, &foreign).await.status, 404);
    assert_eq!(as_app(&store, "app-token", Method::DELETE, &foreign).await.status, 404);

    store.grant(app_account("newer-token", &[]));
    assert_eq!(as_app(&store, "app-token", Method::GET, "v2/time").await.status, 401);
    assert_eq!(as_app(&store, "newer-token", Method::GET, "v2/time").await.status, 200);
    assert_eq!((store.remove_hooks_of(APP), store.revoke(APP), store.revoke(APP)), (1, true, false));
    assert_eq!(as_app(&store, "newer-token", Method::GET, "v2/time").await.status, 401);
    assert_eq!(store.hooks().len(), 1);
    store.stop().await;
}

#[tokio::test]
async fn one_sender_serves_all_stores_and_a_clients_blocklist_couples_them() {
    let farm = StoreFarm::start(2).expect("a port");
    let stores = farm.stores();
    let failing = Receiver::start(&vec![500; 2000]);
    for store in &stores {
        store.grant(app_account(&format!("token-of-{}", store.config().hash), &[]));
    }
    let api_of_app = |store: &StoreSim| {
        let url = format!("{}/stores/{}/v3/hooks", store.api_url(), store.config().hash);
        let hook = json!({ "scope": "store/order/*", "destination": failing.url, "is_active": true });
        let request =
            sandbox::http::client().post(url).header("X-Auth-Token", format!("token-of-{}", store.config().hash));
        request.header("Accept", "application/json").header("Content-Type", "application/json").body(hook.to_string())
    };
    for store in &stores {
        assert_eq!(finish(api_of_app(store)).await.expect("an answer").status, 200);
    }
    let good = Receiver::start(&[]);
    stores[1].add_hook("store/order/*", &good.url).expect("a hook");

    let sender = Sender::start_for(&stores, SenderOptions { time_factor: 0.1, ..SenderOptions::default() });
    for _ in 0..120 {
        stores[0].place_order_as(None, 0);
    }
    stores[0].wait_for(|store| !store.blocked_domains().is_empty(), SOON).await.expect("blocked");
    assert!(!stores[1].blocked_domains().is_empty(), "the other store of this client as well");
    let order = stores[1].place_order();
    sender.wait_for(|sender| sender.acknowledged_count() == 1, SOON).await.expect("the good hook was told");
    let acknowledged = sender.acknowledged();
    assert_eq!((&*acknowledged[0].store, acknowledged[0].order), ("store2", order));
    let told = failing.callbacks();
    let of_second = |body: &[u8]| String::from_utf8_lossy(body).contains("stores/store2");
    assert!(!told.iter().any(|callback| of_second(&callback.body)), "blocked");
    sender.stop().await;
    farm.stop().await;
}

#[tokio::test]
async fn thousands_of_stores_cost_little() {
    let started = std::time::Instant::now();
    let farm = StoreFarm::start(5000).expect("a port");
    let sender = Sender::start_for(&farm.stores(), SenderOptions::default());
    let last = farm.store("store5000").expect("the store");
    last.place_order();
    sender.idle(SOON).await.expect("nobody to tell");
    assert_eq!(Api::of(&last).list("limit=1").await, [5_000_000_218]);
    assert!(started.elapsed() < SOON);
    sender.stop().await;
    farm.stop().await;
}
