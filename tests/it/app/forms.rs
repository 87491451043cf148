//! The page's forms: what they do, and that no other page, store or user can submit them.

use std::time::{Duration, Instant};

use onetribe_relay::{clock::Timestamp, source::bigcommerce::install::form_token::FormTokens};
use sandbox::{Operation, StoreSim, User};

use super::world::{PAID, PATIENCE, World};

#[actix_web::test]
async fn a_form_needs_the_token_of_its_store_and_user_and_no_other_site() {
    let world = World::start(2).await;
    let (one, two) = (world.store(1).unwrap(), world.store(2).unwrap());
    let token = world.connect(&one).await.token();
    let others = world.connect(&two).await.token();
    let parts = |token: &str| token.splitn(3, '.').map(str::to_owned).collect::<Vec<_>>();
    let (own, foreign) = (parts(&token), parts(&others));
    let until: i64 = own[2].split_once('.').unwrap().0.parse().unwrap();
    for forged in [
        String::new(),
        "x".to_owned(),
        format!("{}.{}.{}", own[0], own[1], foreign[2]),
        format!("{}.{}.{}", foreign[0], own[1], own[2]),
        format!("{}.{}.{}", own[0], User::other().id, own[2]),
        format!("{}.{}.{}.{}", own[0], own[1], until + 1, own[2].split_once('.').unwrap().1),
        format!("{}.{}.{}.x", own[0], own[1], until),
        format!("{token}="),
    ] {
        for deed in ["destination", "check", "update", "pause", "resume", "resend", "backfill"] {
            let answer = world.post(deed, &[("token", &forged), ("destination", &world.sink.url())]).await;
            assert_eq!(answer.status, 403, "{deed} {forged}");
            answer.is_a_page_of_the_app(&world);
        }
    }
    let fields = [("token", token.as_str())];
    for headers in [
        [("sec-fetch-site", "cross-site"), ("origin", "null")],
        [("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:1")],
        [("sec-fetch-site", "none"), ("origin", "null")],
        [("x-nothing", ""), ("origin", "https://evil.example")],
        [("x-nothing", ""), ("origin", &world.panel.page_origin())],
    ] {
        let answer = world.post_from("pause", &fields, &headers).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(answer.text.contains("another website"), "{}", answer.text);
    }
    // A token in the query is not accepted.
    let asked = world.client.post(world.url(&format!("/bigcommerce/app/pause?token={token}"))).send().await.unwrap();
    assert_eq!(asked.status(), 403);
    for connection in world.connections().await {
        assert_eq!(connection["state"], "active");
    }
    // Without browser headers about the origin, or from the relay's own origin, a valid token is enough.
    for headers in [&[][..], &[("origin", "null")], &[("origin", &world.url(""))]] {
        assert_eq!(world.post_from("check", &fields, headers).await.status, 200, "{headers:?}");
    }
    let long = "x".repeat(20_000);
    assert_eq!(world.post("check", &[("token", &token), ("order", &long)]).await.status, 413);
    assert_eq!(world.get(&world.url("/bigcommerce/app/check")).await.status, 405);
    world.stop().await;
}

#[actix_web::test]
async fn a_payload_url_is_checked_in_words_and_nothing_is_sent_to_it() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let token = world.install(&store).await.token();
    for (typed, words) in [
        ("", "Paste the payload URL"),
        ("not a url", "not a complete web address"),
        ("http://onetribeglobal.com/a", "must begin with https"),
        ("https://evil.example/secret-part", "is not One Tribe"),
        ("https://user:secret-part@127.0.0.1/a", "user name or password"),
        ("https://127.0.0.1/a#secret-part", "must not hold a #"),
        ("https://10.1.2.3/secret-part", "private network"),
        ("https://169.254.169.254/secret-part", "private network"),
        ("javascript:alert(1)", "must begin with https"),
    ] {
        let answer = world.post("destination", &[("token", &token), ("destination", typed)]).await;
        assert_eq!(answer.status, 422, "{typed}");
        answer.is_a_page_of_the_app(&world);
        assert!(answer.text.contains(words), "{typed}: {}", answer.text);
        assert!(!answer.text.contains("secret-part"));
    }
    assert_eq!(world.connection().await["state"], "incomplete");
    let page = world.post("destination", &[("token", &token), ("destination", &world.sink.url())]).await;
    assert_eq!(page.status, 200);
    page.is_a_page_of_the_app(&world);
    assert!(page.text.contains("payload URL is saved"), "{}", page.text);
    let connection = world.connection().await;
    assert_eq!(connection["state"], "active");
    assert_eq!(connection["destination"]["kind"], "one_tribe");
    assert_eq!(world.sink.attempts(), 0);
    world.stop().await;
}

#[actix_web::test]
async fn orders_placed_before_the_payload_url_follow_once_it_is_there() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let token = world.install(&store).await.token();
    let early = store.place_order_as(None, PAID);
    world.webhooks_told(PATIENCE).await.unwrap();
    world.post("destination", &[("token", &token), ("destination", &world.sink.url())]).await;
    world.arrived(&store, early).await;
    let late = store.place_order_as(None, PAID);
    world.arrived(&store, late).await;
    assert_eq!(world.sink.accepted_count(), 2);
    world.stop().await;
}

#[actix_web::test]
async fn pause_and_resume_work_at_once() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let token = world.install(&store).await.token();
    // There is nothing to pause yet.
    world.post("pause", &[("token", &token)]).await;
    assert_eq!(world.connection().await["state"], "incomplete");
    world.post("destination", &[("token", &token), ("destination", &world.sink.url())]).await;
    let page = world.post("pause", &[("token", &token)]).await;
    assert!(page.text.contains("Resume"), "{}", page.text);
    assert_eq!(world.connection().await["state"], "paused");
    let order = store.place_order_as(None, PAID);
    world.webhooks_told(PATIENCE).await.unwrap();
    assert_eq!(world.sink.attempts(), 0);
    // Changing the payload URL does not end a pause.
    world.post("destination", &[("token", &token), ("destination", &world.sink.url())]).await;
    assert_eq!(world.connection().await["state"], "paused");
    let page = world.post("resume", &[("token", &token)]).await;
    assert!(page.text.contains("Pause"), "{}", page.text);
    world.arrived(&store, order).await;
    world.stop().await;
}

#[actix_web::test]
async fn a_page_that_renews_itself_asks_nobody_while_its_checks_are_new() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let token = world.connect(&store).await.token();
    world.post("check", &[("token", &token)]).await;
    quiet(&store).await;
    let calls = store.call_count(Operation::Any);
    for root in ["../", "../../"] {
        let page = world.post("check", &[("token", &token), ("root", root)]).await;
        page.is_a_page_of_the_app(&world);
        assert!(page.text.contains(&format!("action=\"{root}bigcommerce/app/check\"")), "{}", page.text);
    }
    assert_eq!(store.call_count(Operation::Any), calls);
    // Any other path is none of the page's, and such a form is what it seems.
    let page = world.post("check", &[("token", &token), ("root", "https://elsewhere.example/")]).await;
    assert!(!page.text.contains("elsewhere") && store.call_count(Operation::Any) > calls, "{}", page.text);
    assert_eq!(world.post("check", &[("token", "wrong"), ("root", "../")]).await.status, 403);
    world.stop().await;
}

/// Waits until the store has not been called for two seconds.
async fn quiet(store: &StoreSim) {
    let began = Instant::now();
    let mut calls = None;
    while calls != Some(store.call_count(Operation::Any)) {
        assert!(began.elapsed() < PATIENCE, "it is called again and again");
        calls = Some(store.call_count(Operation::Any));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[actix_web::test]
async fn update_mends_hooks_check_looks_and_an_order_can_be_found_and_sent_again() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let token = world.connect(&store).await.token();
    // The hooks are looked after once more for what the installation has changed.
    quiet(&store).await;
    world.panel.remove_hooks(&store);
    assert!(store.hooks().is_empty());
    let page = world.post("update", &[("token", &token)]).await;
    assert!(page.text.contains("1 webhook made"), "{}", page.text);
    assert_eq!(store.hooks().len(), 1);
    let order = store.place_order_as(None, PAID);
    world.arrived(&store, order).await;
    let text = order.to_string();
    quiet(&store).await;
    let calls = store.call_count(Operation::Any);
    let page = world.post("check", &[("token", &token), ("order", &text)]).await;
    assert!(page.text.contains(&text), "{}", page.text);
    assert_eq!(store.call_count(Operation::Any), calls, "looking for an order asks nobody");
    let page = world.post("check", &[("token", &token), ("order", "<script>x")]).await;
    assert!(page.text.contains("not an order number"), "{}", page.text);
    let page = world.post("resend", &[("token", &token), ("order", &text)]).await;
    assert!(page.text.contains(&format!("Order {order} is fetched again and sent")), "{}", page.text);
    world.sink.wait_for(|sink| sink.accepted_count() == 2, PATIENCE).await.unwrap();
    let page = world.post("resend", &[("token", &token), ("state", "delivered")]).await;
    assert_eq!(page.status, 200);
    let page = world.post("resend", &[("token", &token), ("state", "failed")]).await;
    assert!(page.text.contains("no failed order"), "{}", page.text);
    assert_eq!(world.sink.accepted_count(), 2);
    world.stop().await;
}

#[actix_web::test]
async fn a_page_that_was_left_open_for_more_than_an_hour_is_to_be_opened_anew() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    let tokens = FormTokens::new(&world.panel.app().client_secret.as_str().into());
    let user = User::default();
    for (age, status) in [(3500, 200), (3700, 403)] {
        let issued = Timestamp::now().before(Duration::from_secs(age));
        let token = format!("store1.{}.{}", user.id, tokens.issue("store1", user.id, issued));
        let answer = world.post("check", &[("token", &token)]).await;
        assert_eq!(answer.status, status, "{age}: {}", answer.text);
        answer.is_a_page_of_the_app(&world);
    }
    world.stop().await;
}
