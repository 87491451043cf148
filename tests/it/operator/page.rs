//! What the page's addresses answer, to browsers and to programs; who is let in.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use sandbox::{Action, Fault, Operation, relay::ADMIN_TOKEN};

use crate::world::World;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn request(world: &World, method: Method, path: &str) -> RequestBuilder {
    world.client.request(method, world.url(path)).basic_auth("anybody", Some(ADMIN_TOKEN))
}

async fn browse(world: &World, method: Method, path: &str) -> Response {
    request(world, method, path).header("accept", BROWSER).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[actix_web::test]
async fn the_page_is_html_and_closed_to_everything_from_elsewhere() {
    let world = World::start().await;
    for (method, path) in
        [(Method::GET, "/integration"), (Method::GET, "/integration/check"), (Method::POST, "/integration/update")]
    {
        let response = browse(&world, method, path).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
        let policy = header(&response, "content-security-policy").to_owned();
        for part in [
            "default-src 'none'",
            "style-src 'sha256-",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        // `no-referrer` would turn the Origin of the page's own forms into `null`.
        assert_eq!(header(&response, "referrer-policy"), "same-origin");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "cache-control"), "no-store");
        let page = response.text().await.unwrap();
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{page}");
        for never in ["<script", "http://", "https://", " style=\"", "sandbox-", "onclick"] {
            assert!(!page.contains(never), "{path} contains {never}");
        }
    }
    world.finish().await;
}

#[actix_web::test]
async fn programs_get_json_and_people_get_pages() {
    let world = World::start().await;
    for (accept, kind) in [
        (Some("application/json"), "application/json"),
        (Some("application/json, text/html;q=0.5"), "application/json"),
        (Some("*/*"), "text/html; charset=utf-8"),
        (None, "text/html; charset=utf-8"),
    ] {
        let mut asked = request(&world, Method::GET, "/integration/check");
        if let Some(accept) = accept {
            asked = asked.header("accept", accept);
        }
        assert_eq!(header(&asked.send().await.unwrap(), "content-type"), kind, "{accept:?}");
    }
    world.sink.fault_all(Action::Status(503));
    crate::put_off(&world).await;
    let response = browse(&world, Method::GET, "/integration/check").await;
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("Orders are not arriving"));
    // The page itself is there in any case, and quick.
    let began = Instant::now();
    assert_eq!(browse(&world, Method::GET, "/integration").await.status(), 200);
    assert!(began.elapsed() < Duration::from_secs(1));
    world.sink.clear_faults();
    world.arrived(1).await;
    world.finish().await;
}

/// The status page as a browser gets it.
async fn page(world: &World) -> String {
    browse(world, Method::GET, "/integration").await.text().await.unwrap()
}

#[actix_web::test]
async fn an_older_check_does_not_contradict_what_is_known_now() {
    let world = World::start().await;
    assert_eq!(world.get("/integration/check").await.0, 200);
    world.sink.fault_all(Action::Status(404));
    crate::put_off(&world).await;
    let during = page(&world).await;
    assert!(during.contains("Orders are not arriving") && during.contains("Copy the payload URL"), "{during}");
    assert!(during.contains("1 order under way") && !during.contains("One Tribe can be reached"), "{during}");
    // And the other way round: found in the outage, and over since.
    assert_eq!(world.get("/integration/check").await.0, 503);
    world.sink.clear_faults();
    world.arrived(1).await;
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.settled(order, "delivered").await;
    let after = page(&world).await;
    assert!(after.contains("<title>Connected") && after.contains("Orders go through"), "{after}");
    assert!(after.contains("since then is shown as it is now") && !after.contains("Copy the payload URL"), "{after}");
    world.finish().await;
}

#[actix_web::test]
async fn the_page_speaks_to_a_merchant() {
    let world = World::start().await;
    world.store.deactivate_hook(world.store.hooks()[0].id);
    let found = browse(&world, Method::GET, "/integration/check").await.text().await.unwrap();
    assert!(found.contains("<code>onetribe-relay hooks update</code>") && !found.contains('`'), "{found}");
    assert!(found.contains("makes missing webhooks anew and mends altered ones"), "{found}");
    assert_eq!(world.post("/integration/update").await.0, 200);
    world.sink.fault_all(Action::Status(503));
    crate::put_off(&world).await;
    let waiting = page(&world).await;
    assert!(waiting.contains("<dt>Under way or waiting</dt><dd>1</dd>"), "{waiting}");
    assert!(waiting.contains("1 order under way or waiting for a turn."), "{waiting}");
    let (_, at) = waiting.split_once("<dt>Last webhook</dt>").unwrap();
    let title = at.split_once("title=\"").unwrap().1.split_once('"').unwrap().0;
    assert!(title.ends_with(" UTC"), "{title}");
    world.sink.clear_faults();
    world.arrived(1).await;
    world.finish().await;
}

#[actix_web::test]
async fn the_bare_address_leads_to_the_page() {
    let world = World::start().await;
    let led = world.client.get(world.url("/")).send().await.unwrap();
    assert_eq!(led.status(), 307);
    assert_eq!(led.url().join(header(&led, "location")).unwrap().as_str(), world.url("/integration"));
    for (method, path) in [(Method::HEAD, "/"), (Method::POST, "/"), (Method::GET, "/x"), (Method::GET, "//")] {
        let other = world.client.request(method.clone(), world.url(path)).send().await.unwrap();
        assert_eq!(other.status(), 404, "{method} {path}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_restart_does_not_make_the_page_forget_that_orders_go_through() {
    let mut world = World::start().await;
    assert!(page(&world).await.contains("Not checked yet"));
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.settled(order, "delivered").await;
    world.stop_relay().await;
    world.start_relay().await;
    let page = page(&world).await;
    assert!(page.contains("<title>Connected") && page.contains("Not checked since the relay started"), "{page}");
    world.finish().await;
}

#[actix_web::test]
async fn a_page_left_open_comes_anew_and_runs_nothing_again() {
    let world = World::start().await;
    for (method, path, onward) in [
        (Method::GET, "/integration", Some("./integration")),
        (Method::GET, "/integration?order=5", Some("./integration")),
        (Method::GET, "/integration/check", Some("../integration")),
        (Method::POST, "/integration/update", None),
    ] {
        let page = browse(&world, method, path).await.text().await.unwrap();
        let renewal = "<meta http-equiv=\"refresh\"";
        match onward {
            Some(to) => assert!(page.contains(&format!("{renewal} content=\"60; url={to}\">")), "{path}: {page}"),
            None => assert!(!page.contains(renewal), "{path}: {page}"),
        }
        let (_, made) = page.split_once("As of <time").unwrap();
        assert!(made.split_once('<').unwrap().0.ends_with(" UTC"), "{made}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_resend_answers_programs_to_the_letter_and_leads_forms_back() {
    let world = World::start_with(&[("RETRY_MAX_AGE", "1s")]).await;
    let order = world.store.place_order_silently(None, 11);
    world.sink.fault_order(order, Action::Status(422));
    world.tell(order).await;
    world.settled(order, "failed").await;
    let failed = browse(&world, Method::GET, "/integration").await.text().await.unwrap();
    assert!(failed.contains(&format!("Resend order {order}")), "{failed}");
    let said = "One Tribe refused this order (HTTP 422). Tell One Tribe, with the order's number.";
    assert!(failed.contains(said), "{failed}");
    assert_eq!(world.post("/orders/resend?state=failed").await, (202, serde_json::json!({ "resent": 1 })));
    world.settled(order, "failed").await;
    // `curl` says `*/*`: a program.
    let plain = request(&world, Method::POST, &format!("/orders/{order}/resend")).header("accept", "*/*");
    let plain = plain.send().await.unwrap();
    assert_eq!((plain.status().as_u16(), header(&plain, "content-type")), (202, "application/json"));
    let resends = [
        (format!("/orders/{order}/resend"), format!("../../integration?order={order}")),
        ("/orders/resend?state=gone".to_owned(), "../integration?resent=0".to_owned()),
    ];
    for (path, back) in resends {
        let answer = browse(&world, Method::POST, &path).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (202, "text/html; charset=utf-8"));
        let there = answer.url().join(&back).unwrap();
        assert!(there.as_str().starts_with(&world.url("/integration?")), "{there}");
        let page = answer.text().await.unwrap();
        assert!(page.contains(&format!("<meta http-equiv=\"refresh\" content=\"0; url={back}\">")), "{page}");
        assert!(page.contains("fetched again and sent to One Tribe."), "{page}");
    }
    let notice = browse(&world, Method::GET, "/integration?order=%3Cb%3E&resent=x").await.text().await.unwrap();
    assert!(!notice.contains("role=\"status\""), "{notice}");
    world.sink.clear_faults();
    world.post(&format!("/orders/{order}/resend")).await;
    world.arrived(1).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_browser_that_may_not_is_told_in_a_page() {
    let world = World::start().await;
    let response = world.client.get(world.url("/integration")).header("accept", BROWSER).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(header(&response, "www-authenticate").starts_with("Basic realm="));
    assert!(response.text().await.unwrap().contains("<h1>Password needed</h1>"));
    let program = world.client.get(world.url("/integration")).send().await.unwrap();
    assert_eq!(header(&program, "content-type"), "application/json");
    for (name, value) in [("origin", "null"), ("origin", "https://evil.test"), ("sec-fetch-site", "cross-site")] {
        let posted = request(&world, Method::POST, "/integration/update").header(name, value).send().await.unwrap();
        assert_eq!(posted.status(), 403, "{name}: {value}");
    }
    let image = request(&world, Method::GET, "/integration/check")
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-dest", "image");
    assert_eq!(image.send().await.unwrap().status(), 403);
    world.finish().await;
}

#[actix_web::test]
async fn wrong_passwords_wait_for_each_other_and_the_right_one_does_not() {
    let world = World::start().await;
    let wrong = || world.client.get(world.url("/orders")).bearer_auth("guess-guess-guess").send();
    let began = Instant::now();
    let (a, b, c) = tokio::join!(wrong(), wrong(), wrong());
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!([a, b, c].map(|answer| answer.unwrap().status().as_u16()), [401; 3]);
    let many = futures_util::future::join_all((0..40).map(|_| async {
        tokio::time::timeout(Duration::from_millis(1500), wrong())
            .await
            .ok()
            .map(|answer| answer.unwrap().status().as_u16())
    }));
    let right = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        assert_eq!(world.get("/orders").await.0, 200);
        began.elapsed()
    };
    let (answers, right) = tokio::join!(many, right);
    assert!(answers.iter().filter(|answer| **answer == Some(429)).count() >= 7, "{answers:?}");
    assert!(right < Duration::from_secs(1), "{right:?}");
    world.finish().await;
}

#[actix_web::test]
async fn without_a_password_the_pages_are_closed() {
    let world = World::start_with(&[("ADMIN_TOKEN", "")]).await;
    let response = browse(&world, Method::GET, "/integration").await;
    assert_eq!(response.status(), 403);
    assert!(response.text().await.unwrap().contains("ADMIN_TOKEN is not set"));
    world.finish().await;
}

#[actix_web::test]
async fn a_refused_token_is_told_until_an_order_goes_through() {
    let world = World::start().await;
    let order = world.store.place_order_as(None, 11);
    world.settled(order, "delivered").await;
    world.store.fault(Fault::new(Operation::Any, Action::Status(401)));
    assert_eq!(world.get("/integration/check").await.0, 503);
    let refused = page(&world).await;
    assert!(refused.contains("BigCommerce refuses the relay's access token (HTTP 401)"), "{refused}");
    world.store.clear_faults();
    world.store.change_order(order, 2);
    world.arrived_at(order, 2).await;
    world.settled(order, "delivered").await;
    let after = page(&world).await;
    assert!(!after.contains("refuses the relay's access token (HTTP 401)"), "{after}");
    world.finish().await;
}
