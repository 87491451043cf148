//! What `/connections` refuses: private addresses, stores that cannot be reached, and changes that would break a
//! working connection.

use onetribe_relay::config::Config;
use reqwest::Method;
use sandbox::{Action, Fault, Operation, relay::Relay, relay::free_port, stores::variables};
use serde_json::{Value, json};

use super::world::{PATIENCE, World};

#[actix_web::test]
async fn no_url_leads_to_a_private_address_however_it_is_written() {
    const HOSTS: &str = "127.0.0.1,localhost,10.0.0.1,169.254.169.254,192.168.0.1,172.16.0.1,100.64.0.1,0.0.0.0,\
                         [::1],[::ffff:127.0.0.1],[::ffff:10.0.0.1],[fd00::1],[fe80::1],[64:ff9b::7f00:1]";
    let opened = [("ALLOWED_PRIVATE_NETWORKS", ""), ("ONE_TRIBE_HOSTS", HOSTS)];
    let world = World::start_with(1, &opened).await;
    let store = world.farm.stores().remove(0);
    let spellings = [
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        // Other notations of 127.0.0.1 and 169.254.169.254.
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0x7f.1",
        "2852039166",
    ];
    for host in spellings {
        let mut request = world.store_request(&store);
        request["destination"]["url"] = json!(format!("https://{host}/direct/webhook/x"));
        let (status, answer) = world.ask(Method::POST, "/connections?verify=false", Some(&request)).await;
        assert_eq!(status, 422, "one_tribe {host}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("destination.url"), "{host}: {answer}");
        let callback = json!({"kind": "cloud_elements", "callback_url": format!("https://{host}/callback")});
        let mut request = world.store_request(&store);
        request["destination"] = callback;
        let (status, answer) = world.ask(Method::POST, "/connections?verify=false", Some(&request)).await;
        assert_eq!(status, 422, "callback {host}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("destination.callback_url"), "{host}: {answer}");
        let shop = json!({
            "name": "A shop",
            "source": {
                "kind": "woocommerce", "url": format!("https://{host}"),
                "consumer_key": format!("ck_{}", "0".repeat(40)), "consumer_secret": format!("cs_{}", "0".repeat(40)),
            },
            "destination": {"kind": "cloud_elements", "callback_url": "https://example.com/callback"},
        });
        let (status, answer) = world.ask(Method::POST, "/connections?verify=false", Some(&shop)).await;
        assert_eq!(status, 422, "shop {host}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("source.url"), "{host}: {answer}");
    }
    let (_, list) = world.get("/connections").await;
    assert_eq!(list["connections"], json!([]));
    world.finish().await;
}

#[actix_web::test]
async fn a_store_that_cannot_be_asked_is_a_502_and_nothing_is_made() {
    let world = World::start(1).await;
    let store = world.farm.stores().remove(0);
    for action in [Action::Status(503), Action::Drop, Action::NotJson, Action::Status(500)] {
        store.fault(Fault::new(Operation::Any, action.clone()));
        let (status, answer) = world.ask(Method::POST, "/connections", Some(&world.store_request(&store))).await;
        assert_eq!(status, 502, "{action:?}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("verify=false"), "{action:?}: {answer}");
        store.clear_faults();
    }
    for status in [401, 403, 404] {
        store.fault(Fault::new(Operation::Any, Action::Status(status)));
        let (code, answer) = world.ask(Method::POST, "/connections", Some(&world.store_request(&store))).await;
        assert_eq!(code, 422, "{status}: {answer}");
        store.clear_faults();
    }
    let (_, list) = world.get("/connections").await;
    assert_eq!(list["connections"], json!([]));
    // Refused requests do not use up ids.
    let id = world.connect(&world.store_request(&store)).await;
    assert!(id > 0);
    world.finish().await;
}

#[actix_web::test]
async fn a_change_that_the_store_refuses_or_that_makes_no_sense_changes_nothing() {
    let world = World::start(2).await;
    let ids = world.connect_all().await;
    let stores = world.farm.stores();
    let path = format!("/connections/{}", ids[0]);
    let before = world.get(&path).await.1;
    let refused = [
        (json!({"source": {"access_token": "a-wrong-access-token"}}), 422, "access token"),
        (json!({"source": {"store_hash": "another"}}), 422, "source.store_hash"),
        (json!({"source": {"kind": "woocommerce"}}), 422, "source"),
        (json!({"name": ""}), 422, "name"),
        (json!({"surprise": 1}), 422, "surprise"),
        (json!({"state": "disconnected"}), 422, "state"),
        (json!({"state": "incomplete"}), 422, "state"),
        (json!({"destination": {"kind": "one_tribe", "url": "https://evil.example/x"}}), 422, "destination.url"),
        (json!({"destination": null}), 422, "destination"),
        (json!([]), 422, ""),
    ];
    for (change, status, named) in refused {
        let (code, answer) = world.ask(Method::PATCH, &path, Some(&change)).await;
        assert_eq!(code, status, "{change}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(named), "{change}: {answer}");
        assert!(!answer.to_string().contains("a-wrong-access-token"), "{answer}");
        assert_eq!(world.get(&path).await.1, before, "{change}");
    }
    let raw = |body: Vec<u8>| {
        let request = world.client.patch(world.url(&path)).bearer_auth(sandbox::relay::ADMIN_TOKEN);
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    };
    assert_eq!((raw(b"{".to_vec()).await, raw(vec![b' '; 70 * 1024]).await), (400, 413));
    stores[0].fault(Fault::new(Operation::Any, Action::Status(503)));
    let token = json!({"source": {"access_token": stores[0].config().token}});
    let (code, answer) = world.ask(Method::PATCH, &path, Some(&token)).await;
    assert!(code == 502 || code == 200, "{answer}");
    stores[0].clear_faults();
    assert_eq!(world.ask(Method::PATCH, &path, Some(&token)).await.0, 200, "a token that works");
    let (code, changed) = world.ask(Method::PATCH, &path, Some(&json!({"name": "Another name"}))).await;
    assert_eq!((code, &changed["name"]), (200, &json!("Another name")));
    world.finish().await;
}

#[actix_web::test]
async fn a_change_does_not_make_two_connections_of_one_store_and_destination() {
    let world = World::start(1).await;
    let store = world.farm.stores().remove(0);
    let first = world.connect(&world.store_request(&store)).await;
    let other =
        sandbox::OneTribeSim::start_with(sandbox::OneTribeConfig { token: "another".into(), ..Default::default() })
            .unwrap();
    let mut request = world.store_request(&store);
    request["destination"]["url"] = json!(other.url());
    let second = world.connect(&request).await;
    let change = json!({"destination": {"kind": "one_tribe", "url": world.sink.url()}});
    let (status, answer) = world.ask(Method::PATCH, &format!("/connections/{second}"), Some(&change)).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains(&first.to_string()), "{answer}");
    world.finish().await;
}

#[actix_web::test]
async fn the_environments_own_can_neither_be_changed_nor_ended() {
    let world = crate::relay::world::World::start().await;
    let own = world.get("/connections").await.1["connections"][0].clone();
    assert_eq!(own["origin"], "environment");
    let path = format!("/connections/{}", own["id"]);
    for (method, body) in [
        (Method::PATCH, Some(json!({"name": "Mine"}))),
        (Method::PATCH, Some(json!({"state": "paused"}))),
        (Method::DELETE, None),
    ] {
        let request = world.client.request(method.clone(), world.url(&path));
        let mut request = request.bearer_auth(sandbox::relay::ADMIN_TOKEN).header("accept", "application/json");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 409, "{method}");
        let said: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(said["error"].as_str().is_some_and(|error| !error.is_empty()), "{said}");
    }
    let order = world.store.place_order_as(None, 11);
    world.arrived_at(order, 1).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_start_without_the_right_key_names_it() {
    let mut world = World::start(1).await;
    world.connect_all().await;
    world.stop_relay().await;
    let start = |key: Option<&'static str>| {
        let mut all = variables(&world.farm, world.folder.path(), free_port().unwrap());
        all.retain(|(name, _)| name != "CREDENTIALS_KEY" || key.is_none());
        all.extend(key.map(|key| ("CREDENTIALS_KEY".to_owned(), key.to_owned())));
        async { Relay::start(Config::from_vars(all).unwrap()).await }
    };
    let wrong = start(Some("ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=")).await.unwrap_err().to_string();
    assert!(wrong.contains("CREDENTIALS_KEY"), "{wrong}");
    for secret in [&world.farm.stores()[0].config().token, "MDEyMzQ1Njc4"] {
        assert!(!wrong.contains(secret), "{wrong}");
    }
    // Both keys, in either order.
    let both = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=,MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    start(Some(both)).await.unwrap().stop().await.unwrap();
    world.start_relay().await;
    let store = world.farm.stores().remove(0);
    let order = store.place_order_silently(None, 11);
    let event = sandbox::Event::new(sandbox::Scope::Created, order).of_store(&store.config().hash);
    store.wait_for(|store| !store.hooks().is_empty(), PATIENCE).await.unwrap();
    let (address, secret) = (&store.hooks()[0].destination, &store.config().client_secret);
    let taken = sandbox::send_once(&world.client, address, secret, &event, &sandbox::SendOptions::default()).await;
    assert_eq!(taken.unwrap(), 200);
    world.arrived_at(order, 1).await;
    world.finish().await;
}
