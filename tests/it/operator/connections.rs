//! `connections …`, beside a running relay and without one.

use std::{
    io::Write,
    process::{Output, Stdio},
    time::Duration,
};

use sandbox::{Action, Fault, Operation, ShopConfig, ShopSim, StoreConfig};
use serde_json::{Value, json};

use super::command::{command, past, run};
use crate::relay::world::{PATIENCE, World};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NEXT_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

/// What every world of these tests is given: keys, and payload URLs on loopback.
const KEYED: [(&str, &str); 3] =
    [("CREDENTIALS_KEY", KEY), ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8"), ("ONE_TRIBE_HOSTS", "127.0.0.1")];

/// The request for a connection to the world's own store.
fn request(world: &World, name: &str, path: &str) -> Value {
    let StoreConfig { hash, token, client_secret, .. } = world.store.config();
    json!({
        "name": name,
        "source": { "kind": "bigcommerce", "store_hash": hash, "access_token": token, "client_secret": client_secret },
        "destination": { "kind": "one_tribe", "url": format!("{}{path}", world.sink.url()) },
    })
}

/// Runs `connections add -`, the request on standard input.
async fn add(world: &World, request: &str, args: &[&str]) -> (i32, String, String) {
    let mut command = command(world, &[&["connections", "add", "-"][..], args].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let Output { status, stdout, stderr } =
        actix_web::rt::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Waits until the running relay has taken up a change: two seconds are promised, unless a heartbeat is held up.
async fn in_time(world: &World, path: &str, is_so: impl Fn(u16, &Value) -> bool) {
    let asked = async {
        loop {
            let (status, answer) = world.get(path).await;
            if is_so(status, &answer) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let promised = Duration::from_secs(2) + Duration::from_secs(5);
    assert!(tokio::time::timeout(promised, asked).await.is_ok(), "{path}: {:?}", world.get(path).await);
}

#[actix_web::test]
async fn a_running_relay_takes_up_what_commands_change() {
    let mut world = World::start_with(&KEYED).await;
    let asked = request(&world, "Second, by\u{1b}[2J hand", "/second").to_string().replace("\\u001b[2J", "");
    let (code, said, errors) = add(&world, &asked, &[]).await;
    assert_eq!((code, &*errors), (0, ""), "{said}");
    assert!(
        said.starts_with("connection 2, Second, by hand (BigCommerce (") && said.contains(" has been made."),
        "{said}"
    );
    assert!(said.ends_with("The running relay serves it within two seconds.\n"), "{said}");
    in_time(&world, "/connections/2", |status, answer| status == 200 && answer["state"] == "active").await;

    let (code, said, _) = run(&world, &["connections", "pause", "2"]).await;
    assert!(code == 0 && said.contains(" is paused: its events are kept and wait."), "{said}");
    in_time(&world, "/connections/2", |_, answer| answer["state"] == "paused").await;
    let (_, said, _) = run(&world, &["connections", "list", "--state", "paused"]).await;
    assert!(said.lines().count() == 2 && said.contains("Second, by hand"), "{said}");
    let (code, _, _) = run(&world, &["connections", "resume", "--connection", "2"]).await;
    assert_eq!(code, 0);
    in_time(&world, "/connections/2", |_, answer| answer["state"] == "active").await;

    let (code, said, _) = run(&world, &["connections", "remove", "2"]).await;
    assert!(code == 0 && said.contains(" has ended: its credentials are wiped"), "{said}");
    in_time(&world, "/connections/2", |_, answer| answer["state"] == "disconnected").await;
    let (_, said, _) = run(&world, &["connections", "show", "2", "--json"]).await;
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&shown["id"], &shown["state"]), (&json!(2), &json!("disconnected")));
    let (code, _, errors) = run(&world, &["connections", "resume", "2"]).await;
    assert!(code == 1 && errors.contains("connection 2 is disconnected"), "{errors}");
    world.stop_relay().await;
    world.finish().await;
}

#[actix_web::test]
async fn without_the_environments_own_a_command_needs_to_know_which_one() {
    let without = ["STORE_HASH", "ACCESS_TOKEN", "CLIENT_SECRET"].map(|name| format!("BIGCOMMERCE_{name}"));
    let unset = without.iter().map(|name| (&**name, "")).chain([("ONE_TRIBE_DESTINATION", "")]);
    let (world, _) = past(&KEYED.into_iter().chain(unset).collect::<Vec<_>>());
    let (code, said, _) = run(&world, &["connections", "list"]).await;
    assert_eq!((code, &*said), (0, "no connections yet: make one with `onetribe-relay connections add FILE`\n"));
    let (code, _, errors) = run(&world, &["orders", "list"]).await;
    assert!(code == 2 && errors.contains("there is no connection yet"), "{errors}");

    let file = world.folder.path().join("shop.json");
    std::fs::write(&file, request(&world, "First", "/first").to_string()).unwrap();
    let (code, said, errors) = run(&world, &["connections", "add", "shop.json"]).await;
    assert!(code == 0 && said.ends_with("No relay is running on this database.\n"), "{said}{errors}");
    let (code, said, _) = run(&world, &["orders", "list"]).await;
    assert_eq!((code, &*said), (0, "no orders yet\n"), "the only one is meant");
    let (code, _, errors) = run(&world, &["connections", "remove"]).await;
    assert_eq!((code, &*errors), (0, ""), "it has no webhooks");
    let (code, _, errors) = run(&world, &["orders", "list"]).await;
    assert!(
        code == 2 && errors.starts_with("error: the only connection is disconnected. Connected again, "),
        "{errors}"
    );
    assert!(errors.contains("\n  1: First, BigCommerce ("), "{errors}");
    let (code, _, errors) = run(&world, &["orders", "resend", "218", "--connection", "1"]).await;
    assert!(
        code == 1 && errors.contains("is disconnected: its orders cannot be fetched. Connected again, "),
        "{errors}"
    );
    let (code, _, errors) = run(&world, &["connections", "add", "shop.json"]).await;
    assert_eq!(code, 0, "{errors}");
    let (code, _, errors) = run(&world, &["connections", "add", "shop.json"]).await;
    assert!(code == 1 && errors.contains("connection 1 connects this store and this destination already"), "{errors}");

    let (code, _, errors) = add(&world, &request(&world, "Second", "/second").to_string(), &["--json"]).await;
    assert_eq!(code, 0, "{errors}");
    for args in [&["orders", "list"][..], &["hooks", "list"], &["check"], &["backfill", "--since", "2024-01-01"]] {
        let (code, _, errors) = run(&world, args).await;
        assert_eq!(code, 2, "{args:?}: {errors}");
        assert!(
            errors.contains("say which one with --connection ID. There are:\n  1: First, BigCommerce ("),
            "{errors}"
        );
        assert!(errors.contains("\n  2: Second, BigCommerce ("), "{errors}");
        let (code, _, errors) = run(&world, &[args, &["--connection", "2"]].concat()).await;
        assert_eq!(code, 0, "{args:?}: {errors}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn wrong_requests_name_the_field_and_refused_credentials_the_cure() {
    let (world, _) = past(&KEYED);
    let mut wrong = request(&world, "Shop", "/x");
    wrong["source"]["store_hash"] = json!("not a hash!");
    let (code, said, errors) = add(&world, &wrong.to_string(), &[]).await;
    assert_eq!((code, &*said), (2, ""));
    assert!(errors.contains("source.store_hash"), "{errors}");
    let (code, _, errors) = add(&world, "{\"name\":", &[]).await;
    assert!(code == 2 && errors.starts_with("error: standard input is not JSON (line 1, column 8)"), "{errors}");
    std::fs::write(world.folder.path().join("bad.json"), "{}").unwrap();
    let (code, _, errors) = run(&world, &["connections", "add", "bad.json"]).await;
    assert!(code == 2 && errors.starts_with("error: bad.json: name"), "{errors}");

    let mut refused = request(&world, "Shop", "/x");
    refused["source"]["access_token"] = json!("another-token-hunter2");
    let (code, _, errors) = add(&world, &refused.to_string(), &[]).await;
    assert!(code == 1 && errors.contains("refuses the credentials (HTTP 401)"), "{errors}");
    assert!(errors.contains("Check the access token") && !errors.contains("hunter2"), "{errors}");
    let (code, said, errors) = add(&world, &refused.to_string(), &["--no-verify"]).await;
    assert!(code == 0 && said.contains("has been made"), "{errors}");
    world.finish().await;
}

#[actix_web::test]
async fn another_key_is_put_before_the_old_one_and_then_alone() {
    let (mut world, _) = past(&KEYED);
    let (code, _, errors) = add(&world, &request(&world, "Shop", "/x").to_string(), &[]).await;
    assert_eq!(code, 0, "{errors}");
    world.set("CREDENTIALS_KEY", NEXT_KEY);
    let (code, _, errors) = run(&world, &["connections", "list"]).await;
    assert!(code == 2 && errors.contains("CREDENTIALS_KEY does not open the credentials of connection"), "{errors}");
    let (code, said, _) = run(&world, &["serve"]).await;
    assert!(code == 2 && said.contains("CREDENTIALS_KEY does not open"), "{said}");
    assert_eq!(said.matches("CREDENTIALS_KEY").count(), 1, "{said}");
    world.set("CREDENTIALS_KEY", &format!("{NEXT_KEY},{KEY}"));
    let (code, said, _) = run(&world, &["connections", "rekey"]).await;
    assert_eq!((code, &*said), (0, "The credentials of 1 connection have been sealed anew under the newest key.\n"));
    let (_, said, _) = run(&world, &["connections", "rekey"]).await;
    assert_eq!(said, "All credentials are sealed under the newest key already.\n");
    world.set("CREDENTIALS_KEY", NEXT_KEY);
    let (code, _, errors) = run(&world, &["connections", "list"]).await;
    assert_eq!(code, 0, "{errors}");
    world.finish().await;
}

#[actix_web::test]
async fn an_order_that_a_shop_does_not_know_is_told_from_a_shop_that_cannot_be_asked() {
    let (world, _) = past(&KEYED);
    let shop = ShopSim::start_with(ShopConfig { is_ssl: false, ..ShopConfig::default() }).unwrap();
    let config = shop.config();
    let asked = json!({
        "name": "A shop",
        "source": {
            "kind": "woocommerce", "url": shop.url(),
            "consumer_key": config.consumer_key, "consumer_secret": config.consumer_secret,
        },
        "destination": { "kind": "one_tribe", "url": world.sink.url() },
    });
    let (code, _, errors) = add(&world, &asked.to_string(), &[]).await;
    assert_eq!(code, 0, "{errors}");
    let resend = ["orders", "resend", "999999", "--connection", "2"];
    let (code, said, errors) = run(&world, &resend).await;
    assert_eq!((code, &*said), (1, ""), "{errors}");
    assert!(errors.contains("neither the relay nor WooCommerce (") && errors.contains(" is not its id: "), "{errors}");
    shop.stop().await;
    let (code, said, errors) = run(&world, &[&resend[..], &["--json"]].concat()).await;
    assert_eq!((code, &serde_json::from_str::<Value>(&said).unwrap()["unasked"][0]), (0, &json!(999_999)), "{errors}");
    assert!(errors.contains("could not be asked about order 999999"), "{errors}");
    world.finish().await;
}

#[actix_web::test]
async fn webhooks_that_a_store_keeps_are_told_of() {
    let (world, _) = past(&KEYED);
    let (code, _, errors) = add(&world, &request(&world, "Shop", "/x").to_string(), &[]).await;
    assert_eq!(code, 0, "{errors}");
    let (code, said, errors) = run(&world, &["hooks", "update", "--connection", "2"]).await;
    assert_eq!((code, world.store.hooks().len()), (0, 1), "{said}{errors}");
    world.store.fault(Fault::new(Operation::Hooks, Action::Status(503)));
    let (code, said, errors) = run(&world, &["connections", "remove", "2", "--json"]).await;
    assert_eq!((code, &serde_json::from_str::<Value>(&said).unwrap()["state"]), (0, &json!("disconnected")));
    assert!(errors.starts_with("warning: webhooks are left at BigCommerce ("), "{errors}");
    assert!(errors.contains("(HTTP 503). They do no harm") && errors.contains("delete the API account"), "{errors}");
    world.store.clear_faults();
    let (code, _, errors) = run(&world, &["connections", "remove", "1"]).await;
    assert!(code == 1 && errors.contains("is the environment's own"), "{errors}");
    world.finish().await;
}

#[actix_web::test]
async fn nothing_from_outside_moves_a_cursor_or_forges_a_row() {
    let mut world = World::start_with(&KEYED).await;
    let name = "a\u{202e}b\u{2028}c";
    let (code, said, errors) = add(&world, &request(&world, name, "/x").to_string(), &[]).await;
    let said = if code == 0 { said + &run(&world, &["connections", "list"]).await.1 } else { errors };
    let json = run(&world, &["connections", "list", "--json"]).await.1;
    for said in [&said, &json] {
        assert!(!said.contains(['\u{202e}', '\u{2028}', '\x1b', '\x07']), "{said}");
    }
    tokio::time::timeout(PATIENCE, world.stop_relay()).await.unwrap();
    world.finish().await;
}
