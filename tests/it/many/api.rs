//! Connections through the API: created, changed, paused, ended, resumed. Errors name what is wrong, and no answer
//! shows a secret.

use reqwest::Method;
use sandbox::{Event, Scope, SendOptions, send_once, stores::CREDENTIALS_KEY};
use serde_json::{Value, json};

use super::world::{PATIENCE, World};

#[actix_web::test]
async fn a_connection_lives_from_its_first_day_to_its_return() {
    let mut world = World::start(1).await;
    let store = world.farm.stores().remove(0);
    let request = world.store_request(&store);
    let id = world.connect(&request).await;
    store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
    let address = store.hooks()[0].destination.clone();
    let client = world.client.clone();
    let tell = |order: i64| {
        let (client, secret, address) = (client.clone(), store.config().client_secret.clone(), address.clone());
        let event = Event::new(Scope::Created, order).of_store(&store.config().hash);
        async move { send_once(&client, &address, &secret, &event, &SendOptions::default()).await.unwrap() }
    };
    let first = store.place_order_silently(None, 11);
    assert_eq!(tell(first).await, 200);
    world.arrived_at(first, 1).await;

    // Paused: orders are kept and wait.
    let path = format!("/connections/{id}");
    let (status, paused) = world.ask(Method::PATCH, &path, Some(&json!({"state": "paused"}))).await;
    assert_eq!((status, &paused["state"]), (200, &json!("paused")));
    let second = store.place_order_silently(None, 11);
    assert_eq!(tell(second).await, 200);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(world.sink.newest(second), None);
    // Resumed, and still active after a restart.
    world.stop_relay().await;
    world.start_relay().await;
    let (status, _) = world.ask(Method::PATCH, &path, Some(&json!({"state": "active", "name": "Renamed"}))).await;
    assert_eq!(status, 200);
    world.arrived_at(second, 1).await;

    // Ended: the hook is removed, its address answers 200 to anything, and nothing is forwarded.
    let (status, ended) = world.ask(Method::DELETE, &path, None).await;
    assert_eq!((status, &ended["state"], &ended["name"]), (200, &json!("disconnected"), &json!("Renamed")));
    assert!(store.hooks().is_empty());
    let third = store.place_order_silently(None, 11);
    assert_eq!(tell(third).await, 200);
    let (status, _) = world.ask(Method::PATCH, &path, Some(&json!({"state": "active"}))).await;
    assert_eq!(status, 409);

    // Connecting the same store and destination again gives the same connection with its history, and nothing is sent
    // twice.
    assert_eq!(world.connect(&request).await, id);
    store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
    assert_eq!(store.hooks()[0].destination, address);
    let fourth = store.place_order_silently(None, 11);
    assert_eq!(tell(fourth).await, 200);
    world.arrived_at(fourth, 1).await;
    assert_eq!((world.sink.newest(first), world.sink.newest(third)), (Some(1), None));
    let (_, orders) = world.get(&format!("{path}/orders")).await;
    assert!(orders["orders"].as_array().unwrap().len() >= 3, "{orders}");
    world.finish().await;
}

#[actix_web::test]
async fn whatever_is_wrong_is_named_and_nothing_is_made() {
    let world = World::start(1).await;
    for (method, path) in [(Method::PUT, "/connections"), (Method::DELETE, "/orders"), (Method::POST, "/connections/4")]
    {
        let (status, said) = world.ask(method, path, None).await;
        assert!(status == 405 && said["error"].as_str().is_some_and(|error| error.contains("use ")), "{path}: {said}");
    }
    let store = world.farm.stores().remove(0);
    let right = world.store_request(&store);
    let with = |path: &[&str], value: Value| {
        let mut request = right.clone();
        let mut place = &mut request;
        for name in path {
            place = &mut place[*name];
        }
        *place = value;
        request
    };
    for (request, status, named) in [
        (json!([]), 422, ""),
        (json!({}), 422, "name"),
        (with(&["name"], json!("")), 422, "name"),
        (with(&["surprise"], json!(1)), 422, "surprise"),
        (with(&["source", "kind"], json!("shopify")), 422, "source.kind"),
        (with(&["source", "store_hash"], json!("../x")), 422, "source.store_hash"),
        (with(&["source", "access_token"], json!("")), 422, "source.access_token"),
        (with(&["source", "extra"], json!("")), 422, "source.extra"),
        (with(&["destination", "url"], json!("https://evil.example/x")), 422, "destination.url"),
        (with(&["destination", "url"], json!("ftp://127.0.0.1/x")), 422, "destination.url"),
        (with(&["destination"], Value::Null), 422, "destination"),
        (with(&["state"], json!("disconnected")), 422, "state"),
        (with(&["skip_order_statuses"], json!(["x"])), 422, "skip_order_statuses"),
        (with(&["source", "access_token"], json!("a-wrong-access-token")), 422, "access token"),
    ] {
        let (code, answer) = world.ask(Method::POST, "/connections", Some(&request)).await;
        let said = answer["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(code, status, "{request} {said}");
        assert!(said.contains(named), "{named}: {said}");
        assert!(!said.contains(&store.config().client_secret) && !said.contains("a-wrong-access-token"), "{said}");
    }
    let raw = |body: Vec<u8>| {
        let request = world.client.post(world.url("/connections")).bearer_auth(sandbox::relay::ADMIN_TOKEN);
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    };
    assert_eq!(raw(b"{".to_vec()).await, 400);
    assert_eq!(raw(vec![b' '; 70 * 1024]).await, 413);
    let bare = world.client.post(world.url("/connections")).body(right.to_string()).send().await.unwrap();
    assert_eq!(bare.status().as_u16(), 401);
    let (_, list) = world.get("/connections").await;
    assert_eq!(list["connections"], json!([]));
    // Without verification it is created nevertheless, but not a second time.
    let unseen = with(&["source", "access_token"], json!("a-wrong-access-token"));
    let (status, _) = world.ask(Method::POST, "/connections?verify=false", Some(&unseen)).await;
    assert_eq!(status, 201);
    assert_eq!(world.ask(Method::POST, "/connections", Some(&right)).await.0, 409);
    for path in ["/connections/99", "/connections/0", "/connections/x"] {
        assert_eq!(world.get(path).await.0, 404, "{path}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn several_connections_have_no_default_and_pages_of_their_own() {
    let world = World::start(2).await;
    let ids = world.connect_all().await;
    assert_eq!(world.get("/orders").await.0, 409);
    assert_eq!(world.get("/integration/check").await.0, 409);
    for id in &ids {
        let (status, report) = world.get(&format!("/connections/{id}/integration/check")).await;
        assert_eq!(status, 200, "{report}");
        let page = world.client.get(world.url(&format!("/connections/{id}/integration")));
        let page = page.bearer_auth(sandbox::relay::ADMIN_TOKEN).header("accept", "text/html").send().await.unwrap();
        assert_eq!(page.status().as_u16(), 200);
    }
    let (_, first) = world.get("/connections?limit=1").await;
    assert_eq!(first["connections"][0]["id"], ids[0]);
    let (_, second) = world.get(&format!("/connections?limit=1&after={}", first["next"])).await;
    assert_eq!((&second["connections"][0]["id"], &second["next"]), (&json!(ids[1]), &Value::Null));
    let browser = world.client.get(world.url("/connections")).bearer_auth(sandbox::relay::ADMIN_TOKEN);
    let list = browser.header("accept", "text/html").send().await.unwrap().text().await.unwrap();
    assert!(list.contains("Sandbox Store 1") && list.contains("Sandbox Store 2"), "{list}");
    world.finish().await;
}

#[actix_web::test]
async fn no_secret_lies_open_in_the_database_or_in_an_answer() {
    let mut world = World::start(2).await;
    let ids = world.connect_all().await;
    let order = world.farm.stores()[0].place_order_silently(None, 11);
    assert_eq!(world.ask(Method::POST, &format!("/connections/{}/orders/{order}/resend", ids[0]), None).await.0, 202);
    world.arrived_at(order, 1).await;
    let (_, list) = world.get("/connections").await;
    world.stop_relay().await;
    let mut kept = list.to_string().into_bytes();
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    let path = url::Url::parse(&world.sink.url()).unwrap().path().to_owned();
    let mut secrets = vec![path, CREDENTIALS_KEY.to_owned(), "@example.com".to_owned()];
    for store in world.farm.stores() {
        secrets.extend([store.config().token.clone(), store.config().client_secret.clone()]);
    }
    for secret in secrets {
        let found = kept.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} lies open");
    }
    world.finish().await;
}
