//! Opening the app, which needs a payload signed by BigCommerce.

use std::time::{Duration, Instant};

use sandbox::{Action, Fault, Operation, User};
use serde_json::json;

use super::world::World;

#[actix_web::test]
async fn a_payload_that_is_not_genuine_opens_and_ends_nothing() {
    let world = World::start(2).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    let jwt = || world.panel.jwt(&store, &User::default());
    let genuine = jwt().sign();
    let (head, tail) = genuine.rsplit_once('.').unwrap();
    let other_store = world.panel.jwt(&world.store(2).unwrap(), &User::default()).sign();
    let grafted = format!("{}.{tail}", other_store.rsplit_once('.').unwrap().0);
    for (what, payload) in [
        ("empty", String::new()),
        ("no JWT", "a.b.c".to_owned()),
        ("unsigned", format!("{head}.")),
        ("another store under this signature", grafted),
        ("alg none", jwt().algorithm("none").sign()),
        ("alg None", jwt().algorithm("NONE").sign()),
        ("HS384", jwt().algorithm("HS384").sign()),
        ("HS512", jwt().algorithm("HS512").sign()),
        ("RS256 in name", jwt().algorithm("RS256").sign()),
        ("another secret", jwt().secret("another-secret-altogether").sign()),
        ("an empty secret", jwt().secret("").sign()),
        ("another audience", jwt().claim("aud", json!("another-app")).sign()),
        ("a list of audiences", jwt().claim("aud", json!([world.panel.app().client_id])).sign()),
        ("no audience", jwt().without("aud").sign()),
        ("another issuer", jwt().claim("iss", json!("evil")).sign()),
        ("no expiry", jwt().without("exp").sign()),
        ("expired", jwt().shifted(-90_000).sign()),
        ("not valid yet", jwt().shifted(3600).sign()),
        ("no store", jwt().claim("sub", json!("store1")).sign()),
        ("a path for a store", jwt().claim("sub", json!("stores/../store1")).sign()),
        ("no user", jwt().without("user").sign()),
    ] {
        for url in [world.panel.load_url_with(&payload), world.panel.uninstall_url_with(&payload)] {
            let answer = world.get(&url).await;
            assert_eq!(answer.status, 401, "{what}");
            answer.is_a_page_of_the_app(&world);
            assert!(answer.text.contains("Open the app") || answer.text.contains("open the app"), "{}", answer.text);
        }
        let remove = world.url(&format!("/bigcommerce/remove-user?signed_payload_jwt={payload}"));
        assert_eq!(world.get(&remove).await.status, 401, "{what}");
    }
    for path in ["load", "uninstall", "remove-user"] {
        assert_eq!(world.get(&world.url(&format!("/bigcommerce/{path}"))).await.status, 401);
    }
    assert_eq!(world.connection().await["state"], "active");
    // Clocks may differ by less than a minute.
    let now = sandbox::clock::system_clock();
    for (claim, seconds, status) in
        [("exp", -50, 200), ("exp", -70, 401), ("nbf", 50, 200), ("nbf", 70, 401), ("iat", 50, 200), ("iat", 70, 401)]
    {
        let url = world.panel.load_url_with(&jwt().claim(claim, json!(now + seconds)).sign());
        assert_eq!(world.get(&url).await.status, status, "{claim} {seconds}");
    }
    world.stop().await;
}

#[actix_web::test]
async fn the_page_opens_quickly_for_any_user_and_tells_what_was_forwarded() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    let order = store.place_order_as(None, 11);
    world.arrived(&store, order).await;
    // It waits for no check: those last as long as a store that hangs lets them, which is ten seconds.
    store.fault(Fault::new(Operation::Any, Action::Hold));
    let began = Instant::now();
    let page = world.open(&store, &User::other()).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    store.clear_faults();
    store.release();
    assert_eq!(page.status, 200);
    page.is_a_page_of_the_app(&world);
    assert!(page.text.contains(&order.to_string()), "{}", page.text);
    assert!(!page.text.contains(&User::other().email));
    assert!(page.token().starts_with(&format!("store1.{}.", User::other().id)));
    // The relay's own pages cannot be framed at all.
    let own = world.client.get(world.url("/integration")).bearer_auth(sandbox::relay::ADMIN_TOKEN);
    let own = super::world::answer(own.header("accept", "text/html").send().await.unwrap()).await;
    assert!(own.header("content-security-policy").contains("frame-ancestors 'none'"));
    world.stop().await;
}

#[actix_web::test]
async fn a_store_that_is_not_known_is_told_to_install() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let page = world.open(&store, &User::default()).await;
    assert_eq!(page.status, 404);
    page.is_a_page_of_the_app(&world);
    assert!(page.text.contains("install it again"), "{}", page.text);
    world.stop().await;
}

#[actix_web::test]
async fn a_removed_user_is_answered_and_nothing_changes() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    assert_eq!(world.panel.remove_user(&store, &User::other()).await.unwrap(), 200);
    assert_eq!(world.connection().await["state"], "active");
    world.stop().await;
}
