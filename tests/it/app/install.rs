//! Installs: valid, repeated, refused and slow ones.

use std::time::{Duration, Instant};

use sandbox::{Action, AppRegistration, Fault, InstallOptions, Operation};

use super::world::World;

#[actix_web::test]
async fn an_install_makes_a_connection_with_hooks_and_asks_for_the_payload_url() {
    let world = World::start(2).await;
    let store = world.store(1).unwrap();
    let began = Instant::now();
    let page = world.install(&store).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    page.is_a_page_of_the_app(&world);
    assert!(page.text.contains("One Tribe payload URL"), "{}", page.text);
    let connection = world.connection().await;
    assert_eq!(connection["state"], "incomplete");
    assert_eq!(connection["origin"], "app");
    assert_eq!(connection["source"]["store"], "store1");
    assert_eq!(connection["name"], "Sandbox Store 1");
    assert!(connection["destination"].is_null());
    store.wait_for(|store| store.hooks().len() == 1, super::world::PATIENCE).await.unwrap();
    let hooks = store.hooks();
    assert_eq!(hooks[0].client_id, world.panel.app().client_id);
    assert!(hooks[0].header_list().iter().any(|(name, _)| name.eq_ignore_ascii_case("x-relay-token")));
    let is_v2 = |call: &sandbox::Call| call.path_and_query.contains("/v2/hooks");
    assert!(!store.calls().iter().any(is_v2), "an app's hooks are v3's");
    world.stop().await;
}

#[actix_web::test]
async fn a_code_opened_twice_is_told_and_nothing_is_lost() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let url = world.panel.install_url(&store);
    let (one, two) = tokio::join!(world.get(&url), world.get(&url));
    let (mut answers, mut statuses) = ([one, two], [0; 2]);
    answers.sort_by_key(|answer| answer.status);
    for (status, answer) in statuses.iter_mut().zip(&answers) {
        answer.is_a_page_of_the_app(&world);
        *status = answer.status;
    }
    assert_eq!(statuses, [200, 403]);
    assert!(answers[1].text.contains("used already"), "{}", answers[1].text);
    assert_eq!(world.connection().await["state"], "incomplete");
    // The stored token is the valid one.
    let token = answers[0].token();
    let page = world.post("check", &[("token", &token)]).await;
    assert!(!page.text.contains("401"), "{}", page.text);
    world.stop().await;
}

#[actix_web::test]
async fn two_installs_at_once_leave_one_connection_with_the_token_that_works() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let urls: Vec<_> = (0..6).map(|_| world.panel.install_url(&store)).collect();
    let answers = futures_util::future::join_all(urls.iter().map(|url| world.get(url))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(world.connections().await.len(), 1);
    let token = answers[0].token();
    world.post("destination", &[("token", &token), ("destination", &world.sink.url())]).await;
    let order = store.place_order_as(None, 11);
    world.arrived(&store, order).await;
    world.stop().await;
}

#[actix_web::test]
async fn a_browser_that_hangs_up_does_not_take_the_token_with_it() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.panel.fault(Fault::new(Operation::Token, Action::HoldAnswer));
    let hurried = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(300)).build().unwrap();
    assert!(hurried.get(world.panel.install_url(&store)).send().await.is_err());
    world.panel.clear_faults();
    world.panel.release();
    let patience = Instant::now() + super::world::PATIENCE;
    while world.connections().await.is_empty() && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.connection().await["state"], "incomplete");
    world.stop().await;
}

#[actix_web::test]
async fn what_is_refused_leaves_nothing_and_says_what_to_do() {
    let world = World::start(2).await;
    let store = world.store(1).unwrap();
    let panel = &world.panel;
    let of_other = InstallOptions { of_other_client: true, ..InstallOptions::default() };
    let scopeless = InstallOptions { scopes: Some(vec!["store_v2_products".to_owned()]), ..InstallOptions::default() };
    let url = |path: &str| world.url(&format!("/bigcommerce/auth{path}"));
    let complete = "code=x&scope=store_v2_orders&context=stores%2Fstore1";
    for (url, status, words) in [
        (url(""), 400, "installations only"),
        (url("?code=x"), 400, "installations only"),
        (url("?code=x&scope=&context=stores%2Fstore1"), 400, "installations only"),
        (url("?code=x&scope=a&context=..%2F..%2Fadmin"), 400, "installations only"),
        (url(&format!("?{complete}")), 403, "used already"),
        (panel.install_url_with(&store, &of_other), 403, "used already"),
        (panel.install_url_with(&store, &scopeless), 403, "may not read orders"),
    ] {
        let answer = world.get(&url).await;
        answer.is_a_page_of_the_app(&world);
        assert_eq!(answer.status, status, "{url}");
        assert!(answer.text.contains(words), "{url}: {}", answer.text);
    }
    for (action, status, words) in [
        (Action::Status(503), 502, "cannot be reached"),
        (Action::Drop, 502, "cannot be reached"),
        (Action::Status(401), 502, "refused the installation"),
    ] {
        panel.fault(Fault::new(Operation::Token, action));
        let answer = world.get(&panel.install_url(&store)).await;
        panel.clear_faults();
        assert_eq!(answer.status, status, "{words}");
        assert!(answer.text.contains(words), "{words}: {}", answer.text);
    }
    assert!(world.connections().await.is_empty());
    assert!(store.hooks().is_empty());
    world.stop().await;
}

#[actix_web::test]
async fn the_store_that_the_query_names_is_not_touched_if_it_is_another() {
    let world = World::start(2).await;
    let (one, two) = (world.store(1).unwrap(), world.store(2).unwrap());
    world.connect(&one).await;
    // The relay may check a new connection at any time, so its hooks are compared instead of its calls.
    let hooks = || one.hooks().iter().map(|hook| (hook.id, hook.is_active)).collect::<Vec<_>>();
    let before = hooks();
    let options = InstallOptions { context: Some("stores/store1".to_owned()), ..InstallOptions::default() };
    let page = world.get(&world.panel.install_url_with(&two, &options)).await;
    assert_eq!(page.status, 200);
    assert!(page.token().starts_with("store2."));
    let all = world.connections().await;
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["state"], &all[1]["state"]), (&"active".into(), &"incomplete".into()));
    assert_eq!(all[1]["source"]["store"], "store2");
    assert_eq!(hooks(), before);
    assert!(before.len() == 1 && before[0].1, "{before:?}");
    world.stop().await;
}

#[actix_web::test]
async fn an_install_from_outside_ends_where_bigcommerce_wants_it() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let followed = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = followed.get(world.panel.external_install_url(&store)).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("The app is installed."), "{page}");
    let options = InstallOptions { external: true, of_other_client: true, ..InstallOptions::default() };
    followed.get(world.panel.install_url_with(&store, &options)).send().await.unwrap();
    assert_eq!(world.panel.external_outcomes(), [true, false]);
    assert_eq!(world.connection().await["state"], "incomplete");
    world.stop().await;
}

#[actix_web::test]
async fn a_slow_login_server_is_waited_for_and_then_told_of() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.panel.fault(Fault::new(Operation::Token, Action::Slow(Duration::from_secs(2))));
    world.install(&store).await;
    world.panel.clear_faults();
    world.panel.fault(Fault::new(Operation::Token, Action::Hold));
    let page = world.get(&world.panel.install_url(&store)).await;
    assert_eq!(page.status, 504);
    page.is_a_page_of_the_app(&world);
    assert!(page.text.contains("did not answer in time"), "{}", page.text);
    world.panel.clear_faults();
    world.panel.release();
    assert_eq!(world.connection().await["state"], "incomplete");
    world.stop().await;
}

#[actix_web::test]
async fn without_the_app_its_routes_lead_nowhere() {
    let mut world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.app.stop_relay().await.unwrap();
    let variables = sandbox::stores::variables(&world.farm, world.folder.path(), world.port);
    let config = onetribe_relay::config::Config::from_vars(variables).unwrap();
    let relay = sandbox::relay::Relay::start(config).await.unwrap();
    let paths = [world.panel.install_url(&store), world.panel.load_url(&store, &sandbox::User::default())];
    for url in paths {
        assert_eq!(world.get(&url).await.status, 404);
    }
    for path in ["uninstall", "remove-user"] {
        assert_eq!(world.get(&world.url(&format!("/bigcommerce/{path}"))).await.status, 404);
    }
    assert_eq!(world.post("check", &[]).await.status, 404);
    assert_eq!(world.panel.exchanges(), 0);
    relay.stop().await.unwrap();
    assert_eq!(AppRegistration::default().client_id, world.panel.app().client_id);
    world.stop().await;
}
