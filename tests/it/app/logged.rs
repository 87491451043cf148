//! The log of an installation from its first call to its end contains no credentials and nobody's address.

use std::{fs::File, path::PathBuf};

use sandbox::{Action, Fault, InstallOptions, Operation, UninstallOptions, User};

use super::world::{PAID, PATIENCE, World};

/// Personal data of the buyer in the fixture's order.
const PERSONAL: [&str; 5] = ["Jane", "555 East", "janedoe@", "78108", "1234567890"];

fn value_of(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
}

#[actix_web::test]
async fn the_log_of_an_installation_holds_no_token_code_payload_address_or_person() {
    let mut world = World::start(2).await;
    let log: PathBuf = world.folder.path().join("log");
    let file = File::create(&log).unwrap();
    let process = world.start_logged_process(&[("RUST_LOG", "debug"), ("RECONCILE_INTERVAL", "1s")], file).await;
    let (store, other) = (world.store(1).unwrap(), world.store(2).unwrap());
    let mut secrets = Vec::new();

    // Refused: a code of another client, a used code, and a login server that is down.
    let of_other = InstallOptions { of_other_client: true, ..InstallOptions::default() };
    let url = world.panel.install_url_with(&store, &of_other);
    secrets.push(value_of(&url, "code"));
    world.get(&url).await;
    world.panel.fault(Fault::new(Operation::Token, Action::Status(503)));
    let url = world.panel.install_url(&store);
    secrets.push(value_of(&url, "code"));
    world.get(&url).await;
    world.panel.clear_faults();
    // The code is exchanged, and its URL opened twice.
    let url = world.panel.install_url(&store);
    secrets.push(value_of(&url, "code"));
    let page = world.get(&url).await;
    world.get(&url).await;
    let token = page.token();
    world.get(&world.panel.external_install_url(&other)).await;

    // Payload URLs that are refused, and one that is accepted.
    let refused =
        ["https://evil.example/secret-part", "https://user:secret-part@127.0.0.1/a", "http://10.1.2.3/secret-part"];
    for typed in refused {
        world.post("destination", &[("token", &token), ("destination", typed)]).await;
    }
    let page = world.post("destination", &[("token", &token), ("destination", &world.sink.url())]).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let order = store.place_order_as(None, PAID);
    world.arrived(&store, order).await;

    // Opened by users with and without access; every form once.
    let load = world.panel.load_url(&store, &User::default());
    let forged = world.panel.load_url_with(&world.panel.jwt(&store, &User::other()).secret("another-secret").sign());
    for url in [&load, &forged] {
        secrets.push(value_of(url, "signed_payload_jwt"));
        world.get(url).await;
    }
    for deed in ["check", "update", "pause", "resume", "resend", "backfill"] {
        let fields = [("token", token.as_str()), ("since", "2020-01-01"), ("step", "start"), ("state", "failed")];
        world.post(deed, &fields).await;
        world.post(deed, &[("token", &format!("{token}x"))]).await;
    }
    let hook = store.hooks().remove(0);
    secrets.push(hook.destination.rsplit_once('/').unwrap().1.to_owned());
    secrets.extend(hook.header_list().into_iter().map(|(_, value)| value));

    // Uninstalled without a callback, installed again, uninstalled with a callback.
    world.panel.uninstall_with(&store, UninstallOptions { silent: true, ..UninstallOptions::default() }).await.unwrap();
    let lost = store.place_order_silently(None, PAID);
    world.post("check", &[("token", &token)]).await;
    world.install(&store).await;
    world.arrived(&store, lost).await;
    world.panel.remove_user(&store, &User::other()).await.unwrap();
    assert_eq!(world.panel.uninstall(&store).await.unwrap(), 200);
    world.webhooks_told(PATIENCE).await.unwrap();
    process.signal("TERM");
    assert!(process.ended().await.success());

    let text = std::fs::read_to_string(&log).unwrap();
    for told in ["the app was installed", "its payload URL was set", "a payload URL was refused"] {
        assert!(text.contains(told), "the log is not the flow's: no \"{told}\"");
    }
    secrets.push(token.splitn(3, '.').nth(2).unwrap().to_owned());
    secrets.extend([User::default().email, User::other().email, world.panel.app().client_secret]);
    secrets.push(url::Url::parse(&world.sink.url()).unwrap().path().to_owned());
    let known = ["secret-part", "eyJ", "app-token-", "sandbox-merchant-token", "sandbox-admin-token", "@"];
    for secret in secrets.iter().map(String::as_str).chain(known).chain(PERSONAL) {
        assert!(secret.len() > 2 || secret == "@", "{secret} is no secret");
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} in {}", line.unwrap_or_default());
    }
    world.stop().await;
}
