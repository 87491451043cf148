//! The whole relay between a simulated shop and the destination, from a merchant's point of view.

use std::time::{Duration, Instant};

use onetribe_relay::{config::Config, source::woocommerce::hooks::ORDER_TOPICS};
use sandbox::{
    OneTribeSim, ShopConfig, ShopPermalinks, ShopSim, ShopVersion, http,
    relay::{ADMIN_TOKEN, Relay, free_port},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far longer than any step takes that works.
const PATIENCE: Duration = Duration::from_secs(30);
/// Encrypts the credentials of these tests.
const CREDENTIALS_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

struct World {
    shop: ShopSim,
    sink: OneTribeSim,
    relay: Relay,
    client: reqwest::Client,
    /// Holds the database until the test ends.
    _folder: TempDir,
}

impl World {
    /// A relay without any store. Its public address is `public_url`, or the address it listens on.
    async fn start(shop: ShopConfig, public_url: Option<&str>, extra: &[(&str, &str)]) -> Self {
        // The shop is called over plain `http`, so WordPress must not take requests for `https`.
        let shop = ShopSim::start_with(ShopConfig { is_ssl: false, ..shop }).expect("a port");
        let sink = OneTribeSim::start().expect("a port");
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port().expect("a port"));
        let own = format!("http://127.0.0.1:{port}");
        let variables = [
            ("CREDENTIALS_KEY", CREDENTIALS_KEY.to_owned()),
            ("BIGCOMMERCE_API_URL", "http://127.0.0.1:9".to_owned()),
            ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8".to_owned()),
            ("ONE_TRIBE_HOSTS", "127.0.0.1".to_owned()),
            ("PUBLIC_URL", public_url.unwrap_or(&own).to_owned()),
            ("DATABASE_URL", format!("sqlite://{}", folder.path().join("relay.db").display())),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", port.to_string()),
            ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ];
        let extra = extra.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let variables = variables.into_iter().chain(extra).map(|(name, value)| (name.to_owned(), value));
        let config = Config::from_vars(variables.collect::<Vec<_>>()).expect("a configuration");
        let relay = Relay::start(config).await.expect("it starts");
        Self { shop, sink, relay, client: http::client(), _folder: folder }
    }

    /// Like [`Self::start`], with the shop connected by its keys and its webhooks created.
    async fn connected(shop: ShopConfig, extra: &[(&str, &str)]) -> Self {
        let world = Self::start(shop, None, extra).await;
        let (status, answer) = world.connect().await;
        assert_eq!(status, 201, "{answer}");
        world.shop.wait_for(|shop| shop.hooks().len() == ORDER_TOPICS.len(), PATIENCE).await.expect("webhooks");
        world
    }

    async fn connect(&self) -> (u16, Value) {
        let config = self.shop.config();
        let body = json!({
            "name": "Shop",
            "source": {
                "kind": "woocommerce", "url": self.shop.url(),
                "consumer_key": config.consumer_key, "consumer_secret": config.consumer_secret,
            },
            "destination": {"kind": "one_tribe", "url": self.sink.url()},
        });
        let request = self.client.post(self.relay.url("/connections")).bearer_auth(ADMIN_TOKEN);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON"))
    }

    /// Waits until the destination has the order byte for byte as it is in the shop now.
    async fn arrived(&self, id: i64) {
        let now = self.shop.order_bytes(id).expect("the order is there");
        let has_it = |sink: &OneTribeSim| {
            let bodies = sink.accepted().into_iter().filter(|one| one.order_id == id);
            bodies.last().is_some_and(|one| one.body.as_ref() == Some(&now))
        };
        let seen = || self.sink.accepted().iter().map(|one| (one.order_id, one.revision)).collect::<Vec<_>>();
        assert!(self.sink.wait_for(has_it, PATIENCE).await.is_ok(), "order {id} has not arrived: {:?}", seen());
    }

    /// Waits until the relay has every webhook and has dealt with it.
    async fn is_idle(&self) {
        self.shop.wait_for(|shop| shop.queued() == 0, PATIENCE).await.expect("all is delivered");
        let began = Instant::now();
        let url = self.relay.url("/connections/1/orders?state=pending");
        loop {
            let answer = self.client.get(&url).bearer_auth(ADMIN_TOKEN).send().await.expect("an answer");
            let page: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
            if page["orders"].as_array().expect("a list of orders").is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "orders still wait: {page}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn finish(self) {
        self.relay.stop().await.expect("it stops");
        self.sink.stop().await;
        self.shop.stop().await;
    }
}

#[actix_web::test]
async fn orders_reach_the_destination_byte_for_byte_from_shops_of_every_age() {
    for version in [ShopVersion::V5_7, ShopVersion::V8_0, ShopVersion::V9_0, ShopVersion::V11_0] {
        let permalinks = if version == ShopVersion::V9_0 { ShopPermalinks::Plain } else { ShopPermalinks::Pretty };
        let world = World::connected(ShopConfig { version, permalinks, ..ShopConfig::default() }, &[]).await;
        let paid = world.shop.place_order();
        world.arrived(paid).await;
        world.shop.change_order(paid, "completed");
        world.arrived(paid).await;
        world.shop.trash_order(paid);
        world.arrived(paid).await;

        let cart = world.shop.place_draft();
        let other = world.shop.place_order();
        world.arrived(other).await;
        world.shop.wait_for(|shop| shop.queued() == 0, PATIENCE).await.expect("all is delivered");
        world.shop.change_order(cart, "processing");
        world.arrived(cart).await;
        let of_cart: Vec<_> = world.sink.accepted().into_iter().filter(|one| one.order_id == cart).collect();
        assert!(of_cart.iter().all(|one| one.revision == 2), "no draft, {version:?}");
        assert_eq!(world.shop.hooks().len(), ORDER_TOPICS.len());
        world.finish().await;
    }
}

#[actix_web::test]
async fn what_no_webhook_tells_of_is_found_by_polling() {
    for version in [ShopVersion::V5_7, ShopVersion::V11_0] {
        let world =
            World::connected(ShopConfig { version, ..ShopConfig::default() }, &[("RECONCILE_INTERVAL", "1s")]).await;
        let ids: Vec<i64> = (0..150).map(|_| world.shop.place_order_silently(None, "processing")).collect();
        for id in &ids {
            world.arrived(*id).await;
        }
        world.shop.change_order_silently(ids[3], "trash");
        world.arrived(ids[3]).await;
        world.finish().await;
    }
}

#[actix_web::test]
async fn webhooks_that_the_shop_or_a_person_alters_are_put_right_and_strangers_left_alone() {
    let world = World::connected(ShopConfig::default(), &[("HOOK_CHECK_INTERVAL", "1s")]).await;
    let hooks = world.shop.hooks();
    world.shop.change_hook(hooks[0].id, |hook| hook.status = "disabled".to_owned());
    world.shop.change_hook(hooks[1].id, |hook| hook.status = "paused".to_owned());
    world.shop.remove_hook(hooks[2].id);
    let mended = |shop: &ShopSim| shop.hooks().len() == 4 && shop.hooks().iter().all(|hook| hook.is_active());
    world.shop.wait_for(mended, PATIENCE).await.expect("they are put right");
    let topics: Vec<String> = world.shop.hooks().into_iter().map(|hook| hook.topic).collect();
    assert!(ORDER_TOPICS.iter().all(|topic| topics.iter().filter(|other| other == topic).count() == 1), "{topics:?}");
    let id = world.shop.place_order();
    world.arrived(id).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_copy_of_the_shop_forwards_nothing() {
    let world = World::connected(ShopConfig::default(), &[("RECONCILE_INTERVAL", "0")]).await;
    let id = world.shop.place_order();
    world.arrived(id).await;
    // A genuine webhook that still waits would read, and forward, what is changed below.
    world.is_idle().await;
    let before = world.sink.attempts();
    world.shop.configure(|config| config.source = Some("https://staging.example/".to_owned()));
    world.shop.change_order(id, "completed");
    world.is_idle().await;
    assert!(world.shop.deliveries().iter().all(|delivery| delivery.status == Some(200)), "a refusal would disable it");
    assert_eq!(world.sink.attempts(), before);
    world.shop.configure(|config| config.source = None);
    world.shop.change_order(id, "refunded");
    world.arrived(id).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_shop_is_connected_by_one_click() {
    let world = World::start(ShopConfig::default(), Some("https://relay.example"), &[]).await;
    let form = |shop: &str| {
        let destination = world.sink.url();
        let fields = [("shop", shop), ("name", "Shop"), ("destination", &destination)];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = world.client.post(world.relay.url("/woocommerce/connect")).bearer_auth(ADMIN_TOKEN);
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send()
    };
    let answer = form(&world.shop.url()).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 303);
    let location = answer.headers()["location"].to_str().expect("an address").to_owned();
    assert!(location.starts_with(&format!("{}/wc-auth/v1/authorize?", world.shop.url())), "{location}");
    // The reverse proxy in front of the relay passes requests for its public address on to it.
    let approve = location.replace("/authorize?", "/access_granted?");
    let own = url::form_urlencoded::byte_serialize(world.relay.url("").as_bytes()).collect::<String>();
    let approve = approve.replace("https%3A%2F%2Frelay.example", &own);
    let back = world.client.get(&approve).send().await.expect("an answer");
    assert_eq!(back.status().as_u16(), 302, "the keys are taken");
    let back = back.headers()["location"].to_str().expect("an address").to_owned();
    let page = world.client.get(back).send().await.expect("a page").text().await.expect("a body");
    assert!(page.contains("Connected"), "{page}");
    let again = world.client.get(approve).send().await.expect("an answer");
    assert_eq!((again.status().as_u16(), world.shop.keys().len()), (401, 2), "a request is for one use");

    world.shop.configure(|config| config.permalinks = ShopPermalinks::Plain);
    let refused = form(&format!("{}/", world.shop.url())).await.expect("an answer");
    assert_eq!(refused.status().as_u16(), 422);
    assert!(refused.text().await.expect("a body").contains("plain permalinks"));
    world.finish().await;
}
