//! Changes of one connection at the same moment: none undoes another.

use std::time::Duration;

use futures_util::future::join_all;
use onetribe_relay::spec::{ConnectionSpec, SourceSpec};
use reqwest::Method;
use sandbox::{Action, Fault, OneTribeSim, Operation, QuotaRule, StoreSim};
use serde_json::{Value, json};

use super::world::{PATIENCE, World};
use crate::support::sealed::opened;

#[actix_web::test]
async fn changes_of_different_fields_at_once_all_hold() {
    let world = World::start(2).await;
    // Each new credential is tried at the store first, and each change triggers a check of the hooks and the
    // connection.
    for store in world.farm.stores() {
        store.set_quota(QuotaRule::unlimited());
    }
    let ids = world.connect_all().await;
    let store = world.farm.stores().remove(0);
    let (secret, url) = (store.config().client_secret.clone(), world.sink.url());
    let path = format!("/connections/{}", ids[0]);
    for round in 0..30 {
        let (name, other) = (format!("Round {round}"), format!("another-secret-of-round-{round}"));
        let state = if round % 2 == 0 { "paused" } else { "active" };
        let other_url = format!("{url}-{round}");
        let changes = [
            (&path, json!({"name": name})),
            (&path, json!({"skip_order_statuses": [round]})),
            (&path, json!({"source": {"client_secret": format!("{secret},{other}")}})),
            (&path, json!({"destination": {"kind": "one_tribe", "url": other_url}})),
            (&path, json!({"state": state})),
        ];
        // Meanwhile, changes of another connection.
        let beside = format!("/connections/{}", ids[1]);
        let others = (0..4).map(|n| (&beside, json!({"name": format!("Beside {n}")})));
        let changes: Vec<_> = changes.into_iter().chain(others).collect();
        let asked = changes.iter().map(|(path, change)| world.ask(Method::PATCH, path, Some(change)));
        for (status, answer) in join_all(asked).await {
            assert_eq!(status, 200, "{answer}");
        }
        let spec = stored(&world, ids[0]);
        let SourceSpec::BigCommerce(kept) = &spec.source else { panic!("{spec:?}") };
        let secrets: Vec<&str> = kept.client_secrets.iter().map(|secret| secret.expose()).collect();
        assert_eq!(secrets, [&*secret, &*other], "round {round}");
        assert_eq!((&spec.name, &spec.skip_statuses), (&name, &vec![round.to_string()]), "round {round}");
        assert_eq!(spec.destination.as_ref().unwrap().url().expose(), other_url, "round {round}");
        let (_, shown) = world.get(&path).await;
        assert_eq!((&shown["name"], &shown["state"]), (&json!(name), &json!(state)), "round {round}");
    }
    world.finish().await;
}

/// The hooks carry a token that is derived from the secret.
#[actix_web::test]
async fn a_secret_that_is_changed_while_hooks_are_made_is_the_one_that_they_carry_in_the_end() {
    let world = World::start(1).await;
    let store = world.farm.stores().remove(0);
    store.fault(Fault::new(Operation::Hooks, Action::Slow(Duration::from_millis(300))));
    let id = world.connect(&world.store_request(&store)).await;
    let token = |store: &StoreSim| store.hooks().first().map(|hook| hook.headers["x-relay-token"].clone());
    store.wait_for(|store| token(store).is_some(), PATIENCE).await.unwrap();
    let former = token(&store);
    let change = json!({"source": {"client_secret": "another-secret-0123456"}});
    assert_eq!(world.ask(Method::PATCH, &format!("/connections/{id}"), Some(&change)).await.0, 200);
    let is_renewed = |store: &StoreSim| token(store) != former;
    assert!(store.wait_for(is_renewed, PATIENCE).await.is_ok(), "the hook still carries the former token");
    world.finish().await;
}

#[actix_web::test]
async fn a_connection_that_ends_gets_no_new_hook_meanwhile() {
    let world = World::start(1).await;
    let store = world.farm.stores().remove(0);
    let id = world.connect(&world.store_request(&store)).await;
    store.wait_for(|store| store.hooks().len() == 1, PATIENCE).await.unwrap();
    // Whoever would look after the hooks meanwhile waits for the removal, and comes next.
    store.fault(Fault::new(Operation::Hooks, Action::Hold).method("DELETE").times(1));
    let (path, update) = (format!("/connections/{id}"), format!("/connections/{id}/integration/update"));
    let late = async {
        store.wait_for(|store| store.held() > 0, PATIENCE).await.unwrap();
        tokio::join!(world.ask(Method::POST, &update, None), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            store.release();
        })
    };
    let (ended, _) = tokio::join!(world.ask(Method::DELETE, &path, None), late);
    assert_eq!((ended.0, &ended.1["state"]), (200, &json!("disconnected")));
    assert!(store.hooks().is_empty(), "a hook was made for a connection that was about to end");
    world.finish().await;
}

/// A list of 60 orders is being forwarded, two at a time, when the connection is changed like this.
async fn amid_a_list(change: Value) -> (World, String, u64) {
    let settings = [("DELIVERY_CONCURRENCY", "2"), ("RECONCILE_INTERVAL", "1s")];
    let world = World::start_with(1, &settings).await;
    let path = format!("/connections/{}", world.connect_all().await[0]);
    world.sink.fault_all(Action::Slow(Duration::from_millis(100)));
    let store = world.farm.stores().remove(0);
    for _ in 0..60 {
        store.place_order_silently(None, 11);
    }
    world.sink.wait_for(|sink| sink.accepted_count() >= 5, PATIENCE).await.unwrap();
    let (status, answer) = world.ask(Method::PATCH, &path, Some(&change)).await;
    assert_eq!(status, 200, "{answer}");
    let at_most = world.sink.attempts() + 2;
    (world, path, at_most)
}

#[actix_web::test]
async fn a_pause_stops_a_list_that_is_being_forwarded() {
    let (world, path, at_most) = amid_a_list(json!({"state": "paused"})).await;
    // For longer than the whole rest would take.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(world.sink.attempts() <= at_most, "{} went on", world.sink.attempts() - at_most);
    assert_eq!(world.ask(Method::PATCH, &path, Some(&json!({"state": "active"}))).await.0, 200);
    world.sink.wait_for(|sink| sink.accepted_orders() == 60, PATIENCE).await.unwrap();
    assert_eq!(world.sink.accepted_count(), 60, "each once");
    world.finish().await;
}

#[actix_web::test]
async fn another_payload_url_takes_the_rest_of_a_list_that_is_being_forwarded() {
    let other = OneTribeSim::start().unwrap();
    let change = json!({"destination": {"kind": "one_tribe", "url": other.url()}});
    let (world, _, at_most) = amid_a_list(change).await;
    let all = |other: &OneTribeSim| other.accepted_orders() + world.sink.accepted_orders() >= 60;
    other.wait_for(all, PATIENCE).await.unwrap();
    assert!(world.sink.attempts() <= at_most, "{} more went to the former one", world.sink.attempts() - at_most);
    world.finish().await;
    other.stop().await;
}

/// The spec that is sealed in the database.
fn stored(world: &World, id: i64) -> ConnectionSpec {
    let database = rusqlite::Connection::open(world.folder.path().join("relay.db")).unwrap();
    let sql = "SELECT hook_key, key_id, sealed FROM connections WHERE id = ?1";
    let row = database.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (hook_key, key_id, bytes): (String, i64, Vec<u8>) = row.unwrap();
    opened(&hook_key, key_id, bytes)
}
