//! Instances created with an authorization code that BigCommerce gave the client's browser, instead of a token.

use reqwest::Method;
use sandbox::{Action, AppRegistration, ControlPanelSim, Fault, InstallOptions, Operation, StoreFarm};
use serde_json::{Value, json};

use super::world::{Answer, World, words};

/// Where BigCommerce redirects the browsers of the client's own app.
const CALLBACK_URL: &str = "https://client.example/callback";

struct Codes {
    world: World,
    panel: ControlPanelSim,
}

impl Codes {
    async fn start() -> Self {
        let farm = StoreFarm::start(1).unwrap();
        let registered = AppRegistration { auth_callback: CALLBACK_URL.to_owned(), ..AppRegistration::default() };
        let panel = ControlPanelSim::start(&farm, registered).unwrap();
        let store = farm.store("store1").unwrap();
        let world = World::around(store, &[("BIGCOMMERCE_LOGIN_URL", &panel.login_url())]).await;
        Self { world, panel }
    }

    /// The query with which a browser returns from an install.
    fn provider_data(&self, options: &InstallOptions) -> Value {
        let url = url::Url::parse(&self.panel.install_url_with(&self.world.store, options)).unwrap();
        let value = |name: &str| url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
        json!({ "code": value("code"), "context": value("context"), "scope": value("scope") })
    }

    fn body(&self, provider_data: Option<Value>) -> Value {
        let app = self.panel.app();
        let mut body = self.world.body(&json!({
            "oauth.api.key": app.client_id,
            "oauth.api.secret": app.client_secret,
            "oauth.callback.url": CALLBACK_URL,
        }));
        let configuration = body["configuration"].as_object_mut().unwrap();
        configuration.remove("oauth.user.token");
        configuration.remove("store.hash");
        if let Some(data) = provider_data {
            body["providerData"] = data;
        }
        body
    }

    async fn ask(&self, body: &Value) -> Answer {
        self.world.ask(Method::POST, "/elements/api-v2/instances", Some(body)).await
    }

    async fn stop(self) {
        self.world.finish().await;
        self.panel.stop().await;
    }
}

#[tokio::test]
async fn a_code_is_exchanged_once_and_the_instance_notifies() {
    let codes = Codes::start().await;
    let body = codes.body(Some(codes.provider_data(&InstallOptions::default())));
    let made = codes.ask(&body).await;
    assert_eq!(made.status, 200, "{:?}", made.body);
    assert_eq!(codes.panel.exchanges(), 1);
    let shown = made.body.to_string();
    for secret in
        [codes.panel.app().client_secret.as_str(), "app-token-", body["providerData"]["code"].as_str().unwrap()]
    {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let order = codes.world.store.place_order_silently(None, 7);
    assert_eq!(words(&codes.world.told(1).await), [format!("orders {order} CREATED")]);
    // The code was used already.
    let again = codes.ask(&body).await;
    assert_eq!(again.status, 401, "{:?}", again.body);
    assert!(again.body["message"].as_str().unwrap().contains("providerData.code"), "{:?}", again.body);
    assert!(again.body["providerMessage"].is_string(), "{:?}", again.body);
    assert_eq!(codes.world.get("/instances").await.body.as_array().unwrap().len(), 1);
    codes.stop().await;
}

#[tokio::test]
async fn what_cannot_be_exchanged_makes_no_instance() {
    let codes = Codes::start().await;
    let lacking = codes.ask(&codes.body(None)).await;
    assert_eq!(lacking.status, 400);
    let message = lacking.body["message"].as_str().unwrap();
    assert!(message.contains("providerData") && message.contains("oauth.user.token"), "{message}");
    let good = || codes.provider_data(&InstallOptions::default());
    for field in ["code", "context"] {
        let mut data = good();
        data.as_object_mut().unwrap().remove(field);
        let answer = codes.ask(&codes.body(Some(data))).await;
        assert_eq!(answer.status, 400, "{field}");
        assert!(answer.body["message"].as_str().unwrap().contains(field), "{field}: {:?}", answer.body);
    }
    let of_other = InstallOptions { of_other_client: true, ..InstallOptions::default() };
    let answer = codes.ask(&codes.body(Some(codes.provider_data(&of_other)))).await;
    assert_eq!(answer.status, 401, "{:?}", answer.body);
    codes.panel.fault(Fault::new(Operation::Token, Action::Status(503)));
    let answer = codes.ask(&codes.body(Some(good()))).await;
    assert_eq!(answer.status, 502, "{:?}", answer.body);
    codes.panel.clear_faults();
    assert_eq!(codes.world.get("/instances").await.body, json!([]));
    codes.stop().await;
}
