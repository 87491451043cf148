//! The relay and its surroundings for the app's tests, and the requests of a browser in the frame.

use std::{fs::File, ops::Deref, process::Command, time::Duration};

use reqwest::header::HeaderMap;
use sandbox::{ProcessClock, StoreSim, User, app::AppWorld, http, relay::ADMIN_TOKEN};
use serde_json::Value;
use tempfile::TempDir;

use crate::relay::process::Process;

/// Far longer than any step takes that works: probes of a side that is down are up to a minute apart.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The status of a paid order.
pub const PAID: u8 = 11;

pub struct World {
    pub app: AppWorld,
    pub client: reqwest::Client,
    pub folder: TempDir,
}

impl Deref for World {
    type Target = AppWorld;

    fn deref(&self) -> &AppWorld {
        &self.app
    }
}

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The hidden token of the page's forms.
    pub fn token(&self) -> String {
        let (_, rest) = self.text.split_once(r#"name="token" value=""#).expect("the page has forms");
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// Asserts what must hold for every page in the frame.
    #[track_caller]
    pub fn is_a_page_of_the_app(&self, world: &World) {
        let policy = self.header("content-security-policy");
        assert!(policy.contains(&format!("frame-ancestors {}", world.panel.page_origin())), "{policy}");
        assert_eq!(self.header("x-frame-options"), "");
        assert_eq!(self.header("referrer-policy"), "no-referrer");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("set-cookie"), "");
        let secrets = [world.sink.url(), world.panel.app().client_secret, "app-token-".to_owned(), "eyJ".to_owned()];
        for secret in secrets.iter().chain([&"sandbox-merchant-token".to_owned()]) {
            assert!(!self.text.contains(secret), "{secret} in {}", self.text);
        }
    }
}

impl World {
    pub async fn start(stores: usize) -> Self {
        Self::start_with(stores, &[]).await
    }

    pub async fn start_with(stores: usize, extra: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = AppWorld::start_with(stores, folder.path(), extra).await.unwrap();
        Self { app, client: http::client(), folder }
    }

    pub async fn restart_relay(&mut self) {
        self.app.stop_relay().await.unwrap();
        self.app.start_relay(self.folder.path()).await.unwrap();
    }

    /// Runs the relay in a process of its own, instead of the one in this process.
    pub async fn start_process(&mut self, extra: &[(&str, &str)]) -> Process {
        let command = self.command(extra).await;
        Process::as_prepared(command, &self.url("/health/live")).await
    }

    /// Like [`Self::start_process`], with the log written to a file. Set the log's level in `extra`.
    pub async fn start_logged_process(&mut self, extra: &[(&str, &str)], log: File) -> Process {
        let mut command = self.command(extra).await;
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Process::as_prepared(command, &self.url("/health/live")).await
    }

    /// Like [`Self::start_process`], with every clock of the process running `speed` times as fast.
    pub async fn start_hurried(&mut self, clock: &ProcessClock, speed: u32, extra: &[(&str, &str)]) -> Process {
        let mut command = self.command(extra).await;
        command.env("RUST_LOG", "warn");
        clock.give(&mut command, speed);
        Process::as_prepared(command, &self.url("/health/live")).await
    }

    async fn command(&mut self, extra: &[(&str, &str)]) -> Command {
        self.app.stop_relay().await.unwrap();
        let variables = sandbox::app::variables(&self.panel, &self.farm, self.folder.path(), self.port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().envs(variables).envs(extra.iter().copied()).current_dir(self.folder.path());
        command
    }

    pub async fn get(&self, url: &str) -> Answer {
        answer(self.client.get(url).send().await.unwrap()).await
    }

    /// Submits a form of the page as a browser in the frame does.
    pub async fn post(&self, deed: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from(deed, fields, &[("sec-fetch-site", "same-origin"), ("origin", "null")]).await
    }

    pub async fn post_from(&self, deed: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let url = self.url(&format!("/bigcommerce/app/{deed}"));
        let mut request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.body(body.finish()).send().await.unwrap()).await
    }

    /// Installs the app; returns the page that the merchant sees then.
    pub async fn install(&self, store: &StoreSim) -> Answer {
        let page = self.get(&self.panel.install_url(store)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        page
    }

    /// Opens the app.
    pub async fn open(&self, store: &StoreSim, user: &User) -> Answer {
        self.get(&self.panel.load_url(store, user)).await
    }

    /// Installs the app and enters the payload URL; returns the page that follows.
    pub async fn connect(&self, store: &StoreSim) -> Answer {
        let token = self.install(store).await.token();
        let page = self.post("destination", &[("token", &token), ("destination", &self.sink.url())]).await;
        assert_eq!(page.status, 200, "{}", page.text);
        page
    }

    /// Every connection, as the operator's API shows it.
    pub async fn connections(&self) -> Vec<Value> {
        let asked = self.client.get(self.url("/connections")).bearer_auth(ADMIN_TOKEN);
        let text = answer(asked.header("accept", "application/json").send().await.unwrap()).await.text;
        serde_json::from_str::<Value>(&text).unwrap()["connections"].as_array().unwrap().clone()
    }

    /// The only connection.
    pub async fn connection(&self) -> Value {
        let mut all = self.connections().await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Waits until One Tribe has the store's order in its current state.
    pub async fn arrived(&self, store: &StoreSim, order: i64) {
        let newest = store.revision(order);
        let waited = self.sink.wait_for(|sink| sink.newest(order) == newest, PATIENCE).await;
        assert!(waited.is_ok(), "order {order} did not arrive");
    }

    pub async fn stop(self) {
        self.app.stop().await.unwrap();
    }
}

pub async fn answer(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}
