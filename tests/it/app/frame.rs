//! The app as a merchant uses it: a real browser, the control panel, and the app's page in a frame on another site,
//! with third-party cookies blocked.

use std::time::{Duration, Instant};

use chromiumoxide::{Page, cdp::js_protocol::runtime::EvaluateParams};
use serde_json::Value;

use super::world::{PATIENCE, World};
use crate::support::chromium::{Chromium, evaluate, until};

/// Runs a script in the app's frame, which the control panel's page cannot access.
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

/// Waits until the text of the frame's page contains this.
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
async fn a_page_left_open_in_the_control_panel_renews_itself() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start(1).await;
    let store = world.store(1).unwrap();
    world.connect(&store).await;
    let page = chromium.browser.new_page("about:blank").await.unwrap();
    page.goto(format!("{}/open", world.panel.page_url(&store))).await.unwrap();
    frame_says(&page, "Connected").await;
    let violations = "window.violations = []; document.addEventListener('securitypolicyviolation', event => \
                      violations.push(event.violatedDirective)); 1";
    in_frame(&page, violations).await.unwrap();
    let order = store.place_order_as(None, super::world::PAID);
    world.arrived(&store, order).await;
    frame_says(&page, &order.to_string()).await;
    let is_fine = "violations.length === 0 && document.getElementById('stale').hidden";
    assert_eq!(in_frame(&page, is_fine).await, Some(Value::Bool(true)));
    // What came with the renewal still leads to the relay.
    in_frame(&page, "document.querySelector('form[action$=\"app/check\"]').requestSubmit()").await;
    frame_says(&page, "checks are good").await;
    frame_says(&page, &order.to_string()).await;
    // Once the app is uninstalled, the page says that it is no longer so.
    world.panel.uninstall(&store).await.unwrap();
    frame_says(&page, "what you see here may be out of date").await;
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
