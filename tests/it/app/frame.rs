//! The app as a merchant uses it: a real browser, the control panel, and the app's page in its frame on another site, with
//! third-party cookies blocked.

use std::time::{Duration, Instant};

use chromiumoxide::{
    Browser, BrowserConfig, Page,
    cdp::js_protocol::runtime::EvaluateParams,
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
                // The frame then belongs to its page's process, where the test reaches it. It stays another site.
                "disable-site-isolation-trials",
                "disable-features=IsolateOrigins,site-per-process",
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

/// Runs a script within the app's frame, where the control panel's page could not.
async fn in_frame(page: &Page, script: &str) -> Option<Value> {
    for frame in page.frames().await.ok()? {
        let url = page.frame_url(frame.clone()).await.ok().flatten().unwrap_or_default();
        if !url.contains("/bigcommerce/") {
            continue;
        }
        let context = page.frame_execution_context(frame).await.ok().flatten()?;
        let asked =
            EvaluateParams::builder().expression(script).context_id(context).return_by_value(true).build().ok()?;
        return page.evaluate_expression(asked).await.ok()?.value().cloned();
    }
    None
}

/// Waits until a script of the control panel's page is true.
async fn until(page: &Page, script: &str) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while evaluate(page, script).await != Value::Bool(true) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(waited.await.is_ok(), "never so: {script}");
}

/// Waits until the frame's page says this.
async fn frame_says(page: &Page, words: &str) {
    let mut shown = String::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        while !shown.contains(words) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let text = in_frame(page, "document.body.innerText").await;
            shown = text.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
        }
    });
    let in_time = waited.await.is_ok();
    assert!(in_time, "the frame never says {words:?}, but: {shown}");
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
        "(() => {{ const field = document.querySelector('input[name=destination]'); \
         field.value = {url}; field.form.requestSubmit(); }})()"
    );
    in_frame(&page, &script).await;
    frame_says(&page, "The payload URL is saved").await;
    let order = store.place_order_as(None, super::world::PAID);
    world.arrived(&store, order).await;
    page.goto(format!("{}/open", world.panel.page_url(&store))).await.unwrap();
    frame_says(&page, &order.to_string()).await;
    in_frame(&page, "document.querySelector('form[action$=\"app/check\"]').requestSubmit()").await;
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

#[actix_web::test]
async fn another_site_cannot_frame_the_page() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start_with(1, &[("BIGCOMMERCE_APP_FRAME_ANCESTORS", "https://*.mybigcommerce.com")]).await;
    let store = world.store(1).unwrap();
    let page = chromium.browser.new_page("about:blank").await.unwrap();
    page.goto(world.panel.page_url(&store)).await.unwrap();
    press(&page, "install").await;
    until(&page, "!!document.getElementById('app')").await;
    let patience = Instant::now() + Duration::from_secs(3);
    while Instant::now() < patience {
        let shown = in_frame(&page, "document.body.innerText").await.unwrap_or_default().to_string();
        assert!(!shown.contains("payload URL"), "{shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    chromium.stop().await;
    world.stop().await;
}
