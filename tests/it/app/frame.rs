//! The app as a merchant uses it: a real browser, the control panel, and the app's page in its frame on another site, with
//! third-party cookies blocked.

use std::time::Duration;

use chromiumoxide::{
    Browser, BrowserConfig, Page,
    detection::{DetectionOptions, default_executable},
};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::world::{PATIENCE, World};

struct Chromium {
    browser: Browser,
    handler: JoinHandle<()>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// `None` when no browser is installed; on a build server that is an error.
    async fn start() -> Option<Self> {
        let Ok(executable) = default_executable(DetectionOptions::default()) else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no Chromium is installed, and CI is true");
            eprintln!("skipped: no Chromium is installed");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(executable)
            .user_data_dir(profile.path())
            .no_sandbox()
            .disable_https_first()
            .viewport(None)
            .launch_timeout(PATIENCE)
            .request_timeout(PATIENCE)
            .args([
                "disable-gpu",
                "no-first-run",
                "disable-background-networking",
                "disable-component-update",
                "disable-sync",
                // The frame then belongs to its page's process, where scripts of the test reach it; what its answers may
                // do is the same.
                "disable-site-isolation-trials",
                "disable-web-security",
                "test-third-party-cookie-phaseout",
            ])
            .build()
            .unwrap();
        let (browser, mut events) = Browser::launch(config).await.unwrap();
        let handler = tokio::spawn(async move { while events.next().await.is_some() {} });
        Some(Self { browser, handler, _profile: profile })
    }

    async fn stop(mut self) {
        self.browser.close().await.unwrap();
        self.browser.wait().await.unwrap();
        self.handler.abort();
    }
}

async fn evaluate(page: &Page, script: &str) -> Value {
    page.evaluate(script).await.ok().and_then(|answer| answer.value().cloned()).unwrap_or_default()
}

/// Waits until a script's answer is true; what the frame shows is in the message when it never is.
async fn until(page: &Page, script: &str) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while evaluate(page, script).await != Value::Bool(true) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    if waited.await.is_err() {
        let script_of_text =
            "document.getElementById('app')?.contentDocument?.body?.innerText ?? document.body.innerText";
        let shown = evaluate(page, script_of_text).await;
        panic!("never so: {script}\n{}", shown);
    }
}

/// Waits until the frame's page says this.
async fn frame_says(page: &Page, words: &str) {
    let script = format!(
        "!!document.getElementById('app')?.contentDocument?.body?.innerText.includes({})",
        serde_json::to_string(words).unwrap()
    );
    until(page, &script).await;
}

async fn press(page: &Page, id: &str) {
    let script = format!("!!document.getElementById('{id}')");
    until(page, &script).await;
    evaluate(page, &format!("document.getElementById('{id}').click()")).await;
}

#[actix_web::test]
async fn a_merchant_installs_connects_places_an_order_and_uninstalls() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    let page = chromium.browser.new_page("about:blank").await.unwrap();
    page.goto(world.panel.page_url(&store)).await.unwrap();
    press(&page, "install").await;
    frame_says(&page, "One Tribe payload URL").await;
    let url = serde_json::to_string(&world.sink.url()).unwrap();
    let script = format!(
        "(() => {{ const frame = document.getElementById('app').contentDocument, \
         field = frame.querySelector('input[name=destination]'); \
         field.value = {url}; field.form.requestSubmit(); }})()"
    );
    evaluate(&page, &script).await;
    frame_says(&page, "The payload URL is saved").await;
    let order = store.place_order_as(None, super::world::PAID);
    world.arrived(&store, order).await;
    page.goto(format!("{}/open", world.panel.page_url(&store))).await.unwrap();
    frame_says(&page, &order.to_string()).await;
    let check = "document.getElementById('app').contentDocument\
                 .querySelector('form[action$=\"app/check\"]').requestSubmit()";
    evaluate(&page, check).await;
    frame_says(&page, "checks are good").await;
    assert_eq!(world.connection().await["state"], "active");

    page.goto(world.panel.page_url(&store)).await.unwrap();
    press(&page, "uninstall").await;
    until(&page, "!!document.getElementById('install') && !document.getElementById('uninstall')").await;
    assert_eq!(world.connection().await["state"], "disconnected");
    press(&page, "install").await;
    frame_says(&page, "One Tribe payload URL").await;
    frame_says(&page, &order.to_string()).await;
    assert_eq!(world.sink.accepted_count(), 1);
    chromium.stop().await;
    world.stop().await;
}
