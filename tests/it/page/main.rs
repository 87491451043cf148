//! The status page in a real browser: clicked, tabbed through, on a phone, at night, with a wrong password.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod browser;
mod past;
#[path = "../relay/world.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod world;

use browser::{Chromium, Tab};
use sandbox::{Action, SenderOptions, StoreConfig, relay::ADMIN_TOKEN};
use world::World;

/// The page's address with a password in it, as a browser remembers it.
fn address(world: &World, password: &str, path: &str) -> String {
    format!("http://merchant:{password}@127.0.0.1:{}{path}", world.port)
}

/// A shop with a past, and with two orders that One Tribe refuses.
async fn shop() -> (World, [i64; 2]) {
    let mut world = World::prepare(StoreConfig::default(), SenderOptions::default(), &[("RETRY_MAX_AGE", "1s")]);
    past::put(&world.database(), &world.store.config().hash).await;
    let refused = [218, 219].map(|id| world.store.place_order_silently(Some(id), 11));
    for order in refused {
        world.sink.fault_order(order, Action::Status(422));
    }
    world.start_relay().await;
    world.hooked().await;
    for order in refused {
        world.tell(order).await;
    }
    world.tell(world.store.place_order_silently(None, 11)).await;
    world.arrived(1).await;
    for order in refused {
        world.settled(order, "failed").await;
    }
    (world, refused)
}

#[actix_web::test]
async fn a_merchant_sees_checks_mends_and_resends() {
    let Some(chromium) = Chromium::start().await else { return };
    let (world, refused) = shop().await;
    let tab = chromium.tab().await;
    tab.size(1000, 900).await;

    tab.open(&address(&world, ADMIN_TOKEN, "/integration")).await;
    tab.size(1000, 900).await;
    tab.picture("1-first-look").await;
    let text = tab.text().await;
    assert!(text.contains("2 orders could not be delivered"), "{text}");
    assert!(text.contains("No check has been run since the relay started"), "{text}");
    for width in [1280, 390] {
        tab.size(width, 900).await;
        let broken = "[...document.querySelectorAll('.numbers time')].filter(t => t.getClientRects().length !== 1 || t.getBoundingClientRect().right > t.closest('div').getBoundingClientRect().right).length";
        tab.evaluate("document.querySelectorAll('.numbers time').forEach(t => t.textContent = '59 minutes ago')").await;
        assert_eq!(tab.evaluate(broken).await, 0, "{width}");
    }

    tab.click("form[action$='integration/check'] button").await;
    tab.size(1000, 900).await;
    tab.picture("2-checked").await;
    let text = tab.text().await;
    assert!(text.contains("The public address reaches this relay"), "{text}");
    assert!(tab.address().await.contains("/integration/check"));
    assert_eq!(tab.poor_contrast().await, serde_json::json!([]));

    let hook = world.store.hooks().remove(0);
    world.store.deactivate_hook(hook.id);
    tab.click("form[action$='integration/check'] button").await;
    tab.size(900, 900).await;
    tab.picture("3-hook-off").await;
    let text = tab.text().await;
    assert!(text.contains("Not connected") && text.contains("switched off by BigCommerce"), "{text}");
    tab.click("form[action$='integration/update'] button").await;
    assert!(world.store.hook(hook.id).unwrap().is_active);
    assert!(tab.text().await.contains("The webhooks are there, active"));

    world.sink.clear_faults();
    tab.click(&format!("form[action$='orders/{}/resend'] button", refused[0])).await;
    assert!(tab.text().await.contains(&format!("Order {} is fetched again", refused[0])));
    assert!(tab.address().await.ends_with(&format!("/integration?order={}", refused[0])));
    world.arrived(2).await;
    tab.click("form[action$='orders/resend?state=failed'] button").await;
    assert!(tab.text().await.contains("1 failed order is fetched again"));
    world.arrived(3).await;

    for order in refused {
        world.settled(order, "delivered").await;
    }
    tab.click("form[action$='integration/check'] button").await;
    assert_eq!(tab.title().await, "Connected · One Tribe relay");
    tab.size(900, 900).await;
    for_the_readme(&tab.picture("4-connected").await);
    tab.dark(true).await;
    tab.size(900, 900).await;
    tab.picture("5-night").await;
    assert_eq!(tab.poor_contrast().await, serde_json::json!([]));
    phone(&tab).await;
    chromium.stop().await;
    world.finish().await;
}

/// With `UPDATE_SCREENSHOT` set, the README gets this picture.
fn for_the_readme(picture: &[u8]) {
    if std::env::var_os("UPDATE_SCREENSHOT").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status-page.png"), picture).unwrap();
    }
}

async fn phone(tab: &Tab) {
    for dark in [true, false] {
        tab.dark(dark).await;
        tab.size(360, 740).await;
        assert_eq!(tab.evaluate("document.documentElement.scrollWidth").await, 360);
        let smallest = "Math.min(...[...document.querySelectorAll('button')].map(b => b.offsetHeight))";
        assert_eq!(tab.evaluate(smallest).await, 44);
        tab.picture(if dark { "6-phone-night" } else { "7-phone" }).await;
    }
}

#[actix_web::test]
async fn the_keyboard_is_enough() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start().await;
    let tab = chromium.tab().await;
    tab.open(&address(&world, ADMIN_TOKEN, "/integration")).await;
    assert_eq!(tab.title().await, "Not checked yet · One Tribe relay");
    tab.press("Tab").await;
    assert_eq!(tab.evaluate("document.activeElement.innerText").await, "Check Integration");
    assert_ne!(tab.evaluate("getComputedStyle(document.activeElement).outlineStyle").await, "none");
    tab.press_and_go("Enter").await;
    assert_eq!(tab.title().await, "Connected · One Tribe relay");
    tab.press("Tab").await;
    tab.press("Tab").await;
    assert_eq!(tab.evaluate("document.activeElement.innerText").await, "Update Integration");
    tab.press_and_go("Enter").await;
    assert_eq!(tab.evaluate("document.documentElement.lang").await, "en");
    assert_eq!(
        tab.evaluate("[...document.querySelectorAll('button, section')].filter(e => !e.innerText.trim()).length").await,
        0
    );
    let headings = "[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1]).reduce((was, is) => is > was + 1 ? 9 : is, 0)";
    assert_ne!(tab.evaluate(headings).await, 9);
    // The measure of contrast does find what is too pale.
    tab.evaluate("document.querySelector('h1').style.color = '#999'").await;
    assert_eq!(tab.poor_contrast().await.as_array().map(Vec::len), Some(1));
    chromium.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn a_wrong_password_shows_nothing_and_changes_nothing() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start().await;
    let tab = chromium.tab().await;
    tab.size(1000, 500).await;
    tab.password("not-the-admin-token").await;
    tab.open(&world.url("/integration")).await;
    tab.size(1000, 500).await;
    tab.picture("8-wrong-password").await;
    let text = tab.text().await;
    assert!(text.contains("Password needed") && !text.contains("abcde"), "{text}");
    chromium.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn another_sites_page_cannot_press_the_buttons() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start().await;
    let hook = world.store.hooks().remove(0);
    let tab = chromium.tab().await;
    // The browser knows the password from here on.
    tab.open(&address(&world, ADMIN_TOKEN, "/integration")).await;
    world.store.deactivate_hook(hook.id);
    let url = world.url("/integration/update");
    // `localhost` is another site than `127.0.0.1`.
    tab.open(&format!("http://localhost:{}/health/live", world.port)).await;
    let form =
        format!("document.body.innerHTML = '<form method=post action=\"{url}\"><button>Win a prize</button></form>'");
    tab.evaluate(&form).await;
    tab.click("button").await;
    let text = tab.text().await;
    assert!(text.contains("another site") || text.contains("Password needed"), "{text}");
    assert!(!world.store.hook(hook.id).unwrap().is_active);
    chromium.stop().await;
    world.finish().await;
}
