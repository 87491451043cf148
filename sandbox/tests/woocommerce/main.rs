//! The relay's WooCommerce client, tested with the simulated shop.

mod changes;
mod client;
mod hooks;
mod keys;
mod problems;
mod receiver;
mod relay;

use std::{sync::Arc, time::Duration};

use onetribe_relay::{
    http::{AddressPolicy, Http},
    object::ObjectId,
    secret::Secret,
    source::woocommerce::{AuthMode, Shop, Shops},
    spec::WooCommerceSpec,
};
use sandbox::{ShopConfig, ShopSim};

/// Long enough on any machine; only a failing test waits that long.
const SOON: Duration = Duration::from_secs(10);
/// The secret that signs the webhooks of these tests.
const WEBHOOK_SECRET: &str = "abcDEF123";

/// The client that calls shops, with loopback addresses allowed.
fn shops(timeout: Duration) -> Arc<Shops> {
    let loopback = "127.0.0.0/8".parse().expect("a network");
    let http = Http::new(AddressPolicy::new(vec![loopback])).expect("a client");
    Arc::new(Shops::new(Arc::new(http), timeout, None, Default::default()))
}

fn spec(sim: &ShopSim) -> WooCommerceSpec {
    let config = sim.config();
    WooCommerceSpec {
        url: sim.url(),
        consumer_key: config.consumer_key.as_str().into(),
        consumer_secret: config.consumer_secret.as_str().into(),
        webhook_secret: Secret::from(WEBHOOK_SECRET),
    }
}

/// A client for the shop: with Basic authentication if WordPress takes requests for `https`, with OAuth otherwise.
fn client(sim: &ShopSim) -> Shop {
    client_with(sim, &spec(sim), SOON)
}

fn client_with(sim: &ShopSim, spec: &WooCommerceSpec, timeout: Duration) -> Shop {
    let auth = if sim.config().is_ssl { AuthMode::Basic } else { AuthMode::OAuth };
    Shop::new(shops(timeout), spec).expect("an address").starting_with(auth)
}

fn start(config: ShopConfig) -> (ShopSim, Shop) {
    let sim = ShopSim::start_with(config).expect("a port");
    let shop = client(&sim);
    (sim, shop)
}

fn number(id: i64) -> ObjectId {
    ObjectId::Number(id)
}
