//! Connections created and changed at one relay, or at several at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use onetribe_relay::{
    inbox::ConnectionState,
    secret::Secret,
    spec::{ConnectionSpec, SourceSpec},
};
use reqwest::Method;
use sandbox::{Event, Scope, SendOptions, send_once};
use serde_json::json;
use sqlx::PgPool;

use crate::support::sealed::opened;

use super::world::{PATIENCE, STORES, World};

/// A relay serves a connection that another has created or changed within this time, unless its heartbeat is held up.
const TAKEN_UP: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_made_at_one_relay_is_served_by_the_others_within_two_seconds() {
    let Some(mut world) = World::prepare().await else { return };
    for _ in 0..3 {
        world.join().await;
    }
    let look = world.look().await;
    let mut took = Vec::new();
    for store in 0..STORES {
        let maker = store % 3;
        let id = world.connect(maker, store).await;
        let made = Instant::now();
        world.ids.push(id);
        let key: String = sqlx::query_scalar("SELECT hook_key FROM connections WHERE id = $1")
            .bind(id)
            .fetch_one(&look)
            .await
            .unwrap();
        let sim = &world.stores[store];
        let tell = async |relay: usize| {
            let order = sim.place_order_silently(None, 11);
            let event = Event::new(Scope::Created, order).of_store(&sim.config().hash);
            let address = world.replicas[relay].url(&format!("/webhooks/{key}"));
            let (secret, options) = (&sim.config().client_secret, SendOptions::default());
            loop {
                let status = send_once(&world.client, &address, secret, &event, &options).await.unwrap();
                if status == 200 {
                    return (order, made.elapsed());
                }
                assert_eq!(status, 404, "relay {relay}");
                assert!(relay != maker, "whoever made it knows it at once");
                assert!(made.elapsed() < PATIENCE, "relay {relay} does not know it after {:?}", made.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        for (relay, (order, after)) in join_all([0, 1, 2].map(tell)).await.into_iter().enumerate() {
            took.extend((relay != maker).then_some(after));
            let arrived = |sink: &sandbox::OneTribeSim| sink.newest(order).is_some();
            world.sinks[store].wait_for(arrived, PATIENCE).await.unwrap();
        }
    }
    took.sort_unstable();
    assert!(took[took.len() / 2] < TAKEN_UP, "{took:?}");
    world.hooked().await;
    world.settled().await;
    world.finish().await;
}

/// In each round, each relay changes another field, all at once.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_different_fields_at_different_relays_all_hold() {
    let Some(world) = World::start(3).await else { return };
    let (id, look) = (world.ids[0], world.look().await);
    let path = format!("/connections/{id}");
    let (secret, url) = (world.stores[0].config().client_secret.clone(), world.sinks[0].url());
    for round in 0..8 {
        let other_secret = format!("another-secret-of-round-{round}");
        let other_url = format!("{url}-{round}");
        let state = if round % 2 == 0 { "paused" } else { "active" };
        let changes = [
            json!({"name": format!("Round {round}")}),
            json!({"skip_order_statuses": [round]}),
            json!({"source": {"client_secret": format!("{secret},{other_secret}")}}),
            json!({"destination": {"kind": "one_tribe", "url": other_url}}),
            json!({"state": state}),
        ];
        let asked = changes.iter().enumerate().map(|(at, change)| world.ask(at % 3, Method::PATCH, &path, change));
        for (status, answer) in join_all(asked).await {
            assert_eq!(status, 200, "{answer}");
        }
        let (spec, stored_state) = stored(&look, id).await;
        let SourceSpec::BigCommerce(store) = &spec.source else { panic!("{spec:?}") };
        assert_eq!(spec.name, format!("Round {round}"));
        assert_eq!(spec.skip_statuses, [round.to_string()], "round {round}");
        assert_eq!(store.client_secrets, [Secret::from(&*secret), Secret::from(&*other_secret)], "round {round}");
        assert_eq!(spec.destination.as_ref().unwrap().url().expose(), other_url, "round {round}");
        assert_eq!(stored_state.name(), state, "round {round}");
    }
    let back = json!({"destination": {"kind": "one_tribe", "url": url}, "skip_order_statuses": []});
    assert_eq!(world.ask(1, Method::PATCH, &path, &back).await.0, 200);
    world.load(Duration::from_secs(1)).await;
    world.settled().await;
    world.finish().await;
}

/// A connection is ended and changed at once at different relays: once it has ended it has no credentials, whoever was
/// last.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_does_not_bring_back_the_credentials_of_a_connection_that_ends_meanwhile() {
    let Some(mut world) = World::prepare().await else { return };
    for _ in 0..2 {
        world.join().await;
    }
    let look = world.look().await;
    for round in 0..10 {
        let id = world.connect(0, 0).await;
        let path = format!("/connections/{id}");
        world.until_known(1, &path).await;
        let change = json!({"name": format!("Round {round}")});
        let changes = join_all((0..4).map(|_| world.ask(1, Method::PATCH, &path, &change)));
        let ended = async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            world.ask(0, Method::DELETE, &path, &json!(null)).await
        };
        let (changes, ended) = tokio::join!(changes, ended);
        assert_eq!(ended.0, 200, "{}", ended.1);
        assert!(changes.iter().all(|(status, _)| [200, 409].contains(status)), "{changes:?}");
        let (state, sealed): (i16, Option<Vec<u8>>) =
            sqlx::query_as("SELECT state, sealed FROM connections WHERE id = $1")
                .bind(id)
                .fetch_one(&look)
                .await
                .unwrap();
        assert_eq!(ConnectionState::from_code(state), Some(ConnectionState::Disconnected));
        assert!(sealed.is_none(), "round {round}: the credentials are back");
    }
}

/// Requests for the same store and destination at several relays at once create one connection.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_at_several_relays_at_once_makes_one_connection() {
    let Some(mut world) = World::prepare().await else { return };
    for _ in 0..3 {
        world.join().await;
    }
    for store in 0..STORES {
        let request = world.request(store);
        let asked = (0..6).map(|at| world.ask(at % 3, Method::POST, "/connections", &request));
        let mut answers: Vec<u16> = join_all(asked).await.into_iter().map(|(status, _)| status).collect();
        answers.sort_unstable();
        assert_eq!(answers, [201, 409, 409, 409, 409, 409]);
    }
    let look = world.look().await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM connections").fetch_one(&look).await.unwrap();
    assert_eq!(count, STORES as i64);
    world.hooked().await;
    world.finish().await;
}

/// The spec that is sealed in the database, and the state.
async fn stored(look: &PgPool, id: i64) -> (ConnectionSpec, ConnectionState) {
    let sql = "SELECT hook_key, key_id, sealed, state FROM connections WHERE id = $1";
    let (hook_key, key_id, bytes, state): (String, i64, Vec<u8>, i16) =
        sqlx::query_as(sql).bind(id).fetch_one(look).await.unwrap();
    (opened(&hook_key, key_id, bytes), ConnectionState::from_code(state).unwrap())
}
