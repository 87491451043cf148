//! The status page and the operator's list in a real browser: in trouble of each kind, on small screens and large, by
//! day and by night; and what their script does.

use sandbox::{Action, Fault, Operation, SenderOptions, StoreConfig, relay::ADMIN_TOKEN};
use serde_json::Value;

use crate::{
    many::world::World as ManyWorld,
    relay::world::{PATIENCE, World},
    support::chromium::{Chromium, Tab, assert_sound},
};

/// A page's address with the password in it, as a browser remembers it.
fn address(port: u16, path: &str) -> String {
    format!("http://merchant:{ADMIN_TOKEN}@127.0.0.1:{port}{path}")
}

/// Opens the page and looks at it until it says `words`.
async fn shown(tab: &Tab, port: u16, words: &str) {
    let opened = async {
        loop {
            tab.open(&address(port, "/integration")).await;
            if tab.text().await.contains(words) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, opened).await.is_err() {
        panic!("the page never says {words:?}: {}", tab.text().await);
    }
}

#[actix_web::test]
async fn the_status_page_looks_right_in_every_trouble() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start().await;
    let tab = chromium.tab().await;
    shown(&tab, world.port, "No order has come yet").await;
    assert_sound(&tab, "status-new").await;

    for _ in 0..12 {
        world.store.place_order_as(None, 11);
    }
    world.arrived(12).await;
    shown(&tab, world.port, "Your store is connected to One Tribe").await;
    assert_sound(&tab, "status-connected").await;

    // Refused from the first try on, beside others that pass.
    let refused: Vec<i64> = (0..3).map(|_| world.store.place_order_silently(None, 11)).collect();
    for order in &refused {
        world.sink.fault_order(*order, Action::Status(422));
        world.tell(*order).await;
    }
    shown(&tab, world.port, "3 orders are refused").await;
    assert_sound(&tab, "status-refused").await;
    world.sink.clear_faults();
    for order in &refused {
        assert_eq!(world.post(&format!("/orders/{order}/resend")).await.0, 202);
    }
    world.arrived(15).await;

    // The payload URL, and a hook that is off: both are told, the cause first.
    world.store.deactivate_hook(world.store.hooks()[0].id);
    world.get("/integration/check").await;
    shown(&tab, world.port, "switched off by BigCommerce").await;
    assert_sound(&tab, "status-hook-off").await;
    world.sink.fault_all(Action::Status(401));
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    shown(&tab, world.port, "One Tribe does not accept the payload URL").await;
    let text = tab.text().await;
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
    assert!(
        at("Copy the payload URL from One Tribe once more") < at("Also") && at("Also") < at("switched off"),
        "{text}"
    );
    assert_sound(&tab, "status-two-troubles").await;
    world.sink.clear_faults();
    world.arrived(16).await;
    assert_eq!(world.post("/integration/update").await.0, 200);

    // The token, the store hash.
    for (status, words, name) in [
        (401, "BigCommerce refuses the access token", "status-token"),
        (403, "Orders may not be read", "status-right"),
        (404, "The store is not known", "status-unknown"),
        (503, "BigCommerce does not answer", "status-store-down"),
    ] {
        world.store.fault(Fault::new(Operation::Any, Action::Status(status)));
        world.get("/integration/check").await;
        shown(&tab, world.port, words).await;
        assert_sound(&tab, name).await;
        world.store.clear_faults();
        assert_eq!(world.get("/integration/check").await.1["status"], "pass");
    }
    chromium.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn the_status_page_looks_right_when_orders_have_failed_and_when_nothing_can_be_kept() {
    let Some(chromium) = Chromium::start().await else { return };
    let config = StoreConfig {
        name: "The Very Longest Name of a Store, Antiquarian Books & Sons".to_owned(),
        ..StoreConfig::default()
    };
    let mut world = World::prepare(config, SenderOptions::default(), &[("RETRY_MAX_AGE", "1s")]);
    world.start_relay().await;
    world.hooked().await;
    let tab = chromium.tab().await;
    let failed: Vec<i64> = (0..4).map(|n| world.store.place_order_silently(Some(9_000_000_000_001 + n), 11)).collect();
    for order in &failed {
        world.sink.fault_order(*order, Action::Status(400));
        world.tell(*order).await;
    }
    for order in &failed {
        world.settled(*order, "failed").await;
    }
    shown(&tab, world.port, "4 orders failed").await;
    assert_sound(&tab, "status-failed").await;

    // The button that helps resends them, and the page says so until they have arrived.
    world.sink.clear_faults();
    world.sink.fault_all(Action::Hold);
    tab.click("form[action$='orders/resend?state=failed'] button").await;
    tab.says("4 orders are being tried again").await;
    world.sink.wait_for(|sink| sink.held() == 4, PATIENCE).await.unwrap();
    shown(&tab, world.port, "on its way now").await;
    let headline = tab.evaluate("document.getElementById('verdict-title').innerText").await;
    assert_eq!(headline, "4 orders are being tried again");
    assert_sound(&tab, "status-resent").await;
    world.sink.clear_faults();
    world.sink.release();
    world.arrived(4).await;

    let database = rusqlite::Connection::open(world.database()).unwrap();
    database.execute_batch("ALTER TABLE receipts RENAME TO away").unwrap();
    let order = world.store.place_order_silently(None, 11);
    assert_eq!(
        world.send(&sandbox::Event::new(sandbox::Scope::Created, order), &sandbox::SendOptions::default()).await,
        503
    );
    shown(&tab, world.port, "Orders cannot be kept").await;
    assert_sound(&tab, "status-not-kept").await;
    database.execute_batch("ALTER TABLE away RENAME TO receipts").unwrap();
    world.tell(order).await;
    world.arrived(5).await;
    shown(&tab, world.port, "Your store is connected to One Tribe").await;

    // Pages beside it.
    tab.open(&address(world.port, "/no-such-page")).await;
    tab.says("There is no page here").await;
    assert_sound(&tab, "no-page").await;
    tab.open(&address(world.port, "/integration/")).await;
    tab.says("There is no page here").await;
    tab.click("a").await;
    tab.says("Your store is connected to One Tribe").await;
    let stranger = chromium.tab().await;
    stranger.password("not-the-admin-token").await;
    stranger.open(&format!("http://localhost:{}/integration", world.port)).await;
    stranger.says("ask whoever runs the relay").await;
    assert_sound(&stranger, "password").await;
    chromium.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn the_operators_list_looks_right_with_connections_in_trouble() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = ManyWorld::start(4).await;
    let tab = chromium.tab().await;
    tab.open(&address(world.port, "/connections")).await;
    assert_sound(&tab, "list-empty").await;
    let ids = world.connect_all().await;
    let store = &world.farm.stores()[0];
    store.fault(Fault::new(Operation::Any, Action::Status(401)));
    // Nothing else may ask this store for a quarter of an hour.
    assert_eq!(world.get(&format!("/connections/{}/integration/check", ids[0])).await.0, 503);
    let listed = async {
        loop {
            tab.open(&address(world.port, "/connections")).await;
            if tab.text().await.contains("refuses the access token") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, listed).await.is_err() {
        panic!("the list does not tell of the trouble: {}", tab.text().await);
    }
    let rows = "[...document.querySelectorAll('.orders > li')].map(row => row.innerText)";
    let rows = tab.evaluate(rows).await;
    assert!(
        rows[0].as_str().unwrap_or_default().contains("refuses the access token"),
        "those in trouble first: {rows}"
    );
    assert_sound(&tab, "list").await;
    tab.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)").await;
    assert_sound(&tab, "list-forms").await;
    store.clear_faults();
    chromium.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn times_are_the_readers_and_utc_without_a_script() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start().await;
    world.store.place_order_as(None, 11);
    world.arrived(1).await;
    let tab = chromium.tab().await;
    for zone in ["America/New_York", "Asia/Tokyo"] {
        tab.zone(zone).await;
        tab.open(&address(world.port, "/integration")).await;
        // The zone stands at the top, and with each time that is shown for itself.
        // The page may renew itself at any moment: both are read at once.
        let both = format!(
            "const text = document.body.innerText; const at = document.querySelector('time[data-at=clock]').dateTime; \
             [text, new Date(at).toLocaleTimeString(undefined, {{hour: 'numeric', minute: '2-digit', second: \
             '2-digit', timeZoneName: 'short', timeZone: '{zone}'}})]"
        );
        let both = tab.evaluate(&both).await;
        let [text, said] = [0, 1].map(|at| both[at].as_str().unwrap_or_default());
        assert!(text.contains(&format!("As of {said}.")), "{said}: {text}");
        let abbreviation = said.rsplit(' ').next().unwrap_or_default();
        let titles = "[...document.querySelectorAll('time')].filter(time => !time.title.endsWith";
        assert_eq!(tab.evaluate(&format!("{titles}('{abbreviation}')).length")).await, 0);
        assert_eq!(tab.text().await.matches(abbreviation).count(), 1);
        assert_eq!(tab.evaluate("violations").await, serde_json::json!([]));
    }
    let plain = chromium.tab().await;
    plain.without_script(true).await;
    plain.open(&address(world.port, "/integration")).await;
    let page = plain.0.content().await.unwrap();
    assert!(page.contains(" UTC</time>") && page.contains(" UTC\">"), "{page}");
    chromium.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn a_page_left_open_renews_itself_and_leaves_open_what_was_opened() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start().await;
    world.store.place_order_as(None, 11);
    world.arrived(1).await;
    let tab = chromium.tab().await;
    tab.open(&address(world.port, "/integration")).await;
    tab.says("Order 218").await;
    tab.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)").await;
    let open = "[...document.querySelectorAll('details')].filter(details => details.open).length";
    let opened = tab.evaluate(open).await;
    assert!(opened.as_i64() >= Some(2), "{opened}");
    world.store.place_order_as(None, 11);
    world.arrived(2).await;
    tab.says("Order 219").await;
    assert_eq!(tab.evaluate(open).await, opened);
    assert_eq!(tab.evaluate("violations").await, serde_json::json!([]));
    // What somebody types stays.
    tab.evaluate("const field = document.querySelector('input[name=order]'); field.focus(); field.value = '21'").await;
    world.store.place_order_as(None, 11);
    world.arrived(3).await;
    tab.says("Last order forwarded").await;
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert_eq!(tab.evaluate("document.querySelector('input[name=order]').value").await, "21");
    chromium.stop().await;
    world.finish().await;
}

#[actix_web::test]
async fn the_search_box_finds_an_order() {
    let Some(chromium) = Chromium::start().await else { return };
    let world = World::start().await;
    for _ in 0..30 {
        world.store.place_order_as(None, 11);
    }
    world.arrived(30).await;
    let tab = chromium.tab().await;
    for (typed, found) in [
        ("218", "Order 218"),
        (" #240 ", "Order 240"),
        ("Order no. 241", "Order 241"),
        ("999999", "has not been seen here"),
        ("abc", "That is not an order number"),
    ] {
        tab.open(&address(world.port, "/integration")).await;
        let typed = serde_json::to_string(typed).unwrap();
        // What has the focus is not renewed meanwhile.
        let field = "document.querySelector('input[name=order]')";
        tab.evaluate(&format!("{field}.focus(); {field}.value = {typed}")).await;
        tab.click(".search button").await;
        let said = tab.evaluate("document.querySelector('.found, .search ~ .error, .error')?.innerText ?? ''").await;
        assert!(said.as_str().unwrap_or_default().contains(found), "{typed}: {said}: {}", tab.text().await);
        assert_eq!(tab.misplaced().await, Value::Array(vec![]));
    }
    chromium.stop().await;
    world.finish().await;
}
