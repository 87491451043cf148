//! Hooks: created, kept, repaired, never duplicated; other apps' hooks are left alone.

use std::collections::BTreeMap;

use sandbox::{Action, Fault, HookRules, Operation, SenderOptions, StoreConfig};

use onetribe_relay::{http::Failure, registrar::RegistrarError};

use crate::relay::world::{PATIENCE, Parts, World};

fn prepared(extra: &[(&str, &str)]) -> World {
    World::prepare(StoreConfig::default(), SenderOptions::default(), extra)
}

#[actix_web::test]
async fn one_hook_is_made_with_the_token_and_found_again_by_the_next_start() {
    let mut world = World::start().await;
    let hooks = world.store.hooks();
    assert_eq!(hooks.len(), 1);
    assert_eq!(hooks[0].scope, "store/order/*");
    assert_eq!(hooks[0].destination, world.url("/webhooks/bigcommerce"));
    assert!(hooks[0].headers["x-relay-token"].as_str().unwrap().len() >= 32);
    world.stop_relay().await;
    let calls = world.store.call_count(Operation::Hooks);
    world.start_relay().await;
    world.store.wait_for(|store| store.call_count(Operation::Hooks) > calls, PATIENCE).await.unwrap();
    let (status, _) = world.post("/integration/update").await;
    assert_eq!(status, 200);
    assert_eq!(world.store.hooks(), hooks);
    world.finish().await;
}

#[actix_web::test]
async fn an_inactive_or_altered_hook_is_mended_and_strangers_are_left_alone() {
    let mut world = prepared(&[]);
    let strangers =
        [("store/order/*", "https://example.com/hook"), ("store/order/created", "https://direct.example.com/x")]
            .map(|(scope, destination)| world.store.add_hook(scope, destination).unwrap());
    let ours = world.store.add_hook("store/order/*", &world.url("/webhooks/bigcommerce")).unwrap();
    world.store.deactivate_hook(ours);
    let before: Vec<_> = strangers.map(|id| world.store.hook(id)).into();
    world.start_relay().await;
    world.store.wait_for(|store| store.hook(ours).is_some_and(|hook| hook.is_active), PATIENCE).await.unwrap();
    let hook = world.store.hook(ours).unwrap();
    assert!(hook.headers["x-relay-token"].is_string(), "{hook:?}");
    assert_eq!(world.store.hooks().len(), 3);
    assert_eq!(strangers.map(|id| world.store.hook(id)).to_vec(), before);
    world.finish().await;
}

#[actix_web::test]
async fn a_hook_that_was_deleted_or_switched_off_is_back_after_the_interval() {
    let world = World::start_with(&[("HOOK_CHECK_INTERVAL", "1s")]).await;
    let hook = world.store.hooks().remove(0);
    world.store.deactivate_hook(hook.id);
    world.store.wait_for(|store| store.hook(hook.id).is_some_and(|hook| hook.is_active), PATIENCE).await.unwrap();
    let secret = world.store.config().token.clone();
    let url = format!("{}/stores/abcde/v2/hooks/{}", world.store.api_url(), hook.id);
    let delete = world.client.delete(url).header("X-Auth-Token", secret).header("Accept", "application/json");
    assert!(delete.send().await.unwrap().status().is_success());
    world.store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
    world.finish().await;
}

#[actix_web::test]
async fn a_hook_of_ours_that_points_elsewhere_is_brought_back() {
    let mut world = World::start().await;
    // By the end of this the relay has noted which hook it made.
    assert_eq!(world.post("/integration/update").await.0, 200);
    world.stop_relay().await;
    let before = world.store.hooks();
    // The relay has moved: the same database, another port.
    world.port = sandbox::relay::free_port().unwrap();
    world.start_relay().await;
    let here = world.url("/webhooks/bigcommerce");
    world.store.wait_for(|store| store.hooks().iter().any(|hook| hook.destination == here), PATIENCE).await.unwrap();
    let after = world.store.hooks();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].id, before[0].id);
    world.finish().await;
}

#[actix_web::test]
async fn a_store_without_v2_hooks_is_served_through_v3() {
    for gone in [404, 410] {
        let mut world = prepared(&[]);
        world.store.set_hook_rules(HookRules { v2_gone: Some(gone), ..HookRules::default() });
        world.start_relay().await;
        world.hooked().await;
        world.store.place_order_as(None, 11);
        world.arrived(1).await;
        world.finish().await;
    }
    let world = World::start_with(&[("BIGCOMMERCE_HOOKS_API", "v3")]).await;
    assert!(world.store.calls().iter().all(|call| !call.path_and_query.contains("/v2/hooks")));
    world.finish().await;
}

#[actix_web::test]
async fn bigcommerce_being_down_at_start_delays_the_hook_and_not_the_relay() {
    let mut world = prepared(&[]);
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(503)).times(2));
    world.start_relay().await;
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.arrived(1).await;
    world.hooked().await;
    world.finish().await;
}

#[actix_web::test]
async fn without_a_public_url_no_hook_is_made_and_the_check_says_so() {
    let mut world = prepared(&[("PUBLIC_URL", "")]);
    world.start_relay().await;
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    world.arrived(1).await;
    let (status, report) = world.get("/integration/check").await;
    assert_eq!((status, &report["status"]), (200, &"warn".into()));
    let by_id: BTreeMap<_, _> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (check["id"].as_str().unwrap(), check["status"].as_str().unwrap()))
        .collect();
    assert_eq!(by_id["configuration"], "warn");
    assert_eq!(by_id["bigcommerce_hooks"], "skip");
    assert_eq!(by_id["public_url"], "skip");
    assert!(world.store.hooks().is_empty());
    world.finish().await;
}

#[actix_web::test]
async fn a_hook_that_somebody_changed_is_put_right_after_the_interval() {
    let world = World::start_with(&[("HOOK_CHECK_INTERVAL", "1s")]).await;
    let hook = world.store.hooks().remove(0);
    let url = format!("{}/stores/abcde/v2/hooks/{}", world.store.api_url(), hook.id);
    let here = world.url("/webhooks/bigcommerce");
    for (destination, headers) in [
        ("https://elsewhere.example.com/hook", hook.headers.clone()),
        (here.as_str(), serde_json::json!({"x-relay-token": "another"})),
        (here.as_str(), serde_json::json!({})),
    ] {
        let changed = serde_json::json!({
            "scope": "store/order/*", "destination": destination, "is_active": true, "headers": headers
        });
        let put = world.client.put(&url).header("X-Auth-Token", &world.store.config().token);
        let put = put.header("Accept", "application/json").header("Content-Type", "application/json");
        assert!(put.body(changed.to_string()).send().await.unwrap().status().is_success());
        let right = |store: &sandbox::StoreSim| {
            let now = store.hook(hook.id);
            now.is_some_and(|now| now.destination == here && now.headers == hook.headers && now.is_active)
        };
        world.store.wait_for(right, PATIENCE).await.unwrap();
        assert_eq!(world.store.hooks().len(), 1, "{destination} {headers}");
    }
    world.finish().await;
}

/// The scopes of the hooks that remain.
fn scopes(world: &World) -> Vec<String> {
    world.store.hooks().into_iter().map(|hook| hook.scope).collect()
}

#[actix_web::test]
async fn hooks_of_earlier_settings_are_the_relays_still() {
    let both = "store/order/created,store/order/updated";
    // Removed although the relay now has fewer scopes than when it created them.
    let mut world = prepared(&[("BIGCOMMERCE_SCOPES", both)]);
    let stranger = world.store.add_hook("store/order/archived", "https://example.com/hook").unwrap();
    let parts = Parts::open(world.config()).await;
    parts.ensure().await.unwrap();
    parts.close().await;
    world.set("BIGCOMMERCE_SCOPES", "store/order/created");
    let parts = Parts::open(world.config()).await;
    let listed = parts.list().await;
    assert_eq!(listed.iter().filter(|(_, ours)| *ours).count(), 2, "{listed:?}");
    assert_eq!(parts.remove().await, 2);
    assert_eq!(world.store.hooks().iter().map(|hook| hook.id).collect::<Vec<_>>(), [stranger]);

    // A new address and fewer scopes at once.
    world.set("BIGCOMMERCE_SCOPES", both);
    parts.close().await;
    let parts = Parts::open(world.config()).await;
    parts.ensure().await.unwrap();
    parts.close().await;
    world.set("BIGCOMMERCE_SCOPES", "store/order/created");
    world.set("PUBLIC_URL", "http://127.0.0.1:9/new");
    let parts = Parts::open(world.config()).await;
    parts.ensure().await.unwrap();
    assert_eq!(scopes(&world), ["store/order/archived", "store/order/created"]);
    parts.close().await;
    world.finish().await;
}

#[actix_web::test]
async fn a_quota_that_is_used_up_holds_nobodys_turn() {
    let world = prepared(&[]);
    let parts = Parts::open(world.config()).await;
    let refusal = Fault::new(Operation::Hooks, Action::Status(429)).method("POST").times(1);
    world.store.fault(refusal.header("Retry-After", "3600"));
    for _ in 0..2 {
        let ended = tokio::time::timeout(PATIENCE, parts.ensure()).await;
        assert!(matches!(ended, Ok(Err(RegistrarError::Quota))), "{ended:?}");
    }
    let health = parts.services.registrar.health(parts.connection.id);
    assert!(health.trouble().is_some_and(|trouble| trouble.failure == Failure::Status(429)));
    // Another process does not know of the pause, and the hook lock is free.
    let another = Parts::open(world.config()).await;
    another.ensure().await.unwrap();
    assert_eq!(world.store.hooks().len(), 1);
    parts.close().await;
    another.close().await;
    world.finish().await;
}

#[actix_web::test]
async fn a_v2_that_takes_no_new_hook_is_left_for_v3() {
    for status in [404, 410] {
        let world = prepared(&[]);
        let parts = Parts::open(world.config()).await;
        world.store.fault(Fault::new(Operation::Hooks, Action::Status(status)).method("POST").times(1));
        parts.ensure().await.unwrap();
        assert_eq!(world.store.hooks().len(), 1);
        let made = world.store.calls().into_iter().rfind(|call| call.method == "POST").unwrap();
        assert!(made.path_and_query.contains("/v3/hooks"), "{made:?}");
        parts.close().await;
        world.finish().await;
    }
}

/// A command that runs with other scopes, or the former ones after a correction, leaves rows of hooks that nobody wants.
#[actix_web::test]
async fn what_was_looked_for_with_other_scopes_is_no_missing_hook() {
    let mut world = prepared(&[("BIGCOMMERCE_SCOPES", "store/order/created,store/order/updated")]);
    let parts = Parts::open(world.config()).await;
    assert_eq!(parts.inspect().await.len(), 2);
    parts.close().await;
    world.set("BIGCOMMERCE_SCOPES", "store/order/created");
    world.start_relay().await;
    world.hooked().await;
    let (_, report) = world.post("/integration/update").await;
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "bigcommerce_hooks").unwrap();
    assert_eq!(check["status"], "pass", "{check}");
    world.stop_relay().await;
    let parts = Parts::open(world.config()).await;
    let rows = parts.services.inbox.hooks(parts.connection.id).await.unwrap();
    assert_eq!(rows.iter().map(|row| &*row.topic).collect::<Vec<_>>(), ["store/order/created"]);
    parts.close().await;
    world.finish().await;
}
