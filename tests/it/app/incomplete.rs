//! A store of the app without a payload URL: nothing makes it active before it has one.

use std::process::{Command, Stdio};

use reqwest::Method;
use sandbox::{app, relay::ADMIN_TOKEN};
use serde_json::{Value, json};

use super::world::World;

async fn patch(world: &World, change: Value) -> (u16, Value) {
    let path = format!("/connections/{}", world.connection().await["id"]);
    let request = world.client.request(Method::PATCH, world.url(&path)).bearer_auth(ADMIN_TOKEN);
    let response = request.body(change.to_string()).send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

/// Runs a command beside the running relay; returns its exit code and its output.
async fn run(world: &World, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().envs(app::variables(&world.panel, &world.farm, world.folder.path(), world.port));
    command.current_dir(world.folder.path()).args(args).stdin(Stdio::null());
    let done = actix_web::rt::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().unwrap(), text(&done.stdout) + &text(&done.stderr))
}

/// Waits until the running relay has noticed a command's change and shows this state.
async fn is_in_time(world: &World, state: &str) {
    let began = std::time::Instant::now();
    while world.connection().await["state"] != state {
        assert!(began.elapsed() < super::world::PATIENCE, "{}", world.connection().await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[actix_web::test]
async fn nothing_resumes_a_store_of_the_app_that_has_no_payload_url() {
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let token = world.install(&store).await.token();
    let id = world.connection().await["id"].to_string();

    // The API.
    let (status, refused) = patch(&world, json!({"state": "active"})).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("payload URL"), "{refused}");
    // A command.
    let (code, told) = run(&world, &["connections", "resume", "--connection", &id]).await;
    assert!(code == 1 && told.contains("no payload URL"), "{told}");
    // The page.
    world.post("resume", &[("token", &token)]).await;
    assert_eq!(world.connection().await["state"], "incomplete");

    // A pause in between makes no difference, whichever way it ends.
    for round in 0..3 {
        let (status, paused) = patch(&world, json!({"state": "paused"})).await;
        assert_eq!((status, &paused["state"]), (200, &json!("paused")), "{paused}");
        match round {
            0 => {
                let (status, resumed) = patch(&world, json!({"state": "active", "name": "Resumed"})).await;
                assert_eq!((status, &resumed["state"]), (200, &json!("incomplete")), "{resumed}");
            }
            1 => {
                let (code, told) = run(&world, &["connections", "resume", "--connection", &id]).await;
                assert!(code == 0 && !told.contains("is active") && told.contains("no payload URL"), "{told}");
            }
            _ => drop(world.post("resume", &[("token", &token)]).await),
        }
        is_in_time(&world, "incomplete").await;
        let shown = world.connection().await;
        assert_eq!((&shown["destination"], &shown["name"]), (&Value::Null, &json!("Resumed")), "{shown}");
    }

    // After another installation it still waits for a payload URL; once it has one, from whichever way, it is active.
    world.install(&store).await;
    assert_eq!(world.connection().await["state"], "incomplete");
    let url = json!({"destination": {"kind": "one_tribe", "url": world.sink.url()}, "state": "active"});
    let (status, complete) = patch(&world, url).await;
    assert_eq!((status, &complete["state"]), (200, &json!("active")), "{complete}");
    assert!(complete["destination"].is_object(), "{complete}");
    let order = store.place_order_as(None, super::world::PAID);
    world.arrived(&store, order).await;
    world.stop().await;
}
