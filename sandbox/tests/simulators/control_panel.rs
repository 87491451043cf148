//! The control panel and the login server, tested with the relay's own client code.

use std::time::Duration;

use onetribe_relay::clock::Timestamp;
use onetribe_relay::http::{Failure, Http};
use onetribe_relay::source::bigcommerce::install::oauth::{CodeExchange, ExchangeError, Grant, ORDER_SCOPES, exchange};
use onetribe_relay::source::bigcommerce::install::payload::{LoadPayload, PayloadError, PayloadVerifier};
use reqwest::Method;
use sandbox::{
    Action, AppRegistration, ControlPanelSim, Fault, InstallOptions, Operation, StoreFarm, StoreSim, UninstallOptions,
    User,
};
use serde_json::json;
use url::Url;

use crate::SOON;
use crate::receiver::Receiver;

const RELAY: &str = "https://relay.example";

fn start() -> (StoreFarm, StoreSim, ControlPanelSim) {
    let farm = StoreFarm::start(2).expect("a port");
    let store = farm.store("store1").expect("the store");
    let panel = ControlPanelSim::start(&farm, AppRegistration::default().with_relay(RELAY)).expect("ports");
    (farm, store, panel)
}

/// The exchange that the auth callback makes with the code in its URL.
fn asked(panel: &ControlPanelSim, auth_url: &str) -> CodeExchange {
    let url = Url::parse(auth_url).expect("a URL");
    let get = |name: &str| {
        let found = url.query_pairs().find(|(known, _)| known == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let app = panel.app();
    CodeExchange {
        client_id: app.client_id,
        client_secret: app.client_secret.into(),
        code: get("code").into(),
        scope: get("scope"),
        context: get("context"),
        redirect_uri: format!("{RELAY}/bigcommerce/auth"),
    }
}

async fn exchanged(panel: &ControlPanelSim, request: &CodeExchange) -> Result<Grant, ExchangeError> {
    exchanged_within(SOON, panel, request).await
}

async fn exchanged_within(
    time: Duration,
    panel: &ControlPanelSim,
    request: &CodeExchange,
) -> Result<Grant, ExchangeError> {
    let http = Http::new(Default::default()).expect("clients");
    let login = Url::parse(&panel.login_url()).expect("a URL");
    exchange(&http, &login, request, &ORDER_SCOPES, time).await
}

async fn status_of(store: &StoreSim, token: &str, path: &str) -> u16 {
    let url = format!("{}/stores/{}/{path}", store.api_url(), store.config().hash);
    let request = sandbox::http::client().request(Method::GET, url).header("X-Auth-Token", token);
    request.header("Accept", "application/json").send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_code_is_good_for_one_token_of_its_own_store() {
    let (farm, store, panel) = start();
    let url = panel.install_url_with(
        &store,
        &InstallOptions { context: Some("stores/store2".to_owned()), ..InstallOptions::default() },
    );
    assert!(url.starts_with("https://relay.example/bigcommerce/auth?account_uuid="), "{url}");
    assert!(!panel.is_installed(&store));
    let request = asked(&panel, &url);
    let grant = exchanged(&panel, &request).await.expect("a grant");
    assert_eq!(grant.store_hash, "store1", "the code's store, not the query's");
    assert!(panel.is_installed(&store) && !panel.is_installed(&farm.store("store2").expect("the store")));
    assert_eq!(status_of(&store, grant.access_token.expose(), "v2/store").await, 200);
    assert_eq!(exchanged(&panel, &request).await, Err(ExchangeError::SpentOrWrongCode));

    let again = exchanged(&panel, &asked(&panel, &panel.install_url(&store))).await.expect("a grant");
    assert_eq!(status_of(&store, grant.access_token.expose(), "v2/time").await, 401, "the older token");
    assert_eq!(status_of(&store, again.access_token.expose(), "v2/time").await, 200);

    let unused = panel.install_url(&store);
    panel.expire_codes();
    assert_eq!(exchanged(&panel, &asked(&panel, &unused)).await, Err(ExchangeError::SpentOrWrongCode));
    assert_eq!(panel.exchanges(), 4);
    panel.stop().await;
    farm.stop().await;
}

#[tokio::test]
async fn wrong_exchanges_are_refused_and_use_no_code_up() {
    let (farm, store, panel) = start();
    let right = asked(&panel, &panel.install_url(&store));
    let other_secret = CodeExchange { client_secret: "another".into(), ..right.clone() };
    assert_eq!(exchanged(&panel, &other_secret).await, Err(ExchangeError::Refused { status: 401 }));
    let other_address = CodeExchange { redirect_uri: format!("{RELAY}/bigcommerce/auth/"), ..right.clone() };
    assert_eq!(exchanged(&panel, &other_address).await, Err(ExchangeError::Refused { status: 400 }));
    let of_other_client = InstallOptions { of_other_client: true, ..InstallOptions::default() };
    let foreign = asked(&panel, &panel.install_url_with(&store, &of_other_client));
    assert_eq!(exchanged(&panel, &foreign).await, Err(ExchangeError::SpentOrWrongCode));
    let narrow = InstallOptions { scopes: Some(vec!["store_v2_products".to_owned()]), ..InstallOptions::default() };
    let narrow = asked(&panel, &panel.install_url_with(&store, &narrow));
    assert_eq!(exchanged(&panel, &narrow).await, Err(ExchangeError::MissingScope));

    panel.fault(Fault::new(Operation::Token, Action::Status(503)).times(1));
    let down = exchanged(&panel, &right).await;
    assert_eq!(down, Err(ExchangeError::LoginDown(Failure::Status(503))));
    panel.fault(Fault::new(Operation::Token, Action::Hold).times(1));
    let slow = exchanged_within(Duration::from_secs(2), &panel, &right);
    let held = panel.wait_for(|panel| panel.held() == 1, SOON);
    let (slow, held) = tokio::join!(slow, held);
    held.expect("held");
    assert_eq!(slow, Err(ExchangeError::LoginDown(Failure::Timeout)));
    assert!(exchanged(&panel, &right).await.is_ok());
    panel.stop().await;
    farm.stop().await;
}

#[tokio::test]
async fn payloads_are_what_the_relay_verifies_and_forgeries_are_not() {
    let (farm, store, panel) = start();
    let app = panel.app();
    let verifier = PayloadVerifier::new(&app.client_id, &app.client_secret.as_str().into());
    let verify = |jwt: String| verifier.verify(&jwt, Timestamp::now(), 0);
    let user = User::other();
    let url = Url::parse(&panel.load_url(&store, &user)).expect("a URL");
    assert_eq!(url.path(), "/bigcommerce/load");
    let (name, jwt) = url.query_pairs().next().expect("a payload");
    assert_eq!(name, "signed_payload_jwt");
    let LoadPayload { store_hash, user_id, locale, path, .. } = verify(jwt.into_owned()).expect("genuine");
    assert_eq!((&*store_hash, user_id, &*locale, &*path), ("store1", user.id, "de-DE", "/"));

    let jwt = || panel.jwt(&store, &user);
    for (forged, error) in [
        (jwt().secret("another"), PayloadError::WrongSignature),
        (jwt().algorithm("none"), PayloadError::Malformed),
        (jwt().algorithm("HS384"), PayloadError::WrongAlgorithm),
        (jwt().algorithm("HS512"), PayloadError::WrongAlgorithm),
        (jwt().algorithm("RS256"), PayloadError::WrongAlgorithm),
        (jwt().shifted(-90_000), PayloadError::Expired),
        (jwt().shifted(3600), PayloadError::NotYetValid),
        (jwt().claim("aud", json!("another")), PayloadError::WrongAudience),
        (jwt().claim("iss", json!("another")), PayloadError::WrongIssuer),
        (jwt().claim("sub", json!("store1")), PayloadError::NoStore),
        (jwt().without("exp"), PayloadError::Malformed),
    ] {
        assert_eq!(verify(forged.sign()), Err(error), "{forged:?}");
    }
    panel.stop().await;
    farm.stop().await;
}

#[tokio::test]
async fn uninstalling_takes_token_and_hooks_and_tells_the_app() {
    let (farm, store, panel) = start();
    let relay = Receiver::start(&[]);
    let relay_url = relay.url.replace("/webhooks/bigcommerce", "");
    let request = asked(&panel, &panel.install_url(&store));
    let grant = exchanged(&panel, &request).await.expect("a grant");
    panel.register_relay(&relay_url);
    let hook = json!({ "scope": "store/order/*", "destination": "https://relay.example/h", "is_active": true });
    let made = sandbox::http::client()
        .post(format!("{}/stores/store1/v3/hooks", store.api_url()))
        .header("X-Auth-Token", grant.access_token.expose())
        .header("Accept", "application/json")
        .header("Content-Type", "application/json")
        .body(hook.to_string());
    assert_eq!(made.send().await.expect("an answer").status(), 200);
    store.add_hook("store/order/*", "https://relay.example/own").expect("a hook");

    assert_eq!(panel.remove_user(&store, &User::other()).await.expect("an answer"), 200);
    let kept = UninstallOptions { keep_hooks: true, silent: true };
    assert_eq!(panel.uninstall_with(&store, kept).await.expect("nobody is called"), None);
    assert_eq!((store.hooks().len(), panel.is_installed(&store)), (2, false));
    assert_eq!(status_of(&store, grant.access_token.expose(), "v2/time").await, 401);
    assert_eq!(panel.remove_hooks(&store), 1);
    assert_eq!(panel.uninstall(&store).await.expect("an answer"), 200);
    assert_eq!(store.hooks().len(), 1, "the other account's stays");
    assert_eq!(relay.callbacks().len(), 2);
    panel.stop().await;
    farm.stop().await;
}

#[tokio::test]
async fn the_page_frames_the_app_and_has_its_buttons() {
    let (farm, store, panel) = start();
    let client = sandbox::http::client();
    let get = async |url: String| client.get(url).send().await.expect("an answer").text().await.expect("a page");
    assert!(panel.page_origin().starts_with("http://localhost:"));
    let listed = get(panel.page_origin()).await;
    assert!(listed.contains("/store/store1") && listed.contains("/store/store2"));
    let page = panel.page_url(&store);
    assert!(get(page.clone()).await.contains(r#"id="install""#));
    let frame = get(format!("{page}/install")).await;
    assert!(
        frame.contains(r#"<iframe id="app" name="app" title="One Tribe" src="https://relay.example/bigcommerce/auth?"#)
    );
    exchanged(&panel, &asked(&panel, &panel.install_url(&store))).await.expect("a grant");
    let installed = get(page.clone()).await;
    assert!(installed.contains(r#"id="open""#) && installed.contains(r#"id="uninstall""#));
    let opened = get(format!("{page}/open?user=7&locale=fr")).await;
    assert!(opened.contains("/bigcommerce/load?signed_payload_jwt=ey"));
    let placed = client.post(format!("{page}/orders")).send().await.expect("an answer");
    assert_eq!((placed.status().as_u16(), store.orders().len()), (303, 1));
    panel.register_relay("http://127.0.0.1:9");
    let ended = client.post(format!("{page}/uninstall")).send().await.expect("an answer");
    assert_eq!((ended.status().as_u16(), panel.is_installed(&store)), (303, false), "whatever the app answers");
    panel.stop().await;
    farm.stop().await;
}

#[tokio::test]
async fn installs_from_elsewhere_are_led_on_and_told_of() {
    let (farm, store, panel) = start();
    let client = sandbox::http::client();
    let answer = client.get(panel.external_install_url(&store)).send().await.expect("an answer");
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    assert!(location.starts_with("https://relay.example/bigcommerce/auth?") && location.contains("external_install"));
    for (outcome, status) in [("succeeded", 200), ("failed", 200), ("other", 404)] {
        let url = format!("{}/app/sandboxapp/install/{outcome}", panel.login_url());
        assert_eq!(client.get(url).send().await.expect("an answer").status(), status);
    }
    assert_eq!(panel.external_outcomes(), [true, false]);
    let foreign = client.get(format!("{}/app/another/install", panel.login_url())).send().await.expect("an answer");
    assert_eq!(foreign.status(), 404);
    panel.stop().await;
    farm.stop().await;
}
