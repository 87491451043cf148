//! Keys in one click, from the merchant's browser to keys that have been tried at the shop.

use onetribe_relay::{
    source::woocommerce::{
        AuthMode, Shop, Shops,
        keys::{KeyRequest, NoKeyPage, PostedKeys, authorize_url, key_page, read_keys},
        root::front_page,
        webhook::Verifier,
    },
    spec::WooCommerceSpec,
};
use sandbox::{ShopConfig, ShopPermalinks, ShopSim};
use std::sync::Arc;
use url::Url;

use super::{SOON, receiver::Receiver, shops};

struct Flow {
    sim: ShopSim,
    shops: Arc<Shops>,
    receiver: Receiver,
    browser: reqwest::Client,
}

impl Flow {
    fn start(permalinks: ShopPermalinks) -> Self {
        let sim = ShopSim::start_with(ShopConfig { permalinks, ..ShopConfig::default() }).expect("a port");
        let receiver = Receiver::start(Verifier::new(&sim.url(), &[], Vec::new()));
        Self { sim, shops: shops(SOON), receiver, browser: sandbox::http::client() }
    }

    /// The page that the merchant is sent to; the relay's callback is plain `http` here.
    async fn page(&self) -> Url {
        let root = self.shops.find_root(&front_page(&self.sim.url()).expect("an address")).await.expect("an API");
        let (back, post) = (url("https://relay.example/woocommerce/connected"), url(self.receiver.url()));
        let request = KeyRequest { app_name: "relay", user_id: "s3cret", return_url: &back, callback_url: &post };
        key_page(&root, &request)
    }

    /// Opens the page and follows the link with this id. Returns where the browser is sent, or the status of the page.
    async fn click(&self, link: &str) -> Result<String, u16> {
        let page = self.browser.get(self.page().await).send().await.expect("a page").text().await.expect("a text");
        let (_, rest) = page.split_once(&format!(r#"id="{link}" href=""#)).unwrap_or_else(|| panic!("{page}"));
        let target = rest.split('"').next().expect("a link").replace("&amp;", "&");
        if target.starts_with("https://relay.example") {
            return Ok(target);
        }
        let answer = self.browser.get(&target).send().await.expect("an answer");
        let location = answer.headers().get("location").map(|location| location.to_str().expect("a text").to_owned());
        location.ok_or(answer.status().as_u16())
    }

    fn posted(&self) -> PostedKeys {
        read_keys(&self.receiver.received().pop().expect("something came").body).expect("keys")
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

#[tokio::test]
async fn an_approved_request_brings_keys_that_work() {
    for permalinks in [ShopPermalinks::Pretty, ShopPermalinks::IndexPhp] {
        let flow = Flow::start(permalinks);
        let back = flow.click("approve").await.expect("the browser is sent back");
        assert_eq!(back, "https://relay.example/woocommerce/connected?success=1&user_id=s3cret");
        let keys = flow.posted();
        assert!(keys.may_write && keys.user_id.expose() == "s3cret");
        let spec = WooCommerceSpec {
            url: flow.sim.url(),
            consumer_key: keys.consumer_key.clone(),
            consumer_secret: keys.consumer_secret.clone(),
            webhook_secret: "x".into(),
        };
        let shop = Shop::new(flow.shops.clone(), &spec).expect("an address").starting_with(AuthMode::Basic);
        shop.can_read().await.expect("the keys work");

        flow.click("approve").await.expect("the link works twice");
        assert!(flow.posted() != keys && flow.sim.keys().len() == 3, "and makes another key");
    }
}

#[tokio::test]
async fn keys_that_are_not_taken_are_deleted_by_the_shop() {
    let flow = Flow::start(ShopPermalinks::Pretty);
    for status in [201, 403, 500] {
        flow.receiver.answer(status);
        assert_eq!(flow.click("approve").await, Err(401), "only 200 will do");
        assert_eq!(flow.sim.keys().len(), 1);
    }
    let denied = flow.click("deny").await.expect("the browser is sent back");
    assert_eq!(denied, "https://relay.example/woocommerce/connected?success=0&user_id=s3cret");
}

#[tokio::test]
async fn a_shop_with_plain_permalinks_is_refused_with_the_reason() {
    let flow = Flow::start(ShopPermalinks::Plain);
    let root = flow.shops.find_root(&front_page(&flow.sim.url()).expect("an address")).await.expect("an API");
    let (back, post) = (url("https://relay.example/back"), url("https://relay.example/keys"));
    let request = KeyRequest { app_name: "relay", user_id: "s3cret", return_url: &back, callback_url: &post };
    assert_eq!(authorize_url(&root, &request), Err(NoKeyPage::PlainPermalinks));
    assert_eq!(flow.click("approve").await, Err(200), "it leads to the front page");
    assert!(flow.receiver.received().is_empty() && flow.sim.keys().len() == 1);
}
