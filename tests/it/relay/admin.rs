//! The admin's routes: who may call them, and what they answer.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbox::{Action, relay::ADMIN_TOKEN};
use serde_json::json;

use crate::relay::world::World;

const ROUTES: [(Method, &str); 6] = [
    (Method::GET, "/integration"),
    (Method::GET, "/integration/check"),
    (Method::POST, "/integration/update"),
    (Method::GET, "/orders"),
    (Method::POST, "/orders/1/resend"),
    (Method::POST, "/orders/resend?state=failed"),
];

#[actix_web::test]
async fn without_an_admin_token_the_pages_are_closed_and_say_why() {
    let world = World::start_with(&[("ADMIN_TOKEN", "")]).await;
    for (method, path) in ROUTES {
        let answer = world.client.request(method, world.url(path)).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 403, "{path}");
        assert!(answer.text().await.unwrap().contains("ADMIN_TOKEN"), "{path}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn only_the_right_password_opens_them_as_bearer_or_basic() {
    let world = World::start().await;
    for (method, path) in ROUTES {
        let answer = world.client.request(method, world.url(path)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401, "{path}");
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "), "{path}");
    }
    let wrong = world.client.get(world.url("/orders")).bearer_auth("wrong").send().await.unwrap();
    assert_eq!(wrong.status().as_u16(), 401);
    for user in ["", "anybody"] {
        let right = world.client.get(world.url("/orders")).basic_auth(user, Some(ADMIN_TOKEN)).send().await.unwrap();
        assert_eq!(right.status().as_u16(), 200);
    }
    world.finish().await;
}

#[actix_web::test]
async fn the_password_is_looked_at_before_anything_else() {
    let world = World::start().await;
    for (method, path, status) in [
        (Method::GET, "/orders?limit=1&limit=2", 400),
        (Method::GET, "/integration?order=1&order=2", 200),
        (Method::POST, "/orders/resend?state=failed&state=gone", 400),
        (Method::POST, "/orders/%FF/resend", 400),
    ] {
        let ask = |password| world.client.request(method.clone(), world.url(path)).bearer_auth(password).send();
        let began = Instant::now();
        assert_eq!(ask("wrong").await.unwrap().status().as_u16(), 401, "{path}");
        assert!(began.elapsed() >= Duration::from_secs(1), "{path}");
        assert_eq!(ask(ADMIN_TOKEN).await.unwrap().status().as_u16(), status, "{path}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn wrong_passwords_are_slow_side_by_side_too_and_right_ones_are_not() {
    let world = World::start().await;
    let began = Instant::now();
    let guess = || world.client.get(world.url("/orders")).bearer_auth("a guess").send();
    let (one, two, right) = tokio::join!(guess(), guess(), world.get("/orders"));
    assert_eq!((one.unwrap().status().as_u16(), two.unwrap().status().as_u16(), right.0), (401, 401, 200));
    // Each waits a second of its own; the number answered within a minute is limited.
    assert!(began.elapsed() >= Duration::from_secs(1));
    world.finish().await;
}

#[actix_web::test]
async fn a_post_from_another_sites_page_is_refused() {
    let world = World::start().await;
    let host = format!("127.0.0.1:{}", world.port);
    for (header, value, status) in [
        ("sec-fetch-site", "cross-site".to_owned(), 403),
        ("sec-fetch-site", "same-site".to_owned(), 403),
        ("sec-fetch-site", "same-origin".to_owned(), 202),
        ("origin", "https://evil.example".to_owned(), 403),
        ("origin", "null".to_owned(), 403),
        ("origin", format!("http://{host}"), 202),
    ] {
        let post = world.client.post(world.url("/orders/resend?state=failed")).basic_auth("a", Some(ADMIN_TOKEN));
        let answer = post.header(header, &value).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{header}: {value}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn orders_are_listed_in_pages_by_state_without_anything_personal() {
    let world = World::start_with(&[("RETRY_MAX_AGE", "1s")]).await;
    let orders: Vec<i64> = (0..5).map(|_| world.store.place_order_as(None, 11)).collect();
    world.arrived(5).await;
    let refused = world.store.place_order_silently(None, 11);
    world.sink.fault_order(refused, Action::Status(400));
    world.tell(refused).await;
    world.settled(refused, "failed").await;
    for order in &orders {
        world.settled(*order, "delivered").await;
    }
    let ids = |page: &serde_json::Value| -> Vec<i64> {
        page["orders"].as_array().unwrap().iter().map(|row| row["order_id"].as_i64().unwrap()).collect()
    };
    let (_, first) = world.get("/orders?state=delivered&limit=3").await;
    assert_eq!(ids(&first), [orders[4], orders[3], orders[2]]);
    let (_, second) = world.get(&format!("/orders?state=delivered&limit=3&before={}", first["next"])).await;
    assert_eq!(ids(&second), [orders[1], orders[0]]);
    assert_eq!(second["next"], json!(null));
    let (_, failed) = world.get("/orders?state=failed").await;
    assert_eq!(ids(&failed), [refused]);
    assert_eq!(failed["orders"][0]["last_error"], "destination: HTTP 400");
    for wrong in ["state=lost", "limit=0", "limit=x", "limit=100000", "before=-1"] {
        assert_eq!(world.get(&format!("/orders?{wrong}")).await.0, 400, "{wrong}");
    }
    for wrong in ["/orders/0/resend", "/orders/x/resend", "/orders/resend", "/orders/resend?state=delivered"] {
        assert_eq!(world.post(wrong).await.0, 400, "{wrong}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn the_check_has_seven_parts_and_its_status_is_the_worst() {
    let world = World::start().await;
    let (status, report) = world.get("/integration/check").await;
    assert_eq!((status, &report["status"]), (200, &json!("pass")), "{report}");
    let checks = report["checks"].as_array().unwrap();
    let ids: Vec<_> = checks.iter().map(|check| check["id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        [
            "configuration",
            "storage",
            "bigcommerce_api",
            "bigcommerce_hooks",
            "public_url",
            "one_tribe_destination",
            "deliveries"
        ]
    );
    for check in checks {
        for field in ["status", "title", "detail", "remedy", "duration_ms"] {
            assert!(check.get(field).is_some(), "{check}");
        }
    }
    // The check sent no order.
    assert_eq!(world.sink.accepted_count(), 0);
    world.store.deactivate_hook(world.store.hooks()[0].id);
    let (status, report) = world.get("/integration/check").await;
    // Meanwhile polling finds the orders, so it is only a warning.
    assert_eq!((status, &report["status"]), (200, &json!("warn")), "{report}");
    let (status, report) = world.post("/integration/update").await;
    assert_eq!((status, &report["status"]), (200, &json!("pass")), "{report}");
    world.finish().await;
}
