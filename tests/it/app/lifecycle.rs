//! Uninstalling the app, and installing it again.

use sandbox::{ProcessClock, UninstallOptions, User};

use super::world::{PAID, PATIENCE, World};

#[actix_web::test]
async fn an_uninstall_wipes_the_credentials_and_late_webhooks_are_answered() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let token = world.connect(&store).await.token();
    let hook = store.hooks().remove(0);
    assert_eq!(world.panel.uninstall(&store).await.unwrap(), 200);
    let connection = world.connection().await;
    assert_eq!(connection["state"], "disconnected");
    let sealed: i64 = {
        let database = rusqlite::Connection::open(world.folder.path().join("relay.db")).unwrap();
        let sql = "SELECT count(*) FROM connections WHERE sealed IS NOT NULL OR key_id IS NOT NULL";
        database.query_row(sql, (), |row| row.get(0)).unwrap()
    };
    assert_eq!(sealed, 0);
    for body in ["{}", "garbage", r#"{"scope":"store/order/created","data":{"id":218},"producer":"stores/store1"}"#] {
        let late = world.client.post(&hook.destination).body(body).send().await.unwrap();
        assert_eq!(late.status(), 200);
    }
    // A page that was still open, and a payload that stays valid for a day.
    let page = world.post("pause", &[("token", &token)]).await;
    assert_eq!(page.status, 409);
    assert!(page.text.contains("has been uninstalled"), "{}", page.text);
    let page = world.open(&store, &User::default()).await;
    assert!(page.status == 404 && page.text.contains("install it again"), "{}", page.text);
    // The uninstall callback is called twice.
    assert_eq!(world.panel.uninstall(&store).await.unwrap(), 200);
    world.stop().await;
}

#[actix_web::test]
async fn a_reinstall_takes_up_the_same_connection_and_delivers_nothing_twice() {
    let world = World::start_with(1, &[("RECONCILE_INTERVAL", "1s")]).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    let before = store.place_order_as(None, PAID);
    world.arrived(&store, before).await;
    let id = world.connection().await["id"].clone();
    world.panel.uninstall(&store).await.unwrap();
    let between = store.place_order_as(None, PAID);
    let page = world.install(&store).await;
    let connection = world.connection().await;
    assert_eq!((&connection["id"], &connection["state"]), (&id, &"incomplete".into()));
    assert!(page.text.contains(&before.to_string()), "the history is kept: {}", page.text);
    assert_eq!(store.hooks().len(), 1);
    world.post("destination", &[("token", &page.token()), ("destination", &world.sink.url())]).await;
    world.arrived(&store, between).await;
    let after = store.place_order_as(None, PAID);
    world.arrived(&store, after).await;
    assert_eq!(world.sink.accepted_count(), 3, "nothing twice");
    world.stop().await;
}

#[actix_web::test]
async fn a_new_consent_renews_the_token_and_keeps_everything_else() {
    let mut world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    let first = world.connection().await;
    world.install(&store).await;
    let second = world.connection().await;
    assert_eq!((&first["id"], &first["destination"]), (&second["id"], &second["destination"]));
    assert_eq!(second["state"], "active");
    let order = store.place_order_as(None, PAID);
    world.arrived(&store, order).await;
    // The new token was stored.
    world.restart_relay().await;
    let order = store.place_order_as(None, PAID);
    world.arrived(&store, order).await;
    assert_eq!(store.hooks().len(), 1);
    world.stop().await;
}

#[actix_web::test]
async fn an_uninstall_from_before_the_last_install_does_not_end_it() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    let old = world.panel.jwt(&store, &User::default()).shifted(-3600).sign();
    assert_eq!(world.get(&world.panel.uninstall_url_with(&old)).await.status, 200);
    assert_eq!(world.connection().await["state"], "active");
    world.stop().await;
}

#[actix_web::test]
async fn an_uninstall_that_nobody_told_of_shows_as_lost_access_and_a_reinstall_mends_it() {
    let world = World::start_with(1, &[("RECONCILE_INTERVAL", "1s")]).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    world.panel.uninstall_with(&store, UninstallOptions { silent: true, ..UninstallOptions::default() }).await.unwrap();
    let token = world.open(&store, &User::default()).await.token();
    let page = world.post("check", &[("token", &token)]).await;
    assert!(page.text.contains("Open the app in BigCommerce"), "{}", page.text);
    let missed = store.place_order_silently(None, PAID);
    let page = world.install(&store).await;
    assert_eq!(world.connection().await["state"], "active");
    world.post("update", &[("token", &page.token())]).await;
    world.arrived(&store, missed).await;
    world.stop().await;
}

#[actix_web::test]
async fn stores_of_the_app_do_not_take_each_others_webhooks() {
    let world = World::start(2).await;
    let (one, two) = (world.store(1).unwrap(), world.store(2).unwrap());
    world.connect(&one).await;
    world.connect(&two).await;
    let orders = [one.place_order_as(None, PAID), two.place_order_as(None, PAID)];
    world.arrived(&one, orders[0]).await;
    world.arrived(&two, orders[1]).await;
    // Genuine, but for the other store: answered 200, since other answers count against all stores, and dropped.
    let hook = one.hooks().remove(0);
    let token = hook.header_list().remove(0).1;
    let body = r#"{"scope":"store/order/created","data":{"type":"order","id":4711},"producer":"stores/store2"}"#;
    for (token, status) in [(token.as_str(), 200), ("wrong", 401), ("", 401)] {
        let sent = world.client.post(&hook.destination).header("x-relay-token", token).body(body);
        assert_eq!(sent.send().await.unwrap().status(), status);
    }
    world.panel.uninstall(&one).await.unwrap();
    let order = two.place_order_as(None, PAID);
    world.arrived(&two, order).await;
    world.webhooks_told(PATIENCE).await.unwrap();
    assert_eq!(world.sink.accepted_count(), 3);
    world.stop().await;
}

#[actix_web::test]
async fn hooks_that_an_uninstall_takes_away_late_are_made_again_within_a_minute() {
    let mut world = World::start(1).await;
    let store = world.store(1).unwrap();
    let clock = ProcessClock::new(world.folder.path()).unwrap();
    // A minute passes in a few seconds; the periodic check of the hooks would not come in that time.
    let process = world.start_hurried(&clock, 4, &[("HOOK_CHECK_INTERVAL", "14d")]).await;
    world.connect(&store).await;
    let options = UninstallOptions { keep_hooks: true, silent: true };
    world.panel.uninstall_with(&store, options).await.unwrap();
    world.connect(&store).await;
    assert!(!store.hooks().is_empty());
    assert!(world.panel.remove_hooks(&store) > 0, "BigCommerce removes what it finds");
    let is_mended = |store: &sandbox::StoreSim| store.hooks().len() == 1;
    store.wait_for(is_mended, PATIENCE).await.unwrap();
    let order = store.place_order_as(None, PAID);
    world.arrived(&store, order).await;
    drop(process);
    world.stop().await;
}
